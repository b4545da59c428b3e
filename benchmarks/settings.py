"""How long and with what the bench measures."""

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one run of the bench."""

    command: str = ""
    rounds: int = 5
    seconds: float = 8.0  # of training, of each program in each round
    recipes: tuple[str, ...] = ("default",)
    device: str = "cpu"
    threads: int = 0  # 0: every core
    data: str = "mnist"
    data_dir: str | None = None
    images: int | None = None  # training images; None: all
    least: int = 5  # steps in a stretch that is timed
    many: int = 1000  # images at once, in inference
    copied: int = 2**26  # float32 numbers, for the rate of memory: far more than a cache holds
    warm: int = 10  # steps before each stretch that is timed: what a loading process has ready is used up by then
    whole_run: dict[str, Any] = field(default_factory=dict)  # changes of a recipe for its whole run
    whole: bool = False  # run the reference to its end too
    cost_images: tuple[int, ...] = (10_000, 30_000, 60_000, 120_000, 240_000)
    cost_epochs: tuple[int, ...] = (1, 2, 4, 8)
    cost_epochs_images: int = 10_000
    widths: tuple[float, ...] = (0.5, 1, 2, 4)
    batches: tuple[int, ...] = (32, 64, 128, 256, 512)
    starts: int = 5

    def program(self, kind: str, **changes: Any) -> dict[str, Any]:
        """What a worker is to be told; `changes` go before what is set here."""
        wanted: dict[str, Any] = {"program": kind, "device": self.device, "threads": self.threads, "data": self.data,
                                  "data_dir": self.data_dir, "images": self.images}
        return wanted | changes

    def recipe(self, name: str, **changes: Any) -> dict[str, Any]:
        """The same for a recipe; by compiled steps where that is possible and nothing else is asked for."""
        return self.program("recipe", recipe=name, **{"engine": self.engine} | changes)

    @property
    def engine(self) -> str:
        """What computes the steps of the recipes."""
        return "compiled" if self.device == "cpu" else "pytorch"


def smoke(settings: Settings) -> Settings:
    """The same paths in a few seconds; the figures mean nothing."""
    return replace(settings, rounds=2, seconds=0.1, images=128, least=1, many=8, copied=2**20, warm=1,
                   whole_run={"epochs": 1, "lr": 0.02}, cost_images=(128, 256), cost_epochs=(1, 2),
                   cost_epochs_images=128, widths=(0.5, 1), batches=(32, 64), starts=1)
