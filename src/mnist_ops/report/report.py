"""The report of a run: one self-contained page, its pictures and tables of mistakes, written into the run folder."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_ops.disk import write_whole
from mnist_ops.errors import legible
from mnist_ops.report import plots, provenance_section, sections
from mnist_ops.report.findings import Findings, Scored
from mnist_ops.report.html import embed, render
from mnist_ops.report.plot_data import describe
from mnist_ops.score.mistakes import Order, as_csv

REPORT = "report.html"
TABLES = {"test": "mistakes-test.csv", "train": "mistakes-train.csv"}
PICTURES = {"test": plots.TEST_MISTAKES, "train": plots.TRAIN_MISTAKES}
DRAWN = (plots.RATE_PICTURE, plots.CURVES_PICTURE, plots.AUGMENTATION_PICTURE, *PICTURES.values(), plots.CONFUSION,
         plots.CLASSES, plots.CALIBRATION, plots.FILTERS, plots.ACTIVATIONS)
SECTIONS = {
    "figure": "The reported accuracy",
    "course": "Training curves",
    "rate": "Learning-rate search",
    "augmentation": "Augmentation",
    "mistakes": "Mistakes",
    "classes": "Classes and confusions",
    "calibration": "Calibration",
    "seen": "What the network sees",
    "network": "Layers and receptive field",
    "again": "Repeat the run",
    "missing": "Warnings and missing data",
}


@dataclass(frozen=True)
class Report:
    """The written files, all in the run folder."""

    page: Path
    pictures: tuple[Path, ...]
    tables: tuple[Path, ...]  # CSV


def write_report(findings: Findings, by: Order = "least-confident", images: int = 40) -> Report:
    """Write pictures, tables and, last, the page; `by` and `images` are for the galleries.

    Files of an earlier report that this one does not have are removed. Raises RunError if the folder cannot be
    written."""
    folder = findings.path
    drawn = plots.draw_all(findings, folder, by=by, images=images)
    tables = _write_tables(findings)
    stale = {*DRAWN, *TABLES.values()} - {one.name for one in drawn} - {path.name for path in tables}
    for name in stale:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    embedded = {one.name: embed(folder / one.name, one.title, one.alt) for one in drawn}
    content = _content(findings, by)
    title = f"{content['recipe']} on {content['dataset']}, seed {content['seed']}: report of a run"
    page = render("report/templates/report.html.jinja", title, sections=SECTIONS, pictures=embedded, **content)
    write_whole(folder / REPORT, page)
    return Report(folder / REPORT, tuple(folder / one.name for one in drawn), tuple(tables))


def _write_tables(findings: Findings) -> list[Path]:
    """All mistakes of both splits, if they could be evaluated."""
    written = []
    for part in (findings.test, findings.train):
        if part is not None:
            path = findings.path / TABLES[part.part]
            write_whole(path, as_csv(part.mistakes, findings.classes).encode("utf-8", "backslashreplace"))
            written.append(path)
    return written


def _content(findings: Findings, by: Order) -> dict[str, Any]:
    """All that the template shows, except the pictures."""
    test, classes, config = findings.test, findings.classes, findings.config
    place = sections.accuracy_strip(findings)
    return {
        "recipe": legible(config.recipe), "dataset": legible(findings.title), "seed": config.seed,
        "folder": legible(findings.path.resolve().name), "config": config, "finished": findings.summary is not None,
        "accuracy": sections.accuracy_of(findings), "verdict": sections.verdict(findings),
        "strip": place, "rules": place.rules if place else "", "facts": sections.facts(findings),
        "epochs_done": findings.epochs_done, "reported_epoch": findings.reported_epoch,
        "validated": bool(config.validation), "test_images": _test_images(findings),
        "augmented": bool(describe(config.augment)),
        "course": sections.course(findings), "suggestions": sections.suggestions(findings),
        "peak_rate": findings.peak_rate, "used": findings.range_test and findings.range_test.used,
        "parts": [_part(findings, name, by) for name in ("test", "train")],
        "undisputed": test and test.undisputed,
        "scores": test and sections.classes_table(test, classes),
        "confusion": test and sections.confusion_table(test, classes),
        "confusions": test and sections.confusions(test, classes),
        "calibration": test and test.explanation.calibration, "bins": test and sections.bins_table(test),
        "layers": provenance_section.layer_table(findings) if findings.layers else None,
        "fields": provenance_section.field_table(findings) if findings.layers else None,
        "commands": provenance_section.again(findings), "made_by": provenance_section.made_by(findings),
        "settings": provenance_section.settings_text(findings),
        "warnings": findings.warnings, "missing": findings.missing,
    }


def _part(findings: Findings, name: str, by: Order) -> dict[str, Any]:
    """A split's mistakes; a count of 0 if it could not be evaluated."""
    scored: Scored | None = findings.test if name == "test" else findings.train
    if scored is None:
        return {"name": name, "count": 0}
    table = sections.mistakes(scored, findings.classes, by)
    return {"name": name, "count": len(scored.evaluation.labels), "wrong": len(scored.mistakes), "csv": TABLES[name],
            "picture": PICTURES[name], "table": table, "shown": len(table.rows)}


def _test_images(findings: Findings) -> int:
    if findings.test:
        return len(findings.test.evaluation.labels)
    return int((findings.summary or {}).get("test_images", 0))
