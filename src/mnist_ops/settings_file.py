"""Reads what people write for this program, TOML or JSON. Knows nothing about its fields."""

import json
import tomllib
from pathlib import Path
from typing import Any

from mnist_ops.errors import ConfigError

# Of a file; a configuration that sets every field has two thousand. TOML's parser is slow on large files, and a run's
# config.json may hold a network of a thousand layers.
MOST_TOML, MOST_JSON = 2**14, 2**20


def read_file(path: Path, flag: str, kind: str) -> Any:
    """The content of a .json file, or else of a TOML file. Raises ConfigError, naming the file and its flag, and the
    line of a syntax error.

    kind: what it should be."""
    text = read_text(path, flag, kind)
    try:
        return json.loads(text) if _is_json(path) else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not {'JSON' if _is_json(path) else 'TOML'}: {error}") from error


def read_text(path: Path, flag: str, kind: str) -> str:
    """The text of such a file. Raises ConfigError likewise."""
    most = MOST_JSON if _is_json(path) else MOST_TOML
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
        if len(raw) > most:
            raise ConfigError(f"{path}: larger than {most:,} bytes, so not a {kind}")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path given to {flag}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from error


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"
