"""mnist-ops report: write a run's report page and pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mnist_ops.cli.download import downloads
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import Json, Whole
from mnist_ops.errors import UsageError

if TYPE_CHECKING:
    from mnist_ops.report.report import Report

MOST_IMAGES = 400  # in a gallery, to keep the page small


def report(
    run: Path,
    /,
    *,
    by: Literal["least-confident", "most-confident"] = "least-confident",
    images: Whole = 40,
    data_dir: Path | None = None,
    as_json: Json = False,
) -> None:
    """Write a run's report into its folder: report.html, one self-contained page; its pictures as PNG; all mistakes as
    CSV. For an unfinished run, report on the last epoch it saved.

    Parameters
    ----------
    run
        A run folder.
    by
        Which mistakes the galleries show first, by their probability.
    images
        Images in each gallery of mistakes, up to 400 [images].
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    as_json
        Print one JSON object: run, page, pictures, tables, missing, warnings.
    """
    if not 1 <= images <= MOST_IMAGES:
        raise UsageError(f"--images {images}: expected an integer from 1 to {MOST_IMAGES}; the CSV files list all")
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
    """The files next to the page."""
    return "\n".join(f"{kind} {', '.join(path.name for path in paths)}"
                     for kind, paths in (("Pictures", written.pictures), ("Tables", written.tables)) if paths)
