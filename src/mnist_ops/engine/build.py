"""C text -> a library for this processor, built once and kept in the user's cache. Imports no torch."""

import ctypes
import hashlib
import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from mnist_ops.disk import temporary_folder, write_whole
from mnist_ops.engine.compiler import c_compiler, run_tool
from mnist_ops.errors import RunError

# Sums may be taken in another order and products be fused into them; NaN and infinity stay what they are.
FLAGS = ("-std=gnu11", "-O2", "-ffp-contract=fast", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math",
         "-fno-math-errno", "-shared", "-fPIC", "-pthread")
NATIVE: tuple[list[str], ...] = (["-march=native"], ["-mcpu=native"], [])  # for this processor
SECONDS = 120  # that a build may take
MOST_KEPT = 100  # libraries in the cache; those used longest ago are removed


@dataclass(frozen=True)
class Compiler:
    """The compiler of this machine and what it builds for."""

    words: tuple[str, ...]  # with all flags
    name: str  # "gcc 12.2.0"
    processor: str  # SHA-256 of what it knows of compiler, flags and processor


@dataclass(frozen=True)
class Build:
    """A text, and the library that it becomes."""

    text: str
    compiler: Compiler
    path: Path

    @property
    def is_done(self) -> bool:
        """Whether the library lies in the cache as it was written: to load a damaged one may end the process."""
        try:
            return _sum(self.path.read_bytes()) == _sum_of(self.path).read_bytes()
        except OSError:
            return False

    @property
    def made_by(self) -> str:
        """What the bits of a result depend on, beside the text."""
        return f"{self.compiler.name}, {self.compiler.processor[:12]}"

    def load(self) -> ctypes.CDLL:
        """The library, built where the cache lacks it, while others that want the same wait.

        Raises RunError where it cannot be built, kept or loaded."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.parent / f"{self.path.stem[0]}.lock", timeout=SECONDS):
                if self.is_done:
                    with suppress(OSError):  # of another system
                        return self._loaded()
                self._make()
                return self._loaded()
        except (OSError, TimeoutError) as error:
            raise RunError(f"{self.path}: the compiled training step cannot be kept or loaded ({error!s:.200})"
                           ) from error

    def _loaded(self) -> ctypes.CDLL:
        library = ctypes.CDLL(str(self.path))
        with suppress(OSError):
            os.utime(self.path)  # used last
        return library

    def _make(self) -> None:
        with temporary_folder("compiling the training step") as folder:
            (folder / "step.c").write_text(self.text, encoding="ascii")
            made = folder / "step.so"
            run_tool([*self.compiler.words, "-o", str(made), str(folder / "step.c"), "-lm"], folder, seconds=SECONDS)
            content = made.read_bytes()
        older = sorted(self.path.parent.glob("*.so"), key=lambda path: path.stat().st_mtime)
        for path in older[:len(older) + 1 - MOST_KEPT]:
            path.unlink(missing_ok=True)
            _sum_of(path).unlink(missing_ok=True)
        write_whole(self.path, content)
        write_whole(_sum_of(self.path), _sum(content))


def _sum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _sum_of(path: Path) -> Path:
    """Where the library's sum is kept."""
    return path.with_suffix(".sha256")


def build(text: str) -> Build:
    """The build of a text by this machine's compiler. Raises RunError where there is none, or it does not work."""
    words = c_compiler()
    if words is None:
        raise RunError("no C compiler is here (looked for $CC, cc, gcc and clang)")
    compiler = _known(tuple(words), tuple(shlex.split(os.environ.get("CFLAGS", ""))))
    name = hashlib.sha256(f"{compiler.processor} {text}".encode()).hexdigest()[:32]
    return Build(text, compiler, user_cache_path("mnist-ops", appauthor=False) / "engine" / f"{name}.so")


@cache
def _known(words: tuple[str, ...], more: tuple[str, ...]) -> Compiler:
    """The compiler with the flags that it takes; more: of $CFLAGS, which come last."""
    for native in NATIVE:
        flags = (*words, *FLAGS, *native, *more)
        try:
            with temporary_folder("asking the C compiler") as folder:
                (folder / "nothing.c").touch()
                macros = run_tool([*flags, "-dM", "-E", str(folder / "nothing.c")], folder, seconds=SECONDS).decode()
        except RunError:
            if not native:
                raise
            continue
        version = re.search(r'#define __VERSION__ "([^"]*)"', macros)
        kind = "clang" if "__clang__" in macros else "gcc"
        return Compiler(flags, f"{kind} {version[1].split()[-1 if kind == 'clang' else 0] if version else '?'}",
                        hashlib.sha256(f"{flags[len(words):]} {macros}".encode()).hexdigest())
    raise AssertionError("the last way returns or raises")
