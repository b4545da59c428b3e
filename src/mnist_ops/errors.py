"""The one exception family that a user can cause; a text says where, what was found, what was expected, what to do.
And what such texts are made of."""

import difflib
import reprlib
import unicodedata
from collections.abc import Iterable


class MnistOpsError(Exception):
    """Base of every error whose text is meant for the user; the command line prints it without a traceback."""

    exit_code = 1  # a run that failed


class UsageError(MnistOpsError):
    """The command cannot be carried out as given."""

    exit_code = 2  # wrong use


class ConfigError(UsageError):
    """A configuration names an unknown field, or a value of the wrong type or out of range."""


class DataError(MnistOpsError):
    """A dataset is missing, damaged, or not what it claims to be."""


class RunError(MnistOpsError):
    """A run folder lacks something, is in use, or does not fit what was asked of it."""


class TrainingError(MnistOpsError):
    """Training cannot go on: the loss is not finite, or no learning rate can be suggested."""


def hint(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not among the known ones: the nearest of them, or all."""
    names = list(known)
    near = difflib.get_close_matches(name[:100].lower(), names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)}"


def counted(count: int, noun: str) -> str:
    """"1 epoch", "2 epochs", "10,000 epochs"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def brief(value: object, most: int = 80) -> str:
    """A value for an error's text, at most `most` characters: that of a container or of a whole number may be longer
    or deeper than Python will write out."""
    text = _BRIEF.repr(value)
    return text if len(text) <= most else f"{text[:most - 3]}..."


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 80, 80

    def repr_int(self, value: int, level: int) -> str:
        """In a base that takes no quadratic time where there are very many digits."""
        return repr(value) if value.bit_length() < 10_000 else hex(value)


_BRIEF = _Brief()


def legible(text: object, *, lines: bool = False) -> str:
    """A text in which names stand, of files or classes as somebody may have given them, so that it can be shown.

    What moves a terminal's cursor, breaks the line, reverses its direction or cannot be encoded is written as \\n,
    \\x1b, \\u202e, \\udcff; what joins letters or emoji stays. lines: the text has several, whose ends stay too."""
    return "".join(one if (lines and one == "\n") or one in _JOINERS or unicodedata.category(one) not in _ESCAPED
                   else one.encode("unicode_escape").decode() for one in str(text))


# Zero-width non-joiner and joiner, and the tags that make flags of regions.
_JOINERS = frozenset("\u200c\u200d").union(map(chr, range(0xE0020, 0xE0080)))
_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate, line and paragraph separator
