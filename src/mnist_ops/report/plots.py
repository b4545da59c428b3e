"""The pictures of a run and their files. Drawn in `charts`, `gallery` and others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from mnist_ops.errors import legible
from mnist_ops.report import alt_texts, style
from mnist_ops.report.charts import draw_curves, draw_rate
from mnist_ops.report.error_charts import draw_calibration, draw_classes, draw_confusion
from mnist_ops.report.findings import Findings, Scored
from mnist_ops.report.gallery import Tile, draw_augmentation, draw_gallery
from mnist_ops.report.inside_network import activations, draw_activations, draw_filters, filters
from mnist_ops.report.plot_data import augmented
from mnist_ops.score.mistakes import Order, in_order
from mnist_ops.score.verdict import Row

RATE_PICTURE, CURVES_PICTURE, AUGMENTATION_PICTURE = "lr.png", "curves.png", "augmentation.png"
TEST_MISTAKES, TRAIN_MISTAKES = "mistakes-test.png", "mistakes-train.png"
CONFUSION, CLASSES, CALIBRATION = "confusion.png", "classes.png", "calibration.png"
FILTERS, ACTIVATIONS = "filters.png", "activations.png"


@dataclass(frozen=True)
class Plot:
    """A picture file of a run folder."""

    name: str  # of the file
    title: str
    alt: str  # the text alternative


Drawn = tuple[Plot, Callable[[], Figure]]


def draw_all(findings: Findings, folder: Path, *, by: Order = "least-confident", images: int = 40) -> list[Plot]:
    """Write every picture that has data into `folder`, each atomically.

    by and images: the order of the galleries, and their maximum number of images. Raises RunError if a picture cannot
    be written."""
    written = []
    with style.look():
        for picture, draw in pictures(findings, by=by, images=images):
            style.save(folder / picture.name, draw())
            written.append(picture)
    return written


def pictures(findings: Findings, *, by: Order = "least-confident", images: int = 40) -> Iterator[Drawn]:
    """Every picture that has data, in the order of a report, and the function that draws it within `style.look`."""
    yield from _of_training(findings)
    for scored in (findings.test, findings.train):
        if scored and scored.mistakes:
            yield _mistakes(scored, findings, by, images)
    if findings.test:
        yield from _of_test(findings.test, findings)
    yield from _of_network(findings)


def _of_training(findings: Findings) -> Iterator[Drawn]:
    """The rate search, the curves, the augmentation."""
    found = findings.range_test
    if found:
        title = f"Learning-rate range test: peak rate {found.lr:.3g}"
        yield Plot(RATE_PICTURE, title, alt_texts.rate(found)), lambda: draw_rate(found)
    if findings.history:
        target, history = findings.target, _with_figure(findings)
        picture = Plot(CURVES_PICTURE, "Accuracy, loss and learning rate after each epoch",
                       alt_texts.curves(history, target))
        yield picture, lambda: draw_curves(history, target)
    if findings.data and len(findings.data.train):
        shown = augmented(findings.data, findings.config)
        title = legible(findings.title)
        yield (Plot(AUGMENTATION_PICTURE, f"{title}, before and after augmentation",
                    alt_texts.augmentation(shown)), lambda: draw_augmentation(shown, title))


def _with_figure(findings: Findings) -> list[Row]:
    """The history; if it has no test accuracy, with the reported one at its epoch."""
    history = [dict(row) for row in findings.history]
    if findings.test and not any("test_accuracy" in row for row in history):
        for row in history:
            if row["epoch"] == findings.reported_epoch:
                row |= {"test_accuracy": findings.test.evaluation.accuracy, "test_loss": findings.test.evaluation.loss}
    return history


def _mistakes(scored: Scored, findings: Findings, by: Order, images: int) -> Drawn:
    """The gallery of one split."""
    shown = in_order(scored.mistakes, by)[:images]
    tiles = [Tile(as_image(scored.split.images[index]), one.place, findings.classes[one.label],
                  findings.classes[one.predicted], one.probability, one.disputed)
             for index, one in zip((one.index for one in shown), shown, strict=True)]
    total = len(scored.mistakes)
    kind = "test" if scored.part == "test" else "training"
    title = f"Misclassified {kind} images of {legible(findings.title)}"
    order = by.replace("-", " ")
    caption = (f"All {total:,}, the {order} first" if total <= images else f"The {len(shown):,} {order} of {total:,}")
    caption += f"; {len(scored.split):,} {kind} images in all."
    alt = alt_texts.gallery(shown, findings.classes, total, kind)
    mark = "people disagree about the label"
    file = TEST_MISTAKES if scored.part == "test" else TRAIN_MISTAKES
    return Plot(file, title, alt), lambda: draw_gallery(tiles, title, caption, mark=mark)


def as_image(image: Tensor) -> NDArray[np.uint8]:
    """(1, H, W) -> (H, W), and (3, H, W) as it is."""
    found: NDArray[np.uint8] = image.cpu().numpy()
    return found[0] if len(found) == 1 else found


def _of_test(scored: Scored, findings: Findings) -> Iterator[Drawn]:
    """Confusion, classes, calibration of the test set."""
    told, classes, name = scored.explanation, findings.classes, legible(findings.title)
    total = len(scored.split)
    caption = f"{total - scored.evaluation.correct:,} of {total:,} images are misclassified."
    title = f"Test images of {name}: confusion matrix"
    yield (Plot(CONFUSION, title, alt_texts.confusion(scored, classes)),
           lambda: draw_confusion(told.confusion, classes, title, caption))
    by_class = f"Test images of {name}: precision and recall of each class"
    yield (Plot(CLASSES, by_class, alt_texts.by_class(scored, classes)),
           lambda: draw_classes(told.scores, classes, told.confused, by_class))
    trust = f"Test images of {name}: calibration of the probabilities"
    yield (Plot(CALIBRATION, trust, alt_texts.calibration(scored)),
           lambda: draw_calibration(told.calibration, trust))


def _of_network(findings: Findings) -> Iterator[Drawn]:
    """The filters; and the maps of the first test image."""
    trained = findings.trained
    if not trained:
        return
    weights = filters(trained.network, trained.layers, trained.input_shape)
    title = f"The filters of every convolution of the network {legible(trained.model)}"
    yield Plot(FILTERS, title, alt_texts.filters(weights)), lambda: draw_filters(weights, title)
    if findings.test:
        image = findings.test.split.images[0]
        maps = activations(trained.network, trained.layers, image, (trained.mean, trained.sd))
        name = findings.test.split.names[0] if findings.test.split.names else "0"
        title = f"The network's maps of test image {legible(name)}"
        yield (Plot(ACTIVATIONS, title, alt_texts.activations(maps, findings)),
               lambda: draw_activations(as_image(image), maps, findings.classes, title))
