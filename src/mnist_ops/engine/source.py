"""A program -> the C text of one network: the kernels of this folder, called with every size as a constant.

The text is the same for every processor: how many images a vector holds is for the compiler to know. Imports no torch.
"""

from collections.abc import Iterator
from importlib.resources import files
from math import prod

from mnist_ops.arch.arithmetic import output_shape
from mnist_ops.engine.calls import Writer, place
from mnist_ops.engine.operations import Activate, Convolve, FeatureMap, Operation
from mnist_ops.engine.program import Parameter, Program

KERNELS = ("vector", "convolution", "activation", "pool", "first", "loss", "update", "images", "team", "network")
LAST = "step"  # what calls the functions that are made here


def source(program: Program, optimizer: str) -> str:
    """The text of the file to be compiled; optimizer: a name of `config.Optimizer`."""
    writer = Writer(program)
    numbers = {
        "CLASSES": program.output.shape[0], "PARAMETERS": program.learnt, "TURNED": program.turned,
        "NORMALISED": program.normalised, "DROPOUTS": program.dropouts, "WHERE": program.where, "ROOM": program.room,
        "INPUT_CHANNELS": program.input.shape[0], "INPUT_HEIGHT": program.input.shape[1],
        "INPUT_WIDTH": program.input.shape[2],
        "POOLED_ROWS": max([0, *map(_pooled_rows, program.operations)]),
        "OPERATIONS": len(writer.names), "OPERATION_NAMES": f'"{" ".join(writer.names)}"',
        "LARGEST_KERNEL": max(prod(one.shape) for one in program.parameters), "OPTIMIZER": optimizer.upper(),
    }
    scales = [str(one.scale + channel) for one in program.operations if isinstance(one, Activate) and one.norm >= 0
              for channel in range(one.given.shape[0])]
    return "\n".join([
        *(f"#define {name} {value}" for name, value in numbers.items()), *map(_kernel, KERNELS),
        "/* The maps of a block and their gradients; LOGITS is the last one. */",
        *(line for number, one in enumerate(program.maps) for line in _map(number, one)),
        f"#define INPUT {place(program, program.input)}", f"#define LOGITS {place(program, program.output)}",
        "/* Where each channel's scale lies. */",
        f"static const int scales[] = {{ {', '.join(scales or ['0'])} }};\n",
        *writer.text(), _update(program), _kernel(LAST)])


def _pooled_rows(one: Operation) -> int:
    """Vectors of the rows of a convolution under one row of its pool, of as many channels as are computed at once."""
    if not isinstance(one, Convolve) or one.pool is None:
        return 0
    return 4 * one.pool.kernel * output_shape(one.layer, one.given.shape)[2]


def _kernel(name: str) -> str:
    return (files("mnist_ops.engine") / "kernels" / f"{name}.h").read_text(encoding="ascii")


def _map(number: int, one: FeatureMap) -> Iterator[str]:
    """MAP_n, and GRADIENT_n where there is one, of the block `b`."""
    for kind, offset, border in (("MAP", one.offset, one.border), ("GRADIENT", one.gradient, one.gradient_border)):
        pitch = one.shape[2] + 2 * border
        first = offset + border * (pitch + 1)
        yield (f"#define {kind}_{number} ((Map){{b->maps + {first}, {one.plane(border)}, {pitch}, "
               f"{', '.join(map(str, one.shape))}}})")


def _update(program: Program) -> str:
    """What is done with the gradient of each parameter, the largest first, shared out among the threads."""
    turned = {one.weights: _turn(one) for one in program.operations if isinstance(one, Convolve) and one.back}
    biases = {one.bias for one in program.operations if isinstance(one, Convolve)}
    lines = []
    for number, one in enumerate(sorted(program.parameters, key=lambda parameter: -parameter.size)):
        lines.append(f"if (thread == {number} % n->team.threads) {{")
        if len(one.shape) > 1 or one.offset in biases:
            lines.append(f"    gather(n, {one.offset}, {one.size});")
        lines.append(f"    change(n, p, {one.offset}, {one.size}, {_matrix(one)});")
        if one.offset in turned:
            lines.append(f"    {turned[one.offset]}")
        lines.append("}")
    body, all_turned = "\n    ".join(lines), "\n    ".join(turned.values())
    return (f"static void update(Net *n, Own *p, int thread)\n{{\n    {body}\n}}\n\n"
            f"static void turn_all(Net *n)\n{{\n    (void)n;\n    {all_turned}\n}}\n")


def _matrix(one: Parameter) -> str:
    """Rows and columns of a kernel, or 0, 0."""
    return f"{one.shape[0]}, {one.size // one.shape[0]}" if len(one.shape) > 1 else "0, 0"


def _turn(one: Convolve) -> str:
    inputs, outputs = one.given.shape[0] // one.groups, one.layer.channels // one.groups
    return (f"turn(n->values + {one.weights}, n->turned + {one.turned}, {one.groups}, {inputs}, {outputs}, "
            f"{one.layer.kernel});")
