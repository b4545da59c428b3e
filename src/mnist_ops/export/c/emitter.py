"""The tables, structures and calls of the C code, collected stage by stage for its template."""

from typing import Any

import numpy as np
import torch

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.export.c import dense
from mnist_ops.export.c.int8 import IntegerAdd, IntegerDot, IntegerMax, IntegerMean
from mnist_ops.export.c.memory import Call, Map, MemoryLayout
from mnist_ops.export.c.steps import Add, Dot
from mnist_ops.export.c.text import Structure, Table, geometry, literal, place, whole
from mnist_ops.export.fold_norms import Convolution
from mnist_ops.score.refusal import Refusal


class Emitter:
    """The content of the template, collected step by step."""

    def __init__(self, planned: MemoryLayout, *, fast: bool) -> None:
        self.maps, self.fast = planned.maps, fast
        self.unpackers: list[tuple[str, int]] = []  # how weights are unpacked: the function, the bits of a weight
        self.unpacked = 0  # the most weights of one convolution, where they are packed
        self.tables: list[Table] = []
        self.structures: list[Structure] = []
        self.calls: list[str] = []
        # The needed functions, by the types of input, sum and output.
        self.sums: list[tuple[str, ...]] = []
        self.dots: list[tuple[str, ...]] = []
        self.means: list[tuple[str, ...]] = []
        self.maxima: list[tuple[str, ...]] = []
        self.rectifiers: list[tuple[str, ...]] = []
        self.adds: list[tuple[str, ...]] = []
        self.depthwise, self.deep = False, 0  # the most channels of one
        self.leaving = False  # whether one's kernel leaves the map, or is not of 3x3
        self.denses: list[str] = []  # types of output
        self.narrow = self.logits = False  # whether a sum becomes an element of a map, or a logit
        self.terms = self.channels = 0  # the most of a dense convolution
        stages = [step.stage for step in planned.steps if isinstance(step.stage, IntegerDot)]
        self.bordered = any(stage.convolution.padding > 0 for stage in stages)
        self.loose = self.bordered or not all(_in_whole_rows(stage.convolution) for stage in stages)
        self.pooled = any(stage.pool is not None for stage in stages)
        self.bytes = 0

    @property
    def scratch(self) -> int:
        """Bytes of what dense convolutions gather, and of their sums."""
        sums = max((4 if self.fast else 1) * self.channels, self.deep)
        return (8 if self.fast else 1) * self.terms + 4 * sums * (1 + self.pooled)

    def emit(self, step: Call, number: int) -> None:
        """Tables, structure and call of one step."""
        stage, given, made = step.stage, self.maps[step.reads[0]], self.maps[step.writes]
        places = ", ".join([*map(place, (self.maps[index] for index in step.reads)), place(made, "logits")])
        match stage:
            case Dot() | IntegerDot():
                self._convolve(stage, number, places, given=given, made=made)
            case Add() | IntegerAdd():
                self._add(step, number, places)
            case MaxPool() | IntegerMax(pool=MaxPool()):
                pool = stage if isinstance(stage, MaxPool) else stage.pool
                assert pool is not None
                _add_once(self.maxima, (given.kind, made.kind))
                numbers = f"{pool.kernel}, {pool.stride}, {pool.padding}, {pool.dilation}"
                self._structure("maximum", number, [*geometry(given, made), numbers])
                self._call(f"maximise_{given.kind}(&maximum_{number}, {places})")
            case ReLU() | IntegerMax():
                _add_once(self.rectifiers, (given.kind, made.kind))
                lowest = stage.lowest if isinstance(stage, IntegerMax) else 0
                self._call(f"rectify_{given.kind}({made.elements}, {lowest}, {places})")
            case AvgPool() | AdaptiveAvgPool() | IntegerMean():
                self._mean(stage, number, places, given=given, made=made)

    def score(self, refusal: Refusal, given: Map) -> dict[str, Any]:
        """Its tables, and what its function needs to know; the weights in the order of the map."""
        channels, height, width = given.shape
        weights = refusal.hidden[:, :-1].reshape(-1, channels, height, width).permute(0, 2, 3, 1).flatten(1)
        self._table("float", "score_units", torch.cat([weights, refusal.hidden[:, -1:]], 1))
        self._table("float", "score_output", refusal.output)
        return {"units": len(weights), "features": given.elements, "kind": given.kind, "place": place(given),
                "limit": literal(refusal.limit.item())}

    def _convolve(self, stage: Dot | IntegerDot, number: int, places: str, *, given: Map, made: Map) -> None:
        """By the function that is made for its kind, else by the one for any."""
        sizes = geometry(given, made)
        wide = isinstance(stage, IntegerDot) and stage.largest >= 2**31
        if isinstance(stage, IntegerDot):
            self.narrow |= made.kind == "uint8_t"
            self.logits |= made.kind == "int32_t"
            bytewise = given.kind == "uint8_t" and not wide
            if bytewise and dense.is_dense(stage.convolution):
                _add_once(self.denses, made.kind)
                self._structure("dense", number, sizes + self._dense(stage, given, number))
                self._call(f"convolve_dense_{made.kind}(&dense_{number}, {places})")
                return
            if bytewise and made.kind == "uint8_t" and _is_depthwise(stage.convolution, given):
                self.depthwise, self.deep = True, max(self.deep, given.shape[0])
                self._structure("depthwise", number, sizes + self._depthwise(stage, number))
                self._call(f"convolve_depthwise(&depthwise_{number}, {places})")
                return
        sum_kind = "float" if isinstance(stage, Dot) else "int64_t" if wide else "int32_t"
        _add_once(self.sums, (given.kind, sum_kind))
        _add_once(self.dots, (given.kind, sum_kind, made.kind))
        self._structure("convolution", number, sizes + self._dot(stage, given, number))
        self._call(f"convolve_{given.kind}_{sum_kind}_{made.kind}(&convolution_{number}, {places})")

    def _dense(self, stage: IntegerDot, given: Map, number: int) -> list[str]:
        convolution, pool, packed = (
            stage.convolution, stage.pool or MaxPool(1), dense.pack(stage.convolution.weights, bits=stage.bits))
        channels, terms = packed.shape[0], packed.shape[1] - 1
        self.terms, self.channels = max(self.terms, terms), max(self.channels, channels)

        kernel = convolution.weights.shape[2]
        spread = f", {convolution.dilation}, {int(_in_whole_rows(convolution))}" if self.loose else ""
        border = [stage.border] * given.shape[0]
        weights = self._weights("uint8_t", number, packed, stage.bits)
        return [f"{kernel}, {convolution.stride}, {convolution.padding}{spread}",
                f"{pool.stride}, {pool.kernel}, {pool.dilation}" if self.pooled else str(pool.stride),
                f"{terms}, {terms - terms % 12}" if self.fast else str(terms),
                weights, self._following(stage, number),
                *([self._table("uint8_t", f"border_{number}", border, in_flash=False)] if self.bordered else [])]

    def _depthwise(self, stage: IntegerDot, number: int) -> list[str]:
        convolution, pool = stage.convolution, stage.pool or MaxPool(1)
        kernel = convolution.weights.shape[2]
        self.leaving |= convolution.padding > 0 or kernel != 3
        return [f"{kernel}, {convolution.stride}, {convolution.padding}, {convolution.dilation}",
                f"{pool.kernel}, {pool.stride}, {pool.dilation}",
                self._weights("int8_t", number, convolution.weights, stage.bits), self._following(stage, number),
                str(stage.border)]

    def _dot(self, stage: Dot | IntegerDot, given: Map, number: int) -> list[str]:
        convolution, pool = stage.convolution, stage.pool or MaxPool(1)
        kernel, (runs, run) = convolution.weights.shape[2], _runs(convolution, given)
        weights = convolution.weights.transpose(0, 2, 3, 1)
        fields = [f"{kernel}, {convolution.stride}, {convolution.padding}, {convolution.dilation}",
                  f"{convolution.groups}, {len(weights) // convolution.groups}",
                  f"{pool.kernel}, {pool.stride}, {pool.dilation}", f"{runs}, {run}, {kernel * runs * run}"]
        if isinstance(stage, IntegerDot):
            return [*fields, self._weights("int8_t", number, weights, stage.bits), self._following(stage, number),
                    str(stage.border)]
        scale = "0" if (stage.scale == 1).all() else self._table("float", f"scale_{number}", stage.scale)
        return [*fields, self._table("float", f"weights_{number}", weights),
                f"{scale}, {self._table('float', f'shift_{number}', stage.shift)}", str(int(stage.relu))]

    def _weights(self, kind: str, number: int, weights: Any, bits: int) -> str:
        """The place of a convolution's weights; those of 4 and 2 bits are unpacked before it is called."""
        if bits == 8:
            return self._table(kind, f"weights_{number}", weights)
        self.unpacked = max(self.unpacked, np.size(weights))
        rows = kind == "uint8_t"  # each begins with its offset
        stored = weights[:, 1:] if rows else weights + dense.OFFSETS[bits]
        table = self._table("uint8_t", f"packed_{number}", dense.packed(stored, bits))
        function = "unpack_rows" if rows else "unpack"
        _add_once(self.unpackers, (function, bits))
        sizes = f"{len(weights)}, {weights.shape[1] - 1}" if rows else str(np.size(weights))
        self._call(f"{function}_{bits}({table}, {sizes})")
        return f"({kind} *)unpacked"

    def _following(self, stage: IntegerDot, number: int) -> str:
        """How its sums become integers of the next map."""
        rows = zip(stage.bias, stage.multiplier, stage.coarse, strict=True)
        name = self._table("scaling", f"scaling_{number}", [f"{{{','.join(map(whole, row))}}}" for row in rows])
        add = 0 if stage.grid is None else (1 << stage.shift >> 1) + (stage.grid.zero << stage.shift)
        return f"{{ {name}, {len(stage.coarse)}, {add}, {stage.shift}, {stage.grid.high if stage.grid else 0} }}"

    def _mean(self, stage: AvgPool | AdaptiveAvgPool | IntegerMean, number: int, places: str, *, given: Map,
              made: Map) -> None:
        pool = stage.pool if isinstance(stage, IntegerMean) else stage
        numbers = "0, 0, 0" if isinstance(pool, AdaptiveAvgPool) else f"{pool.kernel}, {pool.stride}, {pool.padding}"
        fields = [f"{stage.border}, {stage.factor}"] if isinstance(stage, IntegerMean) else []
        _add_once(self.means, (given.kind, made.kind))
        self._structure("mean", number, [*geometry(given, made), numbers, *fields])
        self._call(f"average_{given.kind}(&mean_{number}, {places})")

    def _add(self, step: Call, number: int, places: str) -> None:
        stage, made = step.stage, self.maps[step.writes]
        kinds = *(self.maps[index].kind for index in step.reads), made.kind
        _add_once(self.adds, kinds)
        function = f"add_{kinds[0]}_{kinds[1]}"
        if isinstance(stage, IntegerAdd):
            one, other = stage.multipliers
            add = (1 << stage.shift >> 1) - stage.zeros[0] * one - stage.zeros[1] * other
            self._structure("addition", number, [str(made.elements), f"{{ {one}, {other} }}, {add}",
                                                 f"{stage.shift}, {stage.grid.zero}, {stage.grid.high}"])
            self._call(f"{function}(&addition_{number}, {places})")
        else:
            relu = int(isinstance(stage, Add) and stage.relu)
            self._call(f"{function}({made.elements}, {relu}, {places})")

    def _table(self, kind: str, name: str, values: Any, *, in_flash: bool = True) -> str:
        texts = values if kind == "scaling" else list(
            map(literal if kind == "float" else whole, np.asarray(values).ravel()))
        self.tables.append(Table(kind, name, texts, in_flash))
        self.bytes += len(texts) * {"int8_t": 1, "uint8_t": 1, "scaling": 6}.get(kind, 4)
        return name

    def _structure(self, kind: str, number: int, fields: list[str]) -> None:
        self.structures.append(Structure(kind, f"{kind}_{number}", fields))

    def _call(self, text: str) -> None:
        self.calls.append(text)


def _is_depthwise(convolution: Convolution, given: Map) -> bool:
    return given.shape[0] == convolution.groups == convolution.bias.size


def _in_whole_rows(convolution: Convolution) -> bool:
    """Whether the elements under a row of the kernel are neighbours, and few enough to be added in 16 bits."""
    kernel, inputs = convolution.weights.shape[2], convolution.weights.shape[1]
    return bool((convolution.dilation == 1 or kernel == 1) and kernel * inputs <= dense.LONGEST)


def _runs(convolution: Convolution, given: Map) -> tuple[int, int]:
    """Into how many runs of so many neighbouring elements of the map a row of the kernel falls."""
    kernel, inputs = convolution.weights.shape[2], given.shape[0] // convolution.groups
    apart = convolution.groups > 1 or convolution.padding > 0 or (convolution.dilation > 1 and kernel > 1)
    return (kernel, inputs) if apart else (1, kernel * inputs)


def _add_once(functions: list[Any], kinds: Any) -> None:
    if kinds not in functions:
        functions.append(kinds)


