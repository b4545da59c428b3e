"""Bytes that may be gzip-compressed -> content, never more of it than was asked for. Knows no file and no format."""

import zlib
from collections.abc import Iterator

GZIP_MAGIC = b"\x1f\x8b"
_GZIP_ONLY = 16 + zlib.MAX_WBITS  # zlib's way of saying: a gzip header, nothing else


def unpack(raw: bytes, limit: int) -> bytes:
    """The content of `raw`, at most `limit` bytes of it, so that a small file cannot fill the memory.

    Compressed content is told by its first two bytes, 1f 8b. Where all of it was asked for, its checksum is verified.
    Raises ValueError with a short fact where the gzip stream is damaged, cut off or followed by something else."""
    if not raw.startswith(GZIP_MAGIC):
        return raw[:limit]
    return b"".join(_members(raw, limit))


def _members(raw: bytes, limit: int) -> Iterator[bytes]:
    """The content member by member: a gzip file may be several, one after the other."""
    left = limit
    while raw and left > 0:
        member = zlib.decompressobj(_GZIP_ONLY)
        try:
            content = member.decompress(raw, left)
        except zlib.error as error:
            raise ValueError(f"damaged gzip ({error})") from error
        yield content
        left -= len(content)
        if not member.eof:
            if left > 0:
                raise ValueError("damaged gzip (it is cut off)")
            return  # more content than was asked for
        raw = member.unused_data.lstrip(b"\x00")  # padding to a block of zeros is allowed
        if raw and not raw.startswith(GZIP_MAGIC):
            raise ValueError(f"damaged gzip ({len(raw):,} bytes of something else follow)")
