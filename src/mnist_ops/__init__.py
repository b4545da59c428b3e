"""Train very small image classifiers, see what they see, and export them.

The names below are the Python interface; each corresponds to a command. They are loaded on first use, so that
`import mnist_ops` is fast."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_ops.api import compare, resume, sweep, train
    from mnist_ops.arch.zoo import MODELS
    from mnist_ops.classifier import load
    from mnist_ops.config import RECIPES

    __version__: str

HOMES = {**dict.fromkeys(("train", "resume", "sweep", "compare"), "api"), "load": "classifier",
         "MODELS": "arch.zoo", "RECIPES": "config"}
__all__ = ["MODELS", "RECIPES", "__version__", "compare", "load", "resume", "sweep", "train"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mnist-ops")
    if name in HOMES:
        return getattr(import_module(f"mnist_ops.{HOMES[name]}"), name)
    raise AttributeError(f"module 'mnist_ops' has no attribute {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
