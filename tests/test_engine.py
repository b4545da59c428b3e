"""Compiled training steps: gradients and updates against PyTorch's, the same bits for any number of threads, and what
happens where nothing can be compiled."""

import json
import os
import re
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, Conv, Layer, MaxPool, Norm, ReLU
from mnist_ops.arch.zoo import INPUT, MODELS, named_network
from mnist_ops.config import Augment, Fill, Optimizer, Tune
from mnist_ops.engine import build as building
from mnist_ops.engine import choice
from mnist_ops.engine.build import build
from mnist_ops.engine.choice import choose
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.engine.network import Batch, CompiledNetwork, Rates
from mnist_ops.engine.program import lower
from mnist_ops.engine.source import source
from mnist_ops.errors import RunError, TrainingError
from mnist_ops.events import Compiling, Finished, Warned
from mnist_ops.experiment import run
from mnist_ops.mapping import from_mapping
from mnist_ops.model import build as build_torch
from mnist_ops.optim.agreement import with_compiled_dropout
from mnist_ops.optim.compiled import Compiled
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.optim.schedule import RunSchedule
from mnist_ops.optim.train import train_epoch
from mnist_ops.optim.tune import RangeTest, search
from mnist_ops.run.folder import read_json
from tests.every_kind import EVERYTHING
from tests.miniature import REPOSITORY, SHORT, few_digits, few_tensors, generator, of_kind, same_run, stopped, train
from tests.sanitized import sanitizing
from tests.small_networks import architectures, trained
from tools import engines

COMPILED = replace(SHORT, engine="compiled")
PIXELS, LABELS = few_digits().train.images[:, None], few_digits().train.labels
SLOW = settings(max_examples=8, suppress_health_check=list(HealthCheck))  # a second each, to compile
# Augmentation of every kind at once.
EVERY_CHANGE = Augment(brightness=0.3, contrast=0.3, perspective=0.3, degrees=15, zoom=0.1, shear=0.1, shift=2)


@pytest.fixture(autouse=True)
def _kept(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compiled is kept from one run of the tests to the next."""
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytestconfig.cache.mkdir("engine")))


def compiled(layers: tuple[Layer, ...], optimizer: str = "sgd", *, images: int = 40, threads: int = 1,
             ) -> CompiledNetwork:
    program = lower(layers, INPUT)
    return CompiledNetwork(build(source(program, optimizer)).load(), program, images, threads)


def on(network: nn.Module, layers: tuple[Layer, ...], optimizer: str = "sgd", **options: Any) -> Compiled:
    """Compiled steps that begin with the state of PyTorch's network."""
    steps = Compiled(compiled(layers, optimizer, **options), "test")
    steps.load(network)
    return steps


def batch(index: NDArray[np.int64]) -> Batch:
    return Batch(PIXELS, LABELS, index, [0.13], [0.31])


def reference(layers: tuple[Layer, ...], seed: int, drawn: int) -> nn.Module:
    """PyTorch's network in float64, its dropout by the compiled steps' draws."""
    return with_compiled_dropout(trained(layers, seed).network.double().train(), drawn)


def gradient(network: nn.Module, index: NDArray[np.int64], noise: float = 0.0,
             seed: int = 0) -> tuple[NDArray[np.float64], float]:
    """Of the mean loss with label smoothing 0.1, by autograd in the network's precision; parameters off by a share of
    `noise`."""
    kind = next(network.parameters()).dtype
    draws = torch.Generator().manual_seed(seed)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + noise * torch.randn(parameter.shape, generator=draws, dtype=kind))
    grey = (torch.from_numpy(PIXELS[index]).to(kind) / 255 - 0.13) / 0.31
    loss = F.cross_entropy(network(grey), torch.from_numpy(LABELS[index]) % 3, label_smoothing=0.1)
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), before, strict=True):
            parameter.copy_(value)
    whole = [torch.zeros_like(p) if g is None else g for p, g in zip(network.parameters(), found, strict=True)]
    return torch.cat([one.flatten() for one in whole]).numpy(), float(loss.detach())


