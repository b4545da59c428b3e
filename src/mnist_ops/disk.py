"""Writing a file whole or not at all. Knows nothing of what the bytes mean."""

import contextlib
import os
import re
from pathlib import Path

from mnist_ops.errors import RunError

PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")  # the name of a file while it is being written


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, atomically and durably: after a crash the old file or the new one is there.

    A temporary file in the same folder is written, flushed to the disk and renamed; then the folder is flushed. Where
    `path` is a link, the link is replaced, and what it leads to stays as it is. A process that is killed may leave its
    temporary file behind, see `remove_parts`.
    Raises RunError, with the old file untouched, where the disk is full or the folder cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"{path}: could not be written ({error.strerror}); what was there before is unchanged. "
                       "Free some space or choose another folder.") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make the renaming durable too, where the system lets a folder be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove what killed processes have left half-written in `folder`; for whoever alone writes there."""
    for path in folder.iterdir():
        if PART.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()
