"""What a disk may hold after a loss of power in the midst of recorded operations. Knows no mnist-ops.

After the model of ALICE (Pillai et al. 2014, "All file systems are not created equal") and of SQLite's tests of
crashes. What is flushed stays. What is not may be lost:

- A file's content, back to its last flush: whole writes, or one torn at a multiple of 512 bytes, whose rest is missing,
  zeros (a file system that writes a length before its data), or there without its begin (sectors in another order).
- Names: "ordered", as ext4, where a crash keeps a beginning of all changes of names, and any flush writes all before
  it; "any", as POSIX and APFS allow: each change by itself, in any order, unless its own folder was flushed.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.disk_layer import Layer, Operation, applied, changed

SECTOR = 512
NAMES = ("create", "rename", "unlink", "mkdir", "rmdir")
MOST_PENDING = 6  # changes of names of which all combinations are tried; of more, each lost alone or kept alone
MOST_TEARS = 24  # places where a write is torn, spread evenly over its sectors

State = dict[str, bytes | None]  # every file's content, None for a folder, by its path


@dataclass(frozen=True)
class Pending:
    """The changes that a loss of power may take back, after some of the operations."""

    names: tuple[int, ...]  # places of operations
    data: dict[int, tuple[bytes, list[Operation]]]  # by file: its flushed content, and what came after


def parent(path: str) -> str:
    """The folder of a path."""
    return path.rpartition("/")[0] or "."


def pending(layer: Layer, count: int, *, ordered: bool) -> Pending:
    """What is not yet durable after the first `count` operations."""
    waiting: list[int] = []
    data: dict[int, tuple[bytes, list[Operation]]] = {
        number: (content, []) for number, content in enumerate(layer.start.values()) if content is not None}
    for place, one in enumerate(layer.operations[:count]):
        if one.kind in NAMES:
            waiting.append(place)
        if one.kind == "create":
            data[one.file] = (b"", [])
        elif one.kind in ("write", "truncate"):
            data[one.file][1].append(one)
        elif one.kind == "flush":
            content, later = data[one.file]
            for change in later:
                content = changed(content, change)
            data[one.file] = (content, [])
        if one.kind in ("flush", "flush folder") and ordered:
            waiting = []
        elif one.kind == "flush folder":
            waiting = [at for at in waiting if parent(layer.operations[at].target or layer.operations[at].path)
                       != one.path]
    return Pending(tuple(waiting), data)


def kept_names(waiting: Sequence[int], *, ordered: bool) -> Iterator[frozenset[int]]:
    """Which of the pending changes of names may have reached the disk."""
    if ordered:
        yield from (frozenset(waiting[:count]) for count in range(len(waiting) + 1))
    elif len(waiting) <= MOST_PENDING:
        for count in range(len(waiting) + 1):
            yield from map(frozenset, itertools.combinations(waiting, count))
    else:
        every = frozenset(waiting)
        yield from (frozenset(), every)
        for one in waiting:
            yield from (every - {one}, frozenset({one}))
        yield from (frozenset(waiting[:count]) for count in range(1, len(waiting)))


def contents(flushed: bytes, later: Sequence[Operation]) -> Iterator[bytes]:
    """What an unflushed file may hold."""
    yield flushed
    before = flushed
    for one in later:
        after = changed(before, one)
        if one.kind == "write":
            yield from _torn(before, one)
        yield after
        before = after


def _torn(before: bytes, write: Operation) -> Iterator[bytes]:
    begin, end = write.offset, write.offset + len(write.content)
    cuts = list(range(begin // SECTOR * SECTOR + SECTOR, end, SECTOR))
    step = max(1, -(-len(cuts) // MOST_TEARS))
    for cut in [*cuts[::step], *cuts[-1:]]:
        first, last = write.content[:cut - begin], write.content[cut - begin:]
        yield changed(before, Operation("write", "", offset=begin, content=first))
        yield changed(before, Operation("write", "", offset=begin, content=first + bytes(len(last))))
        yield changed(before, Operation("write", "", offset=cut, content=last))
    yield changed(before, Operation("write", "", offset=begin, content=bytes(len(write.content))))


def states(layer: Layer, count: int) -> Iterator[State]:
    """Every state after a loss of power once the first `count` operations were done; equal ones may come again."""
    for ordered in (True, False):
        found = pending(layer, count, ordered=ordered)
        usual = {number: _last(flushed, later) for number, (flushed, later) in found.data.items()}
        changing = [number for number, (_, later) in found.data.items() if later]
        for kept in kept_names(found.names, ordered=ordered):
            names = _names(layer, count, frozenset(found.names) - kept)
            there = set(names.values())
            yield _state(names, usual)
            for number in changing:
                if number in there:
                    for content in contents(*found.data[number]):
                        yield _state(names, usual | {number: content})


def _last(content: bytes, later: Sequence[Operation]) -> bytes:
    for one in later:
        content = changed(content, one)
    return content


def _names(layer: Layer, count: int, lost: frozenset[int]) -> dict[str, int | None]:
    names: dict[str, int | None] = {path: None if content is None else number
                                    for number, (path, content) in enumerate(layer.start.items())}
    for place, one in enumerate(layer.operations[:count]):
        if place not in lost:
            applied(names, one)
    return names


def _state(names: dict[str, int | None], data: dict[int, bytes]) -> State:
    """Without what lies in a folder that is not there."""
    folders = {path for path, number in names.items() if number is None} | {"."}
    found: State = {}
    for path in sorted(names):
        above = parent(path)
        if above == "." or (above in folders and above in found):
            number = names[path]
            found[path] = None if number is None else data[number]
    return found


RANDOM = re.compile(r"(?<=\.)[0-9a-f]{8}(?=\.part$)|(?<=mnist-ops-)\w{8}")  # in names of temporary files and folders


def key(state: State) -> tuple[tuple[str, bytes | None], ...]:
    """The same for states that differ only in random names, and in what half-written files hold, which nobody reads."""
    return tuple(sorted((RANDOM.sub("", path), b"" if path.endswith(".part") else content)
                        for path, content in state.items()))
