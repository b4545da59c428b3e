"""The classes and sets of a folder of pictures, in the usual layouts. Opens no file."""

import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mnist_ops.errors import DataError, UsageError, legible
from mnist_ops.pictures.listing import SUFFIXES, Listing, content_text, is_left_behind, listing, names_text, natural_key

SETS = re.compile(r"(?:(?P<train>train|training)|(?P<test>test|testing)|(?P<validation>val|valid|validation))"
                  r"(?:set|data|images|pictures)?")
EXPECTED = ("expected one subfolder of pictures for each of at least two classes (or train and test, with such "
            "subfolders in both)")
MOST_FOLDERS = 1000  # subfolders to search for a first picture; / has hundreds of thousands
Classes = dict[str, tuple[Path, ...]]  # the pictures of each class


@dataclass(frozen=True)
class Folder:
    """A folder of pictures: its classes, and each set's pictures with the index of their class, in natural order."""

    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...] | None  # None if the folder has no separate sets
    validation: tuple[tuple[Path, int], ...] | None
    ignored: tuple[Path, ...]  # skipped entries, without hidden and system files
    taken: tuple[str, ...]  # interpretations of the layout that are not obvious


@dataclass(frozen=True)
class Reading:
    """The state of reading a folder."""

    root: Path
    ignored: list[Path] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)  # classes whose pictures are in a subfolder
    listings: dict[Path, Listing] = field(default_factory=dict)

    def listing(self, folder: Path) -> Listing:
        """Each folder is listed once; links must stay within the root."""
        if folder not in self.listings:
            self.listings[folder] = self._listed(folder)
        return self.listings[folder]

    def _listed(self, folder: Path) -> Listing:
        try:
            found = listing(folder)
        except OSError as error:
            raise DataError(
                f"{legible(folder)}: cannot be listed ({error.strerror}). Check its permissions.") from error
        for link in found.links:
            if not _stays_within(link, self.root):
                raise DataError(f"{legible(link)}: a broken link, or one that leads out of {legible(self.root)}. "
                                "Replace it by a copy.")
        return found

    def leave(self, found: Listing, *but: Path) -> None:
        """Note the skipped entries: all of the listing except those."""
        kept = set(but)
        self.ignored.extend(one for one in (*found.folders, *found.pictures, *found.others) if one not in kept)

    def name(self, path: Path) -> str:
        """The path relative to the root."""
        return legible(path if path == self.root else path.relative_to(self.root).as_posix())


def read_folder(folder: Path) -> Folder:
    """The classes and pictures of `folder`, at any depth: one subfolder per class, or two or three sets with such
    subfolders, named e.g. train, Testing or valid. Without a test set, valid is used as one.

    Pictures are recognised by their suffix. All lists are in natural order. Raises UsageError, describing the content,
    for another layout, fewer than two classes, a class without pictures, or classes that differ between the sets;
    DataError if something cannot be listed, or a link is broken or leads out of the folder."""
    reading = Reading(folder)
    place = innermost(folder, reading)
    others: list[Classes] = []
    if (sets := _sets(place, reading)) is not None:
        train, *others = (_classes(innermost(one, reading), reading) for one in sets)
        for one in others:
            _check_same(folder, train, one)
    else:
        if place != folder:
            reading.taken.append(f"the classes are the folders in {reading.name(place)}")
        train, *others = _nist(place, reading) or (_classes(place, reading),)
    if reading.nested:
        reading.taken.append(f"the pictures of {names_text(reading.nested)} are in the only subfolder of each")
    test, validation = (with_labels(others[place]) if place < len(others) else None for place in range(2))
    return Folder(tuple(train), with_labels(train), test, validation, tuple(reading.ignored), tuple(reading.taken))


def innermost(folder: Path, reading: Reading) -> Path:
    """The folder that contains the classes or sets: a single subfolder that contains only folders is entered."""
    while True:
        here = reading.listing(folder)
        living = [one for one in here.folders if _has_pictures(one)]
        if len(living) != 1 or reading.listing(living[0]).pictures:
            return folder
        folder = living[0]
        reading.leave(here, folder)


def _has_pictures(folder: Path) -> bool:
    """At any depth, in the first `MOST_FOLDERS` folders; links are not followed."""
    for _, folders, files in itertools.islice(os.walk(folder), MOST_FOLDERS):
        folders[:] = [one for one in folders if not is_left_behind(one)]
        if any(name.lower().endswith(SUFFIXES) and not is_left_behind(name) for name in files):
            return True
    return False


def _check_same(folder: Path, train: Classes, other: Classes) -> None:
    if differing := sorted(train.keys() ^ other.keys(), key=natural_key):
        raise UsageError(f"{legible(folder)}: only some of the sets have {names_text(differing, 8)}, expected the same "
                         "classes in each. Add or move subfolders.")


def set_of(name: str) -> str | None:
    """The set by a folder's name, such as Test or training-images: train, test, validation or none."""
    match = SETS.fullmatch(re.sub(r"[-_ .]", "", name.casefold()))
    return match and match.lastgroup


