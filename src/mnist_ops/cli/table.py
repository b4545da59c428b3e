"""mnist-ops table: show a network's layers."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mnist_ops.arch.network_file import ENDING, read_network
from mnist_ops.arch.table import as_json as tables_as_json
from mnist_ops.arch.table import field_text, layer_text
from mnist_ops.arch.zoo import INPUT, MODELS, for_classes, is_named, named_network
from mnist_ops.cli.output import show, show_json
from mnist_ops.cli.settings import Flag, Json, Whole
from mnist_ops.config import RECIPES
from mnist_ops.errors import UsageError, hint


def table(
    model: Annotated[str | None, Parameter(help=(
        f"{', '.join(MODELS)}, a recipe to show its network, or a .toml file of layers [default: that of the default "
        "recipe]."))] = None,
    /,
    *,
    classes: Whole = 10,
    size: Whole = INPUT[1],
    colour: Flag = False,
    as_json: Json = False,
) -> None:
    """Show a network's layers with shapes, parameters and multiply-adds, and the growth of its receptive field.

    Parameters
    ----------
    classes
        Number of classes [classes].
    size
        Side of the images [pixels].
    colour
        For images in red, green and blue instead of grey.
    as_json
        Print both tables as one JSON object: model, input_shape, layers, totals, receptive_field; sizes in bytes.
    """
    name = model or "default"
    own = name.endswith(ENDING)
    if name in RECIPES:
        name = RECIPES[name].model
    elif not own and not is_named(name):
        raise UsageError(f"{name!r:.80} is not a network or recipe; {hint(name, dict.fromkeys((*MODELS, *RECIPES)))}")
    shape = (3 if colour else 1, size, size)
    layers = for_classes(read_network(Path(name)) if own else named_network(name, shape), classes)
    if as_json:
        show_json({"model": name, **tables_as_json(layers, shape)})
    else:
        show(f"{layer_text(layers, shape)}\n\n{field_text(layers, shape)}")
