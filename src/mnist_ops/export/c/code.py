"""The network as one C99 header-and-source pair: integers from an IntegerNetwork, or float32 from stages."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.errors import UsageError
from mnist_ops.export.c import int8
from mnist_ops.export.c.int8 import IntegerAdd, IntegerDot, IntegerMax, IntegerMean, IntegerNetwork
from mnist_ops.export.c.memory import SIZES, Call, Map, MemoryLayout, lay_out
from mnist_ops.export.c.steps import Add, Dot, Stage
from mnist_ops.score.refusal import LEAST_DOUBT, Refusal, refused_word
from mnist_ops.templating import fill


@dataclass(frozen=True)
class CCode:
    """The two texts, and their sizes as far as known without a compiler."""

    header: str
    code: str
    table_bytes: int   # of all tables of numbers, in flash
    buffer_bytes: int  # of the buffer that holds the maps, in RAM


@dataclass(frozen=True)
class Naming:
    """The names of the files and in them, and their first comment."""

    name: str  # before every public name
    stem: str  # of the two files
    title: str
    about: tuple[str, ...]
    version: str
    classes: tuple[str, ...]
    input_shape: Shape
    prepare: str = "mnist"


@dataclass(frozen=True)
class _Table:
    kind: str
    name: str
    values: list[str]


@dataclass(frozen=True)
class _Structure:
    kind: str
    name: str
    fields: list[str]


def check_name(name: str) -> None:
    """Raises UsageError unless `name` may begin every public name of the C code."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", name):
        raise UsageError(f"--name {name!r:.60}: expected letters, digits and _, a letter first, 41 at most")


