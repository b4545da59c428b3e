"""A run's directory: made, refused, locked, reopened; its JSON read back with care."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mnist_ops.config import Augment, Config, Tune
from mnist_ops.errors import RunError, UsageError
from mnist_ops.run.folder import (
    CONFIG,
    FORMAT,
    HISTORY,
    default_path,
    latest_path,
    open_folder,
    read_config,
    read_history,
    read_json,
    write_history,
    write_json,
)

CONFIGURED = Config(recipe="default", seed=3, augment=Augment(degrees=12.0))


def made(path: Path, config: Config = CONFIGURED, resume: bool = False) -> Path:
    open_folder(path, config, resume).close()
    return path


# ---------------------------------------------------------------- open


def test_a_new_folder_holds_its_config(tmp_path):
    assert read_config(made(tmp_path / "deep" / "run")) == CONFIGURED


def test_an_empty_folder_is_taken(tmp_path):
    assert read_config(made(tmp_path)) == CONFIGURED


def test_a_folder_with_content_is_refused_without_resume(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"already exists; continue it with --resume, or choose another"):
        made(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "run"
    path.write_text("mine")
    for resume in (False, True):
        with pytest.raises(UsageError, match=r"run: is a file, expected a folder.*; choose another with --out"):
            made(path, resume=resume)
    assert path.read_text() == "mine"


def test_a_folder_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"cannot be written \(.*\); choose another folder with --out"):
        made(tmp_path / "file" / "run")


def test_resuming_with_nothing_there_starts(tmp_path):
    assert read_config(made(tmp_path / "run", resume=True)) == CONFIGURED


def test_resuming_with_the_same_config_goes_on(tmp_path):
    made(tmp_path)
    before = (tmp_path / CONFIG).read_bytes()
    made(tmp_path, resume=True)
    assert (tmp_path / CONFIG).read_bytes() == before


def test_resuming_with_another_config_names_every_field_that_differs(tmp_path):
    made(tmp_path)
    other = replace(CONFIGURED, epochs=99, augment=replace(CONFIGURED.augment, degrees=1.0), tune=Tune(steps=50))
    with pytest.raises(UsageError, match=(r"other settings \(epochs: 12 there, 99 requested; augment.degrees: 12.0 "
                                          r"there, 1.0 requested; tune.steps: 200 there, 50 requested\)")):
        made(tmp_path, other, resume=True)
    assert read_config(tmp_path) == CONFIGURED
    made(tmp_path, resume=True)  # not left locked


def test_resuming_with_other_epochs_says_why_not_and_what_works(tmp_path):
    made(tmp_path)
    with pytest.raises(UsageError, match=rf"near 0 at the end.* train --from {tmp_path} --epochs 2$"):
        made(tmp_path, replace(CONFIGURED, epochs=14), resume=True)


def test_resuming_on_other_threads_or_another_device_is_warned_of(tmp_path):
    made(tmp_path)
    folder = open_folder(tmp_path, replace(CONFIGURED, threads=3, device="cpu"), resume=True)
    folder.close()
    assert [text.partition("started with ")[2].partition(":")[0] for text in folder.warnings] == [
        "threads 0 and continues with 3", "device auto and continues with cpu"]
    assert read_config(tmp_path).threads == 3


def test_a_checkpoint_without_its_config_is_not_gone_on_with(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"of whatever run")
    with pytest.raises(RunError, match=r"has checkpoint\.pt but no config\.json, so its settings are unknown"):
        made(tmp_path, resume=True)
    assert not (tmp_path / CONFIG).exists()


def test_what_a_killed_run_left_half_written_is_removed_on_reopening(tmp_path):
    made(tmp_path)
    (tmp_path / ".model.safetensors.0123abcd.part").write_bytes(b"half")
    made(tmp_path, resume=True)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", CONFIG}


@pytest.mark.parametrize(("place", "resume"), [("run", False), (".", True)], ids=["new", "resumed"])
def test_a_folder_that_may_only_be_read_is_refused_and_stays_as_it_is(place, resume, tmp_path):
    """In a process without root's rights, which go past permissions: it gives them up where it has them."""
    program = ("import os, pathlib, sys, filelock; from mnist_ops.config import Config; "
               "from mnist_ops.errors import RunError; from mnist_ops.run.folder import open_folder\n"
               "os.geteuid() or os.setuid(65534)\n"
               "try: open_folder(pathlib.Path(sys.argv[1]), Config(), sys.argv[2] == 'True')\n"
               "except RunError as error: print(error)")
    (tmp_path / "notes.txt").write_text("mine")
    tmp_path.chmod(0o555)
    try:
        done = subprocess.run([sys.executable, "-c", program, place, str(resume)], cwd=tmp_path, capture_output=True,
                              text=True)
    finally:
        tmp_path.chmod(0o755)
    assert done.stdout == f"{place}: cannot be written (Permission denied); choose another folder with --out\n"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"cannot be written \(File name too long\); choose another folder with --out"):
        made(tmp_path / ("n" * 300))


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def none(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr("filelock.FileLock.acquire", none)
    with pytest.raises(RunError, match="its file system has no locks; choose a folder elsewhere with --out"):
        made(tmp_path / "run")


# ---------------------------------------------------------------- lock


def test_a_folder_in_use_is_refused_and_free_again_afterwards(tmp_path):
    first = open_folder(tmp_path, CONFIGURED, resume=False)
    with pytest.raises(RunError, match="another run is writing"):
        open_folder(tmp_path, CONFIGURED, resume=True)
    first.close()
    made(tmp_path, resume=True)


def test_the_lock_of_another_process_holds_and_goes_with_it_however_it_ends(tmp_path):
    program = ("import sys, time, pathlib; from mnist_ops.config import Config, Augment; "
               "from mnist_ops.run.folder import open_folder; "
               "kept = open_folder(pathlib.Path(sys.argv[1]), Config(seed=3, augment=Augment(degrees=12.0)), False); "
               "print('locked', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "locked\n"
            with pytest.raises(RunError, match="another run is writing"):
                made(tmp_path, resume=True)
        finally:
            other.kill()
    made(tmp_path, resume=True)


# ---------------------------------------------------------------- names


def test_a_run_without_a_name_gets_date_recipe_and_seed_and_a_number_where_taken(tmp_path):
    name = f"{date.today().isoformat()}-default-s3"
    assert default_path(tmp_path, CONFIGURED) == tmp_path / name
    (tmp_path / name).mkdir()
    assert default_path(tmp_path, CONFIGURED) == tmp_path / f"{name}-2"
    (tmp_path / f"{name}-2").mkdir()
    assert default_path(tmp_path, CONFIGURED) == tmp_path / f"{name}-3"


def test_the_latest_run_of_a_recipe_and_seed_is_found_again(tmp_path):
    assert latest_path(tmp_path, CONFIGURED) is None
    for other in ("2024-01-01-default-s33", "2024-01-01-default-s4", "2024-01-01-seed-s3", "notes-default-s3"):
        (tmp_path / other).mkdir()
    assert latest_path(tmp_path, CONFIGURED) is None
    for seconds, name in enumerate(("2024-01-01-default-s3-2", "2024-01-01-default-s3")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (seconds, seconds))
        assert latest_path(tmp_path, CONFIGURED) == tmp_path / name


# ---------------------------------------------------------------- JSON


def test_json_survives_and_bears_a_format(tmp_path):
    write_json(tmp_path / "one.json", {"a": [1, 2.5], "b": "ü"})
    assert read_json(tmp_path / "one.json") == {"format": FORMAT, "a": [1, 2.5], "b": "ü"}


@pytest.mark.parametrize(("content", "message"), [
    (b"{\"format\": 1,", r"one\.json: damaged, not JSON \(.*\); restore it, or train again"),
    (b"\xff\xfe\x00", "damaged, not JSON"),
    (b"", "damaged, not JSON"),
    (b"{\"format\": 1, \"accuracy\": NaN}", "damaged, not JSON .it contains NaN"),
    (b"{\"format\": 1, \"accuracy\": -Infinity}", "damaged, not JSON .it contains -Infinity"),
    (b"[" * 100_000, "damaged, not JSON"),
    (b"[1]", r"one\.json: format None, expected 2"),
    (b"{\"format\": 3}", r"one\.json: format 3, expected 2; .* another version"),
])
def test_what_is_not_json_of_ours_is_refused_by_name(content, message, tmp_path):
    (tmp_path / "one.json").write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_json(tmp_path / "one.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"config\.json: does not exist; expected a run folder"):
        read_config(tmp_path)


def test_a_config_edited_into_nonsense_is_refused_by_file_and_field(tmp_path):
    content = json.loads((made(tmp_path) / CONFIG).read_text())
    content["augment"]["degrees"] = 1000
    (tmp_path / CONFIG).write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"config\.json: augment: degrees: found 1000, expected a number from 0 to"):
        read_config(tmp_path)


# ---------------------------------------------------------------- history


ROWS = [{"train_loss": 0.5, "train_accuracy": 80.0, "last_lr": 0.1, "seconds": 2.0, "epoch": epoch} for epoch in (1, 2)]


def test_history_survives(tmp_path):
    write_history(tmp_path, ROWS)
    assert read_history(tmp_path) == ROWS
    assert len((tmp_path / HISTORY).read_text().splitlines()) == 2


def test_the_history_of_an_older_version_gets_the_names_of_this_one(tmp_path):
    old = [{"lr" if name == "last_lr" else name: value for name, value in row.items()} for row in ROWS]
    (tmp_path / HISTORY).write_text("".join(json.dumps(row) + "\n" for row in old))
    assert read_history(tmp_path) == ROWS


def test_no_history_is_an_empty_one(tmp_path):
    assert read_history(tmp_path) == []


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_last_line_that_was_cut_is_left_out(cut, tmp_path):
    write_history(tmp_path, ROWS)
    whole = (tmp_path / HISTORY).read_bytes().rstrip()
    (tmp_path / HISTORY).write_bytes(whole[:-cut])
    assert read_history(tmp_path) == ROWS[:1]


@pytest.mark.parametrize("damage", [b"{]", b"\xff\xff\xff", json.dumps(ROWS[0]).encode(), b'{"epoch": 2}',
                                    json.dumps(ROWS[1] | {"last_lr": "fast"}).encode(),
                                    json.dumps(ROWS[1] | {"train_loss": float("nan")}).encode()])
def test_another_damaged_line_is_refused_by_number(damage, tmp_path):
    (tmp_path / HISTORY).write_bytes(json.dumps(ROWS[0]).encode() + b"\n" + damage + b"\n" + b'{"epoch": 3}\n')
    with pytest.raises(RunError, match=r"history\.jsonl: line 2 is damaged .* --resume, which rewrites it"):
        read_history(tmp_path)


def test_the_config_of_a_finished_run_stays_as_it_is(tmp_path):
    made(tmp_path)
    (tmp_path / "summary.json").write_text("{}", encoding="utf-8")
    before = (tmp_path / CONFIG).read_bytes()
    made(tmp_path, replace(CONFIGURED, threads=3), resume=True)
    assert (tmp_path / CONFIG).read_bytes() == before
