"""The commit, the data and the machine behind a result, to make it repeatable."""

import functools
import hashlib
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from mnist_ops.data.dataset import ImageDataset
from mnist_ops.device import available_cores
from mnist_ops.errors import UsageError
from mnist_ops.run.folder import continued_with

CHANGES = ("torch", "commit", "engine", "processor", "system", "gpu")  # may change the last bits


@functools.cache
def commit() -> str | None:
    """The commit of this program's checkout, with "+changes" if files differ from it.

    None if the program runs from an installed copy, or without git."""
    source = Path(__file__).resolve().parents[1]
    if _git(source, "ls-files", "--error-unmatch", __file__) is None:
        return None  # an installed copy inside another repository
    head = _git(source, "rev-parse", "HEAD")
    changed = _git(source, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return head and head + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of git, None if it fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments],
                              capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def machine(device: str) -> dict[str, str | None]:
    """What the last bits of a run depend on beside program, settings and data: the processor, with the instructions
    that PyTorch uses of it and its cores, the system, and on a GPU its name."""
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"processor": f"{processor()}, {instructions}, {available_cores()} cores",
            "system": " ".join(filter(None, (platform.system(), platform.machine(), *platform.libc_ver()))),
            "gpu": torch.cuda.get_device_name() if device == "cuda" else None}


def processor() -> str:
    """The model's name, as the system tells it."""
    try:
        listed = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        listed = ""
    named = re.search(r"^model name\s*:\s*(.+)$", listed, re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def fingerprint(source: ImageDataset) -> str:
    """SHA-256 of all images and labels of all sets, in order, and of the class names."""
    digest = hashlib.sha256(repr(source.classes).encode())
    for part in filter(None, (source.train, source.test, source.validation)):
        digest.update(repr(part.images.shape).encode())
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(np.ascontiguousarray(part.labels).data)
    return digest.hexdigest()


def changes(path: Path, there: Mapping[str, str | None], now: Mapping[str, str | None]) -> list[str]:
    """Warnings about what may change the bits of the continued run in `path`: both records have torch, commit, data,
    for compiled steps the compiler and, unless an older version wrote it, what `machine` says.

    Raises UsageError if it was started with other images or labels."""
    if there.get("data") != now["data"]:
        raise UsageError(f"{path}: the run was started with other images or labels than those now under "
                         "the same name; restore those, or choose another folder with --out")
    return [continued_with(path, name, there.get(name), now[name]) for name in CHANGES
            if there.get(name, now.get(name)) != now.get(name, there.get(name))]
