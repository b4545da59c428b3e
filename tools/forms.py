"""An input of a reader as the bytes of one file and back, so that a fuzzer may change it and a corpus keep it.

What a checksum protects lies unprotected in these bytes: a change then reaches the code behind the checksum."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BETWEEN = b"\n----\n"  # parts of one input


@dataclass(frozen=True)
class Form:
    """`made(raw)` is an input whatever the bytes are; `made(kept(given))` is `given`, or says the same."""

    made: Callable[[bytes], Any]
    kept: Callable[[Any], bytes]


WHOLE = Form(bytes, bytes)  # the bytes are the input


def chosen(choices: Sequence[Any]) -> Form:
    """Of (one of the choices, content): a byte for the choice, then the content."""
    return Form(lambda raw: (choices[raw[0] % len(choices) if raw else 0], raw[1:]),
                lambda given: bytes([choices.index(given[0])]) + given[1])


def sections(count: int) -> Form:
    """Of a tuple of so many contents: one after the other, with `BETWEEN` between them."""
    return Form(lambda raw: tuple((raw.split(BETWEEN) + [b""] * count)[:count]), BETWEEN.join)


def opened(open_it: Callable[[bytes], bytes | None], closed: Callable[[bytes], bytes]) -> Form:
    """Of a file with checksums: 1 and what `open_it` finds within, from which `closed` makes a file that says the same;
    or 0 and the file as it is, where it finds nothing."""
    def kept(given: bytes) -> bytes:
        inner = open_it(given)
        return b"\0" + given if inner is None else b"\1" + inner

    return Form(lambda raw: closed(raw[1:]) if raw[:1] == b"\1" else raw[1:], kept)


def zipped(parts: Mapping[str, bytes], *, packed: bool = False) -> bytes:
    """A zip archive of these files, with right checksums; the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, archive.compression)
    return buffer.getvalue()


def unzipped(raw: bytes) -> dict[str, bytes] | None:
    """The files in it; None if it is damaged, or has more than it says."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            if sum(one.file_size for one in archive.infolist()) > 10**6:
                return None
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # on damaged archives zipfile raises anything
        return None
