"""Steps and evaluations of a network, of several batch sizes: one of every kind of layer, or that in the JSON file that
is named. To be run under sanitizers, so it imports no torch."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from mnist_ops.arch.layers import from_records
from mnist_ops.arch.zoo import INPUT
from mnist_ops.engine.build import build
from mnist_ops.engine.network import Batch, CompiledNetwork, Rates
from mnist_ops.engine.program import lower
from mnist_ops.engine.source import source
from tests.every_kind import EVERYTHING

FLAGS = "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all"


def sanitizing(cache: Path) -> dict[str, str] | None:
    """Variables for a Python that runs this, what it compiles kept in `cache`; None where GCC has no sanitizers."""
    libraries = []
    for name in ("libasan.so", "libubsan.so"):
        with contextlib.suppress(OSError):
            found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=False)
            libraries.append(found.stdout.strip())
    if not libraries or not all(map(os.path.isabs, libraries)):
        return None
    return {**os.environ, "CC": "gcc", "CFLAGS": FLAGS, "LD_PRELOAD": " ".join(libraries), "XDG_CACHE_HOME": str(cache),
            "ASAN_OPTIONS": "detect_leaks=0"}


if __name__ == "__main__":
    os.environ.pop("LD_PRELOAD", None)  # is for this process, not for the compiler
    layers = from_records(json.loads(Path(sys.argv[1]).read_text())) if sys.argv[1:] else EVERYTHING
    program = lower(layers, INPUT)
    classes = program.output.shape[0]
    draws = np.random.default_rng(0)
    images, labels = draws.integers(0, 256, (50, *INPUT), dtype=np.uint8), draws.integers(0, classes, 50)
    maps = np.ascontiguousarray(np.tile(np.eye(3, dtype=np.float32), (50, 1, 1)))
    maps += draws.normal(0, 0.3, maps.shape).astype(np.float32)
    factors = draws.uniform(0.5, 1.5, 50).astype(np.float32)
    library = build(source(program, "muon")).load()
    for count in (1, 16, 17, 40):
        network = CompiledNetwork(library, program, 40, 2)
        network.values[:] = draws.normal(0, 0.1, len(network.values))
        network.changed()
        batch = Batch(images, labels, draws.permutation(50)[:count], [0.1], [0.3], [0.0], maps, factors, factors,
                      factors[:classes])
        rates = Rates(0.1, 0.9, 0.0, 1.0, 1.0, 1.0)
        network.step(batch, rates, rates, smoothing=0.1, stream=count)
        network.read(batch)
        print(count)
    print("torch:", "torch" in sys.modules)
