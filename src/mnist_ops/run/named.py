"""What a command may call a run: a folder, a file of weights, or the word for those that ship in the package."""

from importlib import resources
from pathlib import Path

from mnist_ops.errors import RunError

SHIPPED = "default"  # the trained weights of the default recipe


def find_run(name: str | Path) -> Path:
    """The run folder or the weights that `name` means; the word `default` wins over a folder (write ./default).

    Raises RunError where the word is used and the weights are not in this installation; another path is not looked at.
    """
    if str(name) != SHIPPED:
        return Path(name)
    shipped = Path(str(resources.files("mnist_ops") / "weights" / f"{SHIPPED}.safetensors"))
    if not shipped.is_file():
        raise RunError(f"{SHIPPED}: the trained weights are missing in this installation, expected {shipped}; install "
                       "mnist-ops again, or name the folder of a run of your own (mnist-ops train makes one)")
    return shipped