def check_gradient(layers: tuple[Layer, ...], count: int, threads: int = 1) -> bool:
    """False where float32 has not the digits that are compared: where a millionth in the weights changes the gradient
    of every batch, as with nearly equal values in a window, or sums nearly cancel, so that PyTorch's is off as well."""
    stream, network = 12345, reference(layers, 0, 12345)
    for seed in range(10):
        index = np.random.default_rng(seed).permutation(len(LABELS))[:count]
        expected, loss = gradient(network, index)
        scale = np.abs(expected).max()
        if all(np.abs(gradient(network, index, 1e-6, near)[0] - expected).max() < 2e-5 * scale for near in range(6)):
            break
    else:
        return False
    steps = on(trained(layers).network, layers, threads=threads)
    given = replace(batch(index), labels=LABELS % 3)
    total, _ = steps.network.step(given, Rates(), Rates(), smoothing=0.1, stream=stream)
    assert total / count == pytest.approx(loss, abs=2e-6 * max(1, abs(loss)))
    apart = np.abs(steps.network.gradient() - expected).max()
    if apart > 1e-5 * scale and np.abs(gradient(network.float(), index)[0] - expected).max() > 1e-5 * scale:
        return False
    assert apart <= 1e-5 * scale
    return True


@SLOW
@given(architectures())
def test_gradients_of_any_network_are_those_of_float64(layers):
    assume(check_gradient(layers, 19, threads=2))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("count", [1, 32, 37])
def test_gradients_of_every_named_network_are_those_of_float64(name, count):
    if count == 1 and any(isinstance(layer, Norm) for layer in MODELS[name]):
        count = 2  # a norm needs more than one element of a channel
    # Of all the ReLUs of "pictures" some always turn at a millionth, so it is made narrower.
    assert check_gradient(named_network("pictures*0.1") if name == "pictures" else MODELS[name], count)


def test_gradients_of_layers_of_every_kind_are_those_of_float64():
    assert check_gradient(EVERYTHING, 33)
    assert check_gradient((Conv(6, kernel=5, stride=2), Norm(), Conv(4, kernel=3, groups=2, padding=1, bias=True),
                           MaxPool(3, 2), AvgPool(5), Conv(3, kernel=1)), 33)


# Without maxima, which turn the last bit of a number into another pixel.
SMOOTH = (Conv(6, stride=2), Norm(), ReLU(), Conv(12, groups=2), Norm(), ReLU(), AvgPool(2), Conv(20), Norm(), ReLU(),
          AdaptiveAvgPool(1), Conv(10, kernel=1, bias=True))


def after_an_epoch(optimizer: Optimizer, rate: float, *, is_compiled: bool, fill: Fill = "mean",
                   roll: int = 0) -> NDArray[np.float32]:
    """The weights after ten batches of 32 images and one of 10, rolled by so many pixels, changed in every way."""
    config = replace(SHORT, optimizer=optimizer, augment=replace(EVERY_CHANGE, fill=fill))
    network = build_torch(SMOOTH, INPUT, generator())
    updates = make_optimizer(network, optimizer, rate)
    steps = on(network, SMOOTH, optimizer.name) if is_compiled else None
    plan = RunSchedule(config.schedule, peak=rate, epochs=3, steps_per_epoch=11)
    data = few_tensors(330)
    data = replace(data, train=replace(data.train, images=torch.roll(data.train.images, (roll, roll), (2, 3))))
    for _ in train_epoch(network, updates, data, config, epoch=0, plan=plan, compiled=steps):
        pass
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()]).numpy()


# AdamW divides by the gradient's size, so that its steps for the smallest ones are mostly rounding.
@pytest.mark.parametrize(("optimizer", "rate"), [
    (Optimizer(name="sgd"), 0.02), (Optimizer(name="adamw", weight_decay=0.1), 0.001), (Optimizer(name="muon"), 0.02),
    (Optimizer(label_smoothing=0.1, class_weights="balanced"), 0.02)])
