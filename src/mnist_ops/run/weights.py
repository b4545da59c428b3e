"""The weights file: its bytes, and its description, without the tensors. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.zoo import INPUT
from mnist_ops.config import MOST_SIDE
from mnist_ops.errors import RunError, brief
from mnist_ops.run.safe_files import parse_json, read_own

MOST_WEIGHTS = 2**26  # bytes of a file, far beyond any network here


def read_weights(path: Path, *, link: bool = False) -> bytes:
    """The content of the weights file `path`. Raises RunError if it does not exist, or as `read_own`."""
    try:
        return read_own(path, MOST_WEIGHTS, link=link)
    except FileNotFoundError:
        raise RunError(f"{path}: does not exist; expected the weights of a run, written by mnist-ops train") from None


def describe_weights(path: Path, raw: bytes) -> dict[str, Any]:
    """The metadata of the weights file `path` with content `raw`: model, dataset, layers and more.

    Does not check the tensors. Raises RunError if it is not an mnist-ops weights file."""
    try:
        header = parse_json(raw[8:8 + int.from_bytes(raw[:8], "little")])
        described = parse_json(header["__metadata__"]["mnist_ops"])
        if not isinstance(described, dict):
            raise ValueError("it has no description")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise RunError(f"{path}: damaged, or not an mnist-ops weights file ({error!s:.300}); restore it, "
                       "or train again") from error
    return described


def described_shape(described: Mapping[str, Any]) -> Shape:
    """Channels, height and width of the images of a weights file's network; files of older versions have MNIST's.

    Raises ValueError for a shape that no picture has here."""
    found = described.get("input_shape", list(INPUT))
    sides = range(MOST_SIDE + 1)[1:]
    if (type(found) is not list or len(found) != 3 or not all(type(one) is int for one in found)
            or found[0] not in (1, 3) or found[1] != found[2] or found[1] not in sides):
        raise ValueError(f"input_shape {brief(found)}, expected channels (1 or 3), height and width (equal, at most "
                         f"{MOST_SIDE})")
    return found[0], found[1], found[2]
