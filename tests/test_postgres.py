"""A study in PostgreSQL, on several workers that share no folder; skipped where there is no server to start."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import NoSuchModuleError

from mnist_ops.cli.main import main
from mnist_ops.config import recipe
from mnist_ops.data.source import read
from mnist_ops.errors import RunError, UsageError
from mnist_ops.mapping import from_mapping
from mnist_ops.search.space import read_space
from mnist_ops.search.storage import BEATS, VARIABLE, failure_of, open_storage, unreachable
from mnist_ops.search.study import plan, save
from mnist_ops.settle import settle
from tests.postgres import PASSWORD, QUOTED, free_port, server
from tests.studies import FIELDS, SETTINGS, SPACE, begun, check_made_again, strike, study_plan

TOTAL = 6


@pytest.fixture(scope="module")
def database():
    with server() as url:
        yield url


@pytest.mark.timeout(300)  # on a machine that may be busy
def test_of_three_workers_one_is_killed_and_no_trial_is_lost_or_doubled(database, tmp_path):
    """Two belong to a command. The other, which is killed before, has a folder of its own, so that only its heartbeat,
    which stops, can tell them."""
    settings, space = tmp_path / "settings.toml", tmp_path / "space.toml"
    settings.write_text(SETTINGS)
    space.write_text(SPACE)
    here, there = tmp_path / "here", tmp_path / "there"
    environment = os.environ | {VARIABLE: database}
    digits = read("digits")
    settled = from_mapping(recipe("default"), {**tomllib.loads(SETTINGS), "seed": 100}, "settings")  # a sweep's
    config = settle(settled, digits)
    one = plan("three", config, digits, read_space(tomllib.loads(SPACE), config, "space"))
    save(there, one, database)
    with begun(there, one, database) as study:
        lone = subprocess.Popen(
            [sys.executable, "-m", "mnist_ops", "search-worker", str(there), "--trials", str(TOTAL),
             "--heartbeat", "2"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            lost = strike(study, {lone.pid})
            assert lone.wait() == -signal.SIGKILL
        finally:
            lone.kill()
        time.sleep(2 * BEATS + 1)  # so that its heartbeats are missed before others have done all trials
        command = subprocess.run(
            [sys.executable, "-m", "mnist_ops", "sweep", "default", "--search", str(space), "--config", str(settings),
             "--trials", str(TOTAL), "--jobs", "2", "--heartbeat", "2", "--study", "three", "--out", str(here),
             "--json"], env=environment, capture_output=True, text=True, timeout=200)
        printed, complaints = command.stdout, command.stderr
        assert command.returncode == 0, complaints
        check_made_again(study, lost, TOTAL)
    results = json.loads(printed)
    done = results["trials"]["done"]  # two workers that looked at the same moment may have made one more
    assert TOTAL <= done <= TOTAL + 2
    assert results["trials"] == {"done": done, "trained": done, "pruned": 0, "failed": 0, "lost": 1, "infeasible": 0}
    [chosen] = results["chosen"]
    assert chosen["run"] is None or chosen["test_images"] == 360  # of the killed worker's, in a folder unknown here
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (PASSWORD, QUOTED):
        assert secret not in printed + complaints
        assert secret.encode() not in written


def test_another_machine_with_another_space_is_refused(database, tmp_path):
    with begun(tmp_path, study_plan({"fields": FIELDS}, name="two"), database):
        pass
    other = study_plan({"fields": {**FIELDS, "lr": {"low": 0.05, "high": 0.3, "log": True}}}, name="two")
    message = r"'two' that differs: space\.fields\.lr\.high: 0\.4 there, 0\.3 here"
    with pytest.raises(UsageError, match=message) as found, begun(tmp_path, other, database):
        pass
    assert QUOTED not in str(found.value)


@pytest.mark.parametrize(("right", "wrong", "message"), [
    (QUOTED, "Another%2FSecret", "password authentication failed"), ("/postgres", "/nothing", "does not exist"),
])
def test_a_storage_that_refuses_is_named_without_its_password(database, right, wrong, message, tmp_path):
    with pytest.raises(RunError, match=message) as found:
        open_storage(tmp_path, database.replace(right, wrong), 1)
    assert "tester:***@127.0.0.1" in str(found.value)
    assert "Secret" not in str(found.value)
    assert "Pa55" not in str(found.value)


def test_a_result_that_cannot_be_stored_is_told_from_a_fault():
    """Optuna ends in an AssertionError then, of which the database's error is only the context."""
    def ended(first: Exception) -> AssertionError:
        stored, end = StorageInternalError("during the commit"), AssertionError("Should not reach.")
        stored.__cause__, end.__context__ = first, stored
        return end

    lost = failure_of(ended(OSError("no route")))
    assert type(lost) is StorageInternalError  # the driver's own error is of a library that is not known
    assert str(unreachable(None, lost)).startswith("the journal: cannot be reached or used (during the commit); ")
    first = NoSuchModuleError("shut down")
    assert failure_of(ended(first)) is first
    assert failure_of(AssertionError("Should not reach.")) is None


def test_a_server_that_is_not_there_ends_the_command_before_anything_is_made(tmp_path, capfd):
    pytest.importorskip("psycopg", reason="needs the driver of the extra postgresql")
    settings, space = tmp_path / "settings.toml", tmp_path / "space.toml"
    settings.write_text(SETTINGS)
    space.write_text(SPACE)
    url = f"postgresql://somebody:s3cret@127.0.0.1:{free_port()}/studies"
    assert main(["sweep", "default", "--search", str(space), "--config", str(settings), "--storage", url,
                 "--out", str(tmp_path / "out")]) == 1
    said = capfd.readouterr().err
    assert "cannot be reached" in said
    assert "somebody:***@" in said
    assert "s3cret" not in said
    assert not (tmp_path / "out").exists()
