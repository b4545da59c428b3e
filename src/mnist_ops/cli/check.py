"""mnist-ops check: test a run against a target, e.g. in CI."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnist_ops.cli.output import show, show_json
from mnist_ops.cli.settings import Json, Whole
from mnist_ops.run.folder import SUMMARY, is_number, read_json
from mnist_ops.run.summary import NUMBERS, contradictions


@dataclass(frozen=True)
class Condition:
    """One requirement, and what the run reports for it."""

    name: str  # the key in summary.json
    found: Any  # None if the run does not report it
    expected: str
    passed: bool


def check(
    run: Path,
    /,
    *,
    accuracy: float | None = None,
    parameters: Whole | None = None,
    epochs: Whole | None = None,
    data: str = "mnist",
    as_json: Json = False,
) -> int:
    """Check a run's reported accuracy and size against a target. Exit code 0 if every condition holds, else 1.

    Parameters
    ----------
    run
        A run folder.
    accuracy
        Required test accuracy, at least [percent; default: not checked].
    parameters
        The network must have fewer parameters than this [parameters; default: not checked].
    epochs
        The run must have trained for fewer epochs than this [epochs; default: not checked].
    data
        Required dataset, by its name in summary.json.
    as_json
        Print one JSON object: run, passed, and conditions, each with name, found, expected and passed.
    """
    conditions = judge(read_json(run / SUMMARY), data, test_accuracy=accuracy, parameters=parameters, epochs=epochs)
    if all(condition.passed for condition in conditions):  # so far only the run's own claims
        conditions += [Condition("consistent", text, "files that agree", False) for text in contradictions(run)]
    passed = all(condition.passed for condition in conditions)
    if as_json:
        show_json({"run": str(run), "passed": passed, "conditions": [asdict(condition) for condition in conditions]})
    else:
        for condition in conditions:
            mark = "ok  " if condition.passed else "FAIL"
            show(f"{mark}  {condition.name.replace('_', ' ')}: {_as_text(condition)}, expected {condition.expected}")
    return 0 if passed else 1


def _as_text(condition: Condition) -> str:
    match condition.found:
        case None:
            return "not stated, or not a number in range"
        case str(name):
            return name
        case number:
            return f"{number:.6g} %" if condition.name == "test_accuracy" else f"{number:,}"


def judge(summary: Mapping[str, Any], dataset: str, *, test_accuracy: float | None = None,
          parameters: int | None = None, epochs: int | None = None) -> list[Condition]:
    """A condition for the dataset and for each target that is not None. A missing or invalid value does not pass."""
    name = summary.get("dataset")
    conditions = [Condition("dataset", name if isinstance(name, str) else None, dataset, name == dataset)]
    if test_accuracy is not None:
        found = _stated(summary, "test_accuracy")
        conditions.append(Condition("test_accuracy", found, f"at least {test_accuracy:g} %",
                                    found is not None and found >= test_accuracy))
    for name, below in (("parameters", parameters), ("epochs", epochs)):
        if below is not None:
            found = _stated(summary, name)
            conditions.append(Condition(name, found, f"fewer than {below:,}", found is not None and found < below))
    return conditions


def _stated(summary: Mapping[str, Any], name: str) -> float | None:
    """The number if it is one and in range, else None."""
    value = summary.get(name)
    return value if is_number(value, *NUMBERS[name]) else None
