"""The derived texts and tables of docs/performance.md, each from one part of the bench's figures."""

import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.ratios import Measured, measured, paired, training_flops
from benchmarks.reference import MEASURED, SEARCH_STEPS

Part = dict[str, Any]
TARGET, RUNS = 99.4, 10  # percent, and over how many seeds its mean is to reach it
STANDS_FOR = {"reference": "seed"}  # baseline -> the recipe whose record says what it reaches in its epochs
NAMES = {"reference": "the reference's way", "example": "PyTorch's example"}
MEGABYTE, GIGA = 1e6, 1e9


def machine(part: Part) -> str:
    """What was measured with."""
    found, rates = part["machine"], part["rates"]
    text = f"{signature(part)} {part['rounds']} rounds. The machine's own rates in the same rounds, medians: "
    text += ", ".join(
        f"{statistics.median(rates[kind]) / GIGA:,.0f} GFLOP/s in products of {kind} matrices"
        for kind in rates if kind != "memory")
    text += f", {statistics.median(rates['memory']) / GIGA:,.1f} GB/s in copying."
    if found["device"] == "cpu" and not found["native_bfloat16"]:
        text += " It has no bfloat16 of its own, so everything is computed in float32."
    return wrapped(text)


def signature(part: Part) -> str:
    """One sentence: command, machine, versions."""
    found = part["machine"]
    memory = f", {found['memory_bytes'] / 2**30:.0f} GiB" if found["memory_bytes"] else ""
    device = found.get("gpu", "")
    return (f"`{part['command']}` on {found['date']}: {device}{', ' if device else ''}{found['processor']} "
            f"({found['architecture']}), {plural(found['cores'], 'core')}{memory}, "
            f"{plural(found['threads'], 'thread')}, torch {found['torch']}, "
            f"commit {(found['commit'] or 'unknown')[:10]}, data {part['data']}.")


def speed(part: Part) -> str:
    """Training images a second, and each recipe's ratio to each other program."""
    contenders, recipes = part["contenders"], part["recipes"]
    heads = ["program", "parameters", "multiply-adds", "batch", "precision", "images/s",
             *(f"`{name}` is faster" for name in recipes)]
    rows = []
    for name, one in contenders.items():
        about, rates = one["about"], speeds(one)
        ratios = ["–" if name == other else times(paired(speeds(contenders[other]), rates)) for other in recipes]
        rows.append([title(name, recipes), f"{about['parameters']:,}", f"{about['macs']:,}", str(about["batch"]),
                     about["precision"], span(measured(rates), ",.0f"), *ratios])
    picture = "![Training images a second of each program, a dot a round](figures/bench-speed.png)"
    return f"{table(heads, rows)}\n\n{picture}"


def target(part: Part, records: dict[str, Part]) -> str:
    """Seconds to a mean of 99.4 %, with each program's own tests and without, and ratios."""
    contenders, recipes = part["contenders"], part["recipes"]
    if part["data"] != "mnist" or part["images"] is not None:
        return "Not measured: the accuracy counts on all of MNIST."
    found = {name: seconds_to_target(name, one, records) for name, one in contenders.items()}
    heads = ["program", "epochs", "mean accuracy", "seconds, tests included", "without tests",
             *(f"`{name}` takes less" for name in recipes)]
    rows = []
    for name, one in contenders.items():
        record, seconds = records.get(STANDS_FOR.get(name, name)), found[name]
        mean = f"{record['mean']:.3f} %, n = {record['n']}" if record else "no record"
        cells = [span(measured(seconds[kind]), ",.0f") if seconds else "does not reach it" for kind in (0, 1)]
        ratios = ["–" if name == other or not seconds or not (ours := found[other])
                  else times(measured([value / statistics.median(ours[0]) for value in seconds[0]]))
                  for other in recipes]
        rows.append([title(name, recipes), str(one["about"]["epochs"]), mean if name != "example" else example_mean(),
                     *cells, *ratios])
    return table(heads, rows)


def example_mean() -> str:
    """What others report of it."""
    from benchmarks.pytorch_example import REPORTED_ACCURACY

    return f"{REPORTED_ACCURACY} % reported"


