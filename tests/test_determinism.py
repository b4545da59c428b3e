"""The same seed, the same bits, in two processes; another seed others; and where PyTorch cannot, it is said."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_ops.device import activate, undetermined
from mnist_ops.events import Event, Finished, Started, StepDone, Warned
from mnist_ops.experiment import run
from mnist_ops.optim import train as training
from tests.miniature import SHORT, few_digits, of_kind, train
from tools.kills import lay_digits

# All that draws: dropout, each kind of augmentation, the order, the images of the rate search, the first weights.
SETTINGS = """
data = "mnist"
model = "seed"
device = "cpu"
batch_size = 8
epochs = 2
validation = 8
[augment]
brightness = 0.1
contrast = 0.1
perspective = 0.2
degrees = 10.0
zoom = 0.1
shear = 0.1
shift = 1.0
[tune]
highest = 1.0
steps = 24
sweeps = 1
"""
# Carries out the command with 1 and then 2 threads: (settings, data, folder) as arguments.
TWICE = """
import sys
from mnist_ops.cli.main import main
for threads in "12":
    words = ["train", "--config", sys.argv[1], "--seed", "3", "--threads", threads, "--no-report"]
    assert main([*words, "--data-dir", sys.argv[2], "--out", sys.argv[3] + threads]) == 0
"""
DETERMINISTIC = replace(SHORT, epochs=2, deterministic=True)


@pytest.fixture
def undetermined_step(monkeypatch):
    """Training steps that use an operation of which PyTorch has no deterministic form, and warn of something else."""
    real = training.step

    def step(*arguments: Any, **settings: Any) -> Any:
        torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))
        warnings.warn("something else", RuntimeWarning, stacklevel=1)
        return real(*arguments, **settings)

    monkeypatch.setattr(training, "step", step)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.timeout(300)  # for machines with much other work
def test_two_processes_give_the_same_bits_with_one_thread_and_with_two(tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS)
    lay_digits(tmp_path / "data")
    running = []
    for name in ("a", "b"):  # the order of sets and texts in memory differs between them
        # Threads that wait busily would stand in one another's way on a machine with other work.
        environment = {**os.environ, "PYTHONHASHSEED": str(ord(name)), "OMP_WAIT_POLICY": "passive"}
        words = [sys.executable, "-c", TWICE, str(settings), str(tmp_path / "data"), str(tmp_path / name)]
        running.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    for process in running:
        told = process.communicate()[0]
        assert process.returncode == 0, told
    for threads in "12":
        one, other = (tmp_path / f"{name}{threads}" for name in ("a", "b"))
        for file in ("model.safetensors", "lr.json", "config.json"):
            assert (one / file).read_bytes() == (other / file).read_bytes(), f"{file}, {threads} threads"


def test_every_seed_gives_weights_of_its_own(tmp_path):
    for seed in range(3):
        train(replace(SHORT, epochs=1, seed=seed), tmp_path / str(seed))
    assert len({(tmp_path / str(seed) / "model.safetensors").read_bytes() for seed in range(3)}) == 3


def test_what_pytorch_cannot_do_deterministically_is_said_once_and_by_name(undetermined_step, tmp_path):
    with pytest.warns(RuntimeWarning, match="something else") as others:
        events: list[Event] = list(run(DETERMINISTIC, few_digits(), tmp_path))
    assert {warning.category for warning in others} == {RuntimeWarning}  # PyTorch's own are not shown beside it
    assert of_kind(events, Warned)[1:] == [Warned("--deterministic: PyTorch has no deterministic put_ on this device, "
                                                  "so the last bits may differ from run to run")]
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)


def test_nothing_is_said_where_it_was_not_asked_for(undetermined_step, tmp_path):
    with pytest.warns(RuntimeWarning, match="something else"):
        events = list(run(replace(DETERMINISTIC, deterministic=False), few_digits(), tmp_path))
    assert not [event for event in of_kind(events, Warned) if "deterministic" in event.text]


def test_a_deterministic_run_can_be_stopped_and_leaves_the_folder_free(tmp_path):
    events = run(DETERMINISTIC, few_digits(), tmp_path)
    next(event for event in events if isinstance(event, StepDone))
    events.close()
    train(DETERMINISTIC, tmp_path, resume=True)
    torch.use_deterministic_algorithms(False)


def test_a_processor_computes_the_same_bits_in_deterministic_mode(tmp_path):
    for name, asked in (("asked", True), ("not", False)):
        train(replace(SHORT, deterministic=asked), tmp_path / name)
    assert (tmp_path / "asked" / "model.safetensors").read_bytes() == (
        tmp_path / "not" / "model.safetensors").read_bytes()


def test_deterministic_mode_leaves_nothing_to_be_chosen_by_speed(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    activate(DETERMINISTIC)
    try:
        assert torch.backends.cudnn.benchmark is False
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"  # one of the two with which cuBLAS repeats itself
    finally:
        activate(replace(DETERMINISTIC, deterministic=False))


def test_operations_are_named_and_other_warnings_pass():
    found: list[str] = []

    @undetermined(found)
    def warn() -> None:
        for name in ("grid_sampler_2d_backward_cuda", "put_"):
            warnings.warn(f"{name} does not have a deterministic implementation, but you set "
                          "'torch.use_deterministic_algorithms(True, warn_only=True)'.", UserWarning, stacklevel=1)
        warnings.warn("unrelated", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="^unrelated$") as others:
        warn()
    assert found == ["grid_sampler_2d_backward_cuda", "put_"]
    assert len(others) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_repeats_its_bits_in_deterministic_mode(tmp_path):
    for name in ("one", "two"):
        train(replace(DETERMINISTIC, device="cuda"), tmp_path / name)
    one, two = (Path(tmp_path, name, "model.safetensors").read_bytes() for name in ("one", "two"))
    torch.use_deterministic_algorithms(False)
    assert one == two
