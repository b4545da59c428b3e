"""Reads what nobody chose by with each record's networks: the embedded digits, Semeion, and MNIST in int8 arithmetic.

    python -m tools.second_look sweeps/tiny sweeps/best ...     into docs/figures/second-look.json, recipe by recipe
    python tools/readme.py                                      from there into docs/records.md

Each folder is a sweep of a recipe on MNIST. Semeion lies in $MNIST_OPS_DATA/drawn, MNIST beside it.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mnist_ops.classifier import load
from mnist_ops.data.dataset import ImageDataset, ImageSet
from mnist_ops.data.files import VARIABLE
from mnist_ops.data.source import digits, read
from mnist_ops.disk import write_whole
from mnist_ops.errors import DataError
from mnist_ops.export.c import int8
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.steps import stages
from mnist_ops.export.fold_norms import fold_trained
from mnist_ops.pictures.prepare import prepare
from mnist_ops.run.summary import read_summary
from mnist_ops.run.trained import load_trained
from mnist_ops.score.mistakes import DISPUTED
from tools.drawn import drawn

FIGURES = Path(__file__).resolve().parents[1] / "docs" / "figures" / "second-look.json"


def semeion(folder: Path) -> tuple[ImageSet, int]:
    """The images that can be prepared, and the number of all: what is refused counts as read wrong."""
    [pictures] = [one for one in drawn(folder) if one.name == "semeion"]
    images, labels = [], []
    for image, label in zip(pictures.images, pictures.labels, strict=True):
        try:
            images.append(prepare(image, how="mnist"))
            labels.append(label)
        except DataError as error:
            print(f"semeion: {error}", file=sys.stderr)
    return ImageSet(np.stack(images), np.array(labels)), len(pictures.labels)


def look(run: Path, source: ImageDataset, written: tuple[ImageSet, int]) -> dict[str, Any]:
    """One run: accuracies in percent, and how many of its errors on the test set have disputed labels."""
    classifier, embedded, (others, count) = load(run), digits("mnist"), written
    predicted, labels = classifier.predict(source.test.images).argmax(1), np.asarray(source.test.labels)
    network = quantize(stages(fold_trained(load_trained(run))), source.train.images)
    integers = int8.logits(network, source.test.images).argmax(1)
    own = [(classifier.predict(part.images).argmax(1) == part.labels).sum() for part in (embedded.train, embedded.test)]
    disputed = np.array(sorted(DISPUTED))
    return {
        "seed": read_summary(run / "summary.json")["seed"],
        "test": 100 * float((predicted == labels).mean()), "int8": 100 * float((integers == labels).mean()),
        "digits": 100 * float(sum(own)) / (len(embedded.train.labels) + len(embedded.test.labels)),
        "semeion": 100 * float((classifier.predict(others.images).argmax(1) == others.labels).sum()) / count,
        "errors": int((predicted != labels).sum()),
        "disputed": int((predicted[disputed] != labels[disputed]).sum())}


def main(arguments: list[str]) -> int:
    """Carry out the command line, see the top of this file; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("sweeps", nargs="+", type=Path, help="folders of sweeps on MNIST")
    given = parser.parse_args(arguments)
    if not os.environ.get(VARIABLE):
        raise SystemExit(f"${VARIABLE}: is not set; expected the folder that holds drawn/ and MNIST/")
    source, written = read("mnist", fetch=False), semeion(Path(os.environ[VARIABLE]) / "drawn")
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    for sweep in given.sweeps:
        runs = sorted(sweep.glob("s*/summary.json"), key=lambda path: int(path.parent.name[1:]))
        recipe = read_summary(runs[0])["recipe"]
        found[recipe] = [look(path.parent, source, written) for path in runs]
        write_whole(FIGURES, (json.dumps(found, indent=1) + "\n").encode())
        print(f"{recipe}: {found[recipe][-1]}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