def _sets(place: Path, reading: Reading) -> list[Path] | None:
    """The folders of the training, test and validation set, those that have classes; or None if `place` has no sets."""
    here = reading.listing(place)
    found: dict[str, list[Path]] = {}
    for one in here.folders:
        if kind := set_of(one.name):
            found.setdefault(kind, []).append(one)
    if len(found) < 2:
        return None
    if "train" not in found or any(len(same) > 1 for same in found.values()):
        names = names_text([one.name for same in found.values() for one in same], 6)
        raise UsageError(f"{legible(place)}: has {names}; which one is the training set is unclear; expected train "
                         "and test, with one subfolder per class in both. Rename them.")
    train, *others = (found[kind][0] for kind in ("train", "test", "validation") if kind in found)
    reading.leave(here, train, *others)
    if reading.listing(train).pictures and not reading.listing(train).folders:
        names = names_text([one.name for one in (train, *others)])
        raise UsageError(f"{legible(place)}: {names} contain pictures directly, without a class; expected one "
                         f"subfolder per class in each of them, as {legible(train.name)}/CLASS/1.png. Sort them "
                         f"into such subfolders; if {legible(train.name)} is itself a class, rename it.")
    # Pictures without classes are directly in test/, or in test/test.
    labelled = [one for one in others if not all(set_of(inner.name) or not _has_pictures(inner) for inner in
                                                 reading.listing(innermost(one, Reading(reading.root))).folders)]
    if labelled != others[:1] or [reading.name(one) for one in (train, *others)] != ["train", "test"]:
        reading.taken.append(_taken(train, labelled, others, reading))
    return [train, *labelled]


def _taken(train: Path, labelled: list[Path], others: list[Path], reading: Reading) -> str:
    tested = f"{reading.name(labelled[0])} is the test set" if labelled else "the test set is drawn from it"
    text = f"{reading.name(train)} is the training set, {tested}"
    for one in others:
        if one in labelled[1:]:
            text += f"; {reading.name(one)} is the validation set if one is asked for (--validation), else unused"
        elif one not in labelled:
            text += f"; {reading.name(one)} is not used: it has no pictures in subfolders of classes"
    return text


def _classes(folder: Path, reading: Reading) -> Classes:
    """The pictures of each class, by the names of the subfolders."""
    here = reading.listing(folder)
    if len(here.folders) < 2:
        todo = (f" To classify pictures with a trained network: mnist-ops predict default {legible(folder)}"
                if here.pictures else "")
        raise UsageError(f"{legible(folder)}: found {content_text(here)}; {EXPECTED}.{todo}")
    reading.leave(here, *here.folders)
    return {one.name: _of_class(one, reading) for one in here.folders}


def _of_class(folder: Path, reading: Reading) -> tuple[Path, ...]:
    """The pictures in the class's folder, or else in its only subfolder with pictures."""
    here = reading.listing(folder)
    inner = [one for one in here.folders if _has_pictures(one)]
    if here.pictures:
        reading.leave(here, *here.pictures)
        return here.pictures
    if len(inner) != 1 or not (found := reading.listing(inner[0])).pictures:
        raise UsageError(_without_pictures(folder, here, inner))
    reading.nested.append(reading.name(folder))
    reading.leave(here, inner[0])
    reading.leave(found, *found.pictures)
    return found.pictures


def _without_pictures(folder: Path, here: Listing, inner: list[Path]) -> str:
    text = f"{legible(folder)}: no pictures in this class: found {content_text(here)}"
    if len(inner) > 1:
        return (f"{text}; {EXPECTED}, and the pictures directly in it. If {names_text([one.name for one in inner])} "
                f"are the classes, use this folder: {legible(folder)}")
    return f"{text}; expected files ending in {', '.join(SUFFIXES)}. Add some, or move the subfolder away."


def _nist(place: Path, reading: Reading) -> tuple[Classes, ...] | None:
    """The sets of NIST Special Database 19, by_class: in each class, named by its code (30 is 0, 41 is A), train_30 is
    the training set and hsf_4 the test set, as its guide suggests. None for another layout."""
    classes = {one.name: reading.listing(one) for one in reading.listing(place).folders}
    groups = {name: {one.name: reading.listing(one).pictures for one in here.folders} for name, here in classes.items()}
    if len(groups) < 2 or not all(
            re.fullmatch(r"[3-7][0-9a-f]", name) and not classes[name].pictures and
            all(re.fullmatch(rf"hsf_\d|train_{name}", one) for one in group) and any(group.values())
            for name, group in groups.items()):
        return None
    suggested, tested, pooled = (
        {name: tuple(picture for one, pictures in group.items() if one.startswith(kind) for picture in pictures)
         for name, group in groups.items()} for kind in ("train_", "hsf_4", "hsf_"))
    where = (f"{'it' if place == reading.root else reading.name(place)} is in NIST's by_class layout, each class named "
             "by its code (30 is 0, 41 is A)")
    if all(suggested.values()):
        test = tested if all(tested.values()) else None
        reading.taken.append(f"{where}: train_* is the training set, "
                             f"{'hsf_4 the test set' if test else 'the test set is drawn from it'}")
        return (suggested, test) if test else (suggested,)
    reading.taken.append(f"{where}: all hsf_* are taken together")
    return (pooled,)


def _stays_within(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a broken or circular link
        return False


def with_labels(pictures: Mapping[str, tuple[Path, ...]]) -> tuple[tuple[Path, int], ...]:
    return tuple((path, label) for label, paths in enumerate(pictures.values()) for path in paths)
