"""Damaged and made-up network files, spaces, studies and run folders for tools/readers.py, as hypothesis strategies;
what reads them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mnist_ops.arch.arithmetic import sizes
from mnist_ops.arch.layers import to_records
from mnist_ops.arch.network_file import read_network
from mnist_ops.arch.table import layer_text
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.config import RECIPES, Config
from mnist_ops.errors import MnistOpsError
from mnist_ops.mapping import to_mapping
from mnist_ops.settings_file import read_file
from tests.every_kind import EVERYTHING
from tools.inputs import SCALARS, TOKENS, TREES, damaged, written
from tools.run_inputs import saved

# ---------------------------------------------------------------- networks and spaces


def inline(value: Any) -> str:
    """A value as TOML writes it within a line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)} = {inline(one)}' for name, one in value.items())}}}"
    return f"[{', '.join(map(inline, value))}]" if isinstance(value, list) else json.dumps(value)


def network_files() -> SearchStrategy[bytes]:
    """Networks as TOML, damaged, and with made-up layers."""
    networks = [to_records(layers) for layers in (*MODELS.values(), EVERYTHING)]
    plain = [f"layers = {inline(one)}\n".encode() for one in networks]
    plain += ["".join(f"[[layers]]\n{''.join(f'{name} = {inline(one)}{chr(10)}' for name, one in layer.items())}"
                      for layer in networks[0]).encode()]
    every = [layer for layers in networks for layer in layers]
    layers = st.lists(st.sampled_from(every) | st.builds(
        lambda layer, changes: layer | changes, st.sampled_from(every),
        st.dictionaries(st.sampled_from(["channels", "kernel", "stride", "padding", "type", "body", "size", "share"]),
                        st.integers(-1, 5000) | TREES | st.lists(st.sampled_from(every), max_size=2), max_size=2)),
        max_size=8)
    tokens = (*TOKENS, b"{type = \"Residual\", body = [", b"]}", b"layers", b"body", b"[[layers.body]]\n", b"# {\n",
              b"0x7f")
    return damaged(plain, tokens) | (layers | TREES).map(lambda one: f"layers = {inline(one)}\n".encode())


def read_network_file(folder: Path, raw: bytes) -> object:
    """As `mnist-ops table FILE` does."""
    layers = read_network(written(folder, "network.toml", raw))
    return sizes(layers, INPUT), layer_text(layers, INPUT)


SPACE = b"""objectives = ["accuracy", "parameters"]
sampler = "nsga2"
startup_trials = 4
[fields]
lr = {low = 0.01, high = 1.0, log = true}
"augment.shift" = {low = 0, high = 4, step = 2}
optimizer = {momentum = [0.8, 0.9]}
[architecture]
blocks = {low = 2, high = 3}
channels = [4, 8]
kernels = [3, 1]
pools = [1, 2]
depthwise = [true, false]
max_parameters = 9000
"""


def spaces() -> SearchStrategy[bytes]:
    """Spaces as TOML, damaged, and with made-up values."""
    ends = SCALARS | st.sampled_from([0, 1, 0.5, 64, 2**70])
    values = (st.fixed_dictionaries({}, optional=dict.fromkeys(("low", "high", "log", "step"), ends))
              | st.lists(ends, max_size=3) | TREES)
    names = ("blocks", "channels", "kernels", "pools", "depthwise", "max_parameters", "max_macs")
    fields = st.dictionaries(st.sampled_from(["lr", "epochs", "augment.shift", "augment", "model", "seed", ""]), values,
                             max_size=2)
    made_up = st.fixed_dictionaries({}, optional={
        "objectives": TREES | st.lists(st.sampled_from(["accuracy", "macs", []]), max_size=3), "sampler": TREES,
        "startup_trials": TREES, "fields": fields, "architecture": st.dictionaries(st.sampled_from(names), values)})
    return damaged([SPACE]) | made_up.map(
        lambda one: "".join(f"{name} = {inline(value)}\n" for name, value in one.items()).encode())


