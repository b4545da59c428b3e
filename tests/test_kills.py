"""Runs that are killed and go on as if nothing had happened; commands that end when they are told to."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_ops.cli.main import main
from tests.miniature import REPOSITORY, children_of, is_running

QUICK = 'data = "digits"\ndevice = "cpu"\nthreads = 1\nbatch_size = 64\n[tune]\nsteps = 1000\n'
STRIKE = "import os, signal; strike = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)\n"
# Where a signal arrives, as code that runs before the command: while PyTorch is loaded, data is read, a rate is sought.
PLACES = {
    "loading": ("class Finder:\n def find_spec(self, name, *_):\n  if name == 'torch.nn.modules.conv': strike()\n"
                "import sys; sys.meta_path.insert(0, Finder())"),
    "reading": "from mnist_ops.data import source; source.digits = strike",
    "seeking": "from mnist_ops.optim import tune; tune.set_rate = strike",
}


def command(*words: object, code: str = "") -> list[str]:
    """The command line of a process that runs `code` and then mnist-ops with these words."""
    program = f"import sys\n{code}\nfrom mnist_ops.cli.main import main\nsys.exit(main())"
    return [sys.executable, "-c", program, *map(str, words)]


def told_to_end(process: subprocess.Popen[str], *numbers: signal.Signals) -> tuple[int, float, str]:
    """Send the signals. -> exit code, seconds until the end, stderr."""
    begun = time.monotonic()
    for number in numbers:
        process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    return process.returncode, time.monotonic() - begun, error


def begun(program: str) -> subprocess.Popen[str]:
    """A process that runs the program, once it has printed its first line."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(QUICK)
    return path


@pytest.mark.timeout(300)  # for machines with much other work
def test_runs_killed_at_15_moments_end_with_the_same_bits(tmp_path):
    """9 from outside, evenly over the length of a run, and 6 within the writing of a file; see tools/kills.py."""
    out = tmp_path / "kills.json"
    done = subprocess.run([sys.executable, "tools/kills.py", "--moments", "9", "--writes", "6", "--out", str(out)],
                          cwd=REPOSITORY, capture_output=True, text=True)
    assert out.exists(), done.stderr
    found = json.loads(out.read_text())
    assert found["failures"] == []
    assert (found["kills"], found["identical"], done.returncode) == (15, 15, 0)
    assert set(found["signals"]) == {"SIGKILL", "SIGTERM", "SIGINT"}
    assert found["places"]["in an epoch"] > 0
    assert found["places"]["in the writing of a file"] >= 5


@pytest.mark.parametrize("place", PLACES)
def test_sigterm_ends_a_command_wherever_it_arrives(place, tmp_path, quick):
    words = ["tune"] if place == "seeking" else ["train", "--out", tmp_path / "run"]
    done = subprocess.run(command(*words, "--config", quick, code=STRIKE + PLACES[place]), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 143
    assert done.stderr == ("mnist-ops: stopped\n" if words == ["tune"] else
                           "mnist-ops: stopped before anything was saved\n")
    assert not (tmp_path / "run").exists()


def test_sigterm_ends_a_run_within_a_second_and_says_how_to_go_on(tmp_path, quick):
    run = tmp_path / "run"
    words = ["train", "--config", quick, "--epochs", 99, "--lr", 0.05, "--no-report", "--out", run]
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "epoch  1/99" not in process.stdout.readline():
            assert process.poll() is None
        code, seconds, text = told_to_end(process, signal.SIGTERM, signal.SIGTERM)
    assert (code, text.count("stopped")) == (143, 1)
    assert seconds < 1
    assert "run is intact, with" in text
    assert "Continue with\n  mnist-ops train --out" in text
    assert "Traceback" not in text
    assert not list(run.glob(".*.part"))


# What a signal's exception does not reach: code that catches everything, and a computation outside of Python.
@pytest.mark.parametrize("busy", [
    "while True:\n  try: print('ready', flush=True); time.sleep(9)\n  except BaseException: pass",
    "threading.Timer(0.3, print, ('ready',), {'flush': True}).start(); "
    "hashlib.pbkdf2_hmac('sha256', b'', b'', 200_000_000)",
], ids=["deaf", "elsewhere"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_does_not_listen_is_ended_within_a_second(busy, number):
    program = ("import hashlib, signal, threading, time; from mnist_ops.cli.stopping import leaving, stoppable\n"
               "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
               f"with stoppable(), leaving(lambda: 'left whole'):\n {busy}")
    code, seconds, text = told_to_end(begun(program), number)
    assert (code, text) == (128 + number, "mnist-ops: left whole\n")
    assert seconds < 1


def test_a_signal_that_the_process_was_told_to_ignore_stays_ignored():
    program = ("import signal, time; from mnist_ops.cli.stopping import stoppable\n"
               "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
               "with stoppable():\n print('ready', flush=True)\n time.sleep(0.3)\nprint('done')")
    assert told_to_end(begun(program), signal.SIGINT)[0] == 0


def test_a_command_leaves_the_handlers_of_signals_as_it_found_them(capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert main(["table"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.timeout(300)
def test_a_sweep_that_is_told_to_end_takes_its_runs_with_it(tmp_path, quick):
    sweep = tmp_path / "sweep"
    words = ["sweep", "default", "--seeds", 4, "--jobs", 2, "--config", quick, "--out", sweep]
    with subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        runs = [sweep / "s0", sweep / "s1"]
        while not all((run / "config.json").exists() for run in runs):
            assert process.poll() is None
            time.sleep(0.01)
        numbers = children_of(process.pid)
        code, seconds, text = told_to_end(process, signal.SIGTERM)
    assert code == 143
    assert text == f"mnist-ops: stopped; {sweep} is intact. Run the same command to continue; finished runs are kept.\n"
    assert seconds < 1
    assert len(numbers) == 2
    assert not any(map(is_running, numbers))
    assert not list(sweep.rglob(".*.part"))


def test_a_run_stopped_at_its_pictures_is_finished_and_says_so(tmp_path, quick, monkeypatch, capfd):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mnist_ops.report.report.write_report", stopped)
    run = tmp_path / "run"
    words = ["train", "--config", str(quick), "--epochs", "1", "--lr", "0.05", "--out", str(run)]
    assert main(words) == 130
    said = f"stopped; the run in {run} is complete except for its report: mnist-ops report {run}"
    assert said in capfd.readouterr().err
    assert main([*words, "--resume"]) == 1
    assert "this run has finished all 1 epochs" in capfd.readouterr().err
