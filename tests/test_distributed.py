"""Real processes of torchrun, on gloo: one run between two, one of them killed, stopped, at fault, or started again."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from torch import distributed

from mnist_ops.cli.main import main
from mnist_ops.errors import RunError, UsageError
from mnist_ops.parallel import torchrun
from mnist_ops.parallel.team import ALONE
from mnist_ops.parallel.torchrun import joined, restarted
from mnist_ops.run.folder import read_history, read_json

PLAIN = """
data = "digits"
device = "cpu"
threads = 2
precision = "float32"
batch_size = 32
epochs = 4
lr = 0.045
model = "early-pool"
norm = "none"
[augment]
degrees = 0.0
shift = 0.0
zoom = 0.0
shear = 0.0
"""
# The command, after code that says what is special: RANK and the number of torchrun's attempts are in the environment.
PROGRAM = """import os, signal, sys, time
rank, attempt = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
from mnist_ops.optim import train
real = train.learning_rate
def rate(plan, step, losses):
    at(step)
    return real(plan, step, losses)
train.learning_rate = rate
{at}
from mnist_ops.cli.main import main
sys.exit(main())
"""
DIE_IN_THIRD_EPOCH = """def at(step):
    if rank == 1 and attempt == 0 and step == 95:
        os.kill(os.getpid(), signal.SIGKILL)"""
STAY_IN_THIRD_EPOCH = """def at(step):
    time.sleep(0.2 * (step > 92))"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "plain.toml"
    path.write_text(PLAIN)
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process, against which the others are held."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "plain.toml").write_text(PLAIN)
    assert main(["train", "--config", str(folder / "plain.toml"), "--out", str(folder / "run"), "--no-report",
                 "--threads", "1"]) == 0
    return folder / "run"


