"""The derived texts of docs/performance.md that compare programs, each from the figures of the comparison."""

import statistics
from typing import Any

from benchmarks.ratios import measured, paired, training_flops
from benchmarks.reference import MEASURED, SEARCH_STEPS
from benchmarks.wording import GIGA, MEGABYTE, percent, signature, span, table, times, title, wrapped
from mnist_ops.config import RECIPES

Part = dict[str, Any]
TARGET, RUNS = 99.4, 10  # percent, and over how many seeds its mean is to reach it
STANDS_FOR = {"reference": "seed"}  # baseline -> the recipe whose record says what it reaches in its epochs


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


def speed(part: Part) -> str:
    """Training images a second, and each recipe's ratio to each other program."""
    contenders, recipes = part["contenders"], part["recipes"]
    heads = ["program", "parameters", "multiply-adds", "batch", "precision", "images/s",
             *(f"speed of `{name}` to it" for name in recipes)]
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
             *(f"its time to that of `{name}`" for name in recipes)]
    rows = []
    for name, one in contenders.items():
        if "whole" not in one and name not in (*STANDS_FOR, "example"):
            continue  # a recipe by PyTorch, of which no whole run was made
        record, seconds = records.get(STANDS_FOR.get(name, name)), found[name]
        mean = f"{record['mean']:.3f} %, n = {record['n']}" if record else "no record"
        cells = [span(measured(seconds[kind]), ",.1f") if seconds else "does not reach it" for kind in (0, 1)]
        ratios = ["–" if name == other or not seconds or not (ours := found[other])
                  else times(measured([value / statistics.median(ours[0]) for value in seconds[0]]))
                  for other in recipes]
        epochs = one["about"]["epochs"]
        passes = RECIPES[name].hard.passes(epochs) if name in RECIPES else epochs
        rows.append([title(name, recipes), f"{passes:.3g}", mean if name != "example" else example_mean(),
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
    """Arithmetic of training as a share of the machine's own matrix products, round by round; what its rates allow."""
    heads = ["program", "operations an image", "GFLOP/s in training", "share of the matrix-product rate",
             "images/s at that rate", "bytes an image", "images/s at the rate of copying", "one after the other"]
    rows = []
    for name, one in part["contenders"].items():
        about, rates = one["about"], speeds(one)
        best, memory = part["rates"][about["precision"]], statistics.median(part["rates"]["memory"])
        each = training_flops(about["macs"], 1)
        flops = [each * rate for rate in rates]
        moved = about["moved"] * (2 if about["precision"] == "bfloat16" else 4)
        share, computing, copying = paired(flops, best), statistics.median(best) / each, memory / moved
        rows.append([title(name, part["recipes"]), f"{each / MEGABYTE:,.2f} M",
                     span(measured([value / GIGA for value in flops]), ",.1f"),
                     f"{100 * share.median:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})",
                     f"{computing:,.0f}", f"{moved / MEGABYTE:,.2f} M", f"{copying:,.0f}",
                     f"{1 / (1 / computing + 1 / copying):,.0f}"])
    return table(heads, rows)


def speeds(one: Part) -> list[float]:
    """Images a second, round by round."""
    return [row["images_per_second"] for row in one["rounds"]]
