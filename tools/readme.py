"""Writes the generated sections of README.md and the guides: tables, numbers, the log. Each stands between two marks.
And the package's own list of what the records say, for `mnist-ops recipes`.

    python tools/readme.py                     write those that are stale
    python tools/readme.py --check             change nothing; name file and section where some are stale
    python tools/readme.py --run runs/readme   take the pictures of that run folder first

What that run printed is docs/training-log.txt: mnist-ops train default --out runs/readme > docs/training-log.txt
"""

import argparse
import dataclasses
import inspect
import io
import json
import re
import statistics
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_ops.arch.arithmetic import as_text, folded_parameters, output_shape, sizes
from mnist_ops.arch.layers import Conv, Layer, MaxPool, Norm, ReLU, Residual
from mnist_ops.arch.table import field_text, layer_text, totals
from mnist_ops.arch.zoo import BLOCKS, INPUT, named_network, pictures_blocks
from mnist_ops.config import PURPOSES, RECIPES, Augment, Fill
from mnist_ops.data.catalog import CATALOG
from mnist_ops.run.folder import SUMMARY
from mnist_ops.run.summary import read_summary

REPOSITORY = Path(__file__).resolve().parents[1]
RECORDS, DOCS, PACKAGED = REPOSITORY / "records", REPOSITORY / "docs", REPOSITORY / "src" / "mnist_ops" / "records.json"
PICTURES, FIGURES, LOG = DOCS / "pictures", DOCS / "figures", DOCS / "training-log.txt"
TAKEN = ("lr.png", "curves.png", "augmentation.png", "mistakes-test.png")
MOST_BYTES = 150 * 1024  # of a picture: people read this on slow lines too
MOST_COLUMNS = 105  # of a line of settings: what a page shows without scrolling
MARKED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def records() -> list[dict[str, Any]]:
    """The records, in the order of the recipes; those of other recipes last."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    names = list(RECIPES)
    return sorted(found, key=lambda one: names.index(one["recipe"]) if one["recipe"] in names else len(names))


def packaged() -> str:
    """The accuracy of each recipe's record, for the package, which has no records: JSON, a line a recipe."""
    kept = ("dataset", "n", "mean", "sd", "interval", "engine", "device", "threads", "machine", "torch", "commit")
    lines = [f" {json.dumps(one['recipe'])}: " + json.dumps({
        **{name: one.get(name, "pytorch") for name in kept}, "runs": [run["test_accuracy"] for run in one["runs"]]})
        for one in records()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def results() -> str:
    """A row per record, and below the table every single run."""
    found = records()
    if not found:
        return "No record has been made yet: `mnist-ops sweep default --seeds 30 --record` makes one."
    heads = ("recipe", "parameters", "as exported", "multiply-adds", "epochs", "mean accuracy", "SD", "n",
             "95 % interval of the mean", "training, median", "on")
    runs = [f"- `{record['recipe']}`, by `{record['command']}` on {record['dataset']}, commit {record['commit'][:10]}: "
            + ", ".join(f"{run['test_accuracy']:.2f}" for run in record["runs"]) for record in found]
    return "\n".join([_table(heads, map(_result, found)), "", "Every run, in the order of its seed:", "", *runs])


def _result(record: dict[str, Any]) -> list[str]:
    interval = "–" if record["interval"] is None else "{:.3f} to {:.3f}".format(*record["interval"])
    threads = f"{record['threads']} thread{'s' * (record['threads'] != 1)}"
    data = "" if record["dataset"] == "mnist" else f" on {record['dataset']}"
    return [f"`{record['recipe']}`{data}", *_sizes(record), f"{record['macs']:,}", _passes(record),
            f"**{record['mean']:.3f} %**", "–" if record["sd"] is None else f"{record['sd']:.3f}",
            str(record["n"]), interval, _seconds(record),
            f"{record['device']} ({record['machine']}), {threads} a run, "
            f"{_steps(record)}, torch {record['torch']}"]


def _sizes(record: dict[str, Any]) -> tuple[str, str]:
    """Parameters in training, and with the norms folded."""
    return f"{record['parameters']:,}", f"{folded_parameters(named_network(record['model']), INPUT):,}"


def _passes(record: dict[str, Any]) -> str:
    """Epochs on all images that are as much work."""
    return f"{RECIPES[record['recipe']].hard.passes(record['epochs']):.3g}"


def _steps(record: dict[str, Any]) -> str:
    engine = record.get("engine", "pytorch")
    return "PyTorch's steps" if engine == "pytorch" else f"compiled steps ({engine})"


def _seconds(record: dict[str, Any]) -> str:
    return f"{statistics.median(run['train_seconds'] for run in record['runs']):.0f} s"


def second_look() -> str:
    """What the records' networks make of what nobody chose by: means over their runs."""
    found = json.loads((FIGURES / "second-look.json").read_text(encoding="utf-8"))
    rows = [[f"`{name}`", str(len(found[name])), *(f"{statistics.fmean(run[part] for run in found[name]):.2f} %"
                                                  for part in ("digits", "semeion", "test", "int8")),
             f"{100 * sum(run['disputed'] for run in found[name]) / sum(run['errors'] for run in found[name]):.0f} %"]
            for name in RECIPES if name in found]
    return _table(("recipe", "n", "embedded digits", "Semeion", "MNIST's test set", "the same in int8",
                   "errors whose label is disputed"), rows)


def results_short() -> str:
    """The same in a few columns, with what each recipe is for."""
    rows = [[f"`{record['recipe']}`", *_sizes(record), _passes(record), f"**{record['mean']:.2f} %**",
             "–" if record["sd"] is None else f"{record['sd']:.2f}", _seconds(record), PURPOSES[record["recipe"]]]
            for record in records()]
    return _table(("recipe", "parameters", "as exported", "epochs", "mean accuracy", "SD", "training", "for"), rows)


def network(recipe: str) -> str:
    """Both tables of a recipe's network."""
    layers = named_network(RECIPES[recipe].model)
    return f"```text\n{layer_text(layers, INPUT)}\n\n{field_text(layers, INPUT)}\n```"


EXAMPLES = {  # networks by their blocks, and the images they are drawn for
    "blocks:8p2-16-16-16-24": INPUT, "blocks:16s2a-32d-32dr-64p2d": (3, 32, 32),
    "blocks:16k5s2-32p2d-32dr-48d-48dr*0.5": (1, 96, 96)}


def blocks() -> str:
    """Networks that their names describe, a line a block: what it does, and the maps that it makes."""
    drawn = []
    for name, shape in EXAMPLES.items():
        layers, made = named_network(name, shape), shape
        total = totals(layers, shape)
        rows = [("image", "", as_text(shape))]
        texts, rest = name.removeprefix("blocks:").partition("*")[0].split("-"), list(layers)
        for text in texts:
            part = [rest.pop(0)]
            while rest and not isinstance(part[-1], ReLU | Residual):
                part.append(rest.pop(0))
            for layer in part:
                made = output_shape(layer, made)
            rows.append((text, ", ".join(map(_in_words, part)), as_text(made)))
        rows.append(("", "mean of each map, 1x1 convolution: a number for each class", "10x1x1"))
        widths = [max(len(row[place]) for row in rows) for place in range(3)]
        lines = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
        drawn.append(f"`{name}`, {total.parameters:,} parameters, {total.macs:,} multiply-adds:\n\n```text\n"
                     + "\n".join(lines) + "\n```")
    return "\n\n".join(drawn)


def _in_words(layer: Layer) -> str:
    match layer:
        case Conv(kernel=side, stride=stride, padding=padding, groups=groups):
            more = f", stride {stride}" * (stride > 1) + f", padding {padding}" * (padding > 0)
            return f"{'depthwise ' * (groups == 0)}{side}x{side} convolution{more}"
        case MaxPool(kernel=side):
            return f"maximum of {side}x{side}"
        case Residual(body=body):
            return f"input + ({', '.join(map(_in_words, body))})"
        case Norm() | ReLU():
            return type(layer).__name__.lower().replace("relu", "ReLU")
        case _:
            raise TypeError(f"no block has a {layer}")


def networks() -> str:
    """The networks of the recipes in one sentence each."""
    lines = []
    for name, config in RECIPES.items():
        total = totals(named_network(config.model), INPUT)
        lines.append(f"- `{name}` trains the network `{config.model}`: {total.parameters:,} parameters "
                     f"({total.folded_parameters:,} as exported), {total.macs:,} multiply-adds for an image, "
                     f"{config.hard.passes(config.epochs):.3g} epochs.")
    return "\n".join(lines)


FILLS: dict[Fill, str] = {"auto": "black or nearest pixel", "black": "black", "mean": "the mean",
                          "edge": "nearest pixel"}


def augmentation() -> str:
    """The steps from a picture to the network's input, in their order: strength in each recipe, and why."""
    steps: list[tuple[str, Callable[[Augment], str], str]] = [
        ("resize", lambda one: "to 28x28",
         "The network takes one size. MNIST has it; [other pictures](own-data.md#read-pictures-of-digits) need more."),
        ("brightness", lambda one: _strength(f"±{one.brightness * 100:g} %", one.brightness),
         "Other light, other pens. All of MNIST has the same light, so it is off."),
        ("contrast", lambda one: _strength(f"±{one.contrast * 100:g} %", one.contrast),
         "The same. Saturation and hue do not change grey images, so there are no such settings."),
        ("perspective", lambda one: _strength(f"corners by up to {one.perspective:g} of half the side, in "
                                              f"{one.perspective_share * 100:g} % of images", one.perspective),
         "A page seen at an angle."),
        ("rotation", lambda one: _strength(f"±{one.degrees:g}°", one.degrees),
         "Slanted writing. Far from 180°, which would turn a 6 into a 9."),
        ("scale", lambda one: _strength(f"±{one.zoom * 100:g} %", one.zoom), "Large and small handwriting."),
        ("shear", lambda one: _strength(f"±{one.shear:g} px a row", one.shear), "Italics."),
        ("shift", lambda one: _strength(f"±{one.shift:g} px", one.shift),
         "Centring is never exact. It comes after scale and shear, so that it is measured in pixels of the result."),
        ("fill", lambda one: FILLS[one.fill], "What a pixel gets that comes from outside the image: black if the "
         "images' edges are, as MNIST's are, else the nearest pixel."),
        ("last epochs", lambda one: f"{one.plain_epochs or 'none'} without augmentation",
         "Test images are not distorted either. A network this small hardly overfits in so few epochs."),
        ("to tensor", lambda one: "0 to 1", "Grey values from 0 to 255 become numbers from 0 to 1. This happens right "
         "after resizing, so that the other steps run on the network's device."),
        ("normalise", lambda one: "by mean and SD", "Inputs around 0 with SD 1 train faster. Both numbers come from "
         "the training set only."),
    ]
    default = RECIPES["default"].augment
    found = [_table(("step", "in `default`", "why"), [[name, strength(default), why] for name, strength, why in steps])]
    alike: dict[Augment, list[str]] = {}
    for name, config in RECIPES.items():
        alike.setdefault(config.augment, []).append(f"`{name}`")
    varied = [(name, strength) for name, strength, _ in steps if len({strength(one) for one in alike}) > 1]
    rows = [[", ".join(names), *(strength(one) for _, strength in varied)] for one, names in alike.items()]
    found += ["What differs between the recipes:", _table(("recipe", *(name for name, _ in varied)), rows),
              _picture("augmentation.png", "Eight training images, one per row: the original, then augmented versions")]
    return "\n\n".join(found)


def _strength(text: str, value: float) -> str:
    return text if value else "off"


def rate() -> str:
    """The range test in its steps, with the numbers of the default recipe."""
    tune = RECIPES["default"].tune
    return "\n".join([
        f"1. Train for {tune.steps} steps. The rate rises from {tune.lowest:g} to {tune.highest:g} in equal steps of "
        f"its logarithm. The sweep stops early when the loss diverges (above {tune.diverged:g} times its lowest).",
        f"2. Repeat this {tune.sweeps} times from the same weights on different images, and average the losses.",
        f"3. Smooth the curve with a Gaussian of {tune.smoothing * 100:g} % of the sweep's width. The Gaussian is "
        "symmetric. A running average would shift everything to higher rates.",
        "4. Read off three suggestions. `steepest`: where the loss falls fastest per decade of the rate. `valley`: "
        "half way down its longest fall. `minimum/10`: a tenth of the rate with the lowest loss.",
        f"5. The peak rate of training is {tune.scale:g} times `{tune.suggestion}`, and at most {tune.most:g}, in "
        "batches below 128 in proportion: on some folders of few pictures larger ones were found, and nothing was "
        "learnt. [The log](log.md) has the trials behind these choices.",
        "", _picture("lr.png", "Loss over the learning rate, with the suggestions and the peak"),
    ])


def log() -> str:
    """What a run printed, docs/training-log.txt."""
    if not LOG.exists():
        return "*The log of a run is shown here once `docs/training-log.txt` exists.*"
    text = LOG.read_text(encoding="utf-8")
    if not text.startswith("Recipe "):
        raise SystemExit(f"{LOG}: does not begin with 'Recipe '; expected the printed output of mnist-ops train")
    shown = re.sub(r" +$", "", text.strip(), flags=re.MULTILINE)
    return f"```text\n{shown}\n```\n\n" + _picture("curves.png", "Accuracy, loss and learning rate over the epochs")


def settings() -> str:
    """Every setting as TOML, with its value in the default recipe and what config.py says of it."""
    top = RECIPES["default"]
    tables = [f"[{name}]\n{_settings_of(part)}" for name, part in vars(top).items() if dataclasses.is_dataclass(part)]
    return "```toml\n" + "\n\n".join([_settings_of(top), *tables]) + "\n```"


def _settings_of(record: Any) -> str:
    """A line per field, except nested records: value, choices, the comment at its end or above it in the source."""
    hints, remarks, above = typing.get_type_hints(type(record)), {}, ""
    for line in inspect.getsource(type(record)).splitlines():
        if found := re.match(r"    (\w+): [^#]*(?:  # (.*))?$", line):
            remarks[found[1]] = found[2] or above
        above = line.removeprefix("    # ") if line.startswith("    # ") else ""
    lines = []
    for name, value in vars(record).items():
        if not dataclasses.is_dataclass(value):
            choices = [text for text in typing.get_args(hints[name]) if isinstance(text, str)]
            note = "; ".join(filter(None, [" | ".join(choices[1:] and choices), remarks[name]]))
            line = f"{name} = {json.dumps(value)}"
            short = f"{line}  # {note}".removesuffix("  # ")
            lines += [short] if len(short) <= MOST_COLUMNS else [f"# {note}", line]
    return "\n".join(lines)


def datasets() -> str:
    """The datasets known by name, with their licences."""
    rows = [[f"`{info.name}`", info.title, info.credit, info.licence] for info in CATALOG.values()]
    return _table(("name", "dataset", "by", "licence"), rows)


def drawn() -> str:
    """Of the table in docs/drawn.md the rows that nothing was chosen by."""
    heads, rule, *rows = _lines_of("drawn.md", "drawn")
    return "\n".join([heads, rule, *(row for row in rows if "canvas | 10 to 19" in row or "semeion" in row)])


def folders() -> str:
    """What tools/folders.py has measured: the defaults beside the best of the settings made by hand."""
    heads = ("folder", "classes", "training pictures", "defaults", "batch, epochs", "seconds", "best of twenty",
             "which", "share reached")
    rows = []
    for one in json.loads((FIGURES / "folders.json").read_text(encoding="utf-8")).values():
        first, *others = one["runs"]
        best = max(others, key=lambda run: run["accuracy"])
        rows.append([f"{one['folder']}, {'colour' if one['coloured'] else 'grey'}", str(one["classes"]),
                     f"{one['images']:,}", f"{first['accuracy']:.1f} %", f"{one['batch_size']}, {first['epochs']}",
                     f"{first['seconds']:.0f}", f"{best['accuracy']:.1f} %", best["setting"],
                     f"{100 * first['accuracy'] / best['accuracy']:.1f} %"])
    return _table(heads, rows)


def cifar10() -> str:
    """What tools/cifar.py has measured."""
    if not (path := FIGURES / "cifar10.json").exists():
        return "*The figures stand here once `python tools/cifar.py FOLDER` has been run.*"
    one = json.loads(path.read_text(encoding="utf-8"))
    heads = ("recipe", "parameters", "multiply-adds", "epochs", "mean accuracy", "SD", "n", "95 % interval of the mean",
             "training, median", "every run")
    interval = "{:.2f} to {:.2f}".format(*one["interval"])
    row = [f"`{one['recipe']}`", f"{one['parameters']:,}", f"{one['macs']:,}", str(one["epochs"]),
           f"**{one['mean']:.2f} %**", f"{one['sd']:.2f}", str(one["n"]), interval, _seconds(one),
           ", ".join(f"{run['test_accuracy']:.2f}" for run in one["runs"])]
    return _table(heads, [row])


def pictures() -> str:
    """The size of the network "pictures" for images of each side."""
    rows = []
    for shape in ((1, 28, 28), (3, 32, 32), (3, 48, 48), (3, 64, 64), (3, 96, 96), (3, 128, 128)):
        total = sizes(named_network("pictures", shape), shape)
        rows.append([as_text(shape), f"`{pictures_blocks(shape[1]).removeprefix(BLOCKS)}`", f"{total['parameters']:,}",
                     f"{total['macs']:,}"])
    return _table(("images", "blocks", "parameters", "multiply-adds"), rows)


def microcontroller() -> str:
    """The table in docs/microcontroller.md."""
    return "\n".join(_lines_of("microcontroller.md", "figures"))


def _lines_of(document: str, name: str) -> list[str]:
    """The lines of the table in that marked section of a document in docs/."""
    text = (DOCS / document).read_text(encoding="utf-8")
    [section] = [match[0] for match in MARKED.finditer(text) if match[2] == name]
    return [line for line in section.splitlines() if line.startswith("|")]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _picture(name: str, text: str) -> str:
    if (PICTURES / name).exists():
        return f"![{text}](pictures/{name})"
    return f"*A picture is shown here once `docs/pictures/{name}` exists.*"


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"results-short": results_short},
    "docs/records.md": {"results": results, "second-look": second_look, "cifar": cifar10},
    "docs/networks.md": {"networks": networks, "blocks": blocks, "pictures": pictures,
                         "network-default": lambda: network("default"),
                         "network-seed": lambda: network("seed")},
    "docs/training.md": {"log": log},
    "docs/learning-rate.md": {"rate": rate},
    "docs/augmentation.md": {"augmentation": augmentation},
    "docs/own-data.md": {"drawn": drawn, "folders": folders, "datasets": datasets},
    "docs/export.md": {"microcontroller": microcontroller},
    "docs/configuration.md": {"settings": settings},
}


