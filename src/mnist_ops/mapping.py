"""Settings as nested data, as files and command lines have them -> Config, checked; and back. Imports no torch."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from mnist_ops.arch.layers import from_records, to_records
from mnist_ops.config import RECIPES, Config
from mnist_ops.errors import ConfigError, brief, hint

Record = TypeVar("Record")
OWN = "own"  # name of a network that has none


def to_mapping(config: Config) -> dict[str, Any]:
    """Nested data for JSON; `from_mapping` gives an equal Config back."""
    return dataclasses.asdict(config) | {"layers": to_records(config.layers)}


def flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its full name: {"augment": {"shift": 2}} -> ("augment.shift", 2)."""
    for name, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(old: Config, new: Config) -> list[tuple[str, Any, Any]]:
    """The settings that differ: full name, old value, new value."""
    return [(name, before, after) for (name, before), (_, after) in zip(flat(to_mapping(old)), flat(to_mapping(new)),
                                                                      strict=True) if before != after]


def from_mapping(record: Record, data: Mapping[str, Any], where: str) -> Record:
    """`record`, a Config or one of its nested records, with the fields in `data` replaced, recursively.

    Raises ConfigError for an unknown field, a wrong type or a value out of range, naming `where` (a file, or "command
    line"), the field, what was found and what was expected."""
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
        elif name == "layers":
            changes |= _layers(value, data, place)
        else:
            changes[name] = _checked(value, hints[name], known[name].metadata, place)
            if name == "model" and value in RECIPES and RECIPES[value].model != value:
                raise ConfigError(f"{place}: {value!r} is a recipe; its network is {RECIPES[value].model!r}")
            if name == "model" and "layers" not in data:
                changes["layers"] = ()
    try:
        return replace(record, **changes)  # type: ignore[type-var]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _layers(value: Any, data: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The layers of a network, which is OWN where `data` does not name it."""
    if value == []:
        return {"layers": ()}
    try:
        return {"layers": from_records(value)} | ({} if "model" in data else {"model": OWN})
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _checked(value: Any, hint: Any, bounds: Mapping[str, float], place: str) -> Any:
    """The value, converted from int to float if needed. Raises ConfigError if it does not fit."""
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
    names = {bool: "true or false", int: "an integer", float: "a number"}
    parts = [", ".join(map(repr, texts))] if texts else []
    for kind in kinds:
        span = f" from {bounds['low']:g} to {bounds['high']:g}" if "low" in bounds else ""
        parts.append(names[kind] + span)
    return " or ".join(parts) or "a string"