def begin(folder: Path, *words: object, at: str = "", options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """torchrun with two processes of `mnist-ops train`; `at` is code for PROGRAM."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]
    if at:
        (folder / "program.py").write_text(PROGRAM.format(at=at))
    command += [str(folder / "program.py")] if at else ["-m", "mnist_ops"]
    return subprocess.Popen([*command, "train", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, cwd=folder, start_new_session=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """-> exit code, stdout, stderr; whatever happens, nothing of the job is left."""
    try:
        out, error = process.communicate(timeout=100)
        return process.returncode, out, error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def losses(path: Path) -> list[float]:
    return [row[name] for row in read_history(path) for name in ("train_loss", "test_loss")]


def as_alone(path: Path, alone: Path) -> None:
    assert len(losses(alone)) == 8
    assert losses(path) == pytest.approx(losses(alone), abs=1e-4)
    assert losses(alone)[-1] < 0.9 * losses(alone)[0]


def said(error: str) -> list[str]:
    return [line for line in error.splitlines() if line.startswith("mnist-ops:")]


def test_one_process_needs_no_group(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert not restarted()
    with joined() as team:
        assert team is ALONE
        assert team.tell("word") == "word"
    monkeypatch.setenv("WORLD_SIZE", "8")  # of another scheduler, which says no address
    with joined() as team:
        assert team is ALONE


@pytest.mark.timeout(200)
def test_a_process_that_is_killed_ends_the_job_and_any_number_of_processes_goes_on(tmp_path, config, alone):
    words = ["--config", config, "--no-report", "--out", tmp_path / "run"]
    process = begin(tmp_path, *words, at=DIE_IN_THIRD_EPOCH)
    history, begun = tmp_path / "run" / "history.jsonl", time.monotonic()
    while not (history.exists() and len(history.read_text().splitlines()) == 2) and time.monotonic() < begun + 60:
        time.sleep(0.05)
    seen = time.monotonic()
    code, _, error = ended(process)
    assert time.monotonic() - seen < 30
    assert code == 1
    assert len(said(error)) == 1
    assert re.search(r"process 1 \(.+, process id \d+\) of this job has ended", error) or \
        "is intact, with 2 finished epochs" in error
    assert "Signal 9 (SIGKILL)" in error  # torchrun's own word on it
    assert len(read_history(tmp_path / "run")) == 2
    assert main(["train", *map(str, words), "--resume"]) == 0
    as_alone(tmp_path / "run", alone)


@pytest.mark.timeout(200)
def test_two_processes_of_which_one_dies_and_torchrun_restarts_both_have_one_process_losses(tmp_path, config, alone):
    """Without --out or --resume: the first process finds the folder again. It alone speaks, once of each epoch."""
    code, out, error = ended(begin(tmp_path, "--config", config, "--no-report", at=DIE_IN_THIRD_EPOCH,
                                   options=("--max-restarts", "1")))
    assert code == 0, error
    (path,) = (tmp_path / "runs").iterdir()
    as_alone(path, alone)
    assert [out.count(f"epoch {epoch}/4") for epoch in range(1, 5)] == [1] * 4
    assert "Resuming after epoch 2 of 4" in out
    assert out.count("Result (epoch 4)") == 1
    assert len(said(error)) <= 1
    summary: dict[str, Any] = read_json(path / "summary.json")
    assert (summary["processes"], summary["threads"], summary["test_images"]) == (2, 2, 360)


def test_sigterm_ends_all_processes_with_one_word_and_a_whole_folder(tmp_path, config):
    process = begin(tmp_path, "--config", config, "--no-report", "--out", tmp_path / "run", at=STAY_IN_THIRD_EPOCH)
    history, begun = tmp_path / "run" / "history.jsonl", time.monotonic()
    while not (history.exists() and len(history.read_text().splitlines()) == 2) and time.monotonic() < begun + 60:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, _, error = ended(process)
    assert code != 0
    assert [line for line in said(error) if "stopped" in line] == said(error)
    assert len(said(error)) == 1
    assert "is intact, with 2 finished epochs" in error
    assert len(read_history(tmp_path / "run")) == 2


def test_the_error_of_one_process_is_said_once(tmp_path, config):
    """Process 1 alone is given another seed: it says so; the first, told to end, at most says what it leaves."""
    at = "def at(step): pass\nsys.argv += ['--seed', '7'] * rank"
    code, out, error = ended(begin(tmp_path, "--config", config, "--out", tmp_path / "run", at=at))
    assert code == 1
    assert [line for line in said(error) if "mnist-ops: stopped" not in line] == [
        "mnist-ops: error: process 1 of this job has another seed than process 0; start all with the same command, "
        "program and data"]
    assert "epoch 1" not in out


STOP_IN_SECOND_EPOCH = """def at(step):
    if rank == 1 and step == 50:
        os.kill(os.getpid(), signal.SIGSTOP)"""


@pytest.mark.timeout(100)
def test_a_process_that_hangs_ends_the_job_and_is_named(tmp_path, config, monkeypatch):
    monkeypatch.setenv("MNIST_OPS_ANSWER", "1.5")
    process = begin(tmp_path, "--config", config, "--no-report", "--out", tmp_path / "run",
                    at=STOP_IN_SECOND_EPOCH)
    assert process.stderr is not None
    said = ""
    while "mnist-ops: error" not in said:
        said = process.stderr.readline()
        assert said, process.poll()
    number = re.search(r"process 1 \(.+, process id (\d+)\) of this job has ended, or not answered for 1.5 "
                       r"seconds \(.+\); see the output of each or torchrun's\.", said)
    assert number, said
    os.kill(int(number[1]), signal.SIGKILL)  # for which torchrun takes 30 s
    code, _, _ = ended(process)
    assert code == 1


def test_a_first_process_that_stops_while_the_others_wait_for_it_is_named_and_a_slow_one_is_not():
    store = distributed.HashStore()  # type: ignore[attr-defined]
    leader, other = (torchrun._Group(store, rank, 2, 1.0) for rank in (0, 1))
    store.set("who 0", "here, process id 7")
    with leader.present():
        threading.Timer(1.5, leader.tell, ["the rate"]).start()
        assert other.tell(None) == "the rate"
    with pytest.raises(RunError, match=r"process 0 \(here, process id 7\) of this job has ended, or not answered for "
                                       r"1 seconds .*continue with --resume.* set \$MNIST_OPS_ANSWER"):
        other.tell(None)


@pytest.mark.parametrize("text", ["0.5", "soon", "nan", "1e9"])
def test_the_seconds_to_answer_are_checked(text, monkeypatch):
    monkeypatch.setenv("MNIST_OPS_ANSWER", text)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"\$MNIST_OPS_ANSWER: found .*, expected seconds from 1 to 86,400"), joined():
        pass


def test_processes_that_do_not_find_each_other_say_so(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torchrun, "MEETING", timedelta(seconds=1))
    with pytest.raises(RunError, match=r"the 2 processes of this job have not found each other at 127\.0"), joined():
        pass
