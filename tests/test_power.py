"""A loss of power at any moment: what the disk may then hold, and that commands go on from it; see tools/power.py."""

import json
import os
from pathlib import Path

import pytest

from mnist_ops import disk
from mnist_ops.disk import write_whole
from tools.crash_states import contents, key, states
from tools.disk_layer import Layer, Operation
from tools.in_process import together
from tools.power import CASES, FIGURES, prepare, trial


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    place = tmp_path_factory.mktemp("power")
    with together(place / "cache"):
        yield prepare(place / "bench")


def after_power_loss(root: Path) -> set[bytes | None]:
    """What one.bin may hold (None: it is not there) if the power goes while it is replaced."""
    (root / "one.bin").write_bytes(b"old" * 500)
    layer = Layer(root)
    with layer.active():
        write_whole(root / "one.bin", b"new" * 500)
    assert layer.unseen() == set()
    return {state.get("one.bin") for done in range(len(layer.operations) + 1) for state in states(layer, done)}


def test_a_file_that_is_replaced_is_old_or_new(tmp_path):
    assert after_power_loss(tmp_path) == {b"old" * 500, b"new" * 500}


def test_without_a_flush_it_would_be_empty_or_torn(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_flush", lambda _: None)
    found = after_power_loss(tmp_path)
    assert {b"", bytes(1500), (b"new" * 500)[:512], (b"new" * 500)[:1024]} < found


def test_a_write_is_torn_at_sectors_in_any_order():
    line = bytes(range(1, 101)) * 7
    found = set(contents(b"x" * 500, [Operation("write", "", offset=500, content=line)]))
    assert found == {b"x" * 500, b"x" * 500 + line,
                     b"x" * 500 + line[:12], b"x" * 500 + line[:12] + bytes(688), b"x" * 500 + bytes(12) + line[12:],
                     b"x" * 500 + line[:524], b"x" * 500 + line[:524] + bytes(176),
                     b"x" * 500 + bytes(524) + line[524:], b"x" * 500 + bytes(700)}


def test_names_come_in_any_order_until_their_folder_is_flushed(tmp_path):
    layer = Layer(tmp_path)
    with layer.active():
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "one").touch()
        os.replace(tmp_path / "a" / "one", tmp_path / "a" / "two")
    seen = {tuple(path for path, _ in key(state)) for state in states(layer, len(layer.operations))}
    assert seen == {(), ("a",), ("a", "a/one"), ("a", "a/two")}


def test_what_passes_the_layer_by_is_found(tmp_path):
    layer = Layer(tmp_path)
    with layer.active():
        (tmp_path / "seen").write_text("x")
    (tmp_path / "unseen").write_text("x")
    assert layer.unseen() == {"unseen"}


@pytest.mark.parametrize(("name", "every"), [("run", 8), ("sweep", 25), ("search", 150), ("caches", 50)])
def test_a_command_goes_on_after_a_loss_of_power(bench, name, every):
    """At some of the moments; all of them: python -m tools.power."""
    found = trial(CASES[name], bench, every)
    assert found.problems == []
    assert set(found.outcomes) == {"the same bits"}


def test_every_moment_was_tried_and_every_result_has_the_same_bits():
    found = json.loads((FIGURES / "power.json").read_text())
    assert {case["name"] for case in found["cases"]} == set(CASES)
    for case in found["cases"]:
        assert case["problems"] == []
        assert case["outcomes"] == {"the same bits": case["tried"]}
