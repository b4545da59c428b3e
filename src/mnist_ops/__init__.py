"""Train image classifiers so small that every parameter counts, see what they see, and hand them over.

The names below are the Python interface; each does what the command of the same purpose does. They are loaded when
they are first asked for, so that `import mnist_ops` itself takes no time."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_ops.api import load, train
    from mnist_ops.arch.zoo import MODELS
    from mnist_ops.config import RECIPES

    __version__: str

HOMES = {"train": "api", "load": "api", "MODELS": "arch.zoo", "RECIPES": "config"}
__all__ = ["MODELS", "RECIPES", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mnist-ops")
    if name in HOMES:
        return getattr(import_module(f"mnist_ops.{HOMES[name]}"), name)
    raise AttributeError(f"module 'mnist_ops' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
