"""The pictures of a folder as the network sees them: read one by one, or all at once from the user's cache."""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.data.dataset import images_shape
from mnist_ops.disk import write_whole
from mnist_ops.errors import DataError, RunError
from mnist_ops.pictures.prepare import prepared_file

FEW = 1000  # pictures that are read as fast as their cache
MOST_CACHED = 8  # folders, of which the latest are kept
STEP = 100  # pictures between two reports of progress

PictureProgress = Callable[[int, int], None]  # pictures read, of how many


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures in the order of their paths."""

    images: NDArray[np.uint8]  # as of `ImageSet`; black where damaged
    shapes: NDArray[np.int64]  # (N, 2), height and width of the originals
    transparent: NDArray[np.bool_]  # (N,)
    warnings: dict[int, list[str]] = field(default_factory=dict)  # of a picture, by its place
    damaged: dict[int, str] = field(default_factory=dict)  # why a picture cannot be read, by its place


def read_pictures(paths: Sequence[Path], root: Path, how: str, shape: Shape, *,
                  progress: PictureProgress | None = None) -> PictureSet:
    """The pictures, prepared by `how` as images of that shape, from the cache if names, sizes and times of all are
    as when it was written.

    progress is told of every 100th picture that is read. A damaged, outdated or unwritable cache is never an error."""
    file = _cache_file(paths, root, how, shape) if len(paths) >= FEW else None
    count = len(paths)
    form = (count, *(shape if shape[0] > 1 else shape[1:]))
    found = _cached(file, form) if file else None
    if found is None:
        found = PictureSet(np.zeros(form, np.uint8), np.zeros((count, 2), np.int64), np.zeros(count, bool))
        _read(found, paths, range(count), how=how, progress=progress)
        if file is not None:
            _keep(file, found)
    elif found.damaged:  # it may have been a matter of permissions
        places = list(found.damaged)
        found.damaged.clear()
        _read(found, paths, places, how=how, progress=None)
    return found


def _read(found: PictureSet, paths: Sequence[Path], places: Sequence[int], *, how: str,
          progress: PictureProgress | None) -> None:
    for done, place in enumerate(places):
        if progress is not None and done % STEP == STEP - 1:
            progress(done + 1, len(places))
        try:
            picture = prepared_file(paths[place], how, images_shape(found.images))
        except DataError as error:
            found.damaged[place] = str(error)
            continue
        found.images[place], found.shapes[place] = picture.seen, picture.original.shape[:2]
        found.transparent[place] = picture.transparent
        if picture.warnings:
            found.warnings[place] = list(picture.warnings)


def _cache_file(paths: Sequence[Path], root: Path, how: str, shape: Shape) -> Path | None:
    """The file for these pictures as they are now; None if one of them cannot be found."""
    import PIL

    from mnist_ops import __version__

    digest = hashlib.sha256(repr((__version__, PIL.__version__, how, shape)).encode())
    above = len(str(root)) + 1
    try:
        for path in paths:
            state = os.stat(path)
            digest.update(f"{str(path)[above:]}\0{state.st_size}\0{state.st_mtime_ns}\0".encode(errors="surrogatepass"))
    except OSError:  # reported when it is read
        return None
    return user_cache_path("mnist-ops", appauthor=False) / "pictures" / f"{digest.hexdigest()[:32]}.npz"


def _cached(file: Path, form: tuple[int, ...]) -> PictureSet | None:
    """None if there is no such file, or if it is damaged."""
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
            notes = json.loads(arrays["notes"].tobytes())
            found = PictureSet(arrays["images"], arrays["shapes"], arrays["transparent"],
                               *({int(place): text for place, text in notes[name].items()} for name in
                                 ("warnings", "damaged")))
            kinds = [(one.shape, one.dtype.name) for one in (found.images, found.shapes, found.transparent)]
    except Exception:  # on damaged archives zipfile and numpy raise anything
        return None
    count = form[0]
    fits = kinds == [(form, "uint8"), ((count, 2), "int64"), ((count,), "bool")]
    told = all(type(lines) is list and all(type(line) is str for line in lines)
               for lines in (*found.warnings.values(), list(found.damaged.values())))
    return found if fits and told and {*found.warnings, *found.damaged} <= {*range(count)} else None


def _keep(file: Path, found: PictureSet) -> None:
    """Write the file, and remove all but the latest ones."""
    buffer = io.BytesIO()
    notes = json.dumps({"warnings": found.warnings, "damaged": found.damaged}).encode()
    np.savez(buffer, images=found.images, shapes=found.shapes, transparent=found.transparent,
             notes=np.frombuffer(notes, np.uint8))
    with contextlib.suppress(OSError, RunError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, buffer.getvalue())
        for old in sorted(file.parent.glob("*.npz"), key=os.path.getmtime)[:-MOST_CACHED]:
            old.unlink()
