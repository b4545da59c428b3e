"""Finds a dataset's files and downloads them atomically. Knows nothing about their content."""

import hashlib
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from platformdirs import user_cache_path

from mnist_ops.data.catalog import CATALOG, TRAIN_LABELS, DatasetInfo, KnownFile
from mnist_ops.data.download import Patience, download
from mnist_ops.data.unpack import GZIP_MAGIC, unpack
from mnist_ops.disk import create_folder, write_whole
from mnist_ops.errors import DataError, RunError, UsageError, legible

VARIABLE = "MNIST_OPS_DATA"
MOST_LABELS = 2**20  # bytes of a labels file that is read to identify a dataset

DownloadProgress = Callable[[str, int, int], None]  # file name, bytes received, total bytes (0 if unknown)


def places(data_dir: Path | None) -> list[Path]:
    """The data folders in search order: --data-dir, then $MNIST_OPS_DATA, then the user's cache.

    Raises UsageError if one of the first two is a file."""
    named = []
    for option, place in (("--data-dir", data_dir), (f"${VARIABLE}", os.environ.get(VARIABLE))):
        if place:
            named.append(_expanded(Path(place)))
            if os.path.lexists(named[-1]) and not named[-1].is_dir():
                raise UsageError(f"{option} {place}: is a file, expected the folder of the dataset files, "
                                 "e.g. the one that contains MNIST/raw.")
    return list(dict.fromkeys([*named, user_cache_path("mnist-ops", appauthor=False)]))


def _expanded(place: Path) -> Path:
    try:
        return place.expanduser()
    except RuntimeError as error:  # ~name of an unknown user
        raise UsageError(f"data folder {place}: {error}. Give an absolute path.") from error


def locate(info: DatasetInfo, data_dir: Path | None) -> dict[str, Path] | None:
    """The path of each of the dataset's files by its name (without .gz), or None.

    All are in one data folder, the first of `places` that has them all, packed or not.
    None for the embedded dataset, which has no files."""
    for place in places(data_dir):
        found = present(info, place)
        if found and len(found) == len(info.files):
            return found
    return None


def present(info: DatasetInfo, place: Path) -> dict[str, Path]:
    """The dataset's files in the data folder `place`, by name; a .gz is preferred to the unpacked file.

    In torchvision's layout; or all of them close to it (MNIST without raw, or the folder itself), unless they are known
    to be those of another dataset, which have the same names."""
    standard = _inside(info, place / info.folder)
    if len(standard) < len(info.files):
        for folder in _near(info, place):
            found = _inside(info, folder)
            if len(found) == len(info.files) and whose(found) in (None, info.name):
                return found
    return standard


def _inside(info: DatasetInfo, folder: Path) -> dict[str, Path]:
    """Names as published, or as unpacked by some tools: train-images.idx3-ubyte, or in a folder of that name."""
    found = {}
    for file in info.files:
        names = (file.name, file.name.replace("-idx", ".idx"))
        paths = [folder / f"{name}{suffix}" for name in names for suffix in (".gz", "")]
        nested = [path / name for path in paths if path.is_dir() for name in names]
        for path in (*filter(os.path.isfile, (*paths, *nested)), *paths):
            if os.path.lexists(path):  # a broken link counts, and is reported when it is read
                found[file.name] = path
                break
    return found


def _near(info: DatasetInfo, place: Path) -> list[Path]:
    """Other places in the data folder `place` where the files of the dataset may be."""
    names = {_letters(info.name), _letters(info.folder.split("/")[0])}
    try:
        own = [place / name for name in sorted(os.listdir(place)) if _letters(name) in names]
    except OSError:  # missing or not listable, so nothing in it can be read
        own = []
    inner = ("raw/gzip", "gzip", "raw", "") if info.transposed else ("raw", "")  # as NIST's gzip.zip unpacks
    return [one / name for one in (*own, place) for name in inner]


def _letters(name: str) -> str:
    """FashionMNIST, fashion-mnist and fashion_mnist are the same name."""
    return re.sub(r"[-_ ]", "", name.casefold())


def whose(found: dict[str, Path]) -> str | None:
    """The known dataset with those training labels, or None.

    Reads only a small file."""
    path = found.get(TRAIN_LABELS)
    if path is None or not path.is_file() or path.stat().st_size > MOST_LABELS:
        return None
    try:
        raw = path.read_bytes()
    except OSError:  # reported when it is actually read
        return None
    return next((info.name for info in CATALOG.values() for file in info.files
                 if file.name == TRAIN_LABELS and is_original(raw, file)), None)


def is_original(raw: bytes, file: KnownFile) -> bool:
    """Whether the bytes, packed or not, are what was published under that name.

    The .gz is faster to hash, but the same content may have been packed again."""
    return md5(raw) == file.gz_md5 or (file.md5 is not None and _content_md5(raw, file.bytes) == file.md5)


