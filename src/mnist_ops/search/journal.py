"""The journal's lock: a killed worker releases it, and its unfinished line is removed."""

import os
from pathlib import Path

from filelock import FileLock

JOURNAL = "journal.log"
TAIL = 2**20  # bytes, more than any writer adds at once


class WholeLines:
    """Excludes other writers by a lock of the operating system, which ends with its process, and removes an unfinished
    line of a killed writer: with another line after it, the journal would be unreadable.

    Optuna takes any object with these two methods."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.lock = FileLock(journal.with_name(f".{journal.name}.lock"))

    def acquire(self) -> bool:
        """Wait for the lock. -> True. Raises OSError, without the lock, if the disk fails."""
        self.lock.acquire()
        try:
            cut_unfinished(self.journal)
        except OSError:
            self.lock.release()
            raise
        return True

    def release(self) -> None:
        """Let the next writer in."""
        self.lock.release()


def cut_unfinished(journal: Path) -> None:
    """Cut off what a killed writer or a loss of power has left of the last lines; needs the lock.

    It has no line break at its end, or zeros where the disk had not written yet."""
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        for begin in (max(0, size - TAIL), 0):
            file.seek(begin)
            tail = file.read()
            end = tail.partition(b"\0")[0].rfind(b"\n") + 1
            if end:
                break
        if end < len(tail):
            file.truncate(begin + end)
