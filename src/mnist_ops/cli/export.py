"""mnist-ops export: write the network as ONNX, C or an HTML page, after checking it against PyTorch."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mnist_ops.cli.exported import file_lines, proof_lines
from mnist_ops.cli.few_bits import for_bits
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import DATASETS, Flag, Json, completed
from mnist_ops.errors import RunError, UsageError
from mnist_ops.run.named import SHIPPED, find_run, kept_scales

if TYPE_CHECKING:
    from mnist_ops.data.dataset import ImageDataset
    from mnist_ops.export.c.target import Wanted
    from mnist_ops.export.targets import Export, Subject
    from mnist_ops.run.trained import TrainedNetwork

Target = Literal["onnx", "c", "html", "arduino"]
ENDINGS: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",), "c": (".c", ".h"), "html": (".html",), "arduino": (".zip",)}  # the first is the default
Optimize = Literal["speed", "size"]
NAME = "mnist_ops"  # before every public name of C code
Bits = Literal[8, 4, 2]
Float = Annotated[bool, Parameter(name="--float", show_default=False)]


def export(
    run: str,
    /,
    *,
    to: Target,
    out: Path | None = None,
    floating: Float = False,
    name: str = NAME,
    bits: Bits = 8,
    optimize: Optimize = "speed",
    profile: Flag = False,
    unproved: Flag = False,
    prepare: Flag = False,
    data: Annotated[str | None, Parameter(help=(
        f"Data to compare on: {DATASETS}, or a folder [default: the run's own]."))] = None,
    data_dir: Path | None = None,
    as_json: Json = False,
) -> None:
    """Export a run's network to ONNX, C, HTML or an Arduino library, after checking that its output matches PyTorch's.

    The outputs are compared on the run's test images, or on the embedded digits if its data is not available. A model
    card, FILE.md, is written next to the export. Existing files are replaced.

    Parameters
    ----------
    run
        A run folder, a model.safetensors, or default: the weights that ship with the package.
    to
        onnx: one float32 file, any batch size. c: a C99 source and header with int8 weights and integer arithmetic, and
        an example. html: a page that reads what you draw on it. arduino: the same C code as a library in a zip.
    out
        The file to write; for c, either of the two [default: NAME.onnx, NAME_c/NAME.c, NAME.html or NAME.zip in the run
        folder, or in the current folder for the package's weights].
    floating
        c, arduino: use float32 weights and arithmetic instead of integers.
    name
        c, arduino: prefix of every public name, and the library's name. Two exports in one program need two names.
    bits
        c, arduino: bits of a weight. 4 halves the tables; the weights are unpacked into RAM. 2 quarters them, and
        fine-tunes the weights on the run's training images for two epochs; these are kept beside the run's own.
    optimize
        c, arduino: speed adds code for processors of 32 bits, which then need less than half the instructions; size
        leaves it out. Both compute the same integers.
    profile
        c, arduino: print and put into the card what each step takes: bytes, and instructions on a Cortex-M0 and -M4,
        counted by qemu. Needs arm-none-eabi-gcc and qemu-system-arm.
    unproved
        c, arduino: write the files even without a C compiler to check them; they say so.
    prepare
        c, arduino: also write NAME_prepare, which makes the network's images of a camera's frames.
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    as_json
        Print one JSON object: run, to, files (path and bytes of each), data, own_data, images, same, ties, different,
        first_different (index), largest_difference (of a probability), accuracy and pytorch_accuracy (percent),
        lost and won (images that PyTorch or the export alone reads right). html
        adds engine (what ran the page's code, or null) and not_run (why not); c and arduino add arithmetic, compiled,
        integers_compared, mismatches, table_bytes, buffer_bytes, measured (bytes of flash, ram, stack), steps
        (of --profile), untuned_accuracy (percent, of the run's own weights if --bits 2 has fine-tuned them, else null).
    """
    from mnist_ops.disk import make_folder, write_together
    from mnist_ops.export.c.target import Wanted
    from mnist_ops.run.trained import load_trained

    place = find_run(run)
    path = _target(out, to) if out else _home(run) / (f"{name}_c" if to == "c" else "") / f"{name}{ENDINGS[to][0]}"
    wanted = Wanted(name, path.stem, floating, unproved, optimize == "speed", profile, prepare, bits)
    _check_options(to, wanted)
    trained = load_trained(place)
    subject, own = _subject(place, trained, bits, data=data, data_dir=data_dir)
    subject = replace(subject, scales=kept_scales(run))
    made = _made(subject, path, to, wanted)
    files = _files(path, made)
    files[path.with_name(f"{path.name}.md")] = _card(place, subject, made, list(files))
    make_folder(path.parent)
    write_together(files)
    if as_json:
        show_json({"run": run, "to": to, "files": [{"path": str(file), "bytes": len(content)}
                                                   for file, content in files.items()],
                   "data": subject.data, "own_data": own, **vars(made.proof), **made.numbers})
    else:
        show("\n".join([*proof_lines(subject, made), *file_lines(files)]))


def _check_options(to: Target, wanted: "Wanted") -> None:
    """Raises UsageError for an option of another format, for two that exclude each other, and for a wrong name."""
    from mnist_ops.export.c.code import check_name

    if to not in ("c", "arduino") and wanted != type(wanted)(NAME, wanted.stem):
        raise UsageError("--float, --name, --bits, --optimize, --profile, --unproved and --prepare need --to c or "
                         f"arduino; found --to {to}")
    if wanted.profile and wanted.floating:
        raise UsageError("--profile counts the instructions of integer code; leave out --float")
    if wanted.bits != 8 and wanted.floating:
        raise UsageError(f"--bits {wanted.bits} is for integers; leave out --float")
    check_name(wanted.name)


def _home(run: str) -> Path:
    """The folder of a run or of its weights; the current folder for the package's weights."""
    path = Path(run)
    return Path() if run == SHIPPED else path if path.is_dir() else path.parent


def _made(subject: "Subject", path: Path, to: Target, wanted: "Wanted") -> "Export":
    """The export. Raises RunError, naming the requested file, if it cannot be made or does not match PyTorch."""
    from mnist_ops.export.c.arduino import export_arduino
    from mnist_ops.export.c.target import export_c
    from mnist_ops.export.targets import export_html, export_onnx

    try:
        if to == "c":
            return export_c(subject, wanted)
        if to == "arduino":
            return export_arduino(subject, wanted)
        return export_onnx(subject, path.name) if to == "onnx" else export_html(subject)
    except RunError as error:
        raise RunError(f"{path}: {error}") from error


def _target(path: Path, to: Target) -> Path:
    """The file to write; for c the source. Raises UsageError for a wrong suffix or a missing folder."""
    endings = ENDINGS[to]
    path = completed(path, endings[0])
    if path.suffix.lower() not in endings:
        raise UsageError(f"--out {path}: expected a file ending in {' or '.join(endings)}")
    if to == "c" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", path.stem):
        raise UsageError(f"--out {path}: the source includes its header by this name; use only letters, digits, _, - "
                         "and .")
    if not os.path.isdir(path.parent):
        raise UsageError(f"--out {path}: folder {path.parent} does not exist; create it first")
    return path.with_suffix(endings[0])


def _subject(place: Path, trained: "TrainedNetwork", bits: int, *, data: str | None,
             data_dir: Path | None) -> "tuple[Subject, bool]":
    """The network to export with its test images, and whether these are the run's own."""
    from mnist_ops.export.proof import expect
    from mnist_ops.export.targets import Subject

    source, own = _images(place, trained, data, data_dir)
    for text in source.warnings:
        warn(text)
    tuned = for_bits(place, trained, source if own else None, bits)
    labelled = source.classes == trained.classes
    name = Path(source.name).name
    described = f"the {len(source.test.labels):,} test images of {name}"
    if not own:
        described += ", not the run's own data"
    untuned = None if tuned is trained else expect(trained, source.test, labelled).accuracy
    return Subject(tuned, source.test.images, expect(tuned, source.test, labelled), source.train.images, described, own,
                   untuned), own


def _images(place: Path, trained: "TrainedNetwork", data: str | None,
            data_dir: Path | None) -> "tuple[ImageDataset, bool]":
    """The data named by `data`, else the run's own, else, with a warning, the embedded digits. Downloads nothing."""
    from mnist_ops.data.catalog import CATALOG
    from mnist_ops.data.files import locate
    from mnist_ops.data.source import digits, read
    from mnist_ops.run.folder import CONFIG, read_config
    from mnist_ops.run.own_data import own_test_part

    channels, side, _ = trained.input_shape
    if data is not None:
        source = read(data, data_dir, how=trained.prepare, size=side, colour=channels == 3, fetch=False)
        return source, source.name in CATALOG and source.name == trained.dataset
    name, seed, test, skip = trained.dataset, 0, None, False
    if os.path.exists(place / CONFIG):
        config = read_config(place)
        name, seed, skip = config.data, config.seed, config.skip_damaged
        test = own_test_part(place, name)
    known = CATALOG.get(name)
    if (not known.files or locate(known, data_dir) is not None) if known else test is not None and os.path.exists(name):
        return read(name, data_dir, seed=seed, how=trained.prepare, size=side, colour=channels == 3,
                    test=test or "fifth", skip_damaged=skip, fetch=False), True
    warn(f"this run's data, {name}, was not found, so the export is compared with PyTorch on the embedded digits; "
         "use --data-dir or --data to compare on its own test images")
    return digits(trained.prepare, trained.input_shape), False


def _files(path: Path, made: "Export") -> dict[Path, bytes]:
    return {path.with_suffix(ending): content for ending, content in made.files.items()} | {
        path.with_name(name): content for name, content in made.beside.items()}


def _card(place: Path, subject: "Subject", made: "Export", files: list[Path]) -> bytes:
    from mnist_ops.export.model_card import Facts, card

    summary, record = _trained(place)
    names = ", ".join(file.name for file in files)
    facts = Facts(names, made.interface, summary, record, subject.data, made.sizes, made.snippets, made.steps)
    return card(subject.trained, facts, made.proof, subject.expected).encode()


def _trained(place: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The run's summary and its recipe's record, if they are next to the weights."""
    from mnist_ops.run.folder import SUMMARY, read_json
    from mnist_ops.run.summary import read_summary
    from mnist_ops.sweeps.records import check_record

    beside = place / SUMMARY if os.path.isdir(place) else place.with_suffix(".json")
    found = read_json(beside) if beside.exists() else {}
    if "test_images" in found:
        return read_summary(beside), None
    return None, check_record(beside, found) if "mean" in found and "n" in found else None
