"""Every number that a run depends on, as frozen records, and the named recipes. Imports no torch."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

from mnist_ops.arch.zoo import OTHER_NAMES
from mnist_ops.errors import ConfigError, UsageError, brief, hint

Record = TypeVar("Record")
Device: TypeAlias = Literal["cpu", "cuda", "mps"]  # where one can compute


def number(default: Any, low: float, high: float) -> Any:
    """A field whose value must lie in [low, high]; texts such as "auto" pass by their type."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes of one training image, in the order in which they are applied; 0 switches a part off."""

    brightness: float = number(0.0, 0, 1)  # grey values times a factor from [1 - brightness, 1 + brightness]
    contrast: float = number(0.0, 0, 1)  # distance from the image's own mean times a factor, likewise
    # Each corner moves inwards by up to this share of half the side; from two thirds on, four could be dented.
    perspective: float = number(0.0, 0, 0.6)
    perspective_share: float = number(0.5, 0, 1)  # share of the images that perspective is applied to
    degrees: float = number(0.0, 0, 180)  # rotation drawn from [-degrees, degrees]
    zoom: float = number(0.0, 0, 0.9)  # scale drawn from [1 - zoom, 1 + zoom]
    shear: float = number(0.0, 0, 1)  # pixels sideways per pixel down, drawn from [-shear, shear]
    shift: float = number(0.0, 0, 28)  # pixels per axis, drawn from [-shift, shift]
    fill: Literal["mean", "black"] = "mean"  # what comes in from outside the frame
    plain_epochs: int = number(0, 0, 100_000)  # last epochs of the run, in which the images stay as they are


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What changes the weights, and the loss that it lowers."""

    name: Literal["sgd", "adamw", "muon"] = "sgd"
    momentum: float = number(0.9, 0, 0.999)  # Nesterov momentum of sgd and muon; beta1 of adamw
    weight_decay: float = number(2e-4, 0, 1)  # on convolution weights alone; muon has none
    orthogonal: float = number(0.1, 1e-6, 1e6)  # muon: rate of the convolutions, as a share of the learning rate
    label_smoothing: float = number(0.0, 0, 0.5)  # share of the probability spread evenly over all classes


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate moves around its peak; shares are of all steps of the run."""

    name: Literal["one-cycle", "step", "cosine", "plateau", "constant"] = "one-cycle"
    warmup: float = number(0.2, 0, 0.9)  # one-cycle and cosine: share of the steps until the peak
    start: float = number(0.04, 0, 1)  # one-cycle and cosine: first rate, as a share of the peak
    end: float = number(1e-4, 0, 1)  # one-cycle and cosine: last rate, as a share of the peak
    factor: float = number(0.1, 0, 1)  # step and plateau: what the rate is multiplied by
    every: int = number(6, 1, 10_000)  # step: epochs between two multiplications
    patience: int = number(2, 0, 10_000)  # plateau: epochs without a lower validation loss that are waited for


