"""Creates folders, writes files atomically, and makes temporary ones. Knows nothing about their content."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mnist_ops.errors import MnistOpsError, RunError, UsageError

PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")  # the name of a file while it is being written


def make_folder(path: Path) -> None:
    """Create the folder and its parents if needed. Raises UsageError if it is a file, RunError if creating it fails."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file, expected a folder; choose another with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be created ({error.strerror}); choose another folder with --out") from error


def make_empty(path: Path) -> None:
    """The same, before results are computed for it. Raises UsageError if it has content."""
    make_folder(path)
    if any(path.iterdir()):
        raise UsageError(f"{path}: already exists; choose another folder with --out")


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, atomically and durably: after a crash there is the old file or the new one.

    A temporary file in the same folder is written, flushed to the disk and renamed; then the folder is flushed. If
    `path` is a link, the link is replaced, not its target. A killed process may leave its temporary file behind, see
    `remove_parts`.
    Raises RunError, with the old file untouched, if the disk is full or the folder cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        _write_new(temporary, content)
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); an existing file is unchanged. "
                       "Free some space or choose another folder.") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    _flush_folder(path.parent)


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files of one folder: all are on the disk before any is renamed into place.

    Raises RunError, with existing files unchanged, if one cannot be written."""
    path = next(iter(files))
    try:
        with tempfile.TemporaryDirectory(prefix=".mnist-ops-", dir=path.parent) as aside:
            for path, content in files.items():
                _write_new(Path(aside, path.name), content)
            for path in files:
                os.replace(Path(aside, path.name), path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); an existing file is unchanged. "
                       "Free some space or choose another place with --out.") from error


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
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the renaming durable too, if the system can flush a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove files left half-written by killed processes in `folder`, to which nobody else writes."""
    for path in folder.iterdir():
        if PART.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()
