"""Every random generator of a run, derived from its seed: no generator has a state that resuming would have to keep."""

import hashlib

import torch
from torch import Generator


def stream(seed: int, purpose: str, count: int = 0, device: torch.device | str = "cpu") -> Generator:
    """A generator on `device` of its own for this seed, purpose ("order", "warp", ...) and count (usually the epoch).

    The same arguments give the same numbers; any other give independent ones, through SHA-256."""
    return seeded(Generator(device), seed, purpose, count)


def seeded(generator: Generator, seed: int, purpose: str, count: int = 0) -> Generator:
    """The generator itself, set to the beginning of that stream; its device stays."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{count}".encode()).digest()
    return generator.manual_seed(int.from_bytes(digest[:4], "little"))
