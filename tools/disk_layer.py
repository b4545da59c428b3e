"""A layer over the file operations of this process: records each, and lets any of them fail. Knows no mnist-ops.

It replaces `open`, and what `os` has for files, by functions that note what they do below one folder. What C code
writes by itself passes it by; `Layer.unseen` finds that afterwards, as then the disk is not what the notes come to.
"""

import builtins
import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedRandom, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any

KINDS = ("create", "write", "truncate", "flush", "close", "rename", "unlink", "mkdir", "rmdir", "flush folder")


@dataclass(frozen=True)
class Operation:
    """One operation; paths are relative to the layer's folder."""

    kind: str  # one of KINDS
    path: str
    file: int = -1  # the file's number, which stays when its name changes
    offset: int = 0  # of a write; the new length of a truncate
    content: bytes = b""
    target: str = ""  # of a rename


class Layer:
    """The operations below `root`, in order, while the block of `active` runs.

    before: is told of each operation before it is done; it may raise, or return how many bytes of a write are done
    (None: all)."""

    def __init__(self, root: Path, before: Callable[[Operation], int | None] = lambda _: None) -> None:
        self.root = os.path.realpath(root)
        self.before = before
        self.operations: list[Operation] = []
        self.descriptors: dict[int, str] = {}  # of open files and folders: their paths
        self.start = {path: content for path, content in tree(root).items() if path}
        self.files = {path: number for number, (path, content) in enumerate(self.start.items()) if content is not None}
        self.next = len(self.start)

    def place(self, path: Any, folder: int | None = None) -> str | None:
        """The path relative to the root, None if it is elsewhere; folder: the descriptor that it is relative to."""
        if isinstance(path, int):
            return self.descriptors.get(path)
        path = os.fsdecode(path)
        if folder is not None:
            if folder not in self.descriptors:
                return None
            path = os.path.join(self.root, self.descriptors[folder], path)
        above, name = os.path.split(os.path.abspath(path))
        whole = os.path.join(os.path.realpath(above), name)
        return os.path.relpath(whole, self.root) if f"{whole}/".startswith(f"{self.root}/") else None

    def note(self, operation: Operation, act: Callable[[], Any]) -> Any:
        """Tell of an operation, do it, and record it once it is done."""
        self.before(operation)
        result = act()
        self.record(operation)
        return result

    def record(self, operation: Operation) -> None:
        """Keep it, and the names of the files up to date."""
        if operation.kind == "rename":
            self.files[operation.target] = self.files.pop(operation.path)
        elif operation.kind == "unlink":
            self.files.pop(operation.path, None)
        self.operations.append(operation)

    def number(self, path: str) -> int:
        """The number of the file, a new one if it is new."""
        if path not in self.files:
            self.files[path], self.next = self.next, self.next + 1
        return self.files[path]

    def opening(self, path: str, empties: bool) -> Operation | None:
        """What opening it for writing does to the disk."""
        if path not in self.files:
            return Operation("create", path, self.next)
        return Operation("truncate", path, self.files[path]) if empties else None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Within the block operations are recorded."""
        names = "open close write fsync ftruncate replace rename unlink remove mkdir rmdir"
        real = {name: getattr(os, name) for name in names.split()}
        opens = builtins.open
        watched = {name: getattr(self, f"_{name}")(real[name]) for name in real}
        try:
            vars(os).update(watched)
            builtins.open = io.open = self._opened
            yield
        finally:
            vars(os).update(real)
            builtins.open = io.open = opens

    def unseen(self) -> set[str]:
        """Paths whose content is not what the operations come to: something has passed the layer by."""
        there, told = tree(Path(self.root)), replayed(self)
        return {path for path in there.keys() | told.keys() if path and there.get(path) != told.get(path)}

    # ------------------------------------------------------------ what replaces `open` and functions of os

    def _opened(self, file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None,
                errors: str | None = None, newline: str | None = None, closefd: bool = True,
                opener: Any = None) -> Any:
        place = None if isinstance(file, int) or opener or not set(mode) & set("wax+") else self.place(file)
        if place is None or stat_kind(file) not in (None, "file"):
            return _OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = WatchedFile(self, os.fspath(file), mode.replace("b", "").replace("t", ""), place)
        if buffering == 0:
            return raw
        buffered = BufferedRandom(raw) if "+" in mode else BufferedWriter(raw)
        return buffered if "b" in mode else TextIOWrapper(buffered, encoding, errors, newline)

    def _open(self, real: Any) -> Any:
        def act(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            place = self.place(path, dir_fd)
            operation = None
            if place is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                operation = self.opening(place, bool(flags & os.O_TRUNC))
                if operation is not None and operation.kind == "create" and not flags & os.O_CREAT:
                    operation = None
            if operation is not None:
                self.before(operation)
            found = real(path, flags, mode, dir_fd=dir_fd)
            if operation is not None and place is not None:
                self.number(place)
                self.record(operation)
            if place is not None:
                self.descriptors[found] = place
            return int(found)
        return act

    def _close(self, real: Any) -> Any:
        def act(descriptor: int) -> None:
            self.descriptors.pop(descriptor, None)
            real(descriptor)
        return act

    def _write(self, real: Any) -> Any:
        def act(descriptor: int, content: Any) -> int:
            place = self.descriptors.get(descriptor)
            if place is None:
                return int(real(descriptor, content))
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
            return self.written(Operation("write", place, self.number(place), offset, bytes(content)),
                                lambda part: real(descriptor, part))
        return act

    def written(self, operation: Operation, act: Callable[[bytes], int]) -> int:
        """Carry out a write, or the part of it that `before` lets pass. -> bytes."""
        most = self.before(operation)
        done = act(operation.content[:most])
        self.record(Operation("write", operation.path, operation.file, operation.offset, operation.content[:done]))
        return done

    def _fsync(self, real: Any) -> Any:
        def act(descriptor: int) -> None:
            place = self.descriptors.get(descriptor)
            if place is None:
                real(descriptor)
            elif stat.S_ISDIR(os.fstat(descriptor).st_mode):
                self.note(Operation("flush folder", place), lambda: real(descriptor))
            else:
                self.note(Operation("flush", place, self.files[place]), lambda: real(descriptor))
        return act

    def _ftruncate(self, real: Any) -> Any:
        def act(descriptor: int, length: int) -> None:
            place = self.descriptors.get(descriptor)
            if place is None or length == os.fstat(descriptor).st_size:
                real(descriptor, length)
            else:
                self.note(Operation("truncate", place, self.files[place], length), lambda: real(descriptor, length))
        return act

    def _replace(self, real: Any) -> Any:
        def act(old: Any, new: Any, **more: Any) -> None:
            source, target = self.place(old, more.get("src_dir_fd")), self.place(new, more.get("dst_dir_fd"))
            if source is None or target is None or source not in self.files:
                real(old, new, **more)
                return
            self.note(Operation("rename", source, self.files[source], target=target), lambda: real(old, new, **more))
        return act

    _rename = _replace

    def _unlink(self, real: Any) -> Any:
        def act(path: Any, *, dir_fd: int | None = None) -> None:
            place = self.place(path, dir_fd)
            if place is None or place not in self.files:
                real(path, dir_fd=dir_fd)
            else:
                self.note(Operation("unlink", place, self.files[place]), lambda: real(path, dir_fd=dir_fd))
        return act

    _remove = _unlink

    def _mkdir(self, real: Any) -> Any:
        def act(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            place = self.place(path, dir_fd)
            if place is None or os.path.lexists(path):
                real(path, mode, dir_fd=dir_fd)
            else:
                self.note(Operation("mkdir", place), lambda: real(path, mode, dir_fd=dir_fd))
        return act

    def _rmdir(self, real: Any) -> Any:
        def act(path: Any, *, dir_fd: int | None = None) -> None:
            place = self.place(path, dir_fd)
            if place is None:
                real(path, dir_fd=dir_fd)
            else:
                self.note(Operation("rmdir", place), lambda: real(path, dir_fd=dir_fd))
        return act


class WatchedFile(FileIO):
    """An unbuffered file that tells the layer of each write."""

    def __init__(self, layer: Layer, path: Any, mode: str, place: str) -> None:
        self.layer, self.place = layer, place
        operation = layer.opening(place, "w" in mode)
        if operation is not None:
            layer.before(operation)
        super().__init__(path, mode)
        self.number = layer.number(place)
        if operation is not None and not (operation.kind == "truncate" and "x" in mode):
            layer.record(operation)
        layer.descriptors[self.fileno()] = place

    def write(self, content: Any) -> int:
        """Write it, or as much as the layer lets pass. -> bytes."""
        offset = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
        return self.layer.written(Operation("write", self.place, self.number, offset, bytes(content)), super().write)

    def truncate(self, size: int | None = None) -> int:
        """Cut it, or make it longer."""
        length = self.tell() if size is None else size
        return int(self.layer.note(Operation("truncate", self.place, self.number, length),
                                   lambda: super(WatchedFile, self).truncate(length)))

    def close(self) -> None:
        """Close it; then what the layer raises is raised."""
        if not self.closed:
            self.layer.descriptors.pop(self.fileno(), None)
            super().close()
            self.layer.note(Operation("close", self.place, self.number), lambda: None)


def stat_kind(path: Any) -> str | None:
    """file, folder or other; None if it is not there."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def tree(root: Path) -> dict[str, bytes | None]:
    """Every file's content, None for a folder, by its path relative to `root`, whose own is empty."""
    found: dict[str, bytes | None] = {"": None} if root.is_dir() else {}
    for path in sorted(root.rglob("*")):
        found[str(path.relative_to(root))] = path.read_bytes() if path.is_file() else None
    return found


