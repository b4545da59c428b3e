"""Writes the sections of README.md that are derived: tables, numbers, the log. Each stands between two marks.

    python tools/readme.py                     write them anew
    python tools/readme.py --check             exit code 1, naming them, where some are stale
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

from mnist_ops.arch.table import field_text, layer_rows, layer_text, totals
from mnist_ops.arch.zoo import INPUT, named_network
from mnist_ops.config import RECIPES, Augment
from mnist_ops.data.catalog import CATALOG
from mnist_ops.run.folder import SUMMARY
from mnist_ops.run.summary import read_summary

REPOSITORY = Path(__file__).resolve().parents[1]
README, RECORDS = REPOSITORY / "README.md", REPOSITORY / "records"
PICTURES, LOG = REPOSITORY / "docs" / "pictures", REPOSITORY / "docs" / "training-log.txt"
TAKEN = ("lr.png", "curves.png", "augmentation.png", "mistakes-test.png")
MOST_BYTES = 150 * 1024  # of a picture: people read this on slow lines too
MARKED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def results() -> str:
    """A row per record, and below the table every single run."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RECORDS.glob("*.json"))]
    if not records:
        return "No record has been made yet: `mnist-ops sweep default --seeds 10 --record` makes one."
    heads = ("recipe", "parameters", "multiply-adds", "epochs", "mean accuracy", "SD", "n", "95 % interval of the mean",
             "training, median", "on")
    runs = [f"- `{record['recipe']}`, by `{record['command']}` on {record['dataset']}, commit {record['commit'][:10]}: "
            + ", ".join(f"{run['test_accuracy']:.2f}" for run in record["runs"]) for record in records]
    return "\n".join([_table(heads, map(_result, records)), "", "Every run, in the order of its seed:", "", *runs])


def _result(record: dict[str, Any]) -> list[str]:
    seconds = statistics.median(run["train_seconds"] for run in record["runs"])
    interval = "–" if record["interval"] is None else "{:.3f} to {:.3f}".format(*record["interval"])
    threads = f"{record['threads']} thread{'s' * (record['threads'] != 1)}"
    return [f"`{record['recipe']}`", f"{record['parameters']:,}", f"{record['macs']:,}", str(record["epochs"]),
            f"**{record['mean']:.3f} %**", "–" if record["sd"] is None else f"{record['sd']:.3f}",
            str(record["n"]), interval, f"{seconds:.0f} s",
            f"{record['device']} ({record['machine']}), {threads} a run, torch {record['torch']}"]


def network(recipe: str) -> str:
    """Both tables of a recipe's network."""
    layers = named_network(RECIPES[recipe].model)
    return f"```text\n{layer_text(layers, INPUT)}\n\n{field_text(layers, INPUT)}\n```"


def networks() -> str:
    """The networks of the recipes in one sentence each."""
    lines = []
    for name, config in RECIPES.items():
        total = totals(layer_rows(named_network(config.model), INPUT))
        lines.append(f"- `{name}` trains the network `{config.model}`: {total.parameters:,} parameters, {total.macs:,} "
                     f"multiply-adds for an image, {config.epochs} epochs.")
    return "\n".join(lines)


def augmentation() -> str:
    """The steps from a picture to the network's input, in their order: strength in each recipe, and why."""
    steps: list[tuple[str, Callable[[Augment], str], str]] = [
        ("resize", lambda one: "to 28x28",
         "The network takes one size, which MNIST has. [Other pictures](#your-own-digits) need more."),
        ("brightness", lambda one: _strength(f"±{one.brightness * 100:g} %", one.brightness),
         "Other light, other pens. MNIST is lit alike everywhere, so it is off."),
        ("contrast", lambda one: _strength(f"±{one.contrast * 100:g} %", one.contrast),
         "Likewise. Saturation and hue do nothing to grey images and do not exist here."),
        ("perspective", lambda one: _strength(f"corners by up to {one.perspective:g} of half the side, in "
                                              f"{one.perspective_share * 100:g} % of images", one.perspective),
         "A page seen at an angle."),
        ("rotation", lambda one: _strength(f"±{one.degrees:g}°", one.degrees),
         "Slanted writing. Far from 180°, which would make a 9 of a 6."),
        ("scale", lambda one: _strength(f"±{one.zoom * 100:g} %", one.zoom), "Large and small handwriting."),
        ("shear", lambda one: _strength(f"±{one.shear:g} px a row", one.shear), "Italics."),
        ("shift", lambda one: _strength(f"±{one.shift:g} px", one.shift),
         "Centring is never exact. After scale and shear, so that its pixels are those of the result."),
        ("fill", lambda one: f"with {one.fill}", "What comes in from outside the frame has to have some grey value."),
        ("last epochs", lambda one: _strength(f"{one.plain_epochs} without all this", one.plain_epochs),
         "The images to be read later are not distorted; a network this small hardly overfits in so short a time."),
        ("to tensor", lambda one: "0 to 1", "Grey values 0 to 255 become numbers from 0 to 1. Where in the order makes "
         "no difference; here it comes right after resizing, for the rest to happen on the network's device."),
        ("normalise", lambda one: "by mean and SD", "Inputs around 0 with SD 1 train faster. Both numbers come from "
         "the training part alone."),
    ]
    alike: dict[Augment, list[str]] = {}
    for name, config in RECIPES.items():
        alike.setdefault(config.augment, []).append(f"`{name}`")
    rows = [[name, *map(strength, alike), why] for name, strength, why in steps]
    return _table(("step", *map(", ".join, alike.values()), "why"), rows) + "\n\n" + _picture(
        "augmentation.png", "Eight training images, a row each: the original first, then as drawn for training")


