"""Names of a run on the command line: a folder, a weights file, or "default" for the package's weights."""

from importlib import resources
from pathlib import Path

from mnist_ops.errors import RunError

SHIPPED = "default"  # the trained weights of the default recipe


def find_run(name: str | Path) -> Path:
    """The run folder or weights file that `name` means; `default` is never a folder (write ./default).

    Raises RunError if the package's weights are missing; other paths are not checked."""
    if str(name) != SHIPPED:
        return Path(name)
    shipped = _shipped(f"{SHIPPED}.safetensors")
    if not shipped.is_file():
        raise RunError(f"{SHIPPED}: the trained weights are missing in this installation, expected {shipped}; "
                       "reinstall mnist-ops, or give the folder of your own run (created by mnist-ops train)")
    return shipped


def find_scales(name: str | Path) -> Path | None:
    """The scales of int8 that ship with the package's weights; None for a run of one's own, which has its images."""
    return _shipped(f"{SHIPPED}.scales.json") if str(name) == SHIPPED else None


def _shipped(name: str) -> Path:
    return Path(str(resources.files("mnist_ops") / "weights" / name))