def read_space_file(folder: Path, raw: bytes) -> None:
    """As --search does."""
    from mnist_ops.search.space import read_space

    path = written(folder, "space.toml", raw)
    read_space(read_file(path, "--search", "search space"), Config(), str(path)).check_budget(10, INPUT)


# ---------------------------------------------------------------- studies


@cache
def _study() -> tuple[bytes, bytes]:
    """study.json and journal.log of a study with a trial."""
    import tempfile

    from mnist_ops.search.journal import JOURNAL
    from mnist_ops.search.storage import open_storage
    from mnist_ops.search.study import STUDY, Plan, join, save

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plan = _plan(folder, Plan)
        study = join(plan, open_storage(folder, None, 60), None)
        trial = study.ask()
        plan.space.draw(trial, plan.config, 10)
        trial.set_user_attr("parameters", 3)
        study.tell(trial, [90.0, 1.0])
        save(folder, plan, None)
        return (folder / STUDY).read_bytes(), (folder / JOURNAL).read_bytes()


def _plan(folder: Path, make: Callable[..., Any]) -> Any:
    import tomllib

    from mnist_ops.search.space import read_space

    config = replace(Config(), engine="pytorch")
    return make("few", config, read_space(tomllib.loads(SPACE.decode()), config, str(folder)), "0")


def studies() -> SearchStrategy[tuple[bytes, ...]]:
    """study.json and journal.log."""
    definition, journal = _study()
    lines = journal.splitlines()
    entries = st.sampled_from(lines) | st.builds(
        lambda line, changes: json.dumps(json.loads(line) | changes).encode(), st.sampled_from(lines),
        st.dictionaries(st.sampled_from(sorted({name for line in lines for name in json.loads(line)})),
                        TREES | st.integers(0, 10), max_size=2)) | TREES.map(lambda one: json.dumps(one).encode())
    journals = damaged([journal]) | st.lists(entries, max_size=12).map(
        lambda some: b"".join(one + b"\n" for one in some))
    return st.tuples(st.just(definition) | damaged([definition]) | _changed(definition), st.just(journal) | journals)


def _changed(raw: bytes) -> SearchStrategy[bytes]:
    """A JSON object with other values for up to three of its names."""
    content = json.loads(raw)
    names = st.sampled_from([*sorted(content), "validation_accuracy", "started_from"])
    return st.dictionaries(names, TREES, max_size=3).map(
        lambda changes: json.dumps(content | changes).encode())


def read_study(folder: Path, given: tuple[bytes, ...]) -> object:
    """As a worker does before its first trial, and the end of a search."""
    from mnist_ops.search.claims import progress
    from mnist_ops.search.journal import JOURNAL
    from mnist_ops.search.storage import open_storage
    from mnist_ops.search.study import STUDY, front, join, load

    written(folder, STUDY, given[0])
    written(folder, JOURNAL, given[1])
    plan = load(folder)
    study = join(plan, open_storage(folder, None, 60), None)
    trials = study.get_trials(deepcopy=False)
    return progress(trials), front(trials, plan.space)


# ---------------------------------------------------------------- run folders

FILES = ("config.json", "summary.json", "history.jsonl", "lr.json", "split.json")


@cache
def _finished() -> tuple[bytes, ...]:
    """The files of a run that agree with each other and with the weights of `saved`."""
    from mnist_ops.optim.tune import RangeTest, Suggestion
    from mnist_ops.run.summary import summarise

    config = replace(RECIPES["quick"], model="early-pool", data="digits", epochs=2, seed=1, device="cpu", threads=1,
                     precision="float32", recipe="quick", size=28, colour=False)
    rows = [{"epoch": epoch, "train_loss": 1.0, "train_accuracy": 90.0, "last_lr": 0.1, "seconds": 1.0,
             "test_accuracy": 90.0} for epoch in (1, 2)]
    summary = summarise(config, MODELS["early-pool"], rows, correct=90, images=100,
                        by_class={"by_class": {"0": {"recall": 90.0}}}, peak_lr=0.1, search_seconds=1.0,
                        made={"torch": "2.7", "commit": None, "processes": 1})
    tuned = RangeTest((0.1, 0.2), (2.0, 1.0), (2.0, 1.0), {"steepest": Suggestion(0.1, 2.0)}, "steepest", 0.1, None)
    contents = ({**to_mapping(config)}, summary, None, asdict(tuned), {"train": ["a/1.png"], "test": ["b/2.png"]})
    history = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return tuple(history if one is None else json.dumps({"format": 2, **one}).encode() for one in contents)


