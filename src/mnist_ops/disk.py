"""Creates folders, writes files atomically, and makes temporary ones. Knows nothing about their content."""

import contextlib
import errno
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from mnist_ops.errors import MnistOpsError, RunError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PART = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part")  # the name of a file while it is being written
STALE = 3600  # seconds after which nobody is writing such a file any more
FAILURES = (errno.EIO, errno.ENOSPC, errno.EDQUOT)  # of a disk; others say that a folder cannot be flushed at all


def make_folder(path: Path) -> None:
    """Create the folder and its parents if needed. Raises UsageError if it is a file, RunError if creating it fails."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file, expected a folder; choose another with --out")
    try:
        create_folder(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be created ({error.strerror}); choose another folder with --out") from error


def create_folder(path: Path) -> None:
    """Create the folder and its parents if needed, durably. Raises OSError."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        _flush_folder(one.parent)


def make_empty(path: Path) -> None:
    """The same, before results are computed for it. Raises UsageError if it has content."""
    make_folder(path)
    if any(path.iterdir()):
        raise UsageError(f"{path}: already exists; choose another folder with --out")


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, atomically and durably: after a crash there is the old file or the new one.

    A temporary file in the same folder is written, flushed to the disk and renamed; then the folder is flushed. If
    `path` is a link, the link is replaced, not its target. A killed process may leave its temporary file behind; see
    `remove_parts`, and the next write of the same file removes it once it is old.
    Raises RunError, with the old file untouched, if the disk is full or the folder cannot be written."""
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files of one folder as `write_whole`: all are on the disk before any is renamed into place.

    Raises RunError, with existing files unchanged, if one cannot be written; and if the disk fails once they are."""
    path = next(iter(files))
    parts: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            parts[path] = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
            _write_new(parts[path], content)
        for path, part in parts.items():
            try:
                os.replace(part, path)
            except FileNotFoundError:  # another writer took it for an old one, as the clock was set forward
                _write_new(part, files[path])
                os.replace(part, path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); an existing file is unchanged. "
                       "Free some space or choose another folder.") from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                os.unlink(part)
    try:
        _flush_folder(path.parent)
    except OSError as error:
        raise RunError(f"{path}: is written, but would not survive a loss of power ({error.strerror}); check the disk, "
                       "then run the same command again") from error
    remove_parts(path.parent, [one.name for one in files], older=STALE)


@contextlib.contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """A temporary folder for `purpose`, removed after the block; errors do not name it.

    Raises RunError if its files cannot be written."""
    name = ""
    try:
        with tempfile.TemporaryDirectory(prefix="mnist-ops-") as name:
            yield Path(name)
    except OSError as error:
        raise RunError(f"the temporary files for {purpose} cannot be written ({error.strerror or error}); free some "
                       "space, or set $TMPDIR to another folder") from error
    except MnistOpsError as error:
        raise type(error)(str(error).replace(f"{name}{os.sep}", "")) from error


def _write_new(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        _flush(file.fileno())


def _flush(descriptor: int) -> None:
    """Make it durable. On macOS fsync alone leaves it in the memory of the disk."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        with contextlib.suppress(OSError):  # where a file system has no such thing
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _flush_folder(folder: Path) -> None:
    """Make changes of names durable too, if the system can flush a folder. Raises OSError if the disk fails."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _flush(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in FAILURES:
            raise


def remove_parts(folder: Path, names: Collection[str] | None = None, older: float = 0) -> None:
    """Remove files left half-written by killed processes in `folder`: those of the files of these `names`, or all.

    older: seconds, where others may be writing to the folder."""
    for path in folder.iterdir():
        if (found := PART.fullmatch(path.name)) and (names is None or found[1] in names):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= older:
                    path.unlink()
