"""A trained network -> its C header and source, compiled, run on every test image and measured before it is written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from mnist_ops import __version__
from mnist_ops.arch.arithmetic import Shape
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.errors import RunError, legible
from mnist_ops.export import forward
from mnist_ops.export.c import board, code, compiler, int8
from mnist_ops.export.c.camera import Camera, camera_files
from mnist_ops.export.c.compiler import CompiledOutput, Sizes
from mnist_ops.export.c.example import MAIN, check_example, commands, example, shown_image
from mnist_ops.export.c.int8 import IntegerNetwork
from mnist_ops.export.c.oddness import of_integers, of_map
from mnist_ops.export.c.quantize import SAMPLE, quantize
from mnist_ops.export.c.scales import from_text
from mnist_ops.export.c.steps import Stage, stages
from mnist_ops.export.fold_norms import score_of
from mnist_ops.export.proof import Proof, compare, require_equal, require_near, require_odd
from mnist_ops.export.targets import Export, Subject, prepared

PROFILED = 3  # images of which a median is taken


@dataclass(frozen=True)
class Wanted:
    """The options of the C code."""

    name: str  # prefix of every public name
    stem: str  # of the two files
    floating: bool = False  # float32 instead of int8
    unproved: bool = False  # write it even without a compiler to check it
    fast: bool = True  # more code for fewer instructions
    profile: bool = False  # count the instructions of each step under qemu
    prepare: bool = False  # with the preparation of a camera's frames
    bits: int = 8  # of a weight


def export_c(subject: Subject, wanted: Wanted) -> Export:
    """The header, the source, and an example that calls them.

    Raises RunError if the compiler fails, if the result differs from the reference, or, unless `wanted.unproved`, if
    there is no compiler."""
    code.check_name(wanted.name)
    floating = stages(subject.operations)
    network = floating if wanted.floating else quantize(
        floating, subject.sample, None if subject.scales is None else from_text(subject.scales, wanted.bits),
        bits=wanted.bits)
    naming = naming_of(subject, wanted)
    score = of_map(score_of(subject.trained, subject.operations), network)
    source = code.render(network, naming, score)
    proved = c_compiler() is not None or not wanted.unproved
    answers = None if not proved else compiler.run_compiled(
        source, subject.images, stem=wanted.stem, name=wanted.name)
    proof = _prove(subject, network, answers)
    if score is not None and answers is not None:
        expected = subject.expected if not isinstance(network, IntegerNetwork) else replace(
            subject.expected, oddness=of_integers(score, network, subject.images))
        require_odd(expected, answers.oddness, "the C code")
    measured = compiler.sizes(source, wanted.stem)
    rows = (*_tuned_rows(subject, wanted), *_size_rows(source, measured, naming))
    about = (*_about(subject, network, proof, proved), *(f"{name}: {value}" for name, value in rows))
    written = code.render(network, replace(naming, about=about), score)  # the same except for the comment
    main = _example(subject, naming, source, answers)
    files = {".h": written.header.encode("ascii"), ".c": written.code.encode("ascii")}
    steps = _profile(network, naming, subject.images) if wanted.profile and isinstance(network, IntegerNetwork) else ()
    numbers = {
        "arithmetic": "float32" if wanted.floating else f"int{wanted.bits}", "compiled": proved,
        "integers_compared": 0 if answers is None or wanted.floating else 2 * answers.logits.size + len(answers.logits),
        "mismatches": None if answers is None or wanted.floating else 0,  # any would have been an error
        "table_bytes": source.table_bytes, "buffer_bytes": source.buffer_bytes,
        "measured": None if measured is None else vars(measured), "steps": steps,
        "untuned_accuracy": subject.untuned,
    }
    verdict = () if score is None else (
        f"`{wanted.name}_oddness(logits)`: above 0 for an image that is of no class; after `{wanted.name}_predict`, in "
        f"float32. Unsure: a probability below `{wanted.name.upper()}_UNSURE`.",)
    lines = (*_interface(wanted, network, naming.input_shape), *verdict)
    made = Export(files, proof, lines, rows, numbers, {MAIN: main.encode("ascii")}, commands(naming), steps)
    return made if not wanted.prepare else _with_camera(
        made, camera_files(subject, naming, source, proved=answers is not None))


def _example(subject: Subject, naming: code.Naming, source: code.CCode, answers: CompiledOutput | None) -> str:
    """The program that reads a test image; run, if the C code was. Raises RunError if it prints another class."""
    shown = shown_image(subject)
    main = example(MAIN, naming, shown, header=source.header)
    if answers is not None:
        check_example(source, main, naming, best=answers.predicted[shown.index])
    return main


def _with_camera(made: Export, camera: Camera) -> Export:
    return replace(made, beside=made.beside | camera.files, sizes=(*made.sizes, camera.size),
                   snippets=(*made.snippets, camera.use))


def naming_of(subject: Subject, wanted: Wanted) -> code.Naming:
    """The names in the C code, without the lines about the network."""
    trained = subject.trained
    classes = tuple(legible(one) for one in trained.classes)
    return code.Naming(wanted.name, wanted.stem, "A network that reads images", (), __version__, classes,
                       trained.input_shape, trained.prepare, wanted.fast)


def _profile(network: IntegerNetwork, naming: code.Naming, images: NDArray[np.uint8]) -> tuple[tuple[str, ...], ...]:
    """Rows of texts, the first the heads: what each step takes on two processors."""
    source = code.render(network, replace(naming, name=board.NAME, stem=board.NAME))
    runs = []
    for one in board.BOARDS.values():
        runs.append((one.title, board.run_on_board(source, images[:PROFILED], one)))
        if not np.array_equal(runs[-1][1].logits, int8.logits(network, images[:PROFILED])):
            raise RunError(f"the C code differs from the integer reference on a {one.title}; nothing was written")
    return tuple(board.step_table(source, runs))


def _prove(subject: Subject, network: IntegerNetwork | Sequence[Stage], answers: CompiledOutput | None) -> Proof:
    """Compare the compiled code, else the reference, with PyTorch; int8 code must equal the reference."""
    if not isinstance(network, IntegerNetwork):
        logits = forward.logits(subject.operations, subject.images, np.float32) if answers is None else answers.logits
        probabilities = forward.softmax(logits) if answers is None else answers.probabilities.astype(np.float32)
        proof = compare(subject.expected, logits.argmax(1) if answers is None else answers.predicted, probabilities)
        require_equal(proof, "the C code")
        return proof
    reference = int8.logits(network, subject.images)
    shares = int8.probabilities(network, reference)
    if answers is not None:
        _require_same(answers, reference, shares)
    _require_accurate(shares / 32768, forward.softmax(reference * network.unit))
    proof = compare(subject.expected, reference.argmax(1), shares / 32768)
    require_near(proof, f"int{network.bits}", own=subject.own)
    return proof


def _require_same(answers: CompiledOutput, reference: NDArray[np.int64], shares: NDArray[np.int64]) -> None:
    """Raises RunError unless class, logits and probabilities equal the reference's integers."""
    pairs = ((answers.predicted, reference.argmax(1)), (answers.logits, reference), (answers.probabilities, shares))
    mismatches = sum(int((found != wanted).sum()) for found, wanted in pairs)
    if mismatches:
        program = " ".join(c_compiler() or ())
        raise RunError(f"the compiled C code differs from the integer reference in {mismatches:,} numbers, so nothing "
                       f"was written: the compiler, {program}, may be at fault; choose another with $CC")


