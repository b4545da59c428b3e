"""Writing a file whole or not at all. Knows nothing of what the bytes mean."""

import contextlib
import os
import tempfile
from pathlib import Path

from mnist_ops.errors import RunError


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, atomically and durably: after a crash the old file or the new one is there.

    A temporary file in the same folder is written, flushed to the disk and renamed; then the folder is flushed.
    Raises RunError, with the old file untouched, where the disk is full or the folder cannot be written."""
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise RunError(f"{path}: could not be written ({error.strerror}); what was there before is unchanged. "
                       "Free some space or choose another folder.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _umask() -> int:
    """The process's file mode mask; mkstemp makes files private, a result is for everybody whom the mask allows."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