def changed(content: bytes, operation: Operation) -> bytes:
    """A file's content after a write or a truncate."""
    if operation.kind == "truncate":
        return content[:operation.offset].ljust(operation.offset, b"\0")
    end = operation.offset + len(operation.content)
    return content.ljust(operation.offset, b"\0")[:operation.offset] + operation.content + content[end:]


def replayed(layer: Layer) -> dict[str, bytes | None]:
    """The tree after all operations, as they say it."""
    names: dict[str, int | None] = dict(zip(layer.start, range(len(layer.start)), strict=True))
    contents = {number: content for number, content in enumerate(layer.start.values()) if content is not None}
    names |= {path: None for path, content in layer.start.items() if content is None}
    for one in layer.operations:
        applied(names, one)
        if one.kind in ("write", "truncate"):
            contents[one.file] = changed(contents.get(one.file, b""), one)
    return {path: None if number is None else contents.get(number, b"") for path, number in names.items()} | {"": None}


def applied(names: dict[str, int | None], operation: Operation) -> None:
    """Change the names as the operation does, if it changes names; numbers are of files, None is a folder."""
    match operation.kind:
        case "create":
            names[operation.path] = operation.file
        case "rename":
            names.pop(operation.path, None)
            names[operation.target] = operation.file
        case "unlink" | "rmdir":
            names.pop(operation.path, None)
        case "mkdir":
            names[operation.path] = None
        case _:
            pass


_OPEN = builtins.open
