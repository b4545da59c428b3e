"""A study's definition: config, space and data, in its folder and in the storage; all that join it must agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_ops.config import Config
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.disk import make_folder
from mnist_ops.errors import RunError, UsageError, brief
from mnist_ops.mapping import flat, from_mapping, to_mapping
from mnist_ops.run.folder import read_json, write_json
from mnist_ops.run.provenance import fingerprint
from mnist_ops.search.space import OBJECTIVES, Space, read_space
from mnist_ops.search.storage import StudyStorage, import_optuna, masked, unreachable

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

STUDY = "study.json"
DEFINITION = "mnist_ops"  # the attribute in the storage with the study's definition
ELSEWHERE = ("device", "threads", "precision")  # settings that may differ between machines
VALIDATION, SHARE = 5000, 5  # validation images of a search; at most one in SHARE of a small dataset


@dataclass(frozen=True, eq=False)
class Plan:
    """A study on one machine."""

    name: str
    config: Config  # resolved for this machine, without the trials' choices
    space: Space
    data: str  # SHA-256 of the images and labels

    def definition(self) -> dict[str, Any]:
        """What all that join must share."""
        config = {name: value for name, value in to_mapping(self.config).items() if name not in ELSEWHERE}
        config["data"] = Path(self.config.data).name  # the path may differ between machines
        return {"config": config, "space": dict(self.space.data), "images": self.data}


def plan(name: str, config: Config, source: ImageDataset, space: Space) -> Plan:
    """The plan of a study of `config`, which is settled.

    By default trials are validated on the last 5,000 training images, or a fifth of a small dataset. The test set is
    not used during the search. Raises ConfigError as `Space.check_budget`."""
    space.check_budget(len(source.classes), config.input_shape)
    few = min(VALIDATION, len(source.train.labels) // SHARE)
    config = replace(config, validation=config.validation or few, test_every=0, target=0.0)
    return Plan(name, config, space, fingerprint(source))


def save(folder: Path, plan: Plan, url: str | None) -> None:
    """Write study.json for the workers. Raises UsageError if the folder belongs to another study."""
    if (folder / STUDY).exists():
        there = load(folder)
        if there.name != plan.name:
            raise UsageError(f"{folder}: has the study {there.name!r}, not {plan.name!r}; choose another folder with "
                             "--out")
        _agree(f"{folder}: has a study", there.definition(), plan.definition())
    make_folder(folder)
    write_json(folder / STUDY, {"study": plan.name, "storage": url and masked(url), "images": plan.data,
                                "config": to_mapping(plan.config), "space": dict(plan.space.data)})


def load(folder: Path) -> Plan:
    """The plan written by `save`. Raises RunError or ConfigError, naming the file, if it is invalid."""
    path = folder / STUDY
    content = read_json(path)
    try:
        config = from_mapping(Config(), content["config"], str(path))
        space = read_space(content["space"], config, str(path))
        return Plan(str(content["study"]), config, space, str(content["images"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: damaged ({error!s:.100}); restore it, or start again with another --out") from error


def join(plan: Plan, place: StudyStorage, url: str | None) -> "Study":
    """The study of that name in the storage, created if needed.

    Raises UsageError, naming the differences, if it exists for another space, config or dataset; RunError if the
    storage fails."""
    optuna = import_optuna()
    directions = [OBJECTIVES[one] for one in plan.space.objectives]
    definition = plan.definition()
    try:
        study: Study = optuna.create_study(
            storage=place.storage, study_name=plan.name, directions=directions, load_if_exists=True,
            sampler=_sampler(optuna, plan.space), pruner=_pruner(optuna, plan.space))
        if DEFINITION not in study.user_attrs:
            study.set_user_attr(DEFINITION, definition)
        there = study.user_attrs[DEFINITION]
    except Exception as error:  # each storage raises its own kind
        raise unreachable(url, error) from None
    _agree(f"{place.shown}: has a study {plan.name!r}", there, definition)
    return study


def _agree(where: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise UsageError if two definitions are not equal."""
    old, new = dict(flat(there)), dict(flat(here))
    differing = [f"{name}: {brief(old.get(name))} there, {brief(new.get(name))} here"
                 for name in {**old, **new} if old.get(name) != new.get(name)]
    if differing:
        more = f"; and {len(differing) - 8} more" if len(differing) > 8 else ""
        raise UsageError(f"{where} that differs: {'; '.join(differing[:8])}{more}. Choose another name and folder "
                         "with --study and --out, or make the settings equal.")


def _sampler(optuna: Any, space: Space) -> Any:
    """Bergstra et al. 2011 (TPE), Deb et al. 2002 (NSGA-II), or random; each worker draws different numbers."""
    if space.sampler == "random":
        return optuna.samplers.RandomSampler()
    if space.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=max(space.startup_trials, 4))
    return optuna.samplers.TPESampler(n_startup_trials=space.startup_trials)


def _pruner(optuna: Any, space: Space) -> Any:
    if space.pruner == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=space.startup_trials, n_warmup_steps=space.warmup_epochs)


def front(trials: Sequence["FrozenTrial"], space: Space) -> list["FrozenTrial"]:
    """The Pareto front: trials that no other matches in every objective and beats in one.

    Sorted by the first objective, the best first. With one objective: the single best, of equal ones that with the
    fewest parameters. Of trials that are equal in every objective one is kept."""
    signs = [1 if OBJECTIVES[one] == "minimize" else -1 for one in space.objectives]
    costs = {trial.number: tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))
             for trial in trials if trial.state.name == "COMPLETE"}
    named = {trial.number: trial for trial in trials}

    def order(number: int) -> tuple[Any, ...]:
        return (costs[number], named[number].user_attrs.get("parameters", 0), number)

    found: list[int] = []
    for number in sorted(costs, key=order):  # better trials come first
        if not any(all(a <= b for a, b in zip(costs[other], costs[number], strict=True)) for other in found):
            found.append(number)
    return [named[number] for number in found]