def test_an_epoch_ends_in_pytorchs_weights(optimizer, rate):
    expected, found = (after_an_epoch(optimizer, rate, is_compiled=each) for each in (False, True))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    if optimizer.class_weights == "balanced":
        unweighted = after_an_epoch(replace(optimizer, class_weights="none"), rate, is_compiled=True)
        assert np.abs(found - unweighted).max() > 1e-3 * np.abs(expected).max()


def test_an_epoch_on_pictures_continued_by_their_edge_ends_in_pytorchs_weights():
    cases: tuple[tuple[bool, Fill], ...] = ((False, "edge"), (True, "edge"), (True, "mean"))
    expected, found, other = (after_an_epoch(Optimizer(), 0.02, is_compiled=is_compiled, fill=fill, roll=14)
                              for is_compiled, fill in cases)  # rolled, there is ink at the edges
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(found - other).max() > 1e-2 * np.abs(expected).max()


def test_all_bits_are_the_same_for_any_number_of_threads():
    results = []
    for threads in (1, 2, 4):
        steps = on(trained(MODELS["seed"]).network, MODELS["seed"], images=70, threads=threads).network
        for number, count in enumerate((70, 70, 37, 3)):
            steps.step(batch(np.arange(count)), Rates(0.1, 0.9), Rates(0.1, 0.9), smoothing=0.1, stream=number)
        results.append(b"".join(one.tobytes() for one in (steps.values, steps.first, steps.running,
                                                          steps.read(batch(np.arange(90))))))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("layers", [EVERYTHING, MODELS["separable"]])
def test_an_evaluation_gives_pytorchs_logits(layers):
    network = trained(layers).network
    with torch.no_grad():
        expected = network((torch.from_numpy(PIXELS[:37]).float() / 255 - 0.13) / 0.31).numpy()
    found = on(network, layers, threads=2).network.read(batch(np.arange(37)))
    assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_a_weight_that_is_not_a_number_is_seen_in_every_logit():
    steps = on(trained(MODELS["early-pool"]).network, MODELS["early-pool"]).network
    steps.values[0] = np.nan
    assert np.isnan(steps.read(batch(np.arange(5)))).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_compiled_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, optimizer):
    config = replace(COMPILED, model="seed", optimizer=Optimizer(name=optimizer), lr=0.01)
    train(config, tmp_path / "whole")
    for name, batches in (("between", 0), ("within", 2)):
        stopped(config, tmp_path / name, after=1, batches=batches)
        train(config, tmp_path / name, resume=True)
        same_run(tmp_path / "whole", tmp_path / name)
    assert read_json(tmp_path / "whole" / "config.json")["engine"] == "compiled"


def test_a_compiled_loss_that_is_not_finite_ends_the_run(tmp_path):
    with pytest.raises(TrainingError, match=r"epoch 1, batch \d: the training loss is (nan|inf).*Try a lower --lr"):
        train(replace(COMPILED, lr=1e30), tmp_path / "run")


def test_compiling_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = [len(of_kind(run(replace(COMPILED, epochs=1), few_digits(), tmp_path / name), Compiling))
            for name in ("first", "second")]
    assert said == [1, 0]


def test_the_summary_names_the_compiler_of_the_steps(tmp_path):
    made = []
    for engine in ("compiled", "pytorch"):
        events = run(from_mapping(COMPILED, {"epochs": 1, "engine": engine}, ""), few_digits(), tmp_path / engine)
        made.append(of_kind(events, Finished)[0].summary["engine"])
    assert made == [choice.plan(COMPILED, MODELS[COMPILED.model]).made_by, "pytorch"]


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(("text", "why"), [
    ("echo broken >&2; exit 1", r"cc failed \(exit code 1\).*\n*broken"),
    ('case "$*" in *-dM*) exec cc "$@";; esac; sleep 60', "did not end within 2 seconds"),
    ('case "$*" in *-dM*) exec cc "$@";; esac; echo no library > "$(echo "$*" | sed "s/.*-o \\([^ ]*\\).*/\\1/")"',
     "cannot be kept or loaded"),
])
def test_where_compiling_fails_the_run_is_pytorchs(tmp_path, monkeypatch, text, why):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", script(tmp_path / "cc", text))
    monkeypatch.setattr(building, "SECONDS", 2)
    check_fallback(tmp_path, why)


