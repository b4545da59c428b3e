"""Code of one's own in a run: what Python gives, and its names in the config. Imports none of it, and no torch."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.config import Code, Config
from mnist_ops.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

MakeNetwork: TypeAlias = Callable[[Shape, int], "nn.Module"]  # of (channels, height, width), and the number of classes
Change: TypeAlias = Callable[["Tensor"], "Tensor"]  # of a batch (N, C, H, W) in [0, 1], which keeps shape, type, device
MakeOptimizer: TypeAlias = Callable[["Sequence[nn.Parameter]"], "Optimizer"]


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnCode:
    """What takes the place of the run's own network and optimiser, and what follows its augmentation; None: nothing."""

    network: MakeNetwork | None = None
    augment: Change | None = None
    optimizer: MakeOptimizer | None = None

    @property
    def names(self) -> Code:
        """The qualified names, such as __main__.Net."""
        return Code(**{part: name_of(code) for part, code in vars(self).items() if code is not None})

    @property
    def told(self) -> str:
        """Which parts there are, as a clause; empty if there is none."""
        given = [part for part, code in vars(self).items() if code is not None]
        return f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} code of your own" if given else ""


NONE = OwnCode()


def name_of(code: object) -> str:
    """The module and name of a function, a class, or an object's class."""
    while isinstance(code, functools.partial):
        code = code.func
    named = code if hasattr(code, "__qualname__") else type(code)
    return f"{named.__module__ or '__main__'}.{named.__qualname__}"[:200]


def check_code(config: Config, given: OwnCode, place: Path | str) -> None:
    """Raise UsageError, naming it, if the config was made with code that is not given."""
    missing = {part: name for part, name in vars(config.code).items() if name and getattr(given, part) is None}
    if missing:
        again = ", ".join(f"{part}={name.rpartition('.')[2]}" for part, name in missing.items())
        raise UsageError(f"{place}: made with code of your own: {', '.join(map(' '.join, missing.items()))}. Nothing "
                         f"imports it by itself; give it again from Python, with {again} to mnist_ops.train, "
                         "mnist_ops.resume or mnist_ops.sweep")
