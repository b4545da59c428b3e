"""The places of a network's maps in the C code's buffer; maps that are never needed together share bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.export.c.int8 import IntegerAdd, IntegerDot, IntegerMax, IntegerMean, IntegerStage
from mnist_ops.export.c.steps import Add, Dot, Stage, output_of

SIZES = {"uint8_t": 1, "uint16_t": 2, "int32_t": 4, "float": 4}
ALIGNMENT = 4  # bytes


@dataclass(frozen=True)
class Map:
    """One map between two steps: its shape, the C type of its elements and its first byte in the buffer."""

    shape: Shape
    kind: str
    offset: int  # bytes; -1 for the image and the logits, which belong to the caller

    @property
    def elements(self) -> int:
        """Elements of all channels."""
        channels, height, width = self.shape
        return channels * height * width

    @property
    def bytes(self) -> int:
        """Its size in the buffer."""
        return -(-self.elements * SIZES[self.kind] // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a function: the stage, the numbers of the maps it reads, and of the one it writes."""

    stage: Stage | IntegerStage
    reads: tuple[int, ...]
    writes: int


@dataclass(frozen=True, eq=False)
class MemoryLayout:
    """The steps in order, the maps by number, and the bytes of their buffer."""

    steps: tuple[Call, ...]
    maps: tuple[Map, ...]
    bytes: int


def lay_out(stages: Sequence[Stage | IntegerStage], shape: Shape) -> MemoryLayout:
    """The first map is the image, of `shape`; the last stage writes the caller's logits, if they are of their type."""
    steps: list[Call] = []
    maps = [Map(shape, "uint8_t", -1)]
    _flatten(stages, 0, steps, maps)
    return _placed(steps, maps)


def _flatten(stages: Sequence[Stage | IntegerStage], given: int, steps: list[Call], maps: list[Map]) -> int:
    """Append steps and maps of `stages`, which read the map number `given`; -> the number of the last map."""
    for stage in stages:
        reads: tuple[int, ...] = (given,)
        if isinstance(stage, Add | IntegerAdd):
            reads = given, _flatten(stage.body, given, steps, maps)
        maps.append(Map(shape_after(stage, maps[given].shape), kind_of(stage), -1))
        given = len(maps) - 1
        steps.append(Call(stage, reads, given))
    return given


def _placed(steps: list[Call], maps: list[Map]) -> MemoryLayout:
    """Each map at the first place that is free from the step that writes it to the last that reads it."""
    ends = {number: index for index, step in enumerate(steps) for number in step.reads}
    last = steps[-1].writes
    total = 0
    for index, step in enumerate(steps):
        made = maps[step.writes]
        if step.writes == last and made.kind in ("int32_t", "float"):
            break
        needed = [maps[other] for other in range(1, step.writes) if ends[other] >= index]
        offset = 0
        for other in sorted(needed, key=lambda one: one.offset):
            if other.offset - offset >= made.bytes:
                break
            offset = max(offset, other.offset + other.bytes)
        maps[step.writes] = replace(made, offset=offset)
        total = max(total, offset + made.bytes)
    return MemoryLayout(tuple(steps), tuple(maps), total)


def shape_after(stage: Stage | IntegerStage, shape: Shape) -> Shape:
    """The output shape of a stage, floating or integer, for an input of `shape`."""
    match stage:
        case IntegerDot(convolution=convolution, pool=pool):
            return output_of(Dot(convolution, pool, convolution.bias, convolution.bias, False), shape)
        case IntegerMean(pool=pool):
            return output_of(pool, shape)
        case IntegerMax(pool=pool):
            return output_of(pool or ReLU(), shape)
        case IntegerAdd():
            return shape
        case Dot() | Add() | ReLU() | MaxPool() | AvgPool() | AdaptiveAvgPool():
            return output_of(stage, shape)


def kind_of(stage: Stage | IntegerStage) -> str:
    """The C type of a stage's output."""
    if not isinstance(stage, IntegerDot | IntegerMean | IntegerMax | IntegerAdd):
        return "float"
    if stage.grid is None:
        return "int32_t"
    return "uint8_t" if stage.grid.high < 256 else "uint16_t"
