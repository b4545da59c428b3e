"""Reads runs from their folders and groups them by recipe. No torch."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_ops.config import Config
from mnist_ops.errors import RunError, UsageError, counted
from mnist_ops.mapping import flat, to_mapping
from mnist_ops.run.folder import CONFIG, SUMMARY, read_config, read_history
from mnist_ops.run.summary import checked_summary
from mnist_ops.score.statistics import Spread, spread_of_accuracies
from mnist_ops.score.verdict import Row

# Where a run computes and when it evaluates: does not change the result, except for rounding.
ASIDE = ("seed", "device", "threads", "deterministic", "test_every", "target")
SHOWN_SETTINGS = 3  # in a recipe's name


@dataclass(frozen=True, eq=False)
class FinishedOrNot:
    """One run, read from its folder; `summary` is None for an unfinished run."""

    path: Path
    config: Config
    history: Sequence[Row]
    summary: Mapping[str, Any] | None


@dataclass(frozen=True, eq=False)
class Recipe:
    """Runs whose configs are equal except for the seed, in the order of their seeds."""

    name: str
    runs: tuple[FinishedOrNot, ...]

    @property
    def summaries(self) -> list[Mapping[str, Any]]:
        """Of the finished runs."""
        return [run.summary for run in self.runs if run.summary is not None]

    @property
    def accuracies(self) -> dict[int, float]:
        """Test accuracy in percent per seed."""
        return {summary["seed"]: summary["test_accuracy"] for summary in self.summaries}

    @property
    def spread(self) -> Spread | None:
        """Mean and SD of the test accuracy; None if no run is finished."""
        return spread_of_accuracies(list(self.accuracies.values())) if self.summaries else None


def read_runs(paths: Sequence[Path]) -> tuple[list[FinishedOrNot], list[str]]:
    """The runs in these folders, each once, and warnings.

    A folder that contains run folders, such as a sweep's, stands for all of them. Raises RunError for a folder without
    runs, and if a file is damaged; UsageError if there are fewer than two runs."""
    folders = {folder.resolve(): folder for path in paths for folder in _runs_in(path)}
    if len(folders) < 2:
        named = f"{paths[0]}: is one run" if folders else "no runs given"
        raise UsageError(f"{named}; expected at least two to compare: give several run folders, or a sweep's folder")
    runs = [_read(folder) for folder in folders.values()]
    warnings = [f"{run.path}: not finished, {len(run.history)} of {run.config.epochs} epochs; its curve is drawn, but "
                "it has no accuracy" for run in runs if run.summary is None]
    return runs, warnings


def _runs_in(path: Path) -> Iterator[Path]:
    inside = sorted((entry.parent for entry in path.glob(f"*/{CONFIG}")), key=_numbers) if os.path.isdir(path) else []
    if inside:
        yield from inside
    elif os.path.exists(path / CONFIG):
        yield path
    else:
        found = f"neither it nor a folder in it has a {CONFIG}" if os.path.exists(path) else "does not exist"
        raise RunError(f"{path}: {found}; expected a folder written by mnist-ops train or sweep")


def _numbers(path: Path) -> list[tuple[int, str]]:
    """s2 before s10."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", path.name)]


def _read(path: Path) -> FinishedOrNot:
    summary = checked_summary(path) if (path / SUMMARY).exists() else None
    return FinishedOrNot(path, read_config(path), read_history(path), summary)


def group(runs: Sequence[FinishedOrNot]) -> tuple[list[Recipe], list[str]]:
    """The runs by recipe, in the order of their first run, and warnings.

    Of two runs with the same recipe and seed the later is skipped, as it is not another sample of the noise."""
    grouped: dict[str, dict[int, FinishedOrNot]] = {}
    warnings = []
    for run in runs:
        members = grouped.setdefault(repr(_settings(run)), {})
        if (there := members.setdefault(run.config.seed, run)) is not run:
            warnings.append(f"{run.path}: skipped, has the same recipe and seed as {there.path}")
    members_of = [tuple(members[seed] for seed in sorted(members)) for members in grouped.values()]
    names = _names([members[0] for members in members_of])
    return [Recipe(name, members) for name, members in zip(names, members_of, strict=True)], warnings


def _settings(run: FinishedOrNot) -> dict[str, Any]:
    """Every setting by its full name, such as augment.degrees."""
    return {name: value for name, value in flat(to_mapping(run.config)) if name not in ASIDE}


def _told(key: str, value: Any) -> str:
    """A setting in a name; nothing for what the model says."""
    if key == "code.network" or value == []:
        return ""
    if key == "layers":
        return counted(len(value), "layer")
    return f"{key} {Path(value).name if key == 'data' else value}" if value != "" else f"no {key}"


def _names(runs: Sequence[FinishedOrNot]) -> list[str]:
    """The recipes' names; equal names are extended by the settings that differ."""
    names: list[str] = []
    for run in runs:
        alike = [_settings(other) for other in runs if other.config.recipe == run.config.recipe]
        own = _settings(run)
        differing = [text for key, value in own.items() if any(one[key] != value for one in alike)
                     if (text := _told(key, value))]
        more = len(differing) - SHOWN_SETTINGS
        told = differing[:SHOWN_SETTINGS] + ([f"{more} more"] if more > 0 else [])
        name = run.config.recipe + (f" ({', '.join(told)})" if told else "")
        names.append(name if name not in names else f"{name} [{sum(one.startswith(name) for one in names) + 1}]")
    return names
