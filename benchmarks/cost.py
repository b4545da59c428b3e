"""What training costs: against images, epochs, parameters, threads and batch size; where the time of a step goes."""

import math
from typing import Any

from benchmarks.child import Child, child
from benchmarks.compare import Say
from benchmarks.machine import describe
from benchmarks.settings import Settings
from mnist_ops.arch.zoo import MODELS
from mnist_ops.config import RECIPES
from mnist_ops.device import available_cores

# Where speed alone is asked for: no rate search, no test before the end, augmentation in every epoch.
PLAIN: dict[str, Any] = {"lr": 1e-3, "test_every": 0, "augment": {"plain_epochs": 0}}
BUDGET = 0.5  # share of a round's seconds that a single point of a curve takes


def operations(settings: Settings, say: Say) -> dict[str, Any]:
    """The groups of operations of each recipe."""
    found, compiled = {}, {}
    for name in settings.recipes:
        say(f"operations of {name}")
        steps = max(5, round(10 * settings.seconds))
        with child(**settings.recipe(name, engine="pytorch")) as one:
            found[name] = one.ask("operations", steps=steps, warm=settings.warm)
        if settings.engine == "compiled":
            with child(**settings.recipe(name)) as one:
                compiled[name] = one.ask("compiled_operations", steps=steps, warm=settings.warm)
    return _signed(settings) | {"recipes": found, "compiled": compiled}


def scaling(settings: Settings, say: Say) -> dict[str, Any]:
    """Images a second of the first recipe with one thread and with all, for several batch sizes."""
    name, rows = settings.recipes[0], []
    most = settings.threads or available_cores()
    for threads in sorted({1, most}) if settings.device == "cpu" else [most]:
        for batch in settings.batches:
            speed = _speed(settings, name, threads=threads, batch_size=batch)
            rows.append({"threads": threads, "batch": batch, "images_per_second": speed})
            say(f"{name}: {threads} threads, batches of {batch}: {speed:,.0f} images/s")
    return _signed(settings) | {"recipe": name, "rows": rows}


def cost(settings: Settings, say: Say) -> dict[str, Any]:
    """Three curves of seconds and one of memory, of the first recipe."""
    name = settings.recipes[0]
    images = []
    for count in settings.cost_images:
        with child(**settings.recipe(name, images=count, epochs=1, **PLAIN)) as one:
            images.append({"images": count, "seconds": one.ask("whole")["train_seconds"], **one.ask("memory")})
        say(f"{name}: an epoch of {count:,} images: {images[-1]['seconds']:.2f} s")
    epochs = []
    for count in settings.cost_epochs:
        changes = PLAIN | {"lr": settings.whole_run.get("lr", "auto"), "epochs": count}
        changes |= {"images": settings.cost_epochs_images}
        with child(**settings.recipe(name, **changes)) as one:
            done = one.ask("whole")
        epochs.append({"epochs": count, "seconds": done["train_seconds"], "search_seconds": done["search_seconds"]})
        say(f"{name}: rate search and {count} epochs: {done['train_seconds']:.2f} s")
    return _signed(settings) | {"recipe": name, "images": images, "epochs": epochs,
                                "epochs_images": settings.cost_epochs_images, "models": _models(settings, say)}


def _models(settings: Settings, say: Say) -> list[dict[str, Any]]:
    """Seconds for 60,000 images of each network of the zoo and of the recipe's own at several widths."""
    name, rows = settings.recipes[0], []
    changes: list[dict[str, Any]] = [{"width": width} for width in settings.widths]
    own = RECIPES[name].model
    changes += [{"model": model} for model in MODELS if model != own]
    for change in changes:
        with child(**settings.recipe(name, **PLAIN, **change)) as one:
            about = one.ask("about")
            speed = _measure(one, settings)
        rows.append({"model": about["model"], "parameters": about["parameters"], "macs": about["macs"],
                     "width": change.get("width"), "images_per_second": speed})
        say(f"{about['model']}: {about['parameters']:,} parameters, {speed:,.0f} images/s")
    return rows


def _speed(settings: Settings, name: str, **changes: Any) -> float:
    with child(**settings.recipe(name, **PLAIN, **changes)) as one:
        return _measure(one, settings)


def _measure(one: Child, settings: Settings) -> float:
    """Images a second: the faster of two stretches, for on a shared machine other work only ever slows one down."""
    found = one.ask("train", steps=settings.least, warm=settings.warm)
    steps = max(settings.least, math.ceil(settings.seconds * BUDGET / 2 * float(found["steps"] / found["seconds"])))
    stretches = [one.ask("train", steps=steps) for _ in range(2)]
    return max(float(one["images"] / one["seconds"]) for one in stretches)


def _signed(settings: Settings) -> dict[str, Any]:
    threads = settings.threads or available_cores()
    return {"machine": describe(settings.device, threads), "command": settings.command, "data": settings.data}
