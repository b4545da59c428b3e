"""The model card of an export: the file, its accuracy with n, its failures, and the data's licence."""

import re
from dataclasses import dataclass
from typing import Any

import torch

from mnist_ops import __version__
from mnist_ops.data.catalog import CATALOG
from mnist_ops.errors import legible
from mnist_ops.export.proof import TIE, Expected, Proof
from mnist_ops.run.trained import TrainedNetwork
from mnist_ops.score.evaluate import Evaluation
from mnist_ops.score.metrics import class_scores, confusion, most_confused
from mnist_ops.score.statistics import wilson
from mnist_ops.templating import fill

MOST_CONFUSIONS = 8
PREPARATIONS = {
    "mnist": "As MNIST was made: the ink found, its longer side scaled to 20 pixels, centred by mass, light on dark.",
    "resize": "Stretched to the size by nearest neighbour. The pixels are not changed otherwise, and must look "
              "like those of the training data (MNIST: light ink on black, the digit 20 pixels high, centred by mass).",
}


@dataclass(frozen=True)
class Snippet:
    """How an export is used, for its card: a heading, and text of that language."""

    title: str
    language: str
    text: str


@dataclass(frozen=True)
class Facts:
    """The content of a card besides the network and the comparison."""

    file: str  # its name, or the names of a pair
    interface: tuple[str, ...]  # input and output, a sentence each
    summary: dict[str, Any] | None  # of summary.json
    record: dict[str, Any] | None   # of the recipe, as in records/
    data: str  # what was compared on
    sizes: tuple[tuple[str, str], ...]
    snippets: tuple[Snippet, ...] = ()
    steps: tuple[tuple[str, ...], ...] = ()  # of C code; the first row the heads


def card(trained: TrainedNetwork, facts: Facts, proof: Proof, expected: Expected) -> str:
    """The card as Markdown. Names from outside are escaped."""
    info = CATALOG.get(trained.dataset)
    context = {
        "title": f"{plain(trained.model)} on {plain(info.title if info else trained.dataset)}",
        "file": as_code(facts.file),
        "classes": [plain(one) for one in trained.classes], "side": trained.input_shape[1],
        "kind": "grey" if trained.input_shape[0] == 1 else "colour", "model": as_code(trained.model),
        "parameters": f"{sum(parameter.numel() for parameter in trained.network.parameters()):,}",
        "dataset": plain(info.title if info else trained.dataset), "version": __version__,
        "interface": facts.interface, "snippets": facts.snippets, "prepare": trained.prepare,
        "preparation": PREPARATIONS.get(trained.prepare, "As that setting of mnist-ops."),
        "figures": _figures(facts), "measured": f"Compared with PyTorch on {plain(facts.data)}",
        "images": f"{proof.images:,}", "same": f"{proof.same:,}", "ties": proof.ties, "different": proof.different,
        "most_different": f"{proof.most_different:.2g} %",
        "tie": f"{TIE:g}", "largest": f"{proof.largest_difference:.1e}", "sizes": facts.sizes, "steps": facts.steps,
        "accuracy": "" if proof.accuracy is None else f"{proof.accuracy:.2f} %",
        "pytorch_accuracy": "" if proof.pytorch_accuracy is None else f"{proof.pytorch_accuracy:.2f} %",
        **_failures(trained, expected), "data": _data(trained),
    }
    return fill("export/templates/model_card.md.jinja", escape=False, **context)


def _figures(facts: Facts) -> list[str]:
    lines = []
    if (one := facts.summary) is not None:
        lines.append(f"This network, one run (n = 1, seed {one['seed']}, recipe {as_code(one['recipe'])}, "
                     f"{one['epochs']} epochs): {one['test_accuracy']:.2f} % of {one['test_images']:,} test images of "
                     f"{plain(str(one['dataset']))}, 95 % interval {one['interval'][0]:.2f} to "
                     f"{one['interval'][1]:.2f} %.")
        if "started_from" in one:
            lines.append(f"It started from the weights of {plain(str(one['started_from']))}.")
    if (many := facts.record) is not None:
        spread = "" if many["sd"] is None else f", SD {many['sd']:.3f}"
        lines.append(f"The recipe {as_code(many['recipe'])} over n = {many['n']} seeds: mean {many['mean']:.3f} %"
                     f"{spread} on {plain(str(many['dataset']))}.")
    return lines or ["There is no record of the training with these weights; the measurements below are new."]


def _failures(trained: TrainedNetwork, expected: Expected) -> dict[str, Any]:
    """The most frequent confusions, most frequent first, and the class of the lowest accuracy."""
    if expected.labels is None:
        text = "Confusions were not counted: no images with these classes were available."
        return {"confusions": [], "nothing_wrong": text}
    counts = confusion(Evaluation(torch.from_numpy(expected.logits), torch.from_numpy(expected.labels)))
    names, confused = [plain(one) for one in trained.classes], most_confused(counts)
    worst = min(class_scores(counts), key=lambda one: 100.0 if one.recall is None else one.recall)
    count = len(expected.labels)
    return {
        "confusions": [(names[one.label], names[one.predicted], one.count) for one in confused[:MOST_CONFUSIONS]],
        "wrong": f"{sum(one.count for one in confused):,}",
        "nothing_wrong": f"None of the {count:,} test images was misclassified, from which follows with 95 % "
                         f"confidence that fewer than {100 - wilson(count, count)[0]:.2g} % of such images are.",
        "worst": f"{names[worst.label]}: {worst.correct:,} of {worst.images:,} images classified correctly",
    }


def _data(trained: TrainedNetwork) -> str:
    info = CATALOG.get(trained.dataset)
    if info is None:
        return f"A folder of pictures, {plain(trained.dataset)}. Its licence is not known to mnist-ops."
    return f"{plain(info.title)}, by {plain(info.credit)}. Licence: {plain(info.licence)}."


def plain(text: str) -> str:
    """Text escaped for Markdown, GitHub's too, which makes links of addresses."""
    return re.sub(r"([\\`*_{}\[\]<>|#!&~$@]|(?<=www)\.|:(?=//))", r"\\\1", legible(text), flags=re.IGNORECASE)


def as_code(text: object) -> str:
    """Text as code in Markdown, between more backticks than follow each other in it."""
    shown = legible(text) or " "
    ticks = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{ticks}{shown}{ticks}" if len(ticks) == 1 else f"{ticks} {shown} {ticks}"