@dataclass(frozen=True, kw_only=True)
class Tune:
    """The learning-rate range test, and which of its suggestions becomes the peak of the schedule."""

    lowest: float = number(1e-3, 1e-12, 1e6)  # first rate of a sweep
    highest: float = number(10.0, 1e-12, 1e6)  # last rate of a sweep
    steps: int = number(200, 10, 5000)  # steps of one sweep, equally spaced in the logarithm of the rate
    sweeps: int = number(3, 1, 100)  # sweeps from the same weights on other images, averaged
    smoothing: float = number(0.05, 0.001, 1)  # width of the smoothing kernel, as a share of the sweep
    diverged: float = number(4.0, 1, 1e6)  # a smoothed loss this many times the lowest so far ends the sweep
    suggestion: Literal["steepest", "valley", "minimum/10"] = "steepest"
    scale: float = number(4.0, 1e-3, 1e3)  # peak rate = scale x suggested rate


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run. Feeding a run's config.json back gives the same run."""

    recipe: str = "default"
    model: str = "early-pool"
    data: str = "auto"
    # How a picture becomes 28x28: as MNIST was made, or stretched; auto: mnist for mnist and digits, else resize.
    prepare: Literal["auto", "mnist", "resize"] = "auto"
    # Batch normalisation by the images that a process has of a batch, or by the whole batch; none: layers left out.
    norm: Literal["batch", "synchronised", "none"] = "batch"
    start: str = ""  # weights to begin with: a run folder, a weights file or default; empty: drawn by the seed
    start_sha256: str = ""  # of their file, as resolved
    validation: int = number(0, 0, 10_000_000)  # last images of the training part that are kept out of training
    epochs: int = number(12, 1, 100_000)
    batch_size: int = number(128, 1, 10_000_000)  # images per step
    lr: float | Literal["auto"] = number("auto", 0, 1e30)  # peak learning rate
    seed: int = number(0, 0, 2**63 - 1)
    device: Literal["auto", Device] = "auto"
    threads: int = number(0, 0, 1024)  # processor threads, shared by all processes here; 0: $OMP_NUM_THREADS, or all
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    # Training steps on a processor: compiled for it from the layers, or PyTorch's; auto: compiled where that pays.
    engine: Literal["auto", "compiled", "pytorch"] = "auto"
    deterministic: bool = False  # on a GPU the same bits each time, with a warning where PyTorch cannot
    test_every: int = number(1, 0, 100_000)  # epochs between two looks at the test part; 0 looks once, at the end
    target: float | Literal["auto"] = number("auto", 0, 100)  # percent; auto: 99.4 on MNIST, else 0: none
    augment: Augment = Augment()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    tune: Tune = Tune()

    def __post_init__(self) -> None:
        if self.schedule.name == "plateau" and self.validation == 0:
            raise ConfigError("schedule: plateau lowers the rate by the validation loss, and validation is 0; "
                              "keep images out of training, e.g. --validation 5000")
        if self.tune.lowest >= self.tune.highest:
            raise ConfigError(f"tune: lowest {self.tune.lowest} is not below highest {self.tune.highest}")


DEFAULT = Config(model="early-pool-wide", epochs=11,
                 augment=Augment(degrees=12.0, shift=2.0, zoom=0.12, shear=0.1, fill="black", plain_epochs=2))

RECIPES: dict[str, Config] = {
    "default": DEFAULT,
    "seed": replace(DEFAULT, recipe="seed", model="seed", prepare="resize", epochs=12, batch_size=64,
                    augment=Augment(perspective=0.2, degrees=15.0)),
    "best": replace(DEFAULT, recipe="best", model="separable", epochs=18,
                    augment=replace(DEFAULT.augment, plain_epochs=3)),
    # A search for the rate would cost more than one of its epochs.
    "quick": replace(DEFAULT, recipe="quick", model="separable", epochs=3, batch_size=256, lr=0.3, test_every=0,
                     augment=replace(DEFAULT.augment, plain_epochs=1),
                     optimizer=Optimizer(name="muon", momentum=0.8, orthogonal=0.17)),
    "strided": replace(DEFAULT, recipe="strided", model="separable-strided", epochs=5, batch_size=256, lr=0.3,
                       test_every=0, schedule=Schedule(warmup=0.3),
                       augment=replace(DEFAULT.augment, degrees=10.0, shift=1.6, zoom=0.1, plain_epochs=1),
                       optimizer=Optimizer(name="muon", orthogonal=0.17)),
    "tiny": replace(DEFAULT, recipe="tiny", model="separable-tiny", epochs=14),
    # Too small to learn all that the default augmentation shows.
    "micro": replace(DEFAULT, recipe="micro", model="separable-micro", epochs=18, batch_size=64,
                     augment=replace(DEFAULT.augment, degrees=8.0, shift=1.2, zoom=0.08, shear=0.08)),
    "seed-tuned": replace(DEFAULT, recipe="seed-tuned", model="seed-plain", epochs=16, batch_size=64,
                          augment=replace(DEFAULT.augment, plain_epochs=3)),
}


