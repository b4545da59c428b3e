"""mnist-ops table: what a network is made of."""

from mnist_ops.arch.table import as_json as tables_as_json
from mnist_ops.arch.table import field_text, layer_text
from mnist_ops.arch.zoo import INPUT, architecture
from mnist_ops.cli.output import show, show_json
from mnist_ops.cli.settings import Json, Whole
from mnist_ops.config import recipe


def table(
    model: str | None = None,
    /,
    *,
    classes: Whole = 10,
    as_json: Json = False,
) -> None:
    """Show a network's layers with shapes, parameters and multiply-adds, and how its receptive field grows.

    Parameters
    ----------
    model
        early-pool-wide, early-pool (both ours) or seed (the reference's) [default: that of the default recipe].
    classes
        Classes that the network tells apart [classes].
    as_json
        Print both tables as one JSON object: model, input_shape, layers, totals, receptive_field; sizes in bytes.
    """
    name = model or recipe("default").model
    layers = architecture(name, classes)
    if as_json:
        show_json({"model": name, **tables_as_json(layers, INPUT)})
    else:
        show(f"{layer_text(layers, INPUT)}\n\n{field_text(layers, INPUT)}")
