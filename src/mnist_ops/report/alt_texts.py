"""Text alternatives of the pictures, with their main numbers."""

from collections.abc import Sequence

from mnist_ops.errors import legible
from mnist_ops.optim.tune import RangeTest
from mnist_ops.report import style
from mnist_ops.report.findings import Findings, Scored
from mnist_ops.report.inside_network import Filters, Maps
from mnist_ops.report.plot_data import Augmented, lines, marks
from mnist_ops.score.metrics import in_words
from mnist_ops.score.mistakes import Mistake
from mnist_ops.score.verdict import Row


def rate(test: RangeTest) -> str:
    """The range of the search, and every mark."""
    marked = "; ".join(", ".join(mark.text) for mark in marks(test))
    return (f"Training loss over the learning rate, from {test.rates[0]:.3g} to {test.rates[-1]:.3g}: raw, and "
            f"smoothed over it, from {test.smoothed[0]:.3g} nats down to {min(test.smoothed):.3g}. Marked: {marked}.")


def curves(history: Sequence[Row], target: float) -> str:
    """Each line by its first and last value."""
    parts = []
    for quantity, unit, digits in (("accuracy", " %", 2), ("loss", " nats", 4)):
        for line in lines(history, quantity):
            first, last = (f"{value:.{digits}f}{unit}" for value in (line.values[0], line.values[-1]))
            course = f"{last} after epoch {line.epochs[-1]}"
            if len(line.epochs) > 1:
                course = f"from {first} after epoch {line.epochs[0]} to {course}"
            parts.append(f"{line.part} {quantity} {course}")
    rates = [row["last_lr"] for row in history]
    parts.append(f"learning rate at most {max(rates):.3g}, {rates[-1]:.3g} at the end of the last epoch")
    aim = f" A line marks the target, {target:g} %." if target > 0 else ""
    many = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
    return f"Curves over {many}: {'; '.join(parts)}.{aim}"


def augmentation(shown: Augmented) -> str:
    """The images, and how they are changed."""
    what = "; ".join(shown.parts) if shown.parts else "nothing is changed"
    return (f"{shown.images.shape[1]} training images, a row each: the original and then {len(shown.images) - 1} as "
            f"the network gets them ({what}). Classes: {', '.join(map(legible, shown.classes))}.")


def gallery(mistakes: Sequence[Mistake], classes: Sequence[str], total: int, part: str) -> str:
    """Every image of the gallery in words."""
    told = []
    for one in mistakes:
        doubt = ", label disputed" if one.disputed else ""
        label, predicted = legible(classes[one.label]), legible(classes[one.predicted])
        probability = style.probability_text(one.probability)
        told.append(f"{legible(one.place)}: {label} predicted as {predicted}, {probability}{doubt}")
    return f"{len(mistakes)} of the {total:,} misclassified {part} images. {'; '.join(told)}."


def confusion(scored: Scored, classes: Sequence[str]) -> str:
    """The number of right predictions, and the most frequent confusions."""
    counts, confused = scored.explanation.confusion, scored.explanation.confused
    most = "; ".join(in_words(one, classes) for one in confused[:5])
    return (f"Confusion matrix of {len(classes)} classes, true by predicted: {int(counts.trace()):,} of "
            f"{int(counts.sum()):,} images on the diagonal. " +
            (f"Most frequent confusions: {most}." if most else "No confusions."))


def by_class(scored: Scored, classes: Sequence[str]) -> str:
    """Precision and recall of each class."""
    def percent(value: float | None) -> str:
        return "undefined" if value is None else f"{value:.2f} %"

    told = (f"{legible(classes[one.label])}: {percent(one.precision)} and {percent(one.recall)}, {one.images:,} images"
            for one in scored.explanation.scores)
    return f"Precision and recall of each class. {'; '.join(told)}."


def calibration(scored: Scored) -> str:
    """The calibration error, and each bin."""
    shown = scored.explanation.calibration
    told = (f"{one.confidence:.1f} % and {one.accuracy:.1f} %, {one.count:,} images" for one in shown.bins if one.count)
    return (f"Reliability diagram: expected calibration error {shown.ece:.2f} points, mean confidence "
            f"{shown.mean_confidence:.2f} %, accuracy {shown.accuracy:.2f} %. Confidence and accuracy of each bin: "
            f"{'; '.join(told)}.")


def filters(shown: Sequence[Filters]) -> str:
    """The size of every layer's weights."""
    told = (f"{one.name}: {one.weights.shape[0]} of {one.weights.shape[2]}×{one.weights.shape[3]} on "
            f"{one.weights.shape[1]} channels" for one in shown)
    return f"The weights of every convolution as coloured squares. {'; '.join(told)}."


def activations(shown: Sequence[Maps], findings: Findings) -> str:
    """The size of every block's maps, and the receptive field of one unit."""
    told = []
    for one in shown:
        channels, tall, wide = one.values.shape
        first, last, west, east = one.seen
        told.append(f"{one.name}: {channels} maps of {tall}×{wide}, the strongest unit sees rows {first} to {last} and "
                    f"columns {west} to {east}")
    answer = shown[-1].unit[0]
    named = legible(findings.classes[answer]) if answer < len(findings.classes) else str(answer)
    return f"The maps of one image, block by block. {'; '.join(told)}. The highest value at the end: {named}."
