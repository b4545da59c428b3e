"""The space of a search: ranges and choices of configuration fields, and architectures. No torch."""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mnist_ops.arch.arithmetic import Shape, sizes
from mnist_ops.arch.layers import RANGES
from mnist_ops.arch.zoo import BLOCKS, architecture, named_network
from mnist_ops.config import Config
from mnist_ops.errors import ConfigError, UsageError, brief, hint
from mnist_ops.mapping import from_mapping
from mnist_ops.search.values import AtRandom, Choices, Draws, Range, read_values, whole

Objective: TypeAlias = Literal["accuracy", "parameters", "macs"]
OBJECTIVES: dict[Objective, str] = {"accuracy": "maximize", "parameters": "minimize", "macs": "minimize"}
SAMPLERS, PRUNERS = ("tpe", "random", "nsga2"), ("median", "none")
# Fields that all trials must share, that would turn the search into luck, or that do not affect the result.
FIXED = ("recipe", "data", "seed", "validation", "device", "threads", "precision", "deterministic", "test_every",
         "target", "prepare")
OPTIONS = ("objectives", "sampler", "pruner", "startup_trials", "warmup_epochs", "fields", "architecture")
SIDES = range(1, RANGES["kernel"][1] + 1)  # of kernels and pools
DRAWS = 2000  # random architectures, to check that any fits the budget
PAST_BUDGET = ("fits the images and the budget; allow more parameters or multiply-adds, fewer blocks, channels or "
               "pools")


@dataclass(frozen=True)
class Architectures:
    """Networks of blocks, see `zoo.from_blocks`, within a budget."""

    blocks: Range | Choices = Range(3, 6)  # noqa: RUF009 - frozen
    channels: Range | Choices = Range(4, 24, step=4)  # noqa: RUF009 - frozen
    kernels: tuple[int, ...] = (3,)
    pools: tuple[int, ...] = (1, 2)  # windows of each block's maximum; 1: none
    depthwise: tuple[bool, ...] = (False,)
    max_parameters: int | None = None
    max_macs: int | None = None

    def draw(self, trial: Draws) -> str:
        """The name of the network that the trial has chosen, block by block; it may exceed the budget."""
        names = []
        for number in range(1, int(self.blocks.draw(trial, "blocks")) + 1):
            name = str(int(self.channels.draw(trial, f"channels{number}")))
            for letter, values in (("k", self.kernels), ("p", self.pools)):
                value = values[0] if len(values) == 1 else trial.suggest_categorical(f"{letter}{number}", values)
                name += "" if value == (3 if letter == "k" else 1) else f"{letter}{value}"
            depthwise = self.depthwise[0]
            if len(self.depthwise) > 1:
                depthwise = trial.suggest_categorical(f"depthwise{number}", self.depthwise)
            names.append(name + "d" * depthwise)
        return BLOCKS + "-".join(names)

    def fits(self, model: str, classes: int, shape: Shape) -> bool:
        """Whether that network can be built and is within the budget."""
        try:
            found = size(model, classes, shape)
        except UsageError:
            return False
        return (found["parameters"] <= (self.max_parameters or math.inf)
                and found["macs"] <= (self.max_macs or math.inf))


@dataclass(frozen=True)
class Space:
    """A search: its variables, objectives and sampler. `data` is the file's content, which identifies it."""

    where: str  # the file, for messages
    fields: Mapping[str, Range | Choices]  # by their dotted names
    architectures: Architectures | None
    objectives: tuple[Objective, ...]
    sampler: str
    pruner: str
    startup_trials: int  # drawn at random before the sampler is used, and finished before any is pruned
    warmup_epochs: int  # of each trial, without pruning
    data: Mapping[str, Any]

    def draw(self, trial: Draws, base: Config, classes: int) -> Config | None:
        """`base` with the trial's choices; None if its network exceeds the budget or does not fit the images."""
        changes: dict[str, Any] = {}
        if self.architectures is not None:
            changes["model"] = self.architectures.draw(trial)
            if not self.architectures.fits(changes["model"], classes, base.input_shape):
                return None
        for name, values in self.fields.items():
            changes |= _nested(name, values.draw(trial, name), changes)
        return from_mapping(base, changes, "search space")

    def check_budget(self, classes: int, shape: Shape) -> None:
        """Raise ConfigError if none of many random networks fits the budget for so many classes and such images."""
        generator, networks = random.Random(0), self.architectures
        if networks is not None and not any(networks.fits(networks.draw(AtRandom(generator)), classes, shape)
                                            for _ in range(DRAWS)):
            raise ConfigError(f"{self.where}: architecture: none of {DRAWS:,} networks drawn at random for {classes} "
                              f"classes {PAST_BUDGET}")


