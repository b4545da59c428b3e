"""The random generators of a run, all derived from its seed, so that resuming needs no generator state."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator


def stream(seed: int, purpose: str, count: int = 0, device: torch.device | str = "cpu") -> Generator:
    """A generator on `device` for this seed, purpose ("order", "warp", ...) and count (usually the epoch).

    The same arguments give the same numbers, different ones independent numbers, through SHA-256."""
    return seeded(Generator(device), seed, purpose, count)


def seeded(generator: Generator, seed: int, purpose: str, count: int = 0) -> Generator:
    """The generator itself, set to the beginning of that stream, on its own device."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{count}".encode()).digest()
    return generator.manual_seed(int.from_bytes(digest[:4], "little"))


@contextmanager
def drawing(generator: Generator, device: torch.device) -> Iterator[None]:
    """PyTorch's global generators, from which code of one's own draws, begin at the next number of `generator` and are
    afterwards as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
