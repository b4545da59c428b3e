"""The config of a command: recipe, then configuration file, then command line."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from mnist_ops.config import RECIPES, Config, Device, from_mapping
from mnist_ops.config import recipe as named_recipe
from mnist_ops.data.catalog import CATALOG
from mnist_ops.errors import ConfigError, UsageError, brief
from mnist_ops.run.folder import FORMAT, is_readable
from mnist_ops.run.start import settings_of, settle_start

# Of a configuration file; one that names every field has two thousand. The time that TOML takes is not in proportion.
MOST_BYTES = 2**14


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """Without rounding: 1.5 epochs are a mistake, not two."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"found {tokens[0].value!r}, expected a whole number") from None


Whole = Annotated[int, Parameter(converter=_whole)]
AnyDevice = Literal["auto", Device]
AutoNumber = Literal["auto"] | float
Flag = Annotated[bool, Parameter(show_default=False)]
# Lists of names in help texts are made of what they list.
RecipeName = Annotated[str | None, Parameter(help=(
    f"{', '.join(RECIPES)}; see `mnist-ops recipes` [default: default, or the one that --config names]."))]
DATASETS = ", ".join(("auto", *CATALOG))
DataName = Annotated[str | None, Parameter(help=(
    f"{DATASETS}, or a folder with one subfolder of pictures per class [default: the recipe's, auto: MNIST, or the "
    "embedded digits where it cannot be had]."))]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to train on and with, in `train` and `tune` alike.

    Parameters
    ----------
    config
        Settings over those of the recipe: a TOML file, or the config.json of a run, which gives the same run again.
    data_dir
        Folder that holds or receives the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    validation
        Last images of the training part to keep out of training [images; default: the recipe's, 0].
    batch_size
        Images per step [images; default: the recipe's].
    seed
        What every random number of the run is derived from [default: 0].
    device
        Where to compute [default: auto, the first there is of cuda, mps, cpu].
    threads
        Processor threads [threads; default: 0, $OMP_NUM_THREADS or every core].
    """

    config: Path | None = None
    data: DataName = None
    data_dir: Path | None = None
    validation: Whole | None = None
    batch_size: Whole | None = None
    seed: Whole | None = None
    device: AnyDevice | None = None
    threads: Whole | None = None


def configure(recipe: str | None, selection: Selection, *, run: Config | None = None, **flags: Any) -> Config:
    """The config of the recipe (None: the one that the file names, that of the weights to start from, else "default")
    with the file's settings and then those of the command line, of which None means not given.

    run: the config of a run that is continued, which is then the base whatever the recipe. Raises UsageError for an
    unknown recipe or two of them; ConfigError, naming file or command line and the field."""
    given = {field.name: getattr(selection, field.name) for field in fields(selection)} | flags
    flags = {name: value for name, value in given.items() if value is not None and name not in ("config", "data_dir")}
    settings = {} if selection.config is None else read_settings(selection.config)
    inside = settings.get("recipe")
    if None not in (recipe, inside) and recipe != inside:
        raise UsageError(f"{selection.config}: recipe {brief(inside)}, but the command line asks for {recipe!r}; "
                         "leave one out")
    named = recipe or inside
    if run is not None:
        base = run if named is None else replace(run, recipe=str(named))
    elif named is None and (start := flags.get("start", settings.get("start"))):
        base = settings_of(str(start))
    else:
        base = _base("default" if named is None else named, selection.config)
    config = from_mapping(base, flags, "command line")
    # A flag wins over the file. It is set first because one setting may need another: plateau, a validation part.
    rest = {name: value for name, value in settings.items() if name not in flags}
    return settle_start(from_mapping(config, rest, str(selection.config)))


def _base(recipe: object, file: Path | None) -> Config:
    """The recipe of that name; one that is no text is left to the check of all fields."""
    try:
        return named_recipe(recipe) if isinstance(recipe, str) else Config()
    except UsageError as error:
        raise UsageError(f"{file}: {error}" if file else str(error)) from error


def read_settings(path: Path) -> Mapping[str, Any]:
    """The fields that a .toml or .json file sets.

    Raises ConfigError, naming the file, and the line where it is damaged."""
    if path.suffix.lower() not in (".toml", ".json"):
        raise ConfigError(f"{path}: a configuration is a .toml file, or the config.json of a run")
    settings = read_file(path, "--config", "configuration of mnist-ops")
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: found {brief(settings)}, expected an object of fields")
    if path.suffix.lower() == ".json" and not is_readable(found := settings.pop("format", FORMAT)):
        raise ConfigError(f"{path}: format {brief(found)}, expected {FORMAT}; it is from another version of mnist-ops")
    return settings


def read_file(path: Path, flag: str, kind: str) -> Any:
    """What a file of JSON, or else of TOML, holds. Raises ConfigError, which names it, and the flag that did.

    kind: what it is to be."""
    is_json = path.suffix.lower() == ".json"
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ConfigError(f"{path}: has more than {MOST_BYTES:,} bytes; it is no {kind}")
        text = raw.decode("utf-8-sig")
        return json.loads(text) if is_json else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path of {flag}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not {'JSON' if is_json else 'TOML'}: {error}") from error


def completed(out: Path, ending: str) -> Path:
    """The file of --out; one without an ending, which is not a folder, gets that of what it is to hold."""
    return out if out.suffix or not out.name or out.is_dir() else out.with_name(out.name + ending)