def size(model: str, classes: int, shape: Shape) -> dict[str, int]:
    """Parameters and multiply-adds of a network for images of that shape, as `sizes`."""
    return sizes(architecture(model, classes, shape), shape)


def read_space(data: Mapping[str, Any], base: Config, where: str) -> Space:
    """The space described in the TOML file `where`, over the config `base`.

    Raises ConfigError, naming file and field, for anything unknown, of the wrong type, out of range or not searchable.
    The budget depends on the data's classes, see `Space.check_budget`."""
    for name in data:
        if name not in OPTIONS:
            raise ConfigError(f"{where}: {name!s:.80}: unknown; {hint(str(name), OPTIONS)}")
    found = {name: _table(data, name, where) for name in ("fields", "architecture")}
    fields = {name: _field(name, value, base, where) for name, value in _flat(found["fields"])}
    architectures = _architectures(found["architecture"], where) if "architecture" in data else None
    if architectures is not None and "model" in fields:
        raise ConfigError(f"{where}: fields.model and [architecture] both choose the network; remove one")
    if not fields and architectures is None:
        raise ConfigError(f"{where}: nothing to search; expected [fields], [architecture] or both")
    objectives = data.get("objectives", ["accuracy"])
    if not isinstance(objectives, list) or not objectives or any(one not in list(OBJECTIVES) for one in objectives) or (
            len(set(objectives)) < len(objectives)):
        raise ConfigError(f"{where}: objectives: found {brief(objectives)}, expected a list of {', '.join(OBJECTIVES)}")
    return Space(where, fields, architectures, tuple(objectives),
                 _one_of(data.get("sampler", "tpe"), SAMPLERS, f"{where}: sampler"),
                 _one_of(data.get("pruner", "median"), PRUNERS, f"{where}: pruner"),
                 whole(data.get("startup_trials", 10), 0, f"{where}: startup_trials"),
                 whole(data.get("warmup_epochs", 2), 0, f"{where}: warmup_epochs"), dict(data))


def _table(data: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = data.get(name, {})
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where}: {name}: found {brief(found)}, expected a table")
    return found


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field by its dotted name, however the file nests it; a table with `low` or `high` is a range."""
    for name, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _field(name: str, value: Any, base: Config, where: str) -> Range | Choices:
    """The values of one field, each end and each choice checked by the configuration."""
    place = f"{where}: fields"
    if name in FIXED:
        raise ConfigError(f"{place}.{name}: is the same in every trial and cannot be searched; set it by a flag or "
                          "in --config")
    values = read_values(value, f"{place}.{name}")
    ends = values.values if isinstance(values, Choices) else (values.low, values.high)
    for end in ends:
        changed = from_mapping(base, _nested(name, end), place)
        if name == "model":
            named_network(changed.model)
    return values


def _architectures(table: Mapping[str, Any], where: str) -> Architectures:
    place = f"{where}: architecture"
    known = tuple(Architectures.__dataclass_fields__)
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"{place}: {name!s:.80}: unknown; {hint(str(name), known)}")
        if name in ("max_parameters", "max_macs"):
            found[name] = whole(value, 1, f"{place}.{name}")
        elif name in ("blocks", "channels"):
            values = read_values(value, f"{place}.{name}")
            ends = values.values if isinstance(values, Choices) else (values.low, values.high)
            most = 64 if name == "blocks" else 4096
            if not all(type(end) is int and 1 <= end <= most for end in ends):
                raise ConfigError(f"{place}.{name}: found {brief(value)}, expected integers from 1 to {most}")
            found[name] = values
        else:
            kind = bool if name == "depthwise" else int
            if not isinstance(value, list) or not value or not all(
                    type(one) is kind and (kind is bool or one in SIDES) for one in value):
                expected = "true and false" if kind is bool else f"integers from 1 to {SIDES[-1]}"
                raise ConfigError(f"{place}.{name}: found {brief(value)}, expected a list of {expected}")
            found[name] = tuple(value)
    return Architectures(**found)


def _nested(name: str, value: Any, into: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """{"augment.shift": 2} -> {"augment": {"shift": 2}}, merged into `into`."""
    first, _, rest = name.partition(".")
    if not rest:
        return {first: value}
    there = (into or {}).get(first, {})
    return {first: {**there, **_nested(rest, value, there)}}


def _one_of(value: Any, known: tuple[str, ...], place: str) -> str:
    if value not in known:
        raise ConfigError(f"{place}: found {brief(value)}, expected one of {', '.join(known)}")
    return str(value)
