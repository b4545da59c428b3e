"""How well networks read the corrupted digits of `tools.corruptions`; writes their table in docs/drawn.md.

    python -m tools.robustness default                     measure and print
    python -m tools.robustness default best=RUN --write    keep docs/figures/corrupted.json, write the table
    python -m tools.robustness --write                     write the table again, from the figures kept
    python -m tools.robustness --sheet                     draw docs/pictures/corruptions.png

Every network reads the same images: MNIST's 10,000 test images, changed at random from one seed. With --prepared it
also reads the first 1,000 of them, prepared like pictures of any origin; that takes some minutes.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist_ops.classifier import Classifier, load
from mnist_ops.data.source import read
from mnist_ops.errors import DataError
from mnist_ops.pictures.prepare import prepare
from mnist_ops.report import style
from mnist_ops.run.folder import read_json, write_json
from tools.corruptions import CORRUPTIONS, Images
from tools.drawn import put
from tools.readme import FIGURES, PICTURES

FILE, PICTURE = FIGURES / "corrupted.json", PICTURES / "corruptions.png"
SEED, BLOCK, PREPARED = 2019, 100, 1000  # images changed at once; images that are also read prepared
CLEAN, SHOWN = "none", 0  # the image on the sheet
Labels = NDArray[np.int64]


def corrupted(images: Images, name: str, seed: int = SEED) -> Images:
    """Images (N, 28, 28) under that corruption, or none; each corruption has a stream of its own from the seed."""
    if name == CLEAN:
        return images
    random = np.random.default_rng((seed, list(CORRUPTIONS).index(name)))
    return np.concatenate([CORRUPTIONS[name](images[first:first + BLOCK], random)
                           for first in range(0, len(images), BLOCK)])


def accuracy(classifier: Classifier, images: Images, labels: Labels) -> float:
    """Percent read right."""
    return float(100 * (classifier.predict(images).argmax(1) == labels).mean())


def prepared_accuracy(classifier: Classifier, images: Images, labels: Labels) -> float:
    """Percent read right once prepared; an image that is refused is read wrong."""
    made, kept = [], []
    for image, label in zip(images, labels, strict=True):
        try:
            made.append(prepare(image, "mnist"))
            kept.append(label)
        except DataError:
            continue
    return accuracy(classifier, np.stack(made), np.array(kept)) * len(kept) / len(labels) if kept else 0.0


def measure(runs: dict[str, str], *, also_prepared: bool) -> dict[str, Any]:
    """-> for each network its parameters, and its accuracy under each corruption."""
    classifiers, test = {name: load(run) for name, run in runs.items()}, read("mnist").test
    found: dict[str, Any] = {name: {"parameters": sum(one.numel() for one in classifier.network.parameters()),
                                    "accuracy": {}, **({"prepared": {}} if also_prepared else {})}
                             for name, classifier in classifiers.items()}
    for name in (CLEAN, *CORRUPTIONS):
        images = corrupted(test.images, name)
        for network, classifier in classifiers.items():
            found[network]["accuracy"][name] = accuracy(classifier, images, test.labels)
            if also_prepared:
                first = images[:PREPARED], test.labels[:PREPARED]
                found[network]["prepared"][name] = prepared_accuracy(classifier, *first)
        print(f"{name}: {[found[network]['accuracy'][name] for network in runs]}", file=sys.stderr, flush=True)
    return found


def columns(networks: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Heads and figures of the table's columns: a network each, those read prepared at the end."""
    return {**{name: one["accuracy"] for name, one in networks.items()},
            **{f"{name}, prepared": one["prepared"] for name, one in networks.items() if "prepared" in one}}


def table(networks: dict[str, Any]) -> str:
    """A row per corruption, then the mean and the lowest of the fifteen."""
    found = columns(networks)
    rows = [["corruption", *found], ["---"] * (1 + len(found)),
            *([name, *(f"{one[name]:.2f} %" for one in found.values())] for name in (CLEAN, *CORRUPTIONS))]
    for told, of in (("mean of the fifteen", statistics.mean), ("worst", min)):
        rows.append([told, *(f"{of(one[name] for name in CORRUPTIONS):.2f} %" for one in found.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw_sheet(images: Images, place: int) -> Figure:
    """The image at `place` as it is and under every corruption, in two rows."""
    tile, step, head = style.WIDTH / 8 - 0.14, (style.WIDTH / 8, style.WIDTH / 8 + 0.1), 0.42  # inches
    figure = style.new_figure(head + 2 * step[1])
    style.heading(figure, "An image of MNIST's test set, corrupted in fifteen ways")
    for number, name in enumerate((CLEAN, *CORRUPTIONS)):
        row, column = divmod(number, 8)
        left, low = 0.07 + column * step[0], (1 - row) * step[1] + 0.06
        style.paste(figure, corrupted(images[:place + 1], name)[place], (left, low), tile * style.DPI / 28)
        figure.text(left / style.WIDTH, (low + tile + 0.03) / figure.get_figheight(), name, fontsize=9)
    return figure


def named(arguments: Sequence[str]) -> dict[str, str]:
    """NAME=RUN, or RUN alone by its own name."""
    return {name: run or name for name, _, run in (one.partition("=") for one in arguments)}


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description="Measure how well networks read corrupted digits.")
    parser.add_argument("runs", nargs="*", help="NAME=RUN, run folders of networks trained on MNIST; or default")
    parser.add_argument("--prepared", action="store_true", help="read images also prepared as pictures")
    parser.add_argument("--write", action="store_true", help="keep the figures, put their table into docs/drawn.md")
    parser.add_argument("--sheet", action="store_true", help="draw one digit under all corruptions")
    chosen = parser.parse_args(arguments)
    networks = measure(named(chosen.runs), also_prepared=chosen.prepared) if chosen.runs else {}
    if chosen.write:
        networks = (read_json(FILE)["networks"] if FILE.exists() else {}) | networks
        write_json(FILE, {"seed": SEED, "images": len(read("mnist").test.images), "networks": networks})
        put("corrupted", f"{table(networks)}\n")
    if networks:
        print(table(networks))
    if chosen.sheet:
        print(style.save(PICTURE, draw_sheet(read("mnist").test.images, SHOWN)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
