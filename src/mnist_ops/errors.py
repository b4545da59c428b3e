"""The errors that a user can cause, and helpers for their texts. A text says where, what was found, what was expected
and what to do."""

import difflib
import reprlib
import unicodedata
from collections.abc import Iterable


class MnistOpsError(Exception):
    """Base of all errors meant for the user; the command line prints them without a traceback."""

    exit_code = 1  # a run that failed


class UsageError(MnistOpsError):
    """The command cannot be run as given."""

    exit_code = 2  # usage error


class ConfigError(UsageError):
    """A configuration names an unknown field, or a value of the wrong type or out of range."""


class DataError(MnistOpsError):
    """A dataset is missing, damaged, or not what it claims to be."""


class RunError(MnistOpsError):
    """A run folder lacks something, is in use, or does not fit what was asked of it."""


class TrainingError(MnistOpsError):
    """Training cannot continue: the loss is not finite, or no learning rate can be suggested."""


def hint(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known ones, or all."""
    names = list(known)
    near = difflib.get_close_matches(name[:100].lower(), names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)}"


def counted(count: int, noun: str) -> str:
    """"1 epoch", "2 epochs", "10,000 epochs"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def brief(value: object, most: int = 80) -> str:
    """A value for an error's text, at most `most` characters: a container or integer may be longer or deeper than
    Python can print."""
    text = _BRIEF.repr(value)
    return text if len(text) <= most else f"{text[:most - 3]}..."


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 80, 80

    def repr_int(self, value: int, level: int) -> str:
        """In a base that does not take quadratic time for very many digits."""
        return repr(value) if value.bit_length() < 10_000 else hex(value)


_BRIEF = _Brief()


def legible(text: object, *, lines: bool = False) -> str:
    """A text that contains arbitrary names of files or classes, made safe to show.

    Characters that move the cursor, break the line, reverse its direction or cannot be encoded are escaped as \\n,
    \\x1b, \\u202e, \\udcff; joiners of letters or emoji are kept. lines: keep line breaks."""
    text = str(text)
    if text.isprintable():  # most are, and there may be megabytes of them
        return text
    return "".join(one if (lines and one == "\n") or one in _JOINERS or unicodedata.category(one) not in _ESCAPED
                   else one.encode("unicode_escape").decode() for one in text)


# Zero-width non-joiner and joiner, and the tags that make flags of regions.
_JOINERS = frozenset("\u200c\u200d").union(map(chr, range(0xE0020, 0xE0080)))
_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separator
