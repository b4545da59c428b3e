"""Writes that fail in every way: what the command says, what it leaves, and that the next one goes on."""

import errno

import pytest

from mnist_ops.cli import main as command_line
from mnist_ops.cli.main import main
from tools.disk_layer import Layer
from tools.faults import CASES, FailureInjector, trial
from tools.in_process import carry_out, lay, together
from tools.power import prepare, training


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    place = tmp_path_factory.mktemp("faults")
    with together(place / "cache"):
        yield prepare(place / "bench")


@pytest.mark.parametrize(("fault", "told"), [
    ("EIO", "Input/output error"), ("ENOSPC", "No space left on device"), ("EDQUOT", "Disk quota exceeded")])
def test_the_second_checkpoint_cannot_be_flushed(bench, fault, told):
    lay(bench / "disk", {})
    injector = FailureInjector().fail_at("checkpoint", "flush", fault, epoch=2)
    with Layer(bench / "disk", injector.before).active():
        answer = carry_out(training(bench, "--epochs", 3, "--lr", 0.05))
    assert answer.code == 1
    assert f"checkpoint.pt: cannot be written ({told}); an existing file is unchanged." in answer.error
    resumed = carry_out(training(bench, "--epochs", 3, "--lr", 0.05, "--resume"))
    assert (resumed.code, "epoch 2" in resumed.output.lower()) == (0, True)


@pytest.mark.parametrize(("name", "every"), [("run", 60), ("export --to onnx", 30)])
def test_a_command_meets_faults_at_some_of_its_writes(bench, name, every):
    """All of them: python -m tools.faults."""
    assert trial(CASES[name], bench, every)["problems"] == []


@pytest.mark.parametrize(("error", "said"), [
    (MemoryError("Unable to allocate 9 GiB"), "out of memory (Unable to allocate 9 GiB); what was written before is "
     "whole. Close other programs, or use a smaller --batch-size or fewer --jobs"),
    (OSError(errno.ENOSPC, "No space left", "out/.lock"), "out/.lock: No space left; what was written before is whole. "
     "Free some space or check the disk, then run the same command again"),
    (OSError(errno.EIO, "Input/output error"), "Input/output error; what was written before is whole. "
     "Free some space or check the disk, then run the same command again")])
def test_a_command_without_memory_or_disk_says_so(error, said, monkeypatch, capfd):
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", failing)
    assert main(["data"]) == 1
    assert capfd.readouterr().err == f"mnist-ops: error: {said}\n"