def run_folders() -> SearchStrategy[tuple[bytes, ...]]:
    """The content of each of `FILES`."""
    def of_lines(raw: bytes) -> SearchStrategy[bytes]:
        return st.tuples(*(st.just(line) | _changed(line) for line in raw.splitlines())).map(
            lambda lines: b"".join(line + b"\n" for line in lines))

    return st.tuples(*(st.just(raw) | (of_lines if name.endswith("l") else _changed)(raw) | damaged([raw])
                       for name, raw in zip(FILES, _finished(), strict=True)))


def read_run_folder(folder: Path, given: tuple[bytes, ...]) -> None:
    """By all that read a finished run without its data: check, compare, sweep, the card of an export, the report."""
    for name, content in zip(FILES, given, strict=True):
        written(folder, name, content)
    written(folder, "model.safetensors", saved()[0])
    errors = []
    for read in _READ:
        try:
            read(folder)
        except MnistOpsError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _compare(folder: Path) -> None:
    from mnist_ops.comparison import page, pairs
    from mnist_ops.comparison.runs import _read, group

    recipes, _ = group([_read(folder)])
    told = pairs.pairs([*recipes, *recipes])
    json.dumps(pairs.described(recipes, told), allow_nan=False)
    page.curves_alt(recipes), page.figures_alt(recipes), page.recipe_table(recipes), page.run_table(recipes)
    page.pair_table(told), list(map(pairs.in_words, told))


def _sweep(folder: Path) -> None:
    from mnist_ops.run.summary import checked_summary
    from mnist_ops.sweeps.seeds import table

    summary = checked_summary(folder)
    table([summary, summary])


def _card(folder: Path) -> None:
    from mnist_ops.cli.export import _trained
    from mnist_ops.export.model_card import Facts, _figures

    summary, record = _trained(folder)
    _figures(Facts("a.onnx", (), summary, record, "digits", ()))


def _report(folder: Path) -> None:
    from mnist_ops.data.dataset import ImageSet
    from mnist_ops.report import alt_texts, sections
    from mnist_ops.report.findings import Findings, _in_recorded_order
    from mnist_ops.run.folder import read_config, read_history, read_json
    from mnist_ops.run.range_test import read_range_test
    from mnist_ops.run.summary import read_summary

    config, tuned = read_config(folder), read_range_test(folder / "lr.json")
    found = Findings(folder, config, tuple(read_history(folder)), tuned, read_summary(folder / "summary.json"), None,
                     None, "digits", (), (), None, None, (), (), ())
    sections.verdict(found), sections.facts(found), sections.course(found), sections.suggestions(found)
    alt_texts.rate(tuned), found.peak_rate, found.history and alt_texts.curves(found.history, found.target)
    split = read_json(folder / "split.json")
    images = ImageSet(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64), ("a/1.png",))
    _in_recorded_order(images, split.get("train"), "digits")


def _check(folder: Path) -> None:
    from mnist_ops.cli.check import _as_text, judge
    from mnist_ops.run.folder import read_json
    from mnist_ops.run.summary import contradictions

    conditions = judge(read_json(folder / "summary.json"), "digits", test_accuracy=9, parameters=10_000, epochs=20)
    "".join(map(_as_text, conditions))
    contradictions(folder)


_READ: Sequence[Callable[[Path], None]] = (_check, _sweep, _compare, _card, _report)