def seconds_to_target(name: str, one: Part, records: dict[str, Part]) -> tuple[list[float], list[float]] | None:
    """Seconds with tests and without: of whole runs, or of a baseline from each round's rates.

    None where no record says that the mean over ten seeds is at least 99.4 %."""
    record = records.get(STANDS_FOR.get(name, name))
    if record is None or record["n"] < RUNS or record["mean"] < TARGET:
        return None
    if "whole" in one:
        return [one["whole"]["seconds"]], [one["whole"]["train_seconds"]]
    about = one["about"]
    if name not in STANDS_FOR:
        return None
    images = SEARCH_STEPS * about["batch"] + about["epochs"] * about["train_images"]
    training = [images / rate for rate in speeds(one)]
    tests = [about["epochs"] * row["test_seconds"] for row in one["rounds"]]
    return [sum(both) for both in zip(training, tests, strict=True)], training


def reference_check(part: Part) -> str:
    """The baseline against its own program's figures, and what an image costs it."""
    one = part["contenders"]["reference"]
    rates, tests = measured(speeds(one)), measured([row["test_seconds"] for row in one["rounds"]])
    epoch = one["about"]["train_images"] / rates.median
    rows = [("training images/s", f"{MEASURED['images_per_second']:,.0f}", span(rates, ",.0f"),
             percent(rates.median / MEASURED["images_per_second"])),
            ("seconds an epoch", f"{MEASURED['epoch_seconds']:.0f}", f"{epoch:.0f}",
             percent(epoch / MEASURED["epoch_seconds"])),
            ("seconds a test", f"{MEASURED['test_seconds']:.0f}", span(tests, ".1f"),
             percent(tests.median / MEASURED["test_seconds"]))]
    each = 1e6 / rates.median
    text = (f"An image costs the baseline {each:,.0f} µs in training, of which making its batch, alone and before "
            f"anything is computed on it, takes {one['batch_microseconds']:,.0f} µs.")
    if "whole" in one:
        whole = one["whole"]
        text += (f" Run to its end once, it took {whole['seconds']:,.0f} s, {whole['search_seconds']:,.0f} s of it for "
                 f"the rate search, and ended at {whole['test_accuracy']:.2f} %.")
    return table(("", "its own program", "the baseline here", "difference"), rows) + f"\n\n{wrapped(text)}"


def inference(part: Part) -> str:
    """Peak memory, and microseconds an image."""
    kinds = (("eager_one", "eager, 1"), ("eager_many", "eager, 1,000"), ("onnx_one", "ONNX Runtime, 1"),
             ("onnx_many", "ONNX Runtime, 1,000"))
    heads = ["program", "peak memory, training", *(f"µs an image: {text}" for _, text in kinds)]
    rows = []
    for name, one in part["contenders"].items():
        most = one.get("whole", one)
        memory = f"{most['peak_bytes'] / MEGABYTE:,.0f} MB"
        memory += f", GPU {most['gpu_peak_bytes'] / MEGABYTE:,.0f} MB" if "gpu_peak_bytes" in most else ""
        cells = [f"{one['inference'][kind]:,.1f}" if kind in one["inference"] else "–" for kind, _ in kinds]
        rows.append([title(name, part["recipes"]), memory, *cells])
    return table(heads, rows)


def limit(part: Part) -> str:
    """Arithmetic of training as a share of the machine's own matrix products, round by round."""
    heads = ["program", "operations an image", "GFLOP/s in training", "share of the matrix-product rate",
             "images/s at that rate"]
    rows = []
    for name, one in part["contenders"].items():
        about, rates = one["about"], speeds(one)
        best = part["rates"][about["precision"]]
        flops = [training_flops(about["macs"], rate) for rate in rates]
        share, most = paired(flops, best), statistics.median(best) / training_flops(about["macs"], 1)
        rows.append([title(name, part["recipes"]), f"{training_flops(about['macs'], 1) / MEGABYTE:,.2f} M",
                     span(measured([value / GIGA for value in flops]), ",.1f"),
                     f"{100 * share.median:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})", f"{most:,.0f}"])
    return table(heads, rows)


def operations(part: Part) -> str:
    """The groups in the order of the first recipe's shares."""
    recipes = part["recipes"]
    first = next(iter(recipes.values()))["groups"]
    rows = [[group, *(f"{100 * one['groups'][group] / one['seconds']:.1f} %" for one in recipes.values())]
            for group in sorted(first, key=lambda group: -first[group])]
    rows.append(["PyTorch operations a step", *(f"{one['calls_per_step']:,.0f}" for one in recipes.values())])
    rows.append(["µs an image, under the profiler",
                 *(f"{one['seconds'] / one['images'] * 1e6:,.0f}" for one in recipes.values())])
    return table(("share of the time of a training step", *(f"`{name}`" for name in recipes)), rows)