def renewed(text: str, sections: Mapping[str, Callable[[], str]], page: Path) -> tuple[str, list[str]]:
    """The page's text with every marked section as it is made now, and the names of those that were stale."""
    found, expected = (", ".join(sorted(names)) for names in ([name for _, name, _ in MARKED.findall(text)], sections))
    if found != expected:
        raise SystemExit(f"{page}: found sections marked {found}, expected each once: {expected}")
    stale: list[str] = []

    def section(match: re.Match[str]) -> str:
        fresh = f"{match[1]}\n{sections[match[2]]()}\n\n{match[3]}"
        if fresh != match[0]:
            stale.append(match[2])
        return fresh

    return MARKED.sub(section, text), stale


def renew(page: Path, sections: Mapping[str, Callable[[], str]], command: str, *, check: bool) -> int:
    """Write the page's stale sections, or with `check` name them and the command that does; the exit code."""
    fresh, stale = renewed(page.read_text(encoding="utf-8"), sections, page)
    if check:
        for name in stale:
            print(f"{page.name}: the section {name!r} is stale; run {command}", file=sys.stderr)
        return 1 if stale else 0
    if stale:
        page.write_text(fresh, encoding="utf-8")
    print(f"{page.name}: {', '.join(stale) or 'nothing'} written")
    return 0