def check_fallback(folder: Path, why: str) -> None:
    """A run that asks for compiled steps says why they are PyTorch's, and ends as a run of PyTorch does."""
    events = list(run(replace(COMPILED, epochs=1), few_digits(), folder / "run"))
    assert [warning.text for warning in of_kind(events, Warned) if "training steps are PyTorch's" in warning.text] != []
    assert any(re.search(why, warning.text, re.DOTALL) for warning in of_kind(events, Warned))
    assert read_json(folder / "run" / "config.json")["engine"] == "pytorch"
    train(replace(SHORT, epochs=1, engine="pytorch"), folder / "of pytorch")
    assert (folder / "run" / "model.safetensors").read_bytes() == (
        folder / "of pytorch" / "model.safetensors").read_bytes()


def test_without_a_compiler_the_run_is_pytorchs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "")
    check_fallback(tmp_path, "no C compiler is here")


def test_where_the_cache_cannot_be_written_the_run_is_pytorchs(tmp_path, monkeypatch):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check_fallback(tmp_path, "cannot be kept or loaded")


def test_steps_that_compute_something_else_are_not_trained_with(tmp_path, monkeypatch):
    written = source
    monkeypatch.setattr(choice, "source", lambda *given: written(*given).replace("value > most", "value < most")
                        .replace("best = choose(higher, value, best)", "best = choose(higher, best, value)"))
    check_fallback(tmp_path, r"the logits of a compiled step .* differ from PyTorch's by .* Name another one with \$CC")