def describe_search(info: DatasetInfo, data_dir: Path | None) -> str:
    """One line per data folder with the dataset's missing files, for an error's text."""
    lines = []
    for place in places(data_dir):
        for folder in dict.fromkeys([place / info.folder, *_near(info, place)]):
            found = _inside(info, folder)
            missing = [file.name for file in info.files if file.name not in found]
            if not missing:
                lines.append(f"  {folder}: these are the files of {whose(found)}, which have the same names")
            elif found or folder == place / info.folder:
                what = f"lacks {', '.join(missing)}" if found else "has none of its files"
                lines.append(f"  {folder}: {what}")
    return "\n".join(lines)


def named_data(folder: Path) -> str:
    """What to do with a folder that holds dataset files instead of pictures; "" for any other folder."""
    there = [info for info in CATALOG.values() if info.files and present(info, folder)]
    known = {name for info in there if (name := whose(present(info, folder)))}
    own = [info for info in there if info.name in known or not info.is_published]  # others have the same names of files
    if chosen := own or there[:1]:
        commands = " or ".join(f"--data {info.name} --data-dir {legible(folder)}" for info in chosen)
        return f"It holds the files of {' and '.join(info.title for info in chosen)}. Use {commands}"
    return ""


def fetch_target(data_dir: Path | None) -> Path:
    """The folder to download into: data_dir if given, else $MNIST_OPS_DATA if it is writable, else the cache."""
    if data_dir is not None:
        return _expanded(data_dir)
    *named, cache = places(None)
    return next((place for place in named if _writable(place)), cache)


def _writable(place: Path) -> bool:
    """Whether files can be created below `place`, which may not exist yet."""
    existing = next((folder for folder in (place, *place.absolute().parents) if os.path.lexists(folder)), None)
    return existing is not None and existing.is_dir() and os.access(existing, os.W_OK)


def fetch(info: DatasetInfo, target: Path, progress: DownloadProgress | None = None,
          patience: Patience = Patience()) -> dict[str, Path]:  # noqa: B008 - frozen
    """Download the dataset's files that are missing in the data folder `target`; -> the path of each file by its name.

    Existing files are kept, whatever they contain. A new one is checked in memory (by the MD5 of the published .gz, or
    of its content) and then renamed into place, so nobody sees a partial file. If a mirror fails or is too slow for
    `patience`, the next is tried. Raises DataError with each mirror's failure and how to download the file by hand."""
    if not info.files:
        raise DataError(f"{info.name}: part of the package, nothing to download.")
    if not info.is_published:
        raise DataError(by_hand(info))
    mirrors = list(info.bases)
    found = present(info, target)
    for file in info.files:
        if file.name not in found:
            content = _from_mirrors(
                info, file, mirrors, partial(_checked, file=file, progress=progress, patience=patience)
            )
            found[file.name] = _keep(content, target / info.folder / f"{file.name}.gz")
    return found


def by_hand(info: DatasetInfo) -> str:
    """How to get a dataset that is not downloaded."""
    names = ", ".join(f"{file.name}.gz" for file in info.files)
    return (f"{info.title} is not downloaded, as no checksums of its files are published. Get gzip.zip from "
            "https://www.nist.gov/itl/products-and-services/emnist-dataset and unpack it. Put "
            f"{names} (also unpacked, without .gz) into {info.folder} in any folder, and give that folder with "
            f"--data-dir or ${VARIABLE}.")


def _from_mirrors(info: DatasetInfo, file: KnownFile, mirrors: list[str], get: Callable[[str], bytes]) -> bytes:
    """The file from the first mirror that has it; failing mirrors move to the end of `mirrors` for the next file."""
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
        "\n".join([f"{info.title}: {file.name}.gz could not be downloaded:", *reasons])
        + f"\nTo install it by hand, put {names} (also unpacked, without .gz) into {info.folder} in any folder "
        f"and give that folder with --data-dir or ${VARIABLE}. Or use --data digits, which needs no download."
    )


def _checked(url: str, file: KnownFile, progress: DownloadProgress | None, patience: Patience) -> bytes:
    """The .gz at `url`, verified to be the known file."""
    limit = file.bytes + 65536  # a .gz is hardly ever longer than its content
    report = None if progress is None else lambda received, total: progress(file.name, received, total)
    raw = download(url, limit, patience, report)
    if raw.startswith(GZIP_MAGIC) and is_original(raw, file):  # it will be named .gz
        return raw
    if not raw.startswith(GZIP_MAGIC):
        raise DataError(f"sent {len(raw):,} bytes that start with {raw[:16]!r} instead of a .gz file")
    raise DataError(f"sent another or a damaged file ({len(raw):,} bytes with MD5 {md5(raw)}, expected {file.gz_md5})")


def _content_md5(raw: bytes, size: int) -> str | None:
    try:
        return md5(unpack(raw, size + 1))
    except ValueError:
        return None


def md5(content: bytes) -> str:
    """The MD5 that is published for these files."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _keep(content: bytes, path: Path) -> Path:
    try:
        create_folder(path.parent)
        write_whole(path, content)
    except (OSError, RunError) as error:
        raise DataError(f"{path}: could not be saved ({error}). Choose another folder with --data-dir.") from error
    return path
