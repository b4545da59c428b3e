"""The C compiler of this machine: which it is, and running it or what it built."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mnist_ops.errors import RunError
from mnist_ops.parallel.children import ended_by

# What a compiler says that ran out of disk, was ended or broke; some then ask for a bug report to their makers.
BROKEN = re.compile(".*(?:internal compiler error|signal terminated program|unable to execute command|due to signal|"
                    "No space left on device|File too large|Disk quota exceeded).*")


def c_compiler() -> list[str] | None:
    """The words that call the C compiler of this machine: $CC, or else cc, gcc or clang; None where there is none."""
    for words in (shlex.split(os.environ.get("CC", "")), ["cc"], ["gcc"], ["clang"]):
        if words and shutil.which(words[0]):
            return words
    return None


def run_tool(command: Sequence[str], folder: Path, given: bytes | None = None, *,
             seconds: float = 300) -> bytes:
    """Run it, its temporary files in the folder, on what is given, for so long at most. -> what it prints.

    Raises RunError, with what it said, where it fails."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=seconds,
                              env={**os.environ, "TMPDIR": str(folder), "LC_ALL": "C"})
    except subprocess.TimeoutExpired as error:
        raise RunError(f"{command[0]}: did not end within {seconds:g} seconds; nothing was written") from error
    except OSError as error:
        raise RunError(f"{command[0]}: could not be run ({error!s:.200}); nothing was written") from error
    if done.returncode:
        name, said = Path(command[0]).name, done.stderr.decode(errors="replace").strip()
        if broken := BROKEN.search(said):
            why = broken[0].rpartition("error: ")[2]
            raise RunError(f"{name} could not finish ({why}); nothing was written. Free some space, or name another "
                           "folder for temporary files with $TMPDIR, or another compiler with $CC")
        raise RunError(f"{name} failed ({ended_by(done.returncode, '')}); nothing was written.\n{said:.1500}")
    return done.stdout