PURPOSES: dict[str, str] = {  # what each recipe is for, in a few words
    "default": "the usual choice; its weights ship in the package",
    "seed": "the reference's network and training; `reference` names it too",
    "best": "the highest accuracy under 10,000 parameters",
    "quick": "the fewest seconds to 99.4 % on MNIST",
    "strided": "the most images a second",
    "tiny": "under 4,000 parameters",
    "micro": "under 1,000 parameters",
    "seed-tuned": "the reference's network with this project's training",
}


def recipe(name: str) -> Config:
    """The named recipe. Raises UsageError, with the names there are, for any other."""
    name = OTHER_NAMES.get(name, name)
    if name in RECIPES:
        return RECIPES[name]
    if trained_by := [one for one, config in RECIPES.items() if config.model == name]:
        raise UsageError(f"recipe {name!r}: that is a network; expected a recipe that trains it: "
                         f"{' or '.join(trained_by)}")
    raise UsageError(f"recipe {name!r:.80} is not known; {hint(name, RECIPES)}")


def to_mapping(config: Config) -> dict[str, Any]:
    """Plain nested data, ready for JSON; `from_mapping` gives an equal Config back."""
    return dataclasses.asdict(config)


def flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its full name: {"augment": {"shift": 2}} -> ("augment.shift", 2)."""
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """The settings that two configs do not share: full name, old value, new value."""
    return [(name, before, after) for (name, before), (_, after) in zip(flat(to_mapping(old)), flat(to_mapping(new)),
                                                                      strict=True) if before != after]


def from_mapping(record: Record, data: Mapping[str, Any], where: str) -> Record:
    """`record` (a Config or a part of one) with the fields that `data` names replaced, nested parts likewise.

    Raises ConfigError with `where` (a file, or "command line"), the field's full name, what was found and what was
    expected, for an unknown field, a wrong type or a value out of range."""
    known = {f.name: f for f in dataclasses.fields(record)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(type(record))
    changes: dict[str, Any] = {}
    for name, value in data.items():
        place = f"{where}: {name!s:.80}"
        if name not in known:
            raise ConfigError(f"{place}: unknown field; {hint(str(name), known)}")
        current = getattr(record, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place}: found {brief(value)}, expected a table of fields")
            changes[name] = from_mapping(current, value, place)
        else:
            changes[name] = _checked(value, hints[name], known[name].metadata, place)
            if name == "model" and value in RECIPES and RECIPES[value].model != value:
                raise ConfigError(f"{place}: {value!r} is a recipe; its network is {RECIPES[value].model!r}")
    try:
        return replace(record, **changes)  # type: ignore[type-var]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _checked(value: Any, hint: Any, bounds: Mapping[str, float], place: str) -> Any:
    """The value, converted from int to float where a float is wanted; ConfigError where it does not fit."""
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)  # one with a Literal in it is the older kind
    options = typing.get_args(hint) if union else (hint,)
    texts = [text for option in options for text in typing.get_args(option)]
    if isinstance(value, str) and (value in texts or str in options):
        return value
    kinds = [option for option in options if option in (bool, int, float)]
    if bool in kinds and isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if int in kinds and isinstance(value, int) and bounds["low"] <= value <= bounds["high"]:
            return value
        if float in kinds and bounds["low"] <= value <= bounds["high"]:
            return float(value)
    raise ConfigError(f"{place}: found {brief(value)}, expected {_expected(kinds, texts, bounds)}")


def _expected(kinds: list[Any], texts: list[str], bounds: Mapping[str, float]) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number"}
    parts = [", ".join(map(repr, texts))] if texts else []
    for kind in kinds:
        span = f" from {bounds['low']:g} to {bounds['high']:g}" if "low" in bounds else ""
        parts.append(names[kind] + span)
    return " or ".join(parts) or "a text"