def take_pictures(run: Path) -> None:
    """Copy a run's pictures into docs/pictures, each small enough. The log must be of the same run, on MNIST."""
    summary = read_summary(run / SUMMARY)
    figure = f"{summary['test_accuracy']:.2f} % test accuracy"
    if summary["dataset"] != "mnist":
        raise SystemExit(f"{run}: trained on {summary['dataset']}, expected mnist")
    if not LOG.exists() or figure not in LOG.read_text(encoding="utf-8"):
        raise SystemExit(f"{LOG}: does not say {figure!r}, as {run / SUMMARY} does; put there what that run printed")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name in TAKEN:
        (PICTURES / name).write_bytes(small_png((run / name).read_bytes()))


def small_png(content: bytes, most: int = MOST_BYTES) -> bytes:
    """The picture as it is, or with 256 colours where it has more than `most` bytes."""
    if len(content) <= most:
        return content
    from PIL import Image

    packed = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(256).save(packed, "PNG", optimize=True)
    if packed.tell() > most:
        raise SystemExit(f"a picture has {packed.tell():,} bytes with 256 colours, at most {most:,} are wanted")
    return packed.getvalue()


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated sections of README.md and the guides.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a section is stale")
    parser.add_argument("--run", type=Path, help="take the pictures of this run folder first")
    chosen = parser.parse_args(arguments)
    if chosen.run:
        take_pictures(chosen.run)
    stale = not PACKAGED.exists() or PACKAGED.read_text(encoding="utf-8") != packaged()
    if stale and chosen.check:
        print(f"{PACKAGED.name}: is not what the records say; run python tools/readme.py", file=sys.stderr)
    elif stale:
        PACKAGED.write_text(packaged(), encoding="utf-8")
    return max([int(stale and chosen.check),
                *(renew(REPOSITORY / page, sections, "python tools/readme.py", check=chosen.check)
                  for page, sections in PAGES.items())])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