def scaling(part: Part) -> str:
    """A row for each batch size, a column for each number of threads."""
    threads = sorted({row["threads"] for row in part["rows"]})
    found = {(row["threads"], row["batch"]): row["images_per_second"] for row in part["rows"]}
    rows = []
    for batch in sorted({row["batch"] for row in part["rows"]}):
        speeds_ = [found[one, batch] for one in threads]
        gain = [f"{speeds_[-1] / speeds_[0]:.2f}"] if len(threads) > 1 else []
        rows.append([str(batch), *(f"{value:,.0f}" for value in speeds_), *gain])
    heads = ["batch", *(f"images/s, {plural(one, 'thread')}" for one in threads)]
    heads += ["gain"] if len(threads) > 1 else []
    picture = "![Training images a second against the batch size](figures/bench-scaling.png)"
    return f"Recipe `{part['recipe']}`.\n\n{table(heads, rows)}\n\n{picture}"


def cost(part: Part) -> str:
    """The slopes of the curves in words, and their picture."""
    images, epochs, models = part["images"], part["epochs"], part["models"]
    per_image = slope([row["images"] for row in images], [row["seconds"] for row in images])
    memory = slope([row["images"] for row in images], [row["peak_bytes"] for row in images])
    per_epoch = slope([row["epochs"] for row in epochs], [row["seconds"] for row in epochs])
    search = statistics.median(row["search_seconds"] for row in epochs)
    power = slope([math.log(row["macs"]) for row in models], [-math.log(row["images_per_second"]) for row in models])
    fixed = (images[0]["peak_bytes"] - memory * images[0]["images"]) / MEGABYTE
    lines = [
        f"- Images: {per_image * 1e6:,.0f} µs more for each image of an epoch, from {images[0]['images']:,} to "
        f"{images[-1]['images']:,} images.",
        f"- Epochs: {per_epoch:.2f} s more for each epoch of {part['epochs_images']:,} images, beside {search:.1f} s "
        "for the rate search.",
        f"- Network: time grows with the multiply-adds to the power of {power:.2f}, over networks of "
        f"{min(row['parameters'] for row in models):,} to {max(row['parameters'] for row in models):,} parameters.",
        f"- Memory: {memory:,.0f} bytes more for each image, beside about {fixed:,.0f} MB for Python, PyTorch and a "
        "step.",
    ]
    picture = "![Training time against images, epochs and parameters; memory against images](figures/bench-cost.png)"
    return f"Recipe `{part['recipe']}`.\n\n" + "\n".join(lines) + f"\n\n{picture}"


def start(part: Part) -> str:
    """Medians and extremes of fresh processes."""
    names = {"auto": "with the rate search, whose first step it is", "0.1": "with a given rate (`--lr 0.1`)"}
    rows = [(f"`train {part['recipe']}` {names[rate]}", span(measured(seconds), ".2f"), str(len(seconds)))
            for rate, seconds in part["seconds"].items()]
    return table(("", "seconds to the first training step", "processes"), rows)


def speeds(one: Part) -> list[float]:
    """Images a second, round by round."""
    return [row["images_per_second"] for row in one["rounds"]]


def title(name: str, recipes: Sequence[str]) -> str:
    """A program's name in a table."""
    return f"`{name}`" if name in recipes else NAMES[name]


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the straight line through the points, by least squares."""
    return statistics.linear_regression(x, y).slope


def span(found: Measured, form: str) -> str:
    """The median, and the extremes where there is more than one value."""
    middle = f"{found.median:{form}}"
    return middle if found.n == 1 else f"{middle} ({found.low:{form}} to {found.high:{form}})"


def times(found: Measured) -> str:
    """A ratio with its spread, to three digits."""
    low, middle, high = (f"{value:.{digits(found.median)}f}" for value in (found.low, found.median, found.high))
    return f"**{middle} times**" + (f" ({low} to {high})" if found.n > 1 else "")


def digits(value: float) -> int:
    """After the point, for three in all."""
    return max(0, 2 - math.floor(math.log10(value))) if value > 0 else 2


def percent(ratio: float) -> str:
    """How far a ratio is from 1."""
    return f"{100 * (ratio - 1):+.0f} %"


def plural(count: int, noun: str) -> str:
    """1 thread, 2 threads."""
    return f"{count} {noun}{'s' * (count != 1)}"


def wrapped(text: str) -> str:
    """In lines of 125 characters."""
    return textwrap.fill(text, 125, break_long_words=False, break_on_hyphens=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown, numbers to the right."""
    ruler = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ruler, *rows))
