"""Reading a run folder that may come from a stranger: plain files of that folder, of a sensible size. Knows no torch.

What a run folder holds may lie: a file may be a link to something of the reader's own, a pipe that nobody ever writes
to, or endless; a name inside may lead elsewhere. So a link in the place of a run folder's file is refused wherever it
leads, for mnist-ops writes none; the folder itself may be reached through links. Only a file that the user names
himself is followed."""

import json
import os
import stat
from pathlib import Path, PurePath
from typing import Any, NoReturn

from mnist_ops.errors import RunError

MOST_JSON = 2**25  # bytes of a JSON file; the names of half a million pictures fit
MOST_CONTAINERS = 200_000  # objects and lists in it, which take far more memory than the bytes that describe them


def read_own(path: Path, most: int, *, link: bool = False) -> bytes:
    """The file `path` of a run folder, which has at most `most` bytes.

    link: whether it may be a link, for a path that the user named. Raises FileNotFoundError where there is none;
    RunError, naming it, where it is a link, no plain file, larger, or cannot be read."""
    check_own(path, link=link)
    try:
        # Neither a pipe nor a link that takes the file's place in this moment is waited for or followed.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | (0 if link else getattr(os, "O_NOFOLLOW", 0))
        with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(most + 1) if size <= most else b""
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if max(size, len(content)) > most:
        raise RunError(f"{path}: has {max(size, len(content)):,} bytes, at most {most:,} are read; it is none of "
                       "mnist-ops. Restore it, or train again")
    return content


def check_own(path: Path, *, link: bool = False) -> None:
    """Raise RunError, naming it, where `path` is there and no plain file, or a link although `link` is off."""
    try:
        found = path.stat() if link else path.lstat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({getattr(error, 'strerror', error)}); check the path") from error
    if stat.S_ISLNK(found.st_mode):
        raise RunError(f"{path}: is a link, which a run folder's file must not be, as it may lead anywhere; put a copy "
                       "in its place if you trust it")
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, a socket or a device"
        raise RunError(f"{path}: is {kind}, expected a plain file; is this a run folder?")


def check_containers(path: Path, raw: bytes) -> None:
    """Raise RunError where JSON would take a multiple of its size in memory."""
    if raw.count(b"{") + raw.count(b"[") > MOST_CONTAINERS:
        raise RunError(f"{path}: more than {MOST_CONTAINERS:,} objects and lists; it is none of mnist-ops")


def parse_json(raw: str | bytes) -> Any:
    """The value that is written there. Raises ValueError where it is not JSON, which has no NaN and no Infinity."""
    return json.loads(raw, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def check_names(path: Path, names: Any) -> list[str]:
    """The names of pictures that `path` holds, each below the folder of pictures. RunError, naming `path`, else."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{path}: damaged, holds no list of names; restore it, or train again")
    if (leading_out := next((name for name in names if not _stays_below(name)), None)) is not None:
        raise RunError(f"{path}: names the picture {leading_out!r:.100}, which leads out of the folder of pictures; "
                       "nothing was read there. Restore it, or train again")
    return names


def _stays_below(name: str) -> bool:
    pure = PurePath(name)
    return bool(name) and not pure.anchor and ".." not in pure.parts and "\0" not in name
