"""Steps and evaluations of a network of every kind of layer, of several batch sizes. To be run under sanitizers, so it
imports no torch."""

import os
import sys

import numpy as np

from mnist_ops.arch.zoo import INPUT
from mnist_ops.engine.build import build
from mnist_ops.engine.network import Batch, CompiledNetwork, Rates
from mnist_ops.engine.program import lower
from mnist_ops.engine.source import source
from tests.every_kind import EVERYTHING

if __name__ == "__main__":
    os.environ.pop("LD_PRELOAD", None)  # is for this process, not for the compiler
    draws = np.random.default_rng(0)
    images, labels = draws.integers(0, 256, (50, *INPUT), dtype=np.uint8), draws.integers(0, 4, 50)
    maps = np.ascontiguousarray(np.tile(np.eye(3, dtype=np.float32), (50, 1, 1)))
    maps += draws.normal(0, 0.3, maps.shape).astype(np.float32)
    factors = draws.uniform(0.5, 1.5, 50).astype(np.float32)
    program = lower(EVERYTHING, INPUT)
    library = build(source(program, "muon")).load()
    for count in (1, 16, 17, 40):
        network = CompiledNetwork(library, program, 40, 2)
        network.values[:] = draws.normal(0, 0.1, len(network.values))
        network.changed()
        batch = Batch(images, labels, draws.permutation(50)[:count], [0.1], [0.3], [0.0], maps, factors, factors,
                      factors[:4])
        rates = Rates(0.1, 0.9, 0.0, 1.0, 1.0, 1.0)
        network.step(batch, rates, rates, smoothing=0.1, stream=count)
        network.read(batch)
        print(count)
    print("torch:", "torch" in sys.modules)
