"""The one exception family that a user can cause. A text says where, what was found, what was expected, what to do."""

import difflib
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
    near = difflib.get_close_matches(name.lower(), names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(names)}"
