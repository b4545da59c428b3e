"""A network in a TOML file: a list of layer records. An error names the line."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from mnist_ops.arch.layers import Layer, from_records, to_records
from mnist_ops.errors import ConfigError, brief
from mnist_ops.settings_file import read_file, read_text

ENDING = ".toml"
# A layer begins at a brace, or at [[ at the start of a line; not in a string or comment.
BEGIN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#.*|(\{|^[ \t]*\[\[)', re.MULTILINE)


def read_network(path: Path) -> tuple[Layer, ...]:
    """The layers in the list `layers`, its tables as `layers.from_records` has them.

    Raises ConfigError, naming file and line, for anything else."""
    data = read_file(path, "--model", "network")
    if set(data) != {"layers"}:
        raise ConfigError(f"{path}: found {', '.join(map(brief, data)) or 'nothing'}, expected one list, layers, of "
                          'tables such as {type = "Conv", channels = 8}; see docs/networks.md')
    try:
        return from_records(data["layers"])
    except ConfigError as error:
        line = _line(read_text(path, "--model", "network"), data["layers"], str(error))
        raise ConfigError(f"{path}{line}: {error}") from error


def with_layers(settings: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The settings; a file named as their model is read, from `folder`, and its layers are put beside its name."""
    model = settings.get("model")
    if not isinstance(model, str) or not model.endswith(ENDING) or settings.get("layers"):
        return settings
    return {**settings, "model": PurePath(model).name, "layers": to_records(read_network(folder / model))}


def _line(text: str, layers: Any, error: str) -> str:
    """Where the layer begins that the error names by its number, such as 3, or 3.1 in the body of a residual."""
    named, number = re.match(r"(?:the body of )?layer ([\d.]+)", error), 0
    for part in map(int, named[1].strip(".").split(".") if named else ()):
        number += 1 + sum(map(_count, layers[:part - 1]))
        layers = layers[part - 1].get("body", []) if isinstance(layers[part - 1], dict) else []
    begins = [found.start(1) for found in BEGIN.finditer(text) if found[1]]
    return f", line {text.count(chr(10), 0, begins[number - 1]) + 1}" if 1 <= number <= len(begins) else ""


def _count(layer: Any) -> int:
    """A layer and those in its body."""
    return 1 + sum(map(_count, layer.get("body", ())))
