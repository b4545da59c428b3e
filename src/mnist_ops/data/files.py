"""Where a dataset's files lie, and fetching them, each whole or not at all. Knows nothing of what is inside them."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from platformdirs import user_cache_path

from mnist_ops.data.catalog import DatasetInfo, KnownFile
from mnist_ops.data.download import Patience, download
from mnist_ops.data.unpack import GZIP_MAGIC, unpack
from mnist_ops.disk import write_whole
from mnist_ops.errors import DataError, RunError, UsageError

VARIABLE = "MNIST_OPS_DATA"

Progress = Callable[[str, int, int], None]  # file name, bytes received, bytes in all (0 where unknown)


def places(data_dir: Path | None) -> list[Path]:
    """The data folders in the order of the search: --data-dir, then $MNIST_OPS_DATA, then the user's cache."""
    variable = os.environ.get(VARIABLE)
    named = [_expanded(Path(place)) for place in (data_dir, variable) if place]
    return list(dict.fromkeys([*named, user_cache_path("mnist-ops", appauthor=False)]))


def _expanded(place: Path) -> Path:
    try:
        return place.expanduser()
    except RuntimeError as error:  # ~name of somebody who is not a user here
        raise UsageError(f"data folder {place}: {error}. Write the whole path.") from error


def locate(info: DatasetInfo, data_dir: Path | None) -> dict[str, Path] | None:
    """The path of each of the dataset's files by its name (without .gz), or None.

    All of them lie in one data folder, the first of `places` that has them all, in torchvision's layout, packed or not.
    None for the embedded dataset, which has no files."""
    for place in places(data_dir):
        found = present(info, place)
        if found and len(found) == len(info.files):
            return found
    return None


def present(info: DatasetInfo, place: Path) -> dict[str, Path]:
    """The dataset's files that lie in the data folder `place`, by name; a .gz comes before its unpacked twin."""
    folder = place / info.folder
    found = {}
    for file in info.files:
        for path in (folder / f"{file.name}.gz", folder / file.name):
            if os.path.lexists(path):  # a link that leads nowhere counts, and is named when it is read
                found[file.name] = path
                break
    return found


def describe_search(info: DatasetInfo, data_dir: Path | None) -> str:
    """One line per data folder: what of the dataset was missing there. For the text of an error."""
    lines = []
    for place in places(data_dir):
        found = present(info, place)
        missing = [file.name for file in info.files if file.name not in found]
        what = f"lacks {', '.join(missing)}" if found else "has none of its files"
        lines.append(f"  {place / info.folder}: {what}")
    return "\n".join(lines)


def fetch_target(data_dir: Path | None) -> Path:
    """The data folder to fetch into: data_dir if given, else $MNIST_OPS_DATA if it can be written, else the cache."""
    if data_dir is not None:
        return _expanded(data_dir)
    *named, cache = places(None)
    return next((place for place in named if _writable(place)), cache)


def _writable(place: Path) -> bool:
    """Whether files can be made below `place`, which may yet have to be made itself."""
    existing = next((folder for folder in (place, *place.absolute().parents) if os.path.lexists(folder)), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK)


def fetch(info: DatasetInfo, target: Path, progress: Progress | None = None,
          patience: Patience = Patience()) -> dict[str, Path]:  # noqa: B008 - frozen
    """Bring those of the dataset's files that the data folder `target` lacks; the path of each file by its name.

    A file that is there already, whatever is in it, is left alone. A new one is checked in memory (by the MD5 of the
    published .gz, or of its content) and then put in place in one step: nobody, another fetch included, sees a part.
    A mirror that fails, or is too slow for `patience`, is left for the next. Raises DataError with each mirror's
    reason and how to bring the file by hand."""
    if not info.files:
        raise DataError(f"{info.name}: is part of the package, there is nothing to fetch.")
    mirrors = list(info.bases)
    found = present(info, target)
    for file in info.files:
        if file.name not in found:
            content = _from_mirrors(
                info, file, mirrors, partial(_checked, file=file, progress=progress, patience=patience)
            )
            found[file.name] = _keep(content, target / info.folder / f"{file.name}.gz")
    return found


def _from_mirrors(info: DatasetInfo, file: KnownFile, mirrors: list[str], get: Callable[[str], bytes]) -> bytes:
    """The file from the first mirror that has it; those that fail move to the end of `mirrors`, for the next file."""
    reasons = []
    for mirror in tuple(mirrors):
        url = f"{mirror}{file.name}.gz"
        try:
            return get(url)
        except DataError as error:
            reasons.append(f"  {url}: {error}")
            mirrors.append(mirrors.pop(mirrors.index(mirror)))
    names = ", ".join(f"{known.name}.gz" for known in info.files)
    raise DataError(
        "\n".join([f"{info.title}: {file.name}.gz could not be fetched:", *reasons])
        + f"\nTo bring it by hand, put {names} (unpacked and without .gz will do) into {info.folder} in some folder "
        f"and name that folder with --data-dir or ${VARIABLE}. Or use --data digits, which needs no download."
    )


def _checked(url: str, file: KnownFile, progress: Progress | None, patience: Patience) -> bytes:
    """The .gz behind `url`, proved to be the known file."""
    limit = file.bytes + 65536  # a .gz is hardly ever longer than what it packs
    report = None if progress is None else lambda received, total: progress(file.name, received, total)
    raw = download(url, limit, patience, report)
    found = md5(raw)
    if found == file.gz_md5 or (file.md5 is not None and _content_md5(raw, file.bytes) == file.md5):
        return raw
    if not raw.startswith(GZIP_MAGIC):
        raise DataError(f"sent {len(raw):,} bytes that start with {raw[:16]!r} instead of a .gz file")
    raise DataError(f"sent another or a damaged file ({len(raw):,} bytes with MD5 {found}, expected {file.gz_md5})")


def _content_md5(raw: bytes, size: int) -> str | None:
    if not raw.startswith(GZIP_MAGIC):
        return None  # it is going to be called .gz
    try:
        return md5(unpack(raw, size + 1))
    except ValueError:
        return None


def md5(content: bytes) -> str:
    """The MD5 by which the makers of these datasets identify their files."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _keep(content: bytes, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except (OSError, RunError) as error:
        raise DataError(f"{path}: could not be kept ({error}). Name another folder with --data-dir.") from error
    return path
