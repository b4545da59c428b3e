"""What may be read from anywhere, by name: inputs for it, how it is read, and an input as the bytes of one file.

tools/fuzz.py draws the inputs at random, tools/guided.py lets libFuzzer change their bytes, and tests/corpus.zip keeps
bytes that went new ways. Each reader may give a result or refuse the input by an error for the user."""

import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from mnist_ops.data.idx import array_of, read_bytes, unpack_idx
from mnist_ops.data.source import read
from mnist_ops.data.unpack import unpack
from mnist_ops.errors import MnistOpsError
from mnist_ops.pictures.read import read_image
from tools import folder_inputs, inputs, run_inputs, text_inputs
from tools.forms import WHOLE, Form, chosen, sections

SECONDS = 2.0  # of processor time for one input, at most
BYTES = 10**9  # of memory in the process, at most


@dataclass(frozen=True)
class Reader:
    """Something that reads what may come from anywhere."""

    what: str  # in words
    inputs: Callable[[], SearchStrategy[Any]]  # made once in a process
    read: Callable[[Path, Any], object]  # (a folder to work in, an input)
    weight: float = 1.0  # of its share in all inputs; those that take long get fewer
    form: Form | None = WHOLE  # None: bytes changed at will could lead out of the folder


def _unpacked(_: Path, given: tuple[int, bytes]) -> None:
    limit, raw = given
    try:
        content = unpack(raw, limit)
    except ValueError as error:  # which its callers turn into an error that names the file
        raise MnistOpsError(str(error)) from error
    assert len(content) <= limit


def _read_idx(path: Path, dimensions: int) -> None:
    array_of(unpack_idx(path, read_bytes(path), dimensions), dimensions)


READERS = {
    "idx": Reader("IDX files", inputs.idx_files,
                  lambda folder, given: _read_idx(inputs.written(folder, "images", given[1]), given[0]),
                  form=chosen(inputs.DIMENSIONS)),
    "idx-folders": Reader("folders of IDX files", folder_inputs.idx_folders, folder_inputs.read_idx_folder,
                          form=sections(len(folder_inputs.IDX_FILES))),
    "archives": Reader(".npz archives", inputs.archives,
                       lambda folder, raw: read(str(inputs.written(folder, "arrays.npz", raw))),
                       form=inputs.archive_form()),
    "tables": Reader("CSV tables", inputs.tables,
                     lambda folder, raw: read(str(inputs.written(folder, "table.csv", raw))), 0.4),
    "gzip": Reader("gzip streams", inputs.gzip_streams, _unpacked, form=chosen(inputs.LIMITS)),
    "picture-lists": Reader("lists of labelled pictures", folder_inputs.picture_lists, folder_inputs.read_picture_list),
    "pictures": Reader("pictures", inputs.pictures,
                       lambda folder, raw: read_image(inputs.written(folder, "picture.png", raw))),
    "drawings": Reader("drawings to classify", folder_inputs.drawings, folder_inputs.classify, 0.3,
                       form=folder_inputs.drawing_form()),
    "picture-caches": Reader("caches of pictures", folder_inputs.caches, folder_inputs.read_cache,
                             form=sections(len(folder_inputs.CACHED))),
    "settings": Reader("TOML and JSON settings", inputs.settings_files, inputs.read_settings_file,
                       form=chosen(inputs.SUFFIXES)),
    "networks": Reader("network files", text_inputs.network_files, text_inputs.read_network_file),
    "spaces": Reader("spaces of a search", text_inputs.spaces, text_inputs.read_space_file, 0.5),
    "run-files": Reader("JSON files of run folders", run_inputs.run_files, run_inputs.read_run_file,
                        form=chosen(run_inputs.NAMES)),
    "run-folders": Reader("run folders", text_inputs.run_folders, text_inputs.read_run_folder, 0.5,
                          form=sections(len(text_inputs.FILES))),
    "studies": Reader("studies of a search", text_inputs.studies, text_inputs.read_study, 0.2, form=sections(2)),
    "weights": Reader("weights", run_inputs.weights_files, run_inputs.read_weights, 0.7,
                      form=run_inputs.weights_form()),
    "checkpoints": Reader("checkpoints", run_inputs.checkpoints, run_inputs.read_checkpoint, 0.5,
                          form=run_inputs.checkpoint_form()),
    "command-lines": Reader("command lines", run_inputs.command_lines, run_inputs.carry_out, 0.3, form=None),
}


@dataclass
class Tally:
    """What came of the inputs of one reader."""

    inputs: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0  # of processor time
    peak_bytes: int = 0  # of the process, PyTorch included where it is needed
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count the other's inputs too."""
        self.inputs, self.refused = self.inputs + other.inputs, self.refused + other.refused
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        self.failures += other.failures


class TooLongError(BaseException):
    """No Exception, so that no reader takes it for damage of its file."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLongError(f"more than {SECONDS:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def attempt(reader: Reader, given: Any, folder: Path, tally: Tally) -> None:
    """Feed one input and count it. Raises what the reader must not raise, or TooLongError."""
    start = time.process_time()
    tally.inputs += 1
    try:
        with _limited():
            reader.read(folder, given)
    except MnistOpsError as error:
        if not str(error).strip():
            raise AssertionError("an error without a text") from error
        tally.refused += 1
    seconds = time.process_time() - start
    tally.slowest_seconds = max(tally.slowest_seconds, seconds)
    if seconds > SECONDS:  # in code that no signal interrupts
        raise TooLongError(f"{seconds:.1f} s")


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
