"""Compiles random networks under the address and undefined-behaviour sanitizers, and compares them with PyTorch.

    python -m tools.sanitized --networks 100     figures become docs/figures/sanitized.json

For each network: a training step and an evaluation of the engine under GCC's sanitizers, with every augmentation and
batches of several sizes; the step's gradient against PyTorch's in float64; and the C code of its export, in float32 and
of 8, 4 and 2 bits, under the sanitizers against PyTorch's logits and the integers of the reference."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, settings

from mnist_ops.arch.layers import Layer, to_records
from mnist_ops.export.c import code, compiler
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.run.folder import write_json
from mnist_ops.sweeps.records import machine
from tests import test_c, test_engine
from tests.sanitized import sanitizing
from tests.small_networks import architectures, images, logits, trained

REPOSITORY = Path(__file__).resolve().parents[1]
FIGURES = REPOSITORY / "docs" / "figures" / "sanitized.json"
OF_C: Any = test_c  # whose functions have no types


def steps(layers: tuple[Layer, ...], place: Path) -> None:
    """Raise AssertionError if the sanitizers find anything in the engine's steps."""
    path = place / "layers.json"
    path.write_text(json.dumps(to_records(layers)))
    done = subprocess.run([sys.executable, "-m", "tests.sanitized", str(path)], capture_output=True, text=True,
                          check=False, cwd=REPOSITORY, env=sanitizing(place))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "runtime error" not in done.stderr, done.stderr[-2000:]


def gradients(layers: tuple[Layer, ...], _: Path) -> bool:
    """Whether they could be compared: not where float32 lacks the digits. Raises AssertionError if they differ."""
    return test_engine.check_gradient(layers, 19)


def float32(layers: tuple[Layer, ...], _: Path) -> None:
    """Raise AssertionError if the C code computes other logits than PyTorch, or RunError if a sanitizer ends it."""
    one = trained(layers)
    texts = code.render(stages(fold_trained(one)), OF_C.naming(len(one.classes)))
    found = compiler.run_compiled(texts, images(), stem="network", name="tiny", flags=OF_C.SANITIZED)
    np.testing.assert_allclose(found.logits, logits(one, images()), rtol=1e-4, atol=1e-4)


def integers(layers: tuple[Layer, ...], _: Path) -> None:
    """The same for weights of few bits, whose integers must be equal."""
    for bits in (8, 4, 2):
        OF_C.agree(OF_C.integer(trained(layers), bits=bits), OF_C.SANITIZED)


def run(count: int) -> tuple[Counter[str], list[str]]:
    """How many networks passed each check, and what others failed with."""
    passed, failures = Counter[str](), list[str]()

    @hypothesis.seed(0)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @hypothesis.given(architectures())
    def check(layers: Any) -> None:
        passed["networks"] += 1
        for one in (steps, gradients, float32, integers):
            name = one.__name__
            with tempfile.TemporaryDirectory() as place:
                try:
                    passed[name] += one(layers, Path(place)) is not False
                except Exception as error:  # any is a failure of this network
                    failures.append(f"{name}: {error!s:.500} of {layers}")
                    print(f"FAILURE: {failures[-1]}", file=sys.stderr, flush=True)

    check()
    return passed, failures


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; exit code 1 if a network fails."""
    parser = argparse.ArgumentParser(description="Compile random networks under sanitizers.")
    parser.add_argument("--networks", type=int, default=100)
    chosen = parser.parse_args(arguments)
    if sanitizing(Path()) is None:
        print("needs gcc's sanitizers", file=sys.stderr)
        return 2
    passed, failures = run(chosen.networks)
    write_json(FIGURES, {"command": " ".join(["python -m tools.sanitized", *arguments]), "machine": machine(),
                         "networks": passed.pop("networks"), "passed": dict(passed),
                         "failures": failures})
    print(FIGURES.read_text())
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
