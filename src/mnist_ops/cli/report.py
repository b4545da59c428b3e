"""mnist-ops report: the pictures and the page of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mnist_ops.cli.download import downloads
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import Json, Whole
from mnist_ops.errors import UsageError

if TYPE_CHECKING:
    from mnist_ops.report.report import Report

MOST_IMAGES = 400  # in a gallery; the page is to stay small


def report(
    run: Path,
    /,
    *,
    by: Literal["least-confident", "most-confident"] = "least-confident",
    images: Whole = 40,
    data_dir: Path | None = None,
    as_json: Json = False,
) -> None:
    """Write a run's report into its folder: report.html, one self-contained page, its pictures as PNG, and every
    mistake as CSV. A run that was stopped has one too, of the last epoch that it saved.

    Parameters
    ----------
    run
        A run folder.
    by
        Which mistakes the galleries show first: those of the lowest or of the highest probability.
    images
        Images in each gallery of mistakes, at most 400 [images].
    data_dir
        Folder that holds or receives the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    as_json
        Print one JSON object: run, page, pictures and tables (paths), missing and warnings (texts).
    """
    if not 1 <= images <= MOST_IMAGES:
        raise UsageError(f"--images {images}: expected a whole number from 1 to {MOST_IMAGES}; the CSV files hold all")
    from mnist_ops.report.findings import gather
    from mnist_ops.report.report import write_report

    with downloads() as progress:
        findings = gather(run, data_dir, progress=progress)
    for text in findings.warnings:
        warn(text)
    written = write_report(findings, by, images)
    if as_json:
        show_json({"run": str(run), "page": str(written.page), "pictures": [*map(str, written.pictures)],
                   "tables": [*map(str, written.tables)], "missing": list(findings.missing),
                   "warnings": list(findings.warnings)})
        return
    for text in findings.missing:
        show(f"Missing: {text}")
    show(f"{report_text(written)}\nReport {written.page}")


def report_text(written: "Report") -> str:
    """What lies beside the page."""
    return "\n".join(f"{kind} {', '.join(path.name for path in paths)}"
                     for kind, paths in (("Pictures", written.pictures), ("Tables", written.tables)) if paths)
