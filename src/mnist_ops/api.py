"""The Python interface to runs: train, resume, sweep and compare; `classifier` loads what they made. Prints nothing."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from mnist_ops.arch.layers import Layer
from mnist_ops.arch.network_file import with_layers
from mnist_ops.comparison.pairs import described, pairs
from mnist_ops.comparison.runs import group, read_runs
from mnist_ops.config import Config, recipe
from mnist_ops.data.catalog import ARRAYS
from mnist_ops.data.dataset import ImageDataset
from mnist_ops.data.labelled import from_arrays
from mnist_ops.data.source import read
from mnist_ops.device import share_out
from mnist_ops.errors import RunError, UsageError, brief
from mnist_ops.events import Event, Finished, Warned
from mnist_ops.experiment import run as begin_run
from mnist_ops.mapping import OWN, from_mapping, to_mapping
from mnist_ops.own_code import Change, MakeNetwork, MakeOptimizer, OwnCode, check_code, name_of
from mnist_ops.pictures.prepare import chosen_method
from mnist_ops.run.folder import RUNS, default_path, read_config
from mnist_ops.run.start import settle_start
from mnist_ops.settle import cautions, settle
from mnist_ops.sweeps.in_one_process import run_abreast
from mnist_ops.sweeps.seeds import SeedDone, SeedFailed, begin, run_seeds, write_results

OwnNetwork: TypeAlias = Sequence[Layer] | MakeNetwork


def train(config: str | Config = "default", *, data: str | Sequence[Any] | None = None,
          data_dir: str | Path | None = None, out: str | Path | None = None,
          on_event: Callable[[Event], object] | None = None, network: OwnNetwork | None = None,
          augment: Change | None = None, optimizer: MakeOptimizer | None = None) -> dict[str, Any]:
    """Train a recipe, given by name or as a Config. Returns the content of summary.json, and the folder as "run".

    data: a name, a folder or a file, as --data; or (images, labels) or (images, labels, test_images, test_labels),
    images (N, H, W) or (N, H, W, 3), 0 black. Without test images, a fifth of each class is drawn for them.
    data_dir: the folder of named datasets; out: the run folder, new or empty, by default
    runs/<date>-<recipe>-s<seed>; on_event is given each event of the run, see `events`. Warnings are issued as
    UserWarning. Raises MnistOpsError, as the command.

    Ideas of your own, see docs/networks.md: network is layers, or makes a torch.nn.Module from (channels, height,
    width) and the number of classes; augment changes a batch (N, C, H, W) of values in [0, 1] after the augmentation
    of the config; optimizer makes a torch.optim.Optimizer from a list of parameters, whose rate the run sets."""
    config, code = _with_code(_checked(config), network, augment, optimizer)
    config = settle_start(_on(config, data))
    path = default_path(RUNS, config) if out is None else Path(out)
    return _finished(begin_run(config, _source(config, data, data_dir), path, code=code), path, on_event)


def resume(run: str | Path, *, data: Sequence[Any] | None = None, data_dir: str | Path | None = None,
           on_event: Callable[[Event], object] | None = None, network: MakeNetwork | None = None,
           augment: Change | None = None, optimizer: MakeOptimizer | None = None) -> dict[str, Any]:
    """Continue the run in that folder after its last saved epoch, with its own settings. Returns what `train` does.

    data: arrays, if it was started with arrays; network, augment, optimizer: again, if it was started with any, as
    nothing imports them. Raises MnistOpsError, as the command."""
    path, code = Path(run), OwnCode(network=network, augment=augment, optimizer=optimizer)
    check_code(config := read_config(path), code, path)
    if config.data == ARRAYS and data is None:
        raise UsageError(f"{path}: was started with arrays; give them again as data=(images, labels, ...)")
    config = replace(config, code=code.names)
    return _finished(begin_run(config, _source(config, data, data_dir), path, resume=True, code=code), path, on_event)


def _on(config: Config, data: str | Sequence[Any] | None) -> Config:
    """The config that names the data."""
    return config if data is None else replace(config, data=data if isinstance(data, str) else ARRAYS)


def _source(config: Config, data: str | Sequence[Any] | None, data_dir: str | Path | None) -> ImageDataset:
    if data is not None and not isinstance(data, str):
        return from_arrays(data, seed=config.seed, how=chosen_method(config.prepare, ARRAYS), size=config.size,
                           colour=config.colour)
    return read(config.data, None if data_dir is None else Path(data_dir), seed=config.seed, how=config.prepare,
                size=config.size, colour=config.colour, skip_damaged=config.skip_damaged)


def _finished(events: Iterator[Event], path: Path, on_event: Callable[[Event], object] | None) -> dict[str, Any]:
    for event in events:
        if isinstance(event, Warned):
            warnings.warn(event.text, stacklevel=3)
        if on_event is not None:
            on_event(event)
    assert isinstance(event, Finished)
    return {"run": str(path), **event.summary}


def _with_code(config: Config, network: OwnNetwork | None, augment: Change | None,
               optimizer: MakeOptimizer | None) -> tuple[Config, OwnCode]:
    """The config that names the code, or has the layers, and the code."""
    make: MakeNetwork | None = None
    if isinstance(network, Sequence):
        if wrong := [one for one in network if not isinstance(one, Layer)]:
            raise UsageError(f"network: {brief(wrong[0])} is not a layer; expected those of mnist_ops.arch.layers")
        config = replace(config, model=OWN, layers=tuple(network))
    elif isinstance(network, nn.Module):
        raise UsageError(f"network: a {type(network).__name__}, expected the class or a function that makes one, as "
                         "each run starts with a new one")
    elif network is not None:
        make = network
        config = replace(config, model=name_of(make), layers=())
    code = OwnCode(network=make, augment=augment, optimizer=optimizer)
    check_code(config, code, "config")
    return replace(config, code=code.names), code


def _checked(config: str | Config) -> Config:
    if isinstance(config, str):
        return recipe(config)
    settings = with_layers(to_mapping(config), Path())
    return replace(from_mapping(Config(), settings, "config"), epochs=config.epochs,
                   batch_size=config.batch_size)  # whose kind tells whether somebody gave them


def sweep(config: str | Config = "default", seeds: int | Sequence[int] = 10, *,
          data: str | Sequence[Any] | None = None, data_dir: str | Path | None = None,
          out: str | Path | None = None, jobs: int | None = None, abreast: bool = False,
          network: OwnNetwork | None = None, augment: Change | None = None,
          optimizer: MakeOptimizer | None = None) -> dict[str, Any]:
    """Train a recipe on several seeds: 0 to seeds - 1, or those given. Returns results.json's content, and "folder".

    Each run is a process of its own, `jobs` at a time: by default one a core. out: by default runs/sweep-<recipe>;
    finished runs in it are kept. abreast: run all in this process, as --abreast, one after the other or `jobs`
    interleaved. data, network, augment, optimizer: as in `train`; arrays and code of your own are always run so.
    Warnings are issued as UserWarning. Raises MnistOpsError, as the command, if a run fails."""
    config, code = _with_code(_checked(config), network, augment, optimizer)
    config = settle_start(_on(config, data))
    numbers = range(seeds) if isinstance(seeds, int) else list(seeds)
    if not numbers:
        raise UsageError("seeds: none given, expected at least one")
    folder, place = Path(out or RUNS / f"sweep-{config.recipe}"), None if data_dir is None else Path(data_dir)
    source = _source(config, data, data_dir)
    for text in cautions(config, source):
        warnings.warn(text, stacklevel=2)
    abreast = abreast or bool(code.told) or config.data == ARRAYS
    shared, lanes = share_out(config, 1 if abreast else jobs, len(numbers))
    begin(folder, settle(shared, source, code=code), keep_threads=not config.threads)
    results = list(run_abreast(folder, numbers, jobs or 1, source, code=code, read=lambda seed: _source(
        replace(config, seed=seed), data, data_dir)) if abreast else
                   run_seeds(folder, numbers, lanes, place))
    if failed := [f"seed {one.seed} failed: {one.message}" for one in results if isinstance(one, SeedFailed)]:
        raise RunError("\n".join(failed))
    return {"folder": str(folder), **write_results(folder, [one.summary for one in results
                                                           if isinstance(one, SeedDone)])}


def compare(runs: Sequence[str | Path]) -> dict[str, Any]:
    """Compare runs, from their folders or those of sweeps: what `mnist-ops compare --json` prints, without a page.

    Raises RunError and UsageError as `read_runs`."""
    found, unfinished = read_runs([Path(run) for run in runs])
    recipes, doubled = group(found)
    return {**described(recipes, pairs(recipes)), "warnings": [*unfinished, *doubled]}
