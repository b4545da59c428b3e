"""Names of a run on the command line: a folder, a weights file, or "default" for the package's weights."""

from importlib import resources
from pathlib import Path

from mnist_ops.errors import RunError

SHIPPED = "default"  # the trained weights of the default recipe
SCALES = f"{SHIPPED}.scales.json"  # of integers, beside the weights


def find_run(name: str | Path) -> Path:
    """The run folder or weights file that `name` means; `default` is never a folder (write ./default).

    Raises RunError if the package's weights are missing; other paths are not checked."""
    if str(name) != SHIPPED:
        return Path(name)
    weights = shipped(f"{SHIPPED}.safetensors")
    if not weights.is_file():
        raise RunError(f"{SHIPPED}: the trained weights are missing in this installation, expected {weights}; "
                       "reinstall mnist-ops, or give the folder of your own run (created by mnist-ops train)")
    return weights


def kept_scales(name: str | Path) -> str | None:
    """The text of the scales that ship with the package's weights; None for a run of one's own, which has images."""
    return shipped(SCALES).read_text(encoding="utf-8") if str(name) == SHIPPED else None


def shipped(name: str) -> Path:
    """The file of that name beside the package's weights."""
    return Path(str(resources.files("mnist_ops") / "weights" / name))
