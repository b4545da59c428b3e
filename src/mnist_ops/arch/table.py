"""The two tables of a network, layers and receptive field: records -> rows -> text or JSON. Prints nothing.

Layers are named as PyTorch's modules, numbered in the order of computation. The rows of a residual's body are indented
above the row of its sum.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from mnist_ops.arch.arithmetic import Field, Shape, WalkedLayer, as_text, field_after, folded_parameters, walk
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, Dropout, Layer, MaxPool, Norm, ReLU, Residual

MODULES = {  # record -> PyTorch's name, if different
    "Conv": "Conv2d", "Norm": "BatchNorm2d", "MaxPool": "MaxPool2d", "AvgPool": "AvgPool2d",
    "AdaptiveAvgPool": "AdaptiveAvgPool2d", "Residual": "Sum",
}
BYTES_PER_NUMBER = 4  # float32


@dataclass(frozen=True)
class LayerRow:
    """One layer: shapes of one image, learnt parameters, multiply-adds of its convolution."""

    name: str            # "Conv2d-1"
    depth: int           # residuals around it
    input_shape: Shape
    output_shape: Shape
    parameters: int
    macs: int


@dataclass(frozen=True)
class Totals:
    """Sums over a network for one image; sizes in bytes, all numbers float32."""

    parameters: int
    trainable_parameters: int
    other_parameters: int       # not trained: none. Running means and variances are buffers and not counted
    folded_parameters: int      # see `arithmetic.folded_parameters`
    macs: int
    input_bytes: int
    forward_backward_bytes: int  # every layer's output once forward, once as gradient
    parameter_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class FieldRow:
    """One layer that changes the geometry: its square window in pixels of its input, and the receptive field after it.

    For an adaptive pool the largest window, and the stride rounded up. A sum has no window."""

    name: str
    depth: int
    kernel: int | None
    padding: int | None
    stride: int | None
    dilation: int | None
    input_size: tuple[int, int]   # height, width
    output_size: tuple[int, int]
    receptive_field: int          # side in pixels of the network's input, padding included


def layer_rows(layers: Iterable[Layer], input_shape: Shape) -> tuple[LayerRow, ...]:
    """A row per layer. Raises ConfigError as `walk`."""
    return tuple(
        LayerRow(name, step.depth, step.input_shape, step.output_shape, step.parameters, step.macs)
        for name, step in _named(layers, input_shape)
    )


def totals(layers: Iterable[Layer], input_shape: Shape) -> Totals:
    """Sums over a network of at least one layer. Sizes are counted as in torchsummary."""
    layers = tuple(layers)
    rows = layer_rows(layers, input_shape)
    parameters = sum(row.parameters for row in rows)
    given = BYTES_PER_NUMBER * prod(rows[0].input_shape)
    made = BYTES_PER_NUMBER * 2 * sum(prod(row.output_shape) for row in rows)
    learnt = BYTES_PER_NUMBER * parameters
    return Totals(
        parameters=parameters, trainable_parameters=parameters, other_parameters=0,
        folded_parameters=folded_parameters(layers, input_shape), macs=sum(row.macs for row in rows),
        input_bytes=given, forward_backward_bytes=made, parameter_bytes=learnt, total_bytes=given + made + learnt,
    )


def field_rows(layers: Iterable[Layer], input_shape: Shape) -> tuple[FieldRow, ...]:
    """A row per convolution, pool and residual sum. Raises ConfigError as `walk`."""
    return tuple(
        FieldRow(name, step.depth, *_window(step), step.input_shape[1:], step.output_shape[1:], step.field.size)
        for name, step in _named(layers, input_shape)
        if isinstance(step.layer, Conv | MaxPool | AvgPool | AdaptiveAvgPool | Residual)
    )


def as_json(layers: Iterable[Layer], input_shape: Shape) -> dict[str, Any]:
    """Both tables as data for JSON: `input_shape`, `layers` (LayerRow), `totals` (Totals), `receptive_field`
    (FieldRow); counts are integers, sizes bytes, shapes lists, null for the window of a sum."""
    layers = tuple(layers)
    rows = layer_rows(layers, input_shape)
    return {
        "input_shape": list(input_shape),
        "layers": [_plain(row) for row in rows],
        "totals": _plain(totals(layers, input_shape)),
        "receptive_field": [_plain(row) for row in field_rows(layers, input_shape)],
    }


def layer_text(layers: Iterable[Layer], input_shape: Shape) -> str:
    """The layer table and its totals as lines of equal width, without a newline at the end."""
    layers = tuple(layers)
    rows, total = layer_rows(layers, input_shape), totals(layers, input_shape)
    cells = [("Layer", "Output shape", "Parameters", "Multiply-adds")]
    cells += [(_indented(row), as_text(row.output_shape), f"{row.parameters:,}", f"{row.macs:,}") for row in rows]
    cells += [("Total", "", f"{total.parameters:,}", f"{total.macs:,}")]
    lines = aligned(cells)
    width = len(lines[0])
    rule = "-" * width
    summary = [
        ("Trainable parameters", f"{total.trainable_parameters:,}"),
        ("Other parameters", f"{total.other_parameters:,}"),
        ("With norms folded, as exported", f"{total.folded_parameters:,}"),
        ("Input size", human_size(total.input_bytes)),
        ("Forward and backward pass size", human_size(total.forward_backward_bytes)),
        ("Parameter size", human_size(total.parameter_bytes)),
        ("Total size of one image's pass", human_size(total.total_bytes)),
    ]
    below = [f"{label}{value:>{width - len(label)}}" for label, value in summary]
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], rule, *below])


def field_text(layers: Iterable[Layer], input_shape: Shape) -> str:
    """The receptive-field table below its title, without a newline at the end; sizes in pixels."""
    cells: list[Sequence[str]] = [("Layer", "Kernel", "Padding", "Stride", "Dilation", "Input", "Output", "Field")]
    for row in field_rows(layers, input_shape):
        kernel = "" if row.kernel is None else f"{row.kernel}x{row.kernel}"
        numbers = ("" if value is None else str(value) for value in (row.padding, row.stride, row.dilation))
        sizes = (f"{height}x{width}" for height, width in (row.input_size, row.output_size, (row.receptive_field,) * 2))
        cells.append((_indented(row), kernel, *numbers, *sizes))
    lines = aligned(cells)
    title = "Receptive field: the pixels of the network's input that one unit sees"
    return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:]])


def human_size(count: int) -> str:
    """Bytes in the largest unit with a value of at least 1, three significant digits: "0 B", "3.06 KB", "718 KB".

    1 KB is 1,024 bytes and 1 MB 1,024 KB, as in torchsummary."""
    size, units = float(count), ["B", "KB", "MB", "GB"]
    while size >= 999.5 and len(units) > 1:  # 999.5 would be shown as 1000
        size, units = size / 1024, units[1:]
    decimals = 0 if units[0] == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{size:,.{decimals}f} {units[0]}"


def _named(layers: Iterable[Layer], input_shape: Shape) -> list[tuple[str, WalkedLayer]]:
    steps = walk(layers, input_shape)
    kinds = [type(step.layer).__name__ for step in steps]
    return [(f"{MODULES.get(kind, kind)}-{number}", step)
            for number, (kind, step) in enumerate(zip(kinds, steps, strict=True), start=1)]


def _window(step: WalkedLayer) -> tuple[int | None, int | None, int | None, int | None]:
    """Kernel, padding, stride, dilation of a step's layer."""
    match step.layer:
        case Conv(kernel=kernel) | MaxPool(kernel=kernel):
            return kernel, step.layer.padding, step.layer.stride, step.layer.dilation
        case AvgPool():
            return step.layer.kernel, step.layer.padding, step.layer.stride, 1
        case AdaptiveAvgPool():
            window = field_after(step.layer, Field(), max(step.input_shape[1:]))
            return window.size, 0, window.jump, 1
        case Norm() | Dropout() | ReLU() | Residual():
            return None, None, None, None


def _indented(row: LayerRow | FieldRow) -> str:
    return "  " * row.depth + row.name


def _plain(record: LayerRow | FieldRow | Totals) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(record).items()}


def aligned(cells: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """Rows as lines of equal width: the first `texts` columns left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) if place < texts else cell.rjust(width)
                      for place, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in cells]
