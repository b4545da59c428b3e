"""The operations of a program -> C functions that call the kernels, forward and back, in phases.

The threads meet between two phases. Imports no torch."""

from collections.abc import Iterable
from math import prod
from typing import assert_never

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool
from mnist_ops.engine.operations import (
    Activate,
    Add,
    Average,
    Branch,
    Convolve,
    FeatureMap,
    Operation,
    PoolMax,
)
from mnist_ops.engine.program import Program


def place(program: Program, one: FeatureMap, *, back: bool = False) -> str:
    """The macro that says where a map lies, or where its gradient does."""
    return f"{'GRADIENT' if back else 'MAP'}_{program.maps.index(one)}"


class Writer:
    """The functions of all operations, forward and back, and what is done in each phase."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.functions: list[str] = []
        self.names: list[str] = []  # of what is done with a block, in the order of a step
        self.phases: list[list[str]] = [[]]
        self.before = ["NULL"]  # what each thread does at the beginning of a phase
        self.reads: list[str] = []  # the operations that an evaluation needs
        for number, one in enumerate(program.operations):
            self._forward(one, number)
        logits = program.output
        self._add("lose_all", f"lose(n, b, {self._at(logits)}, {self._at(logits, back=True)});")
        for number, one in reversed(list(enumerate(program.operations))):
            self._back(one, number)

    def text(self) -> Iterable[str]:
        """All of it as C."""
        yield from self.functions
        for number, calls in enumerate(self.phases):
            yield _function(f"phase_{number}", calls)
        yield _function("read_block", self.reads)
        phases = ", ".join(f"phase_{number}" for number in range(len(self.phases)))
        yield f"#define PHASES {len(self.phases)}\nstatic const Work phases[] = {{ {phases} }};"
        yield f"static const Hook before[] = {{ {', '.join(self.before)} }};\n"

    def _at(self, one: FeatureMap, *, back: bool = False) -> str:
        return place(self.program, one, back=back)

    def _add(self, name: str, *lines: str) -> None:
        """A function of its own, called in this phase."""
        self.functions.append(_function(name, lines))
        self.phases[-1].append(f"TIMED({len(self.names)}, {name}(n, p, b));")
        self.names.append(name)

    def _meet(self, name: str, call: str) -> None:
        """Begin another phase, which each thread begins with this call."""
        self.functions.append(f"static void {name}(Net *n, Own *p, int thread)\n{{\n    {call}\n}}\n")
        self.phases.append([])
        self.before.append(name)

    def _forward(self, one: Operation, number: int) -> None:
        given, made = self._at(one.given), self._at(one.made)
        match one:
            case Convolve():
                bias = f"n->values + {one.bias}" if one.bias >= 0 else "NULL"
                first = f"{given}, n->values + {one.weights}, {bias}, {made}"
                self._add(f"convolve_{number}", f"convolve({first}, {_convolution(one)});" if one.pool is None else
                          f"convolve_and_pool({first}, b->where + {one.where}, p->rows, {_convolution(one)}, "
                          f"{one.pool.kernel});")
            case Activate():
                if one.norm >= 0:
                    self._add(f"moments_{number}", f"moments({given}, b->live_lanes, b->live, b->means + {one.norm}, "
                                                   f"b->squares + {one.norm});")
                    self._meet(f"settle_{number}", f"settle(n, p, thread, {_channels(one)});")
                self._add(f"activate_{number}",
                          f"activate({given}, {made}, {_of_norm(one, 'mean', 'scale')}, "
                          f"n->values + {one.scale + one.given.shape[0]}, {_seeds(one)}, {_kind(one)});")
            case PoolMax():
                self._add(f"pool_{number}", f"pool_max({given}, {made}, b->where + {one.where}, "
                                          f"{prod(one.made.shape[1:])}, {_window(one)});")
            case Average():
                self._add(f"average_{number}", f"average({given}, {made}, {_window(one)}, 0);")
            case Branch():
                self._add(f"branch_{number}", f"add({given}, {made}, 0);")
            case Add():
                self._add(f"add_{number}", f"add({given}, {made}, 0);", f"add({self._at(one.body)}, {made}, 1);")
            case _:
                assert_never(one)
        self.reads.append(self.phases[-1][-1])

    def _back(self, one: Operation, number: int) -> None:
        given, made = self._at(one.given, back=True), self._at(one.made, back=True)
        match one:
            case Convolve():
                self._learn(one, number)
            case Activate():
                self._undo_activation(one, number)
            case PoolMax() if one.back:
                self._add(f"unpool_{number}", f"undo_pool_max({made}, b->where + {one.where}, {given}, "
                                              f"{_window(one)});")
            case Average() if one.back:
                self._add(f"unaverage_{number}", f"average({given}, {made}, {_window(one)}, 1);")
            case Branch() if one.back:
                self._add(f"unbranch_{number}", f"add({made}, {given}, 1);")
            case Add() if one.body_back:
                branches = [given] if one.back else []
                self._add(f"unadd_{number}", *(f"add({made}, {to}, 0);"
                                               for to in (*branches, self._at(one.body, back=True))))
            case PoolMax() | Average() | Branch() | Add():
                pass  # nothing is learnt before it
            case _:
                assert_never(one)

    def _learn(self, one: Convolve, number: int) -> None:
        layer, seen, made = one.layer, self._at(one.given), self._at(one.made, back=True)
        if one.pool is not None:
            lines = [f"pooled_weight_gradient({seen}, {made}, b->where + {one.where}, b->gradient + {one.weights}, "
                     f"{_convolution(one)}, {one.pool.kernel});"]
            self._add(f"learn_{number}", *lines, *_bias(one, made))
            return
        outputs, inputs = layer.channels // one.groups, one.given.shape[0] // one.groups
        many, few = (_kernel_tile(outputs, inputs, layer.kernel, registers) for registers in (32, 16))
        lines = [f"weight_gradient({seen}, {made}, b->gradient + {one.weights}, {_convolution(one)}, "
                 + ", ".join(f"REGISTERS == 32 ? {a} : {b}" if a != b else f"{a}"
                             for a, b in zip(many, few, strict=True)) + ");"]
        self._add(f"learn_{number}", *lines, *_bias(one, made))
        if not one.back:
            return
        lines = []
        if one.spread:
            made = self._at(one.spread, back=True)
            lines.append(f"spread({self._at(one.made, back=True)}, {made}, {layer.stride});")
        kernel = f"(Kernel){{{layer.kernel}, 1, {one.reach - layer.padding}, {layer.dilation}, {one.groups}}}"
        self._add(f"unconvolve_{number}", *lines, f"convolve({made}, n->turned + {one.turned}, NULL, "
                                                  f"{self._at(one.given, back=True)}, {kernel});")

    def _undo_activation(self, one: Activate, number: int) -> None:
        normed, given, made = one.norm >= 0, self._at(one.given), self._at(one.made)
        after, before = self._at(one.made, back=True), self._at(one.given, back=True)
        if not (normed or one.back):
            return
        self._add(f"unactivate_{number}",
                  f"undo_activation({after}, {made}, {given}, {after if normed else before}, "
                  f"{_of_norm(one, 'mean', 'inverse')}, {_of_norm(one, 'sums', 'products', of='b')}, "
                  f"{_seeds(one)}, {_kind(one)});")
        if normed:
            self._meet(f"unsettle_{number}", f"settle_back(n, p, thread, {_channels(one)});")
            if one.back:
                self._add(f"unnorm_{number}",
                          f"undo_norm({after}, {given}, {before}, "
                          f"{_of_norm(one, 'mean', 'inverse', 'scale', 'sums', 'products')}, b->live_lanes);")


def _kernel_tile(outputs: int, inputs: int, side: int, registers: int) -> tuple[int, int, int]:
    """Output channels, input channels and rows of taps whose gradients are summed up in registers at once."""
    options = [(out, into, rows) for out in _divisors(outputs) for into in _divisors(inputs)
               for rows in _divisors(side) if out * into * rows * side <= registers - 6 or out == into == rows == 1]
    # The fewest loads for a product: of what each output and each tap needs.
    return min(options, key=lambda option: (1 / option[0] + 1 / (option[1] * option[2] * side), option))


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, min(number, 8) + 1) if number % one == 0]


def _function(name: str, lines: Iterable[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    head = f"static __attribute__((noinline)) void {name}(Net *n, Own *p, Block *b)"
    return f"{head}\n{{\n    (void)n, (void)p, (void)b;\n{body}}}\n"


def _bias(one: Convolve, made: str) -> list[str]:
    return [f"bias_gradient({made}, b->gradient + {one.bias});"] if one.bias >= 0 else []


def _convolution(one: Convolve) -> str:
    layer = one.layer
    return f"(Kernel){{{layer.kernel}, {layer.stride}, {layer.padding}, {layer.dilation}, {one.groups}}}"


def _window(one: PoolMax | Average) -> str:
    match one.layer:
        case MaxPool(side, stride, padding, dilation):
            return f"(Kernel){{{side}, {stride}, {padding}, {dilation}, 1}}"
        case AvgPool(side, stride, padding):
            return f"(Kernel){{{side}, {stride}, {padding}, 1, 1}}"
        case AdaptiveAvgPool():
            return "(Kernel){0}"
        case _:
            assert_never(one.layer)


def _channels(one: Activate) -> str:
    """First channel among all that are normalised, channels, pixels of each, place of the first scale."""
    channels, height, width = one.given.shape
    return f"{one.norm}, {channels}, {height * width}, {one.scale}"


def _of_norm(one: Activate, *names: str, of: str = "p") -> str:
    return ", ".join(f"{of}->{name} + {one.norm}" if one.norm >= 0 else "NULL" for name in names)


def _seeds(one: Activate) -> str:
    return f"b->seeds[{one.number}]" if one.dropout else "(uvec){0}"


def _kind(one: Activate) -> str:
    dropped = f"p->training ? {round(one.dropout * 2**32)}u : 0" if one.dropout else "0"
    return f"(Kind){{{int(one.norm >= 0)}, {int(one.relu)}, {dropped}, {1 / (1 - one.dropout)!r}f}}"