def _strength(text: str, value: float) -> str:
    return text if value else "off"


def rate() -> str:
    """The range test in its steps, with the numbers of the default recipe."""
    tune = RECIPES["default"].tune
    decades = f"{tune.lowest:g} to {tune.highest:g}"
    return "\n".join([
        f"1. Train for {tune.steps} steps while the rate rises from {decades}, equally in its logarithm. A sweep ends "
        f"early where the loss diverges (past {tune.diverged:g} times its lowest), and the program says so.",
        f"2. Do that {tune.sweeps} times, from the same weights and on other images, and average the losses.",
        f"3. Smooth the curve by a Gaussian of {tune.smoothing * 100:g} % of the sweep's width. It is symmetric, so "
        "nothing is delayed: a running average would move every feature to higher rates.",
        "4. Read off three suggestions: `steepest`, where the loss falls fastest per decade of rate; `valley`, half "
        "way down its longest fall; `minimum/10`, a tenth of the rate of its minimum.",
        f"5. The schedule's peak is {tune.scale:g} times `{tune.suggestion}`. [The log](docs/log.md) has the trials "
        "behind these choices.",
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
    """A line per field that is no record itself: value, choices, the comment at its end or above it in the source."""
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
            lines.append(f"{name} = {json.dumps(value)}  # {note}".removesuffix("  # "))
    return "\n".join(lines)


def datasets() -> str:
    """The datasets known by name, with their licences."""
    rows = [[f"`{info.name}`", info.title, info.credit, info.licence] for info in CATALOG.values()]
    return _table(("name", "dataset", "by", "licence"), rows)


def drawn() -> str:
    """Of the table in docs/drawn.md the rows that nothing was chosen by."""
    heads, rule, *rows = _lines_of("drawn.md", "drawn")
    return "\n".join([heads, rule, *(row for row in rows if "canvas | 10 to 19" in row or "semeion" in row)])


def microcontroller() -> str:
    """The table in docs/microcontroller.md."""
    return "\n".join(_lines_of("microcontroller.md", "figures"))


def _lines_of(document: str, name: str) -> list[str]:
    """The lines of the table in that marked section of a document in docs/."""
    text = (REPOSITORY / "docs" / document).read_text(encoding="utf-8")
    [section] = [match[0] for match in MARKED.finditer(text) if match[2] == name]
    return [line for line in section.splitlines() if line.startswith("|")]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def _picture(name: str, text: str) -> str:
    if (PICTURES / name).exists():
        return f"![{text}](docs/pictures/{name})"
    return f"*A picture is shown here once `docs/pictures/{name}` exists.*"


SECTIONS: dict[str, Callable[[], str]] = {
    "results": results,
    "networks": networks,
    "network-default": lambda: network("default"),
    "network-seed": lambda: network("seed"),
    "augmentation": augmentation,
    "rate": rate,
    "log": log,
    "settings": settings,
    "datasets": datasets,
    "drawn": drawn,
    "microcontroller": microcontroller,
}


def renewed(text: str, sections: Mapping[str, Callable[[], str]] = SECTIONS,
            page: Path = README) -> tuple[str, list[str]]:
    """The page's text with every marked section written anew, and the names of those that were stale."""
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
    """Write the page's stale sections anew, or with `check` only name them and the command that does; the exit code."""
    fresh, stale = renewed(page.read_text(encoding="utf-8"), sections, page)
    if check:
        for name in stale:
            print(f"{page.name}: the section {name!r} is stale; run {command}", file=sys.stderr)
        return 1 if stale else 0
    if stale:
        page.write_text(fresh, encoding="utf-8")
    print(f"{page.name}: {', '.join(stale) or 'nothing'} written anew")
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


def small_png(content: bytes) -> bytes:
    """The picture as it is, or with 256 colours where it is larger than MOST_BYTES."""
    if len(content) <= MOST_BYTES:
        return content
    from PIL import Image

    packed = io.BytesIO()
    Image.open(io.BytesIO(content)).convert("RGB").quantize(256).save(packed, "PNG", optimize=True)
    if packed.tell() > MOST_BYTES:
        raise SystemExit(f"a picture has {packed.tell():,} bytes with 256 colours, at most {MOST_BYTES:,} are wanted")
    return packed.getvalue()


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Write the derived sections of README.md anew.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 where a section is stale")
    parser.add_argument("--run", type=Path, help="take the pictures of this run folder first")
    chosen = parser.parse_args(arguments)
    if chosen.run:
        take_pictures(chosen.run)
    return renew(README, SECTIONS, "python tools/readme.py", check=chosen.check)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
