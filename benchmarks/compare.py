"""Training programs against each other: alive at once, asked in turn, round by round."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

from benchmarks.child import Child, child
from benchmarks.machine import describe, matrix_rates, memory_rate
from benchmarks.settings import Settings
from benchmarks.wording import by_pytorch
from mnist_ops.device import available_cores

Say = Callable[[str], None]


def compare(settings: Settings, say: Say) -> dict[str, Any]:
    """Every figure of every program, as plain data: rounds, then whole runs, then inference."""
    threads = settings.threads or available_cores()
    with contextlib.ExitStack() as stack:
        wanted = {name: settings.recipe(name) for name in settings.recipes}
        if settings.device == "cpu":
            # Compiled steps are float32, PyTorch's own choice is bfloat16 where the processor has it.
            kinds = ("auto", "float32") if describe(settings.device, threads)["native_bfloat16"] else ("auto",)
            wanted |= {by_pytorch(name, precision): settings.recipe(name, engine="pytorch", precision=precision)
                       for name in settings.recipes for precision in kinds}
        wanted |= {name: settings.program(name) for name in ("reference", "example")}
        children = {name: stack.enter_context(child(**one)) for name, one in wanted.items()}
        contenders: dict[str, dict[str, Any]] = {}
        for name, one in children.items():
            contenders[name] = {"about": one.ask("about"), "rounds": []}
        counts = {name: _steps_of(one, settings) for name, one in children.items()}
        machine: dict[str, list[float]] = {}
        for number in range(1, settings.rounds + 1):
            rates = matrix_rates(settings.device, threads, min(1.0, settings.seconds))
            rates["memory"] = memory_rate(settings.device, threads, min(1.0, settings.seconds), settings.copied)
            for name, rate in rates.items():
                machine.setdefault(name, []).append(rate)
            for name, one in children.items():
                contenders[name]["rounds"].append(_round(one, counts[name], settings.warm))
                speed = contenders[name]["rounds"][-1]["images_per_second"]
                say(f"round {number} of {settings.rounds}: {name} {speed:,.0f} images/s")
        for name, one in children.items():
            contenders[name] |= one.ask("memory")
        for name, one in children.items():
            contenders[name]["inference"] = _inference(one, name in settings.recipes, settings)
        made = children["reference"].ask("load", steps=max(1, 2 * settings.warm))
        contenders["reference"]["batch_microseconds"] = made["seconds"] / made["images"] * 1e6
    for name in (*settings.recipes, *(["reference"] if settings.whole else [])):
        say(f"the whole of {name}")
        contenders[name]["whole"] = _whole(settings, name)
    return {"machine": describe(settings.device, threads), "command": settings.command, "data": settings.data,
            "images": settings.images, "rounds": settings.rounds, "rates": machine,
            "recipes": list(settings.recipes), "contenders": contenders}


def _steps_of(one: Child, settings: Settings) -> int:
    """How many steps take about that long. What is built or compiled at the first step is done here."""
    found = one.ask("train", steps=settings.least, warm=settings.warm)
    return max(settings.least, math.ceil(settings.seconds * float(found["steps"] / found["seconds"])))


def _round(one: Child, steps: int, warm: int) -> dict[str, float]:
    trained, tested = one.ask("train", steps=steps, warm=warm), one.ask("test")
    return {"images_per_second": trained["images"] / trained["seconds"], "test_seconds": tested["seconds"]}


def _inference(one: Child, ours: bool, settings: Settings) -> dict[str, float]:
    """Microseconds an image, by runtime and batch."""
    kinds = ("eager", "onnx") if ours else ("eager",)
    return {f"{kind}_{name}": one.ask(kind, batch=batch, seconds=min(1.0, settings.seconds))["microseconds"]
            for kind in kinds for name, batch in (("one", 1), ("many", settings.many))}


def _whole(settings: Settings, name: str) -> dict[str, Any]:
    """One run to its end in a process of its own, and the most memory it took."""
    ours = name in settings.recipes
    wanted = settings.recipe(name, **settings.whole_run) if ours else settings.program(name)
    with child(**wanted) as one:
        return one.ask("whole") | one.ask("memory")
