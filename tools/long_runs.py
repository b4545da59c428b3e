"""Many short runs in one process, with reports, predictions and exports, as a notebook or a service makes them."""

import contextlib
import io
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mnist_ops import api
from mnist_ops.classifier import load
from mnist_ops.cli.main import main
from mnist_ops.config import Config
from mnist_ops.data.source import read
from mnist_ops.mapping import from_mapping
from mnist_ops.settings_file import read_file
from tools.held import Held, grown, growth, held, lay_settings
from tools.long_sweep import pace

ENGINES: tuple[Literal["pytorch", "compiled"], ...] = ("pytorch", "compiled")
MOST_BYTES = 40_000  # that the process may grow by with each run
EXPORTS = 10  # runs for each export and sweep, which take longer than a run


def trial(count: int, folder: Path) -> dict[str, Any]:
    """So many runs with each engine in turn, each with its report, a loaded classifier and predictions; of every tenth
    an ONNX file and a page, and a sweep of two seeds."""
    settings = lay_settings(folder)
    config = from_mapping(Config(recipe="long"), read_file(settings, "--config", "configuration"), str(settings))
    images = read(config.data).test.images
    seen: list[Held] = []
    times: list[float] = []
    problems: list[str] = []
    warnings.simplefilter("ignore", UserWarning)  # that the runs are too short
    for number in range(count):
        engine = ENGINES[number % len(ENGINES)]
        path = folder / f"run{number}"
        made = api.train(replace(config, engine=engine, seed=number), out=path)
        if (made["engine"] == "pytorch") != (engine == "pytorch"):
            problems.append(f"run {number} was trained by {made['engine']}")
        codes = [quietly("report", path)]
        load(path).predict(images)
        if number % EXPORTS == 0:
            codes += [quietly("export", path, "--to", kind, "--out", path / kind) for kind in ("onnx", "html")]
            api.sweep(replace(config, engine=engine), 2, out=folder / f"sweep{number}", abreast=True)
        if any(codes):
            problems.append(f"run {number}: exit codes {codes}")
        seen.append(held())
        times.append(time.process_time())
    found = growth(seen)
    first, last = pace(times)
    return {"runs": count, "growth": found, "seconds_each": [round(first, 2), round(last, 2)],
            "course": [round(one.size / 10**6, 1) for one in seen[::max(1, count // 20)]],
            "problems": problems + grown(found, MOST_BYTES)}


def quietly(*words: object) -> int:
    """Carry out the command line in this process, without its output. -> exit code."""
    with contextlib.redirect_stdout(io.StringIO()):
        return main([str(word) for word in words])
