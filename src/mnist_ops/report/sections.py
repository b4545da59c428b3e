"""The sections of a run's report: Findings -> tables and texts. Draws and writes nothing."""

from mnist_ops.arch.table import totals
from mnist_ops.errors import counted, legible
from mnist_ops.report.findings import Findings, Scored
from mnist_ops.report.html import Strip, Table, percent, strip
from mnist_ops.score.metrics import balanced_accuracy, in_words, unequal
from mnist_ops.score.mistakes import Order, in_order
from mnist_ops.score.statistics import wilson
from mnist_ops.score.verdict import Row

MOST_MISTAKES = 300  # in a table of the page; the CSV file has all
MOST_CONFUSIONS = 10
MOST_CLASSES = 30  # of a confusion matrix shown as a table


def accuracy_of(findings: Findings) -> tuple[float, tuple[float, float]] | None:
    """Test accuracy and its interval in percent: evaluated on the saved weights or, without data, from the summary."""
    summary, test = findings.summary, findings.test
    if test is not None:
        return test.evaluation.accuracy, wilson(test.evaluation.correct, len(test.evaluation.labels))
    return (summary["test_accuracy"], (summary["interval"][0], summary["interval"][1])) if summary else None


def accuracy_strip(findings: Findings) -> Strip | None:
    """The accuracy on its scale; None if there is none."""
    found = accuracy_of(findings)
    return strip(*found, findings.target) if found else None


def verdict(findings: Findings) -> tuple[str, str]:
    """The verdict on the accuracy: "good", "bad" or "" and a text."""
    found, target, config = accuracy_of(findings), findings.target, findings.config
    if findings.contradictions:
        return "bad", "The files of this run contradict each other, see the warnings"
    if findings.summary is None:
        return "bad", f"Not finished: {findings.epochs_done} of {config.epochs} epochs"
    if found is None or not target:
        return "", "No target was set"
    return ("good", f"Target of {target:g} % reached") if found[0] >= target else (
        "bad", f"Target of {target:g} % not reached")


def facts(findings: Findings) -> list[tuple[str, str]]:
    """Value and name of all known facts."""
    summary, config = findings.summary or {}, findings.config
    found = []
    if findings.layers:
        total = totals(findings.layers, config.input_shape)
        found += [(f"{total.parameters:,}", "parameters"), (f"{total.macs:,}", "multiply-adds per image")]
    found.append((f"{findings.epochs_done} of {config.epochs}", "epochs"))
    seconds = summary.get("train_seconds", sum(row.get("seconds", 0) for row in findings.history))
    if seconds:
        cores = counted(config.threads, "thread")
        found.append((_duration(seconds), f"of training ({config.device}, {cores})"))
    if findings.test and unequal([one.images for one in findings.test.explanation.scores]):
        found.append((f"{balanced_accuracy(findings.test.explanation.scores):.2f} %",
                      "balanced accuracy, the mean over the classes"))
    if findings.test and findings.test.refused is not None:
        found.append((f"{findings.test.refused:.2f} %", "of the test images refused, as of no class"))
    if findings.train:
        found.append((f"{findings.train.evaluation.accuracy:.2f} %", "accuracy on the original training images"))
    if (validation := _of_figure(findings, "validation_accuracy")) is not None:
        found.append((f"{validation:.2f} %", "validation accuracy"))
    if findings.peak_rate is not None:
        origin = "found" if config.lr == "auto" else "given"
        found.append((f"{findings.peak_rate:.4g}", f"peak learning rate, {origin}"))
    return found


def _of_figure(findings: Findings, key: str) -> float | None:
    return next((row.get(key) for row in findings.history if row.get("epoch") == findings.reported_epoch), None)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.3g} s"


def course(findings: Findings) -> Table:
    """A row per epoch."""
    parts = [part for part in ("train", "validation", "test") if any(f"{part}_loss" in row for row in findings.history)]
    head = ["Epoch", *(f"{part.capitalize()} {what}" for part in parts for what in ("loss", "accuracy")), "Rate",
            "Seconds"]
    rows = [[_number(row, "epoch", "d"), *(_number(row, f"{part}_{what}", form) for part in parts
                                           for what, form in (("loss", ".4f"), ("accuracy", ".2f"))),
             _number(row, "last_lr", ".4g"), _number(row, "seconds", ".1f")] for row in findings.history]
    caption = "Losses in nats (mean cross-entropies, by the natural logarithm), accuracies in percent, learning rate " \
              "of the last step, seconds of training"
    return Table(caption, head, rows)


def _number(row: Row, key: str, form: str) -> str:
    value = row.get(key)
    return format(value, form) if isinstance(value, (int, float)) else "–"


def suggestions(findings: Findings) -> Table | None:
    """The suggestions of the search, and the one used."""
    found = findings.range_test
    if found is None:
        return None
    rows = [(name, "yes" if name == found.used else "", f"{one.rate:.4g}", f"{one.loss:.4f}")
            for name, one in found.suggestions.items()]
    caption = "Suggested rates, and the smoothed loss there in nats (mean cross-entropy, by the natural logarithm)"
    return Table(caption, ("Suggestion", "Used", "Rate", "Loss"), rows, 2)


def mistakes(scored: Scored, classes: tuple[str, ...], by: Order) -> Table:
    """The first mistakes of a split, in the order of the gallery."""
    shown = in_order(scored.mistakes, by)[:MOST_MISTAKES]
    place = "File" if scored.split.names else "Index"
    rows = [(legible(one.place) + (" (disputed)" if one.disputed else ""), legible(classes[one.label]),
             legible(classes[one.predicted]), f"{100 * one.probability:.2f}", f"{100 * one.label_probability:.2f}")
            for one in shown]
    title = "Misclassified, the least confident first" if by == "least-confident" else \
        "Misclassified, the most confident first"
    return Table(f"{title}: probabilities in percent of the predicted and of the true class",
                 (place, "True class", "Read as", "P(read)", "P(true)"), rows, 3)


def classes_table(scored: Scored, classes: tuple[str, ...]) -> Table:
    """Precision, recall and F1 of each class."""
    rows = [(legible(classes[one.label]), f"{one.images:,}", f"{one.correct:,}", percent(one.precision),
             percent(one.recall), percent(one.f1)) for one in scored.explanation.scores]
    return Table("Each class: images, images classified correctly; precision, recall and F1 in percent",
                 ("Class", "Images", "Right", "Precision", "Recall", "F1"), rows)


def confusion_table(scored: Scored, classes: tuple[str, ...]) -> Table | None:
    """The counts; None if there are too many classes for a table."""
    if len(classes) > MOST_CLASSES:
        return None
    names = [legible(name) for name in classes]
    rows = [(name, *(f"{count:,}" for count in counts))
            for name, counts in zip(names, scored.explanation.confusion.tolist(), strict=True)]
    return Table("Images by true class (rows) and predicted class (columns)", ("True \\ predicted", *names), rows)


def confusions(scored: Scored, classes: tuple[str, ...]) -> list[str]:
    """The most frequent ones in words."""
    return [in_words(one, classes) for one in scored.explanation.confused[:MOST_CONFUSIONS]]


def bins_table(scored: Scored) -> Table:
    """The bins of the reliability diagram."""
    rows = [(f"{one.low:.1f} to {one.high:.1f}", f"{one.count:,}", percent(one.confidence), percent(one.accuracy))
            for one in scored.explanation.calibration.bins]
    return Table("Test images by confidence, in percent except the number of images",
                 ("Confidence", "Images", "Mean confidence", "Accuracy"), rows)
