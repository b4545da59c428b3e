"""What a figure was made by: versions and commit, so that somebody else can make it again."""

import functools
import subprocess
from pathlib import Path


@functools.cache
def commit() -> str | None:
    """The commit of this program's own checkout, with "+changes" where its files differ from it.

    None where the program runs from an installed copy, or without git."""
    source = Path(__file__).resolve().parents[1]
    if _git(source, "ls-files", "--error-unmatch", __file__) is None:
        return None  # an installed copy that happens to lie inside somebody else's repository
    head = _git(source, "rev-parse", "HEAD")
    changed = _git(source, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return head and head + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of git, None where it fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments],
                              capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
