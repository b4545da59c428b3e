"""What a result was made from: the commit and the data, so that somebody else can repeat it."""

import functools
import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mnist_ops.data.dataset import ImageDataset
from mnist_ops.errors import UsageError
from mnist_ops.run.folder import continued_with


@functools.cache
def commit() -> str | None:
    """The commit of this program's own checkout, with "+changes" where its files differ from it.

    None where the program runs from an installed copy, or without git."""
    source = Path(__file__).resolve().parents[1]
    if _git(source, "ls-files", "--error-unmatch", __file__) is None:
        return None  # an installed copy that happens to lie inside somebody else's repository
    head = _git(source, "rev-parse", "HEAD")
    changed = _git(source, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return head and head + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of git, None where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments],
                              capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def fingerprint(source: ImageDataset) -> str:
    """SHA-256 of all images and labels of both parts, in their order, and of the names of the classes."""
    digest = hashlib.sha256(repr(source.classes).encode())
    for part in (source.train, source.test):
        digest.update(repr(part.images.shape).encode())
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()


def changes(path: Path, there: Mapping[str, str | None], now: Mapping[str, str | None]) -> list[str]:
    """What may change the bits of the run in `path`, which goes on, as warnings; both say torch, commit, data
    and, where its steps are compiled, by what.

    Raises UsageError where it was begun with other images or labels."""
    if there.get("data") != now["data"]:
        raise UsageError(f"{path}: the run was begun with other images or labels than those that are there now under "
                         "the same name; bring those back, or name another folder with --out")
    return [continued_with(path, name, there.get(name), now[name]) for name in ("torch", "commit", "engine")
            if there.get(name, now.get(name)) != now.get(name, there.get(name))]