@pytest.mark.parametrize("damage", ["cut short", "half of zeros", "text", "no sum", "another sum", "missing"])
def test_a_damaged_library_is_built_again(damage, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = build(f"int lanes(void) {{ return 7; }} /* {damage} */")
    assert not made.is_done
    made.load()
    assert made.is_done
    content, kept = made.path.read_bytes(), made.path.with_suffix(".sha256")
    damaged = {"cut short": content[:8192], "half of zeros": content[:5000] + bytes(len(content) - 5000),
               "text": b"text"}
    made.path.unlink()  # the library is still mapped, and must not change
    if damage != "missing":
        made.path.write_bytes(damaged.get(damage, content))
    if damage == "no sum":
        kept.unlink()
    if damage == "another sum":
        kept.write_text("0" * 64)
    assert not made.is_done
    assert made.load().lanes() == 7
    assert made.is_done
    assert made.path.read_bytes()[:4] == content[:4]


def test_what_several_want_is_built_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", script(tmp_path / "cc", f'echo "$*" >> {tmp_path}/calls; exec cc "$@"'))
    made = build("int lanes(void) { return 1; }")
    threads = [threading.Thread(target=made.load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = (tmp_path / "calls").read_text("utf-8").splitlines()
    assert sum("-dM" not in call for call in calls) == 1


def test_the_libraries_used_longest_ago_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(building, "MOST_KEPT", 2)
    made = [build(f"int lanes(void) {{ return {number}; }}") for number in range(3)]
    for second, one in enumerate((made[0], made[1], made[0], made[2])):
        one.load()
        os.utime(one.path, (second, second))
    assert [one.is_done for one in made] == [True, False, True]


def test_sanitizers_find_nothing(tmp_path):
    if (variables := sanitizing(tmp_path)) is None:
        pytest.skip("needs gcc's sanitizers")
    done = subprocess.run([sys.executable, "-m", "tests.sanitized"], capture_output=True, text=True, check=False,
                          cwd=REPOSITORY, env=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "16", "17", "40", "torch:", "False"]
    assert "runtime error" not in done.stderr


def test_a_processor_without_wide_vectors_works(monkeypatch):
    monkeypatch.setenv("CFLAGS", "-march=x86-64" if os.uname().machine == "x86_64" else "")
    assert check_gradient(EVERYTHING, 19)


LARGE = replace(SHORT, epochs=1000, model="early-pool")


@pytest.mark.parametrize(("config", "processes", "engine", "note"), [
    (LARGE, 1, "compiled", ""),
    (replace(LARGE, engine="pytorch"), 1, "pytorch", ""),
    (replace(LARGE, epochs=1), 1, "pytorch", ""),  # not worth the seconds
    (replace(LARGE, epochs=1, engine="compiled"), 1, "compiled", ""),
    (replace(LARGE, device="cuda"), 1, "pytorch", ""),
    (replace(LARGE, device="cuda", engine="compiled"), 1, "pytorch", "the device is cuda"),
    (LARGE, 2, "pytorch", ""),
    (replace(LARGE, engine="compiled"), 2, "pytorch", "several processes train together"),
    (replace(LARGE, precision="bfloat16", engine="compiled"), 1, "pytorch", "the precision is bfloat16"),
])
def test_the_engine_is_chosen_by_device_processes_precision_and_work(config, processes, engine, note):
    chosen = choose(config, named_network(config.model), 5000, processes)
    assert (chosen.engine, note in chosen.note, bool(chosen.note)) == (engine, True, bool(note))


def test_a_network_that_ends_in_a_map_says_why_it_is_pytorchs():
    chosen = choose(LARGE, (Conv(4), Conv(10)), 5_000_000, 1)
    assert chosen.engine == "pytorch"
    assert "cannot end in a map of more than one pixel" in chosen.note


def test_a_build_without_a_compiler_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "")
    with pytest.raises(RunError, match=r"no C compiler is here \(looked for \$CC, cc, gcc and clang\)"):
        build("")


def test_the_search_for_the_rate_takes_compiled_steps_where_the_config_does(monkeypatch):
    taken = []
    step = CompiledNetwork.step

    def counted(self, *given, **named):
        taken.append(1)
        return step(self, *given, **named)

    monkeypatch.setattr(CompiledNetwork, "step", counted)
    short = replace(COMPILED, lr="auto", tune=Tune(steps=20, sweeps=1))
    rates = [of_kind(search(replace(short, engine=engine), few_digits()), RangeTest)[0].lr
             for engine in ("compiled", "pytorch")]
    assert len(taken) > 0
    assert rates[0] == pytest.approx(rates[1], rel=0.01)


def test_the_page_of_the_engine_is_of_the_figures_on_file(capsys):
    assert engines.main(["--check"]) == 0, capsys.readouterr().err


def test_engines_are_compared_by_a_sweep_of_each_and_a_recipe_with_one_is_refused(tmp_path):
    for engine, accuracies in (("compiled", (99.0, 99.2)), ("pytorch", (99.1, 99.0))):
        run = tmp_path / engine / "s0"
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps({"engine": engine}))
        runs = [{"seed": seed, "test_accuracy": accuracy} for seed, accuracy in enumerate(accuracies)]
        (run.parent / "results.json").write_text(json.dumps({"recipe": "quick", "dataset": "mnist", "runs": runs}))
    both = [tmp_path / "pytorch", tmp_path / "compiled"]
    assert "| `quick` | 2 | 99.100 % | 99.050 % | +0.050 |" in engines.section(engines.measured(both))
    with pytest.raises(SystemExit, match="quick: found a sweep by pytorch, expected one by compiled and one by"):
        engines.measured(both[:1])


def test_pytorch_has_one_thread_while_compiled_steps_are_taken_and_its_own_before_and_after():
    data, network = few_tensors(), build_torch(SMOOTH, INPUT, generator())
    updates, plan = make_optimizer(network, COMPILED.optimizer, 0.1), RunSchedule(COMPILED.schedule, 0.1, 3, 3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        epoch = train_epoch(network, updates, data, COMPILED, epoch=0, plan=plan, compiled=on(network, SMOOTH))
        assert [torch.get_num_threads() for _ in epoch] == [1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
