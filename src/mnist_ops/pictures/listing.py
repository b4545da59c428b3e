"""Lists a folder: subfolders, pictures by suffix, and other files. Opens no file."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_ops.errors import counted, legible

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm",
            ".pnm")
NOT_READ = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".pdf", ".psd", ".tga", ".ico", ".cr2", ".nef", ".dng")
# Left in folders by systems and programs, besides names that begin with a dot.
LEFT_BEHIND = {"__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "#recycle", "@eadir",
               "system volume information", "lost+found", "__pycache__"}


@dataclass(frozen=True)
class Listing:
    """The entries of a folder, each kind in natural order."""

    folders: tuple[Path, ...]
    pictures: tuple[Path, ...]  # files with a picture's suffix
    others: tuple[Path, ...]
    links: tuple[Path, ...]  # all of the above that are links


def listing(folder: Path) -> Listing:
    """The entries of `folder`, without those that match `is_left_behind`. Raises OSError."""
    with os.scandir(folder) as found:
        entries = {entry.name: _kind(entry) for entry in found if not is_left_behind(entry.name)}
    names = sorted(entries, key=natural_key)
    paths = {kind: tuple(folder / name for name in names if entries[name][0] == kind)
             for kind in ("folder", "picture", "other")}
    return Listing(paths["folder"], paths["picture"], paths["other"],
                   tuple(folder / name for name, (_, link) in entries.items() if link))


def _kind(entry: os.DirEntry[str]) -> tuple[str, bool]:
    """The entry, or a link's target; and whether it is a link."""
    link = entry.is_symlink()
    if os.path.isdir(entry.path) if link else entry.is_dir():  # no error for a broken link
        return "folder", link
    is_file = os.path.isfile(entry.path) if link else entry.is_file()
    return "picture" if is_file and entry.name.lower().endswith(SUFFIXES) else "other", link


def is_left_behind(name: str) -> bool:
    """Whether an entry of that name is hidden, or made by a system or program."""
    return name.startswith(".") or name.casefold() in LEFT_BEHIND


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sorts "2" before "10", "a2.png" before "a10.png", independent of the file system."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return [(0, int(piece), "") if piece[0] in "0123456789" else (1, 0, piece) for piece in pieces], name


def unread_format(path: Path) -> str:
    """What to do with a picture in an unsupported format, by its name; "" for any other file."""
    kind = path.suffix.lower()
    return f"{kind[1:].upper()} is not supported. Convert it to PNG or JPEG" if kind in NOT_READ else ""


def content_text(found: Listing) -> str:
    """A short summary: 12 pictures, the folders a, b and 3 more, the files notes.txt and x.csv."""
    texts = [counted(len(found.pictures), "picture")] if found.pictures else []
    for kind, paths in (("folder", found.folders), ("file", found.others)):
        if paths:
            texts.append(f"the {kind}{'s' * (len(paths) != 1)} {names_text([path.name for path in paths])}")
    if unread := Counter(path.suffix.lower() for path in found.others if unread_format(path)):
        texts.append(f"of them {', '.join(unread)}, which is not supported: convert it to PNG or JPEG")
    return ", ".join(texts) or "nothing"


def names_text(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and the number of others."""
    shown = [legible(name) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
