"""Bytes that may be gzip-compressed -> content, up to a limit. Knows no files and formats."""

import zlib
from collections.abc import Iterator

GZIP_MAGIC = b"\x1f\x8b"
# Of one file. Block-wise compressors write one per 64 KiB of content; a file of very many empty ones would take
# minutes.
MOST_MEMBERS = 65_536
_GZIP_ONLY = 16 + zlib.MAX_WBITS  # zlib's code for: gzip headers only
_FIRST_BITE, _LARGEST_BITE = 512, 65_536  # bytes; small at first, as the rest after a member is copied


def unpack(raw: bytes, limit: int) -> bytes:
    """The content of `raw`, at most `limit` bytes of it, so that a small file cannot fill the memory.

    Compressed content is recognised by its first two bytes, 1f 8b. If all of it is read, its checksum is verified.
    Raises ValueError with a short text if the gzip stream is damaged, truncated, followed by something else or has more
    than MOST_MEMBERS members."""
    if not raw.startswith(GZIP_MAGIC):
        return raw[:limit]
    return b"".join(_members(raw, limit))


def _members(raw: bytes, limit: int) -> Iterator[bytes]:
    """The content piece by piece: a gzip file may be several members, one after the other."""
    place = number = 0
    while place < len(raw) and limit > 0:
        if not raw.startswith(GZIP_MAGIC, place):
            raise ValueError(f"damaged gzip ({len(raw) - place:,} bytes of something else follow)")
        number += 1
        if number > MOST_MEMBERS:
            raise ValueError(f"gzip of more than {MOST_MEMBERS:,} members")
        member, bite = zlib.decompressobj(_GZIP_ONLY), _FIRST_BITE
        while not member.eof:
            piece = raw[place:place + bite]
            if not piece:
                raise ValueError("damaged gzip (truncated)")
            try:
                content = member.decompress(piece, limit)
            except zlib.error as error:
                raise ValueError(f"damaged gzip ({error})") from error
            yield content
            limit -= len(content)
            if limit == 0:
                return  # reached the limit
            place += len(piece) - len(member.unused_data)
            bite = min(2 * bite, _LARGEST_BITE)
        place = _past_zeros(raw, place)


def _past_zeros(raw: bytes, place: int) -> int:
    """Padding to a block of zeros is allowed."""
    while raw.startswith(b"\x00", place):
        block = raw[place:place + _LARGEST_BITE]
        place += len(block) - len(block.lstrip(b"\x00"))
    return place
