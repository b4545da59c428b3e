"""What "auto" becomes on this machine, and what is said where a device is missing."""

from dataclasses import replace

import pytest
import torch

from mnist_ops import device
from mnist_ops.config import Config
from mnist_ops.device import activate, available_cores, resolve, share_out
from mnist_ops.errors import UsageError
from mnist_ops.randomness import stream


@pytest.fixture
def machine(monkeypatch):
    """Call it with the accelerators that are to be there."""

    def pretend(cuda: bool = False, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(("there", "expected"), [
    ({}, "cpu"), ({"cuda": True}, "cuda"), ({"mps": True}, "mps"), ({"cuda": True, "mps": True}, "cuda"),
])
def test_auto_takes_the_fastest_device_there_is(there, expected, machine):
    machine(**there)
    assert resolve(Config()).device == expected


def test_auto_agrees_with_torch_about_this_machine():
    assert (resolve(Config()).device == "cuda") == torch.cuda.is_available()


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device, machine):
    machine()
    with pytest.raises(UsageError, match=f"device: {device} is not available; available: cpu$"):
        resolve(Config(device=device))


def test_the_processor_can_be_asked_for_beside_a_gpu(machine):
    machine(cuda=True)
    assert resolve(Config(device="cpu")).device == "cpu"


def test_auto_computes_in_bfloat16_where_the_device_does_so_natively(machine, monkeypatch):
    machine(cuda=True, mps=True)
    for native, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert resolve(Config(device="cpu")).precision == expected
    assert resolve(Config(device="cuda")).precision == "bfloat16"
    assert resolve(Config(device="mps")).precision == "float32"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_asked_for_stays(precision):
    assert resolve(Config(device="cpu", precision=precision)).precision == precision


@pytest.mark.parametrize(("variable", "threads"), [(None, 8), ("3", 3), ("3,2", 3), ("0", 8), ("many", 8), ("", 8)])
def test_no_threads_given_means_those_of_the_environment_or_every_core(variable, threads, monkeypatch):
    monkeypatch.setattr(device, "available_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    once = resolve(Config(device="cpu"))
    assert once.threads == threads
    assert resolve(once) == once
    assert resolve(Config(device="cpu", threads=5)).threads == 5


@pytest.mark.parametrize(("asked", "environment", "expected"), [
    ((0, None, 10), {}, (1, 8)),  # a run for each core
    ((0, None, 3), {}, (2, 3)),  # three runs share eight cores
    ((0, 2, 10), {}, (4, 2)),
    ((5, 2, 10), {}, (5, 2)),
    ((0, 1, 10), {"OMP_NUM_THREADS": "2"}, (2, 1)),
])
def test_runs_share_the_cores(asked, environment, expected, monkeypatch):
    monkeypatch.setattr(device, "available_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    threads, jobs, most = asked
    config, at_a_time = share_out(Config(device="cpu", threads=threads), jobs, most)
    assert (config.threads, at_a_time) == expected


def test_on_a_gpu_one_run_is_made_at_a_time_and_may_use_every_core(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("OMP_NUM_THREADS")
    config, jobs = share_out(Config(device="cuda"), None, 10)
    assert (config.threads, jobs) == (available_cores(), 1)


def test_activating_sets_the_threads_and_gives_the_device():
    config = resolve(Config(device="cpu", threads=2))
    try:
        assert activate(config) == torch.device("cpu")
        assert torch.get_num_threads() == 2
    finally:
        activate(replace(config, threads=1))


def test_deterministic_is_switched_on_and_off_again():
    config = resolve(Config(device="cpu", threads=1, deterministic=True))
    try:
        activate(config)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        activate(replace(config, deterministic=False))
    assert not torch.are_deterministic_algorithms_enabled()


def test_streams_of_randomness_repeat_and_differ_in_each_of_their_arguments():
    def drawn(*arguments: object) -> float:
        return float(torch.rand((), generator=stream(*arguments), dtype=torch.float64))  # type: ignore[arg-type]

    assert drawn(0, "warp", 3) == drawn(0, "warp", 3)
    others = {drawn(seed, purpose, count) for seed in range(5) for purpose in ("warp", "order") for count in range(20)}
    assert len(others) == 200
