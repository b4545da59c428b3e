"""The network as one C99 header-and-source pair: integers from an IntegerNetwork, or float32 from stages."""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.errors import UsageError
from mnist_ops.export.c import dense, int8
from mnist_ops.export.c.emitter import Emitter
from mnist_ops.export.c.int8 import IntegerAdd, IntegerDot, IntegerMax, IntegerMean, IntegerNetwork, IntegerStage
from mnist_ops.export.c.memory import SIZES, MemoryLayout, lay_out
from mnist_ops.export.c.steps import Add, Dot, Stage
from mnist_ops.export.c.text import literal, place
from mnist_ops.score.refusal import LEAST_DOUBT, Refusal, refused_word
from mnist_ops.templating import fill


@dataclass(frozen=True)
class CStep:
    """A step of the code, in words, and its sizes."""

    call: str
    what: str
    made: str  # shape of the map it makes
    table_bytes: int
    map_bytes: int


@dataclass(frozen=True)
class CCode:
    """The two texts, and their sizes as far as known without a compiler."""

    header: str
    code: str
    table_bytes: int   # of all tables of numbers, in flash
    buffer_bytes: int  # of the buffer that holds the maps, in RAM
    steps: tuple[CStep, ...] = ()


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
    fast: bool = True  # with code of its own for processors of 32 bits, and for those that multiply two at once


def check_name(name: str) -> None:
    """Raises UsageError unless `name` may begin every public name of the C code."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", name):
        raise UsageError(f"--name {name!r:.60}: expected letters, digits and _, a letter first, 41 at most")


def render(network: IntegerNetwork | Sequence[Stage], naming: Naming, refusal: Refusal | None = None) -> CCode:
    """The C code of an int8 network, or of stages in float32; refusal: the score for the map of its last call."""
    integer = isinstance(network, IntegerNetwork)
    planned = lay_out(network.stages if isinstance(network, IntegerNetwork) else network, naming.input_shape)
    emitter = Emitter(planned, fast=naming.fast)
    steps = []
    for index, step in enumerate(planned.steps):
        before, made = emitter.bytes, planned.maps[step.writes]
        emitter.emit(step, index)
        steps.append(CStep(emitter.calls[-1], named(step.stage), "x".join(map(str, made.shape)), emitter.bytes - before,
                           made.bytes))
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
        "copied": "" if last.offset < 0 else place(last), "ln2": literal(math.log(2)),
        "score": score, "refused": refused_word(naming.prepare), "most": literal(1 + LEAST_DOUBT),
        "longest": dense.LONGEST, "offsets": dense.OFFSETS,
    }
    if isinstance(network, IntegerNetwork):
        context |= {"unit": f"{network.unit:.6g}", "zero": network.zero, "powers": int8.powers(),
                    "halving": int8.halving(network),
                    "probability_error": f"{int8.probability_error(len(naming.classes)):.1g}"}
    code = fill("export/c/templates/network.c.jinja", escape=False, **context)
    header = fill("export/c/templates/network.h.jinja", escape=False, **context,
                  fingerprint=f"0x{zlib.crc32(code.encode('ascii')):08x}")
    return CCode(header, code, emitter.bytes, planned.bytes + emitter.scratch + emitter.unpacked, tuple(steps))


def comment(text: str) -> str:
    """Text that cannot end a comment, begin another or go on to the next line."""
    return re.sub(r"[^ -~]|/(?=\*)|\*(?=/)|\\|\?(?=\?)", "_", text)


def quoted(text: str) -> str:
    """The content of a C string: plain ASCII, everything else as octal bytes of UTF-8."""
    plain = re.compile(rb"[A-Za-z0-9 .,:;()+*/_-]")
    return "".join(chr(byte) if plain.match(bytes([byte])) else f"\\{byte:03o}"
                   for byte in text.encode("utf-8", "backslashreplace"))


def named(stage: Stage | IntegerStage) -> str:
    """The step in words."""
    match stage:
        case Dot(convolution=convolution, pool=pool) | IntegerDot(convolution=convolution, pool=pool):
            kernel, groups = convolution.weights.shape[2], convolution.groups
            kind = "" if groups == 1 else "depthwise " if groups == convolution.bias.size else f"{groups} groups, "
            return f"{kind}{kernel}x{kernel} convolution" + (f", {pool.kernel}x{pool.kernel} pool" if pool else "")
        case AvgPool() | AdaptiveAvgPool() | IntegerMean():
            return "mean"
        case MaxPool() | IntegerMax(pool=MaxPool()):
            return "maximum"
        case ReLU() | IntegerMax():
            return "ReLU"
        case Add() | IntegerAdd():
            return "sum"


def _kinds(planned: MemoryLayout) -> list[str]:
    return sorted({one.kind for one in planned.maps if one.offset >= 0})
