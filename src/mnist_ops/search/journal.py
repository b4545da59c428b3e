"""The journal's lock: a killed worker releases it, and its unfinished line is removed."""

import os
from pathlib import Path

from filelock import FileLock

JOURNAL = "journal.log"


class WholeLines:
    """Excludes other writers by a lock of the operating system, which ends with its process, and removes an unfinished
    line of a killed writer: with another line after it, the journal would be unreadable.

    Optuna takes any object with these two methods."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.lock = FileLock(journal.with_name(f".{journal.name}.lock"))

    def acquire(self) -> bool:
        """Wait for the lock. -> True."""
        self.lock.acquire()
        cut_unfinished(self.journal)
        return True

    def release(self) -> None:
        """Let the next writer in."""
        self.lock.release()


def cut_unfinished(journal: Path) -> None:
    """Cut the file after its last line break; needs the lock."""
    with journal.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read() not in (b"", b"\n"):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
