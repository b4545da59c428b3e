"""Builds a command's config: recipe, then configuration file, then command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from mnist_ops.arch.network_file import with_layers
from mnist_ops.arch.zoo import BLOCKS, MODELS, named_network
from mnist_ops.config import RECIPES, Config, Device
from mnist_ops.config import recipe as named_recipe
from mnist_ops.data.catalog import CATALOG
from mnist_ops.errors import ConfigError, UsageError, brief
from mnist_ops.mapping import from_mapping
from mnist_ops.own_code import NONE, check_code
from mnist_ops.run.folder import FORMAT, is_readable
from mnist_ops.run.start import settings_of, settle_start
from mnist_ops.settings_file import read_file


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """Without rounding: 1.5 epochs is an error."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"found {tokens[0].value!r}, expected an integer") from None


Whole = Annotated[int, Parameter(converter=_whole)]
AnyDevice = Literal["auto", Device]
AutoNumber = Literal["auto"] | float
Flag = Annotated[bool, Parameter(show_default=False)]
# The lists of names in help texts are generated.
RecipeName = Annotated[str | None, Parameter(help=(
    f"{', '.join(RECIPES)}; see `mnist-ops recipes` [default: the one in --config, else default]."))]
ModelName = Annotated[str | None, Parameter(metavar="NAME|FILE", help=(
    f"Network to train: {', '.join(MODELS)}, a name that begins with blocks:, or a .toml file with its layers; see "
    "docs/networks.md [default: the recipe's]."))]
DATASETS = ", ".join(("auto", *CATALOG))
DataName = Annotated[str | None, Parameter(help=(
    f"{DATASETS}, or a folder with one subfolder of pictures per class, or an .npz or .csv file [default: the "
    "recipe's, auto: MNIST, or the embedded digits if MNIST is not available]."))]
SkipDamaged = Annotated[bool | None, Parameter(show_default=False, help=(
    "Leave out pictures of a folder that cannot be read, and say which, instead of an error [default: the run's own, "
    "off]."))]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Selection:
    """The options that `train` and `tune` share.

    Parameters
    ----------
    config
        Settings that override the recipe's: a TOML file, or a run's config.json to repeat that run.
    data_dir
        Folder for the files of named datasets [default: $MNIST_OPS_DATA, then the user's cache].
    validation
        Images at the end of the training set to use as the validation set; if the data itself has one, any number
        above 0 means all of that [images; default: the recipe's, 0].
    size
        Side of the images that pictures become, 8 to 128 [pixels; default: by a folder's pictures, else 28].
    colour
        Train on red, green and blue instead of grey [default: if a folder's pictures have colours].
    parameters
        Widen or narrow the network to at most so many parameters; for `pictures` and `blocks:` [parameters; default:
        0, as it is].
    batch_size
        Images per step [images; default: the recipe's, fewer for few pictures].
    seed
        Seed of all random numbers of the run [default: 0].
    device
        Device to compute on [default: auto, the first available of cuda, mps, cpu].
    threads
        CPU threads [threads; default: 0, $OMP_NUM_THREADS or all cores].
    """

    config: Path | None = None
    model: ModelName = None
    data: DataName = None
    data_dir: Path | None = None
    validation: Whole | None = None
    size: Whole | None = None
    colour: Annotated[bool | None, Parameter(negative="--grey", show_default=False)] = None
    skip_damaged: SkipDamaged = None
    parameters: Whole | None = None
    batch_size: Whole | None = None
    seed: Whole | None = None
    device: AnyDevice | None = None
    threads: Whole | None = None


def configure(recipe: str | None, selection: Selection, *, run: Config | None = None, **flags: Any) -> Config:
    """The recipe's config with the file's settings and then those of the command line (None: not given).

    recipe: None for the one named in the file, else that of the weights to start from, else "default". run: the config
    of a run to continue, which replaces the recipe as the base. Raises UsageError for an unknown recipe, or two
    different ones; ConfigError, naming file or command line and the field."""
    given = {field.name: getattr(selection, field.name) for field in fields(selection)} | flags
    flags = dict(with_layers({name: value for name, value in given.items()
                              if value is not None and name not in ("config", "data_dir")}, Path()))
    settings = {} if selection.config is None else read_settings(selection.config)
    inside = settings.get("recipe")
    if None not in (recipe, inside) and recipe != inside:
        raise UsageError(f"{selection.config}: recipe {brief(inside)}, but {recipe!r} on the command line; remove one")
    named = recipe or inside
    if run is not None:
        base = run if named is None else replace(run, recipe=str(named))
    elif named is None and (start := flags.get("start", settings.get("start"))):
        base = settings_of(str(start))
    else:
        base = _base("default" if named is None else named, selection.config)
    config = from_mapping(base, flags, "command line")
    # Flags override the file. They are set first because one setting may need another: plateau, a validation set.
    rest = {name: value for name, value in settings.items() if name not in (*flags, *["layers"] * ("model" in flags))}
    config = from_mapping(config, rest, str(selection.config))
    check_code(config, NONE, selection.config or "settings")
    if not config.layers and not config.model.startswith(BLOCKS):
        named_network(config.model)  # a wrong name is told before any data is read
    return settle_start(config)


def _base(recipe: object, file: Path | None) -> Config:
    """The recipe of that name; a name that is not a string is left to the check of all fields."""
    try:
        return named_recipe(recipe) if isinstance(recipe, str) else Config()
    except UsageError as error:
        raise UsageError(f"{file}: {error}" if file else str(error)) from error


def read_settings(path: Path) -> Mapping[str, Any]:
    """The fields set in a .toml or .json file.

    Raises ConfigError, naming the file, and the line of a syntax error."""
    if path.suffix.lower() not in (".toml", ".json"):
        raise ConfigError(f"{path}: expected a .toml file or the config.json of a run")
    settings = read_file(path, "--config", "configuration of mnist-ops")
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: found {brief(settings)}, expected an object of fields")
    if path.suffix.lower() == ".json" and not is_readable(found := settings.pop("format", FORMAT)):
        raise ConfigError(f"{path}: format {brief(found)}, expected {FORMAT}; written by another version of mnist-ops")
    return with_layers(settings, path.parent)


def completed(out: Path, ending: str) -> Path:
    """The file of --out, with the suffix added if it has none and does not exist."""
    return out if out.suffix or not out.name or out.exists() else out.with_name(out.name + ending)