def _require_accurate(shares: NDArray[np.float64], softmax: NDArray[np.float64]) -> None:
    """Raises RunError if the table's probabilities are farther from softmax than the header says."""
    bound = int8.probability_error(shares.shape[1])
    found = float(np.abs(shares - softmax).max())
    if not found <= bound:
        raise RunError(f"a probability by the table differs from softmax by {found:.2g}, expected at most {bound:g}; "
                       "nothing was written")


def _tuned_rows(subject: Subject, wanted: Wanted) -> tuple[tuple[str, str], ...]:
    if subject.untuned is None:
        return ()
    text = f"for weights of {wanted.bits} bits; the run's own weights read {subject.untuned:.2f} % with PyTorch"
    return (("Fine-tuned", text),)


def _size_rows(source: code.CCode, measured: Sizes | None, naming: code.Naming) -> tuple[tuple[str, str], ...]:
    caller = math.prod(naming.input_shape) + 4 * len(naming.classes)
    if measured is None:
        return (("Flash", f"{source.table_bytes:,} bytes of tables, plus code, not measured"),
                ("RAM", f"{source.buffer_bytes:,} bytes for the maps, plus stack and {caller:,} bytes for "
                        "image and logits"))
    peak = measured.ram + measured.stack
    return (("Flash", f"{measured.flash:,} bytes, code and tables ({measured.target}, -Os, {measured.compiler})"),
            ("RAM", f"at most {peak:,} bytes: {measured.ram:,} for the maps and {measured.stack:,} of stack; "
                    f"plus {caller:,} bytes of the caller for image and logits"))


def _about(subject: Subject, network: IntegerNetwork | Sequence[Stage], proof: Proof, proved: bool) -> tuple[str, ...]:
    trained = subject.trained
    kind = f"int{network.bits} weights, integer arithmetic" if isinstance(network, IntegerNetwork) else "float32"
    how = "compiled and run" if proved else "NOT COMPILED, its arithmetic in Python"
    lines = [f"Network {trained.model}, trained on {PurePath(trained.dataset).name}: {kind}.",
             f"Compared, {how}, on {subject.data}:",
             f"{proof.same:,} of {proof.images:,} in the same class."]
    if proof.accuracy is not None:
        lines.append(f"Accuracy {proof.accuracy:.2f} %, PyTorch's {proof.pytorch_accuracy:.2f} %.")
    return tuple(lines)


def _interface(wanted: Wanted, network: IntegerNetwork | Sequence[Stage], shape: Shape) -> tuple[str, ...]:
    if isinstance(network, IntegerNetwork):
        logits = f"int32, in {network.unit:.6g} of PyTorch's unit; scales from at most {SAMPLE:,} training images"
        shares = "in 1/32768, by a table"
    else:
        logits, shares = "float32", "float32"
    return (f"`{wanted.name}_predict(image, logits)`: the class, and the logits ({logits}).",
            prepared(shape, interleaved=True),
            f"`{wanted.name}_probabilities(logits, probabilities)`: probabilities ({shares}).",
            "C99, only libc, no allocation; one static buffer, so not thread-safe.",
            "Two networks in one program need two names, by `--name`, and each .c is compiled by itself. Two of one "
            "name stop the compiler with a message, or the linker.")
