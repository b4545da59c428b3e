"""The values of a variable of a search: a range or a list of choices. No torch, no Optuna."""

import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mnist_ops.errors import ConfigError, brief


class Draws(Protocol):
    """The methods of an Optuna trial that are needed here."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None,
                      log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Any, /) -> Any: ...


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, inclusive; integers if both are."""

    low: float
    high: float
    log: bool = False  # uniform in the logarithm
    step: float | None = None

    def draw(self, trial: Draws, name: str) -> float:
        """The trial's value of that name."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True)
class Choices:
    """One of these values."""

    values: tuple[Any, ...]

    def draw(self, trial: Draws, name: str) -> Any:
        """The trial's value of that name."""
        return trial.suggest_categorical(name, self.values)


@dataclass(frozen=True)
class AtRandom:
    """A trial that chooses at random."""

    generator: random.Random

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None,
                      log: bool = False) -> float:
        return self.generator.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self.generator.randrange(low, high + 1, step)

    def suggest_categorical(self, name: str, choices: Any, /) -> Any:
        return self.generator.choice(choices)


def read_values(value: Any, place: str) -> Range | Choices:
    """The range or choices that a file describes at `place`. Raises ConfigError, naming it."""
    if isinstance(value, list) and value and all(isinstance(one, (bool, int, float, str)) for one in value):
        return Choices(tuple(value))
    if not isinstance(value, Mapping):
        raise ConfigError(f"{place}: found {brief(value)}, expected a range such as {{ low = 0.1, high = 1.0 }} or a "
                          "list of choices")
    if unknown := set(value) - {"low", "high", "log", "step"}:
        raise ConfigError(f"{place}: found {', '.join(sorted(unknown))}, expected low, high, and log or step")
    low: Any = value.get("low")
    high: Any = value.get("high")
    log, step = value.get("log"), value.get("step")
    numbers = [low, high] if step is None else [low, high, step]
    if any(type(one) not in (int, float) or not abs(one) <= sys.float_info.max for one in numbers):
        raise ConfigError(f"{place}: low, high and step are {brief([low, high, step])}, expected numbers")
    if low >= high or (step is not None and not 0 < step <= high - low):
        raise ConfigError(f"{place}: found low {brief(low)}, high {brief(high)}, step {brief(step)}, expected low "
                          "below high, and a step above 0 that fits between them")
    if log not in (None, True, False) or (log and (step is not None or low <= 0)):
        raise ConfigError(f"{place}: log needs a low above 0, and no step; found log {brief(log)}, low {brief(low)}")
    if not all(isinstance(one, int) for one in numbers):
        low, high = float(low), float(high)
    return Range(low, high, bool(log), step)


def whole(value: Any, low: int, place: str) -> int:
    """The value. Raises ConfigError, naming `place`, unless it is an integer of at least `low`."""
    if type(value) is not int or value < low:
        raise ConfigError(f"{place}: found {brief(value)}, expected an integer of at least {low}")
    return value
