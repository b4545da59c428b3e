"""Where the time of compiled training steps goes: seconds of each operation, measured within the compiled code."""

import os
import time
from dataclasses import replace
from typing import Any

from benchmarks.ours import Recipe
from mnist_ops.data.tensors import to_device
from mnist_ops.device import activate
from mnist_ops.model import layers_of
from mnist_ops.optim.agreement import compile_steps
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.optim.schedule import RunSchedule
from mnist_ops.optim.train import train_epoch

# Beginning of an operation's name in the C text -> group.
GROUPS = {"convolve": "convolution, forward", "learn": "convolution, gradient of the weights",
          "unconvolve": "convolution, gradient of the input", "moments": "normalisation, dropout and ReLU, forward",
          "activate": "normalisation, dropout and ReLU, forward", "unactivate": "normalisation, dropout and ReLU, back",
          "unnorm": "normalisation, dropout and ReLU, back", "pool": "pooling and sums", "unpool": "pooling and sums",
          "average": "pooling and sums", "unaverage": "pooling and sums", "branch": "pooling and sums",
          "unbranch": "pooling and sums", "add": "pooling and sums", "unadd": "pooling and sums", "lose": "loss"}
REST = "warping, draws, update of the weights, Python"


def profiled(recipe: Recipe, steps: int, warm: int) -> dict[str, Any]:
    """Seconds of each group over so many steps on one thread; what the operations leave of the clock's is the rest."""
    os.environ["CFLAGS"] = "-DTIMES"
    config = replace(recipe.config, threads=1, lr=1e-3)
    data = to_device(recipe.source, config.validation, activate(config))
    layers = layers_of(config, len(data.classes))
    compiled, network = compile_steps(config, layers), recipe.network.to("cpu")
    optimizer = make_optimizer(network, config.optimizer, 1e-3)
    epoch_steps = -(-len(data.train) // config.batch_size)
    plan = RunSchedule(config.schedule, 1e-3, config.epochs, epoch_steps)
    earlier: dict[str, float] = {}
    begun, images = 0.0, 0
    for moment in train_epoch(network, optimizer, data, config, epoch=0, plan=plan, compiled=compiled):
        if moment.batch == warm:
            earlier, begun, images = compiled.network.seconds(), time.perf_counter(), moment.seen
        if moment.batch == warm + steps:
            break
    seconds, images = time.perf_counter() - begun, moment.seen - images
    groups = dict.fromkeys(GROUPS.values(), 0.0)
    for name, taken in compiled.network.seconds().items():
        groups[GROUPS[name.rpartition("_")[0] if name != "lose_all" else "lose"]] += taken - earlier.get(name, 0.0)
    groups[REST] = seconds - sum(groups.values())
    return {"seconds": seconds, "images": images, "steps": moment.batch - warm, "groups": groups}