def render(network: IntegerNetwork | Sequence[Stage], naming: Naming, refusal: Refusal | None = None) -> CCode:
    """The C code of an int8 network, or of stages in float32; refusal: the score for the map of its last call."""
    integer = isinstance(network, IntegerNetwork)
    planned = lay_out(network.stages if isinstance(network, IntegerNetwork) else network, naming.input_shape)
    emitter = _Emitter(planned, integer)
    for number, step in enumerate(planned.steps):
        emitter.emit(step, number)
    score = None if refusal is None else emitter.score(refusal, planned.maps[planned.steps[-1].reads[0]])
    last = planned.maps[-1]
    context = vars(emitter) | {
        **{key: getattr(naming, key) for key in ("name", "stem", "version")},
        "title": comment(naming.title), "about": [comment(line) for line in naming.about],
        "classes": [quoted(one) for one in naming.classes], "upper": naming.name.upper(),
        "guard": f"{naming.name.upper()}_H", "bytes": math.prod(naming.input_shape), "side": naming.input_shape[1],
        "colour": naming.input_shape[0] == 3, "integer": integer,
        "logit": "int32_t" if integer else "float", "weight": "int8_t" if integer else "float",
        "kinds": _kinds(planned), "size_of": {kind: max(1, planned.bytes // size) for kind, size in SIZES.items()},
        "copied": "" if last.offset < 0 else _place(last), "ln2": _number(math.log(2)), "holds": emitter.holds,
        "score": score, "refused": refused_word(naming.prepare), "most": _number(1 + LEAST_DOUBT),
    }
    if isinstance(network, IntegerNetwork):
        context |= {"unit": f"{network.unit:.6g}", "zero": network.zero, "powers": int8.powers(),
                    "halving": int8.halving(network),
                    "probability_error": f"{int8.probability_error(len(naming.classes)):.1g}"}
    header, code = (fill(f"export/c/templates/network.{kind}.jinja", escape=False, **context) for kind in "hc")
    return CCode(header, code, emitter.bytes, planned.bytes)


class _Emitter:
    """The content of the template, collected step by step."""

    def __init__(self, planned: MemoryLayout, integer: bool) -> None:
        self.maps, self.integer = planned.maps, integer
        self.tables: list[_Table] = []
        self.structures: list[_Structure] = []
        self.calls: list[str] = []
        # The needed functions, by the types of input, sum and output.
        self.sums: list[tuple[str, ...]] = []
        self.dots: list[tuple[str, ...]] = []
        self.means: list[tuple[str, ...]] = []
        self.maxima: list[tuple[str, ...]] = []
        self.rectifiers: list[tuple[str, ...]] = []
        self.adds: list[tuple[str, ...]] = []
        self.holds = False
        self.bytes = 0

    def emit(self, step: Call, number: int) -> None:
        """Tables, structure and call of one step."""
        stage, given, made = step.stage, self.maps[step.reads[0]], self.maps[step.writes]
        places = ", ".join([*map(_place, (self.maps[index] for index in step.reads)), _place(made, "logits")])
        match stage:
            case Dot() | IntegerDot():
                wide = isinstance(stage, IntegerDot) and stage.largest >= 2**31
                sum_kind = "float" if isinstance(stage, Dot) else "int64_t" if wide else "int32_t"
                _add_once(self.sums, (given.kind, sum_kind))
                _add_once(self.dots, (given.kind, sum_kind, made.kind))
                self.holds |= made.kind.startswith("uint")
                self._structure("convolution", number, _geometry(given, made) + self._dot(stage, given, number))
                self._call(f"convolve_{given.kind}_{sum_kind}_{made.kind}(&convolution_{number}, {places})")
            case Add() | IntegerAdd():
                self._add(step, number, places)
            case MaxPool() | IntegerMax(pool=MaxPool()):
                pool = stage if isinstance(stage, MaxPool) else stage.pool
                assert pool is not None
                _add_once(self.maxima, (given.kind, made.kind))
                numbers = f"{pool.kernel}, {pool.stride}, {pool.padding}, {pool.dilation}"
                self._structure("maximum", number, [*_geometry(given, made), numbers])
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
        return {"units": len(weights), "features": given.elements, "kind": given.kind, "place": _place(given),
                "limit": _number(refusal.limit.item())}

    def _dot(self, stage: Dot | IntegerDot, given: Map, number: int) -> list[str]:
        convolution, pool = stage.convolution, stage.pool or MaxPool(1)
        inputs = given.shape[0] // convolution.groups
        kernel = convolution.weights.shape[2]
        whole = convolution.groups == 1 and convolution.padding == 0 and (convolution.dilation == 1 or kernel == 1)
        runs, run = (1, kernel * inputs) if whole else (kernel, inputs)  # a whole row of a kernel is contiguous
        weights = convolution.weights.transpose(0, 2, 3, 1)
        fields = [f"{kernel}, {convolution.stride}, {convolution.padding}, {convolution.dilation}",
                  f"{convolution.groups}, {len(weights) // convolution.groups}",
                  f"{pool.kernel}, {pool.stride}, {pool.dilation}", f"{runs}, {run}, {kernel * runs * run}"]
        if isinstance(stage, IntegerDot):
            high, zero = (stage.grid.high, stage.grid.zero) if stage.grid else (0, 0)
            return [*fields, self._table("int8_t", f"weights_{number}", weights),
                    f"{self._table('int32_t', f'bias_{number}', convolution.bias)}, "
                    f"{self._table('int32_t', f'multiplier_{number}', stage.multiplier)}",
                    f"{stage.shift}, {stage.border}, {zero}, {high}"]
        scale = "0" if (stage.scale == 1).all() else self._table("float", f"scale_{number}", stage.scale)
        return [*fields, self._table("float", f"weights_{number}", weights),
                f"{scale}, {self._table('float', f'shift_{number}', stage.shift)}", str(int(stage.relu))]

    def _mean(self, stage: AvgPool | AdaptiveAvgPool | IntegerMean, number: int, places: str, *, given: Map,
              made: Map) -> None:
        pool = stage.pool if isinstance(stage, IntegerMean) else stage
        numbers = "0, 0, 0" if isinstance(pool, AdaptiveAvgPool) else f"{pool.kernel}, {pool.stride}, {pool.padding}"
        fields = [f"{stage.border}, {stage.factor}"] if isinstance(stage, IntegerMean) else []
        _add_once(self.means, (given.kind, made.kind))
        self._structure("mean", number, [*_geometry(given, made), numbers, *fields])
        self._call(f"average_{given.kind}(&mean_{number}, {places})")

    def _add(self, step: Call, number: int, places: str) -> None:
        stage, made = step.stage, self.maps[step.writes]
        kinds = *(self.maps[index].kind for index in step.reads), made.kind
        _add_once(self.adds, kinds)
        function = f"add_{kinds[0]}_{kinds[1]}"
        if isinstance(stage, IntegerAdd):
            self.holds = True
            pairs = [f"{{ {', '.join(map(str, pair))} }}" for pair in (stage.zeros, stage.multipliers)]
            self._structure("addition", number, [str(made.elements), *pairs,
                                                 f"{stage.shift}, {stage.grid.zero}, {stage.grid.high}"])
            self._call(f"{function}(&addition_{number}, {places})")
        else:
            relu = int(isinstance(stage, Add) and stage.relu)
            self._call(f"{function}({made.elements}, {relu}, {places})")

    def _table(self, kind: str, name: str, values: Any) -> str:
        texts = list(map(_number if kind == "float" else _whole, np.asarray(values).ravel()))
        self.tables.append(_Table(kind, name, texts))
        self.bytes += len(texts) * {"int8_t": 1}.get(kind, 4)
        return name

    def _structure(self, kind: str, number: int, fields: list[str]) -> None:
        self.structures.append(_Structure(kind, f"{kind}_{number}", fields))

    def _call(self, text: str) -> None:
        self.calls.append(text)


def _add_once(functions: list[tuple[str, ...]], kinds: tuple[str, ...]) -> None:
    if kinds not in functions:
        functions.append(kinds)


def _geometry(given: Map, made: Map) -> list[str]:
    sizes = [f"{height}, {width}, {channels}" for channels, height, width in (given.shape, made.shape)]
    return [f"{{ {', '.join(sizes)} }}"]


def _place(one: Map, outside: str = "image") -> str:
    return outside if one.offset < 0 else f"buffer.as_{one.kind} + {one.offset // SIZES[one.kind]}"


def _kinds(planned: MemoryLayout) -> list[str]:
    return sorted({one.kind for one in planned.maps if one.offset >= 0})


def _whole(value: Any) -> str:
    """C has no literal for the lowest value of int32_t, which is in none of the tables."""
    return str(int(value))


def _number(value: Any) -> str:
    """A float32 that C reads back exactly."""
    text = np.format_float_scientific(np.float32(value), unique=True, trim="-")
    return f"{text}.0f" if re.fullmatch(r"-?\d+", text) else f"{text}f"


def comment(text: str) -> str:
    """Text that cannot end a comment, begin another or go on to the next line."""
    return re.sub(r"[^ -~]|/(?=\*)|\*(?=/)|\\|\?(?=\?)", "_", text)


def quoted(text: str) -> str:
    """The content of a C string: plain ASCII, everything else as octal bytes of UTF-8."""
    plain = re.compile(rb"[A-Za-z0-9 .,:;()+*/_-]")
    return "".join(chr(byte) if plain.match(bytes([byte])) else f"\\{byte:03o}" for byte in text.encode("utf-8"))
