"""The layers a network is made of, as frozen records, and records as plain data for JSON and back.

A network is a tuple of records. Every record is one row of the layer table and one module of the trained network, so
building, tabulating and exporting use the same data. Knows nothing about shapes; the arithmetic is in `arithmetic`."""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, TypeAlias, get_args

from mnist_ops.errors import ConfigError

RANGES = {  # of every integer in a record, inclusive; padding of a pool is at most half its kernel
    "channels": (1, 4096), "kernel": (1, 64), "stride": (1, 64), "padding": (0, 64), "dilation": (1, 64),
    "groups": (0, 4096), "size": (1, 64),
}
MAX_LAYERS = 1000  # in one network, bodies of residuals included
MAX_DEPTH = 8      # residuals within residuals


def _check(layer: object) -> None:
    """Raise ValueError naming record, field, value and range if a field is of the wrong type or out of range."""
    for field in fields(layer):  # type: ignore[arg-type]
        value, name = getattr(layer, field.name), f"{type(layer).__name__}.{field.name}"
        if field.name in RANGES:
            low, high = RANGES[field.name]
            if type(value) is not int or not low <= value <= high:  # bool is an int to isinstance
                raise ValueError(f"{name} is {_short(value)}, expected an integer from {low} to {high}")
        elif field.type is bool and type(value) is not bool:
            raise ValueError(f"{name} is {_short(value)}, expected true or false")


@dataclass(frozen=True)
class Conv:
    """Convolution with square kernel and zero padding; no bias by default, as a normalisation follows."""

    channels: int         # of the output
    kernel: int = 3       # pixels
    stride: int = 1       # pixels
    padding: int = 0      # zeros on each side, pixels
    dilation: int = 1     # distance of neighbouring kernel elements, pixels
    groups: int = 1       # 0: one group per input channel (depthwise)
    bias: bool = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Norm:
    """Batch normalisation per channel with learnt scale and shift: 2 parameters per channel."""


@dataclass(frozen=True)
class Dropout:
    """Sets a random share of the elements to 0 in training; the identity in evaluation."""

    share: float  # in [0, 1)

    def __post_init__(self) -> None:
        if type(self.share) not in (int, float) or not 0 <= self.share < 1:
            raise ValueError(f"Dropout.share is {_short(self.share)}, expected a number in [0, 1)")


@dataclass(frozen=True)
class ReLU:
    """Negative elements become 0."""


@dataclass(frozen=True)
class MaxPool:
    """Maximum of each window; padding never wins."""

    kernel: int
    stride: int = 0       # 0 becomes the kernel
    padding: int = 0
    dilation: int = 1

    def __post_init__(self) -> None:
        _complete_pool(self)


@dataclass(frozen=True)
class AvgPool:
    """Mean of each window; the zeros of the padding count."""

    kernel: int
    stride: int = 0       # 0 becomes the kernel
    padding: int = 0

    def __post_init__(self) -> None:
        _complete_pool(self)


def _complete_pool(pool: MaxPool | AvgPool) -> None:
    if type(pool.stride) is int and pool.stride == 0:
        object.__setattr__(pool, "stride", pool.kernel)
    _check(pool)
    if pool.padding > pool.kernel // 2:
        raise ValueError(f"{type(pool).__name__}.padding is {pool.padding}, expected at most half the kernel, "
                         f"{pool.kernel // 2}")


@dataclass(frozen=True)
class AdaptiveAvgPool:
    """Mean of each window of a size x size grid; window i runs from floor(i*in/size) up to ceil((i+1)*in/size)."""

    size: int = 1

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Residual:
    """x + body(x); the body keeps the shape. Bodies may hold residuals."""

    body: "tuple[Layer, ...]"

    def __post_init__(self) -> None:
        if not isinstance(self.body, tuple) or not self.body or not all(isinstance(x, Layer) for x in self.body):
            raise ValueError(f"Residual.body is {_short(self.body)}, expected a tuple of at least one layer")


Layer: TypeAlias = Conv | Norm | Dropout | ReLU | MaxPool | AvgPool | AdaptiveAvgPool | Residual
TYPES: dict[str, type[Layer]] = {kind.__name__: kind for kind in get_args(Layer)}


def without_norm(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """The same layers without normalisation; the convolution before each gets a bias instead."""
    kept: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Norm):
            before = [(place, one) for place, one in enumerate(kept) if isinstance(one, Conv)]
            for place, convolution in before[-1:]:
                kept[place] = replace(convolution, bias=True)
        else:
            kept.append(Residual(without_norm(layer.body)) if isinstance(layer, Residual) else layer)
    return tuple(kept)


def to_records(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    """Plain data for JSON, every field named: [{"type": "Conv", "channels": 10, "kernel": 3, ...}, ...]."""
    return [{"type": type(layer).__name__, **_fields_of(layer)} for layer in layers]


def _fields_of(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Residual):
        return {"body": to_records(layer.body)}
    return {field.name: getattr(layer, field.name) for field in fields(layer)}


def from_records(data: object) -> tuple[Layer, ...]:
    """The layers described by `to_records`; fields with a default may be absent. Safe on untrusted data.

    Raises ConfigError naming the position ("layer 3", "layer 3.1" in the body of a residual) and the field on
    anything unknown, missing, of the wrong type or out of range, on more than MAX_LAYERS or MAX_DEPTH, and on an
    empty list. `arithmetic.walk` checks that the layers fit each other and the memory."""
    return _read_list(data, "", [0])


def _read_list(data: object, position: str, count: list[int]) -> tuple[Layer, ...]:
    where = f"the body of layer {position}" if position else "the architecture"
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{where} is {_short(data)}, expected a list of at least one layer")
    count[0] += len(data)
    if count[0] > MAX_LAYERS:
        raise ConfigError(f"{where} brings the network to {count[0]:,} layers, expected at most {MAX_LAYERS:,}")
    prefix = f"{position}." if position else ""
    return tuple(_read(item, f"{prefix}{index}", count) for index, item in enumerate(data, start=1))


def _read(item: object, position: str, count: list[int]) -> Layer:
    if not isinstance(item, dict):
        raise ConfigError(f"layer {position} is {_short(item)}, expected an object with a type")
    name = item.get("type")
    kind = TYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"layer {position}: type is {_short(name)}, expected one of {', '.join(TYPES)}")
    values = {key: value for key, value in item.items() if key != "type"}
    allowed = {field.name: field.default is MISSING for field in fields(kind)}
    for key in values:
        if key not in allowed:
            known = ", ".join(allowed) or "none"
            raise ConfigError(f"layer {position}: {name} has no field {_short(key)}, only {known}")
    for key, required in allowed.items():
        if required and key not in values:
            raise ConfigError(f"layer {position}: {name} lacks the field {key}")
    if kind is Residual:
        if position.count(".") >= MAX_DEPTH:
            raise ConfigError(f"layer {position}: residuals more than {MAX_DEPTH} deep, expected fewer")
        values["body"] = _read_list(values["body"], position, count)
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"layer {position}: {error}") from error


def _short(value: object) -> str:
    """A value for an error's text; a container or number may be longer or deeper than Python can print."""
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    text = hex(value) if isinstance(value, int) and abs(value) >= 2**64 else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
