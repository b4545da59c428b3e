"""Reads run folders that may come from a stranger: only regular files of a sensible size. No torch.

A file there may be a link to a private file, a pipe that blocks, or endless; a name inside may lead elsewhere. So a
link in a run folder is always refused, as mnist-ops writes none. The folder itself, and a file that the user names, may
be reached through links."""

import json
import os
import stat
from pathlib import Path, PurePath
from typing import Any, NoReturn

from mnist_ops.errors import RunError

MOST_JSON = 2**25  # bytes of a JSON file; enough for the names of half a million pictures
MOST_CONTAINERS = 200_000  # objects and lists in it, which take far more memory than their text


def read_own(path: Path, most: int, *, link: bool = False) -> bytes:
    """The content of file `path` of a run folder, at most `most` bytes.

    link: allow a link, for a path that the user gave. Raises FileNotFoundError if it does not exist; RunError, naming
    it, if it is a link, not a regular file, larger, or cannot be read."""
    check_own(path, link=link)
    try:
        # Do not block on a pipe or follow a link that replaces the file just now.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | (0 if link else getattr(os, "O_NOFOLLOW", 0))
        with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(most + 1) if size <= most else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if max(size, len(content)) > most:
        raise RunError(f"{path}: has {max(size, len(content)):,} bytes, the limit is {most:,}; not written by "
                       "mnist-ops. Restore it, or train again")
    return content


def check_own(path: Path, *, link: bool = False) -> None:
    """Raise RunError, naming it, if `path` exists and is not a regular file, or is a link and `link` is off."""
    try:
        found = path.stat() if link else path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({getattr(error, 'strerror', error)}); check the path") from error
    if stat.S_ISLNK(found.st_mode):
        raise RunError(f"{path}: is a link, which is not allowed in a run folder, as it may lead anywhere; replace it "
                       "by a copy if you trust it")
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
        raise RunError(f"{path}: is {kind}, expected a regular file; is this a run folder?")


def check_containers(path: Path, raw: bytes) -> None:
    """Raise RunError if the JSON would take far more memory than its size."""
    if raw.count(b"{") + raw.count(b"[") > MOST_CONTAINERS:
        raise RunError(f"{path}: more than {MOST_CONTAINERS:,} objects and lists; not written by mnist-ops")


def parse_json(raw: str | bytes) -> Any:
    """The parsed JSON. Raises ValueError if it is invalid, NaN and Infinity included."""
    return json.loads(raw, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it contains {name}")


def check_names(path: Path, names: Any) -> list[str]:
    """The picture names in `path`, relative to the folder of pictures. Raises RunError, naming `path`."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{path}: damaged, not a list of names; restore it, or train again")
    if (leading_out := next((name for name in names if not _stays_below(name)), None)) is not None:
        raise RunError(f"{path}: names the picture {leading_out!r:.100}, outside the folder of pictures; "
                       "nothing was read. Restore it, or train again")
    return names


def _stays_below(name: str) -> bool:
    pure = PurePath(name)
    return bool(name) and not pure.anchor and ".." not in pure.parts and "\0" not in name
