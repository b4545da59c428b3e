"""mnist-ops data: the state of each dataset's files, or a summary of a folder of pictures or a file."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mnist_ops.cli.download import downloads, pictures_read
from mnist_ops.cli.output import show, show_json, warn
from mnist_ops.cli.settings import Flag, Json, SkipDamaged
from mnist_ops.data.catalog import CATALOG, DatasetInfo
from mnist_ops.errors import DataError, UsageError, hint, legible

if TYPE_CHECKING:
    from mnist_ops.data.inventory import FileState


MOST_SIZES = 5  # picture sizes listed


@dataclass(frozen=True)
class DatasetState:
    """The state of a known dataset on this machine."""

    info: DatasetInfo
    files: "list[FileState]"

    @property
    def damaged(self) -> bool:
        """Whether a file is damaged."""
        return any(file.state.startswith("damaged") for file in self.files)

    @property
    def whole(self) -> bool:
        """Whether every file is there and intact."""
        return not self.damaged and all(file.path is not None for file in self.files)

    def as_text(self) -> str:
        """A line for the dataset and one per file."""
        lines = [f"{self.info.name}: {self.info.title}, {self.info.licence}, by {self.info.credit}"]
        for file in self.files:
            where = f"{file.path} ({file.bytes:,} bytes)" if file.path else file.file
            lines.append(f"  {file.state}: {where}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        files = [asdict(file) | {"path": file.path and str(file.path)} for file in self.files]
        return {"name": self.info.name, "title": self.info.title, "licence": self.info.licence, "whole": self.whole,
                "files": files}


def data(
    name: Annotated[str | None, Parameter(help=(
        f"{', '.join(CATALOG)}, or a folder with one subfolder of pictures per class, or an .npz or .csv file "
        "[default: all named datasets]."
    ))] = None,
    /,
    *,
    fetch: Flag = False,
    data_dir: Path | None = None,
    skip_damaged: SkipDamaged = None,
    as_json: Json = False,
) -> int:
    """Show which dataset files are present, where they are and whether they are intact. Exit code 1 if one is damaged.

    For a folder of pictures or a file, show its classes, counts, sizes and grey values, and warn about problems that
    inflate the accuracy, such as training pictures that are repeated in the test set.

    Parameters
    ----------
    fetch
        Download missing files first, 12 to 31 MB per dataset. Exit code 1 if any are still missing.
    data_dir
        Folder for the dataset files [default: $MNIST_OPS_DATA, then the user's cache].
    as_json
        Print one JSON object: datasets, each with name, title, licence, whole, and files with file, path, bytes, state.
        For a folder or file: folder, classes (name: pictures in train and test), sizes (width x height: pictures), grey
        (darkest and brightest value, 0 to 255), transparent (pictures), warnings.
    """
    from mnist_ops.data.files import describe_search
    from mnist_ops.data.inventory import status

    if name is not None and name not in CATALOG and (os.sep in name or os.path.exists(name)):
        return _show_folder(name, bool(skip_damaged), as_json)
    chosen = list(CATALOG.values()) if name is None else [_named(name)]
    wanted = [info for info in chosen if fetch and (info.is_published or name)]
    unfetched = [text for info in wanted if (text := _fetch(info, data_dir))]
    states = [DatasetState(info, status(info, data_dir)) for info in chosen]
    if as_json:
        show_json({"datasets": [state.as_json() for state in states]})
    else:
        show("\n".join(state.as_text() for state in states))
        if name is None and not all(state.whole for state in states if state.info.is_published):
            show("Download one with mnist-ops data NAME --fetch")
        elif name is not None and any(file.path is None for file in states[0].files):
            show(f"Looked in:\n{describe_search(chosen[0], data_dir)}")
    if unfetched:
        raise DataError("\n".join(unfetched))
    failed = any(state.damaged or (fetch and state.info.is_published and not state.whole) for state in states)
    return 1 if failed else 0


def _named(name: str) -> DatasetInfo:
    if name in CATALOG:
        return CATALOG[name]
    raise UsageError(f"unknown dataset {name!r:.80}; {hint(name, CATALOG)}, or the path of a folder or file")


def _show_folder(data: str, skip_damaged: bool, as_json: bool) -> int:
    """Show what training on this folder would read."""
    from mnist_ops.data.source import read
    from mnist_ops.pictures.listing import names_text

    with pictures_read() as reading:
        found = read(data if os.sep in data else f".{os.sep}{data}", skip_damaged=skip_damaged, reading=reading)
    counts = {name: {split: int((labels == label).sum()) for split, labels in (("train", found.train.labels),
                                                                               ("test", found.test.labels))}
              for label, name in enumerate(found.classes)}
    assert found.originals is not None
    sizes = {f"{width}x{height}": count for (height, width), count in
             sorted(found.originals.sizes.items(), key=lambda size: -size[1])}
    channels, side, _ = found.input_shape
    grey = [min(int(split.images.min()) for split in (found.train, found.test)),
            max(int(split.images.max()) for split in (found.train, found.test))]
    if as_json:
        show_json({"folder": found.name, "classes": counts, "sizes": sizes, "input_shape": [channels, side, side],
                   "grey": grey,
                   "transparent": found.originals.transparent, "warnings": list(found.warnings)})
        return 0
    show(f"{legible(found.name)}: {len(counts)} classes, {len(found.train.labels):,} training pictures, "
         f"{len(found.test.labels):,} test pictures")
    width = max(len("class"), *map(len, map(legible, counts)))
    show(f"  {'class':<{width}}  {'train':>7}  {'test':>7}")
    for name, one in counts.items():
        show(f"  {legible(name):<{width}}  {one['train']:>7,}  {one['test']:>7,}")
    texts = [f"{size} ({count:,})" for size, count in sizes.items()]
    show(f"Sizes {names_text(texts, MOST_SIZES)}; images of {side}x{side} in "
         f"{'grey' if channels == 1 else 'colour'}; values {grey[0]} to {grey[1]}; "
         f"{found.originals.transparent:,} transparent")
    for text in found.warnings:
        warn(text)
    return 0


def _fetch(info: DatasetInfo, data_dir: Path | None) -> str:
    """Download missing files. -> the error message, or "" on success."""
    from mnist_ops.data.files import fetch, fetch_target, locate

    try:
        if info.files and locate(info, data_dir) is None:
            with downloads() as progress:
                fetch(info, fetch_target(data_dir), progress)
    except DataError as error:
        return str(error)
    return ""
