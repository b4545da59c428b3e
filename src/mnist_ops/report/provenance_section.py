"""How a run was made, for its report: the network's tables, all settings, versions, and how to repeat it."""

import json
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mnist_ops import __version__
from mnist_ops.arch.arithmetic import Shape, as_text
from mnist_ops.arch.table import FieldRow, LayerRow, field_rows, human_size, layer_rows, totals
from mnist_ops.errors import counted, legible
from mnist_ops.mapping import to_mapping
from mnist_ops.report.findings import Findings
from mnist_ops.report.html import Table
from mnist_ops.run.folder import CONFIG, FORMAT


def layer_table(findings: Findings) -> Table:
    """The layers, with the totals in the last row."""
    rows = layer_rows(findings.layers, findings.config.input_shape)
    total = totals(findings.layers, findings.config.input_shape)
    cells = [(_indented(row), _shape(row.output_shape), f"{row.parameters:,}", f"{row.macs:,}") for row in rows]
    cells.append(("Total", "", f"{total.parameters:,}", f"{total.macs:,}"))
    shape = _shape(findings.config.input_shape)
    return Table(f"Layers; input {shape}, parameters {human_size(total.parameter_bytes)} as float32",
                 ("Layer", "Output shape", "Parameters", "Multiply-adds"), cells, total=True)


def field_table(findings: Findings) -> Table:
    """The growth of the receptive field."""
    rows = field_rows(findings.layers, findings.config.input_shape)
    cells = [(_indented(row), *("" if one is None else str(one) for one in (row.kernel, row.padding, row.stride,
                                                                            row.dilation)),
              "×".join(map(str, row.input_size)), "×".join(map(str, row.output_size)),
              f"{row.receptive_field}×{row.receptive_field}") for row in rows]
    return Table("Receptive field: the pixels of the network's input that one unit sees",
                 ("Layer", "Kernel", "Padding", "Stride", "Dilation", "Input", "Output", "Field"), cells)


def _shape(shape: Shape) -> str:
    return as_text(shape).replace("x", "×")


def _indented(row: LayerRow | FieldRow) -> str:
    return "\N{NO-BREAK SPACE}" * 3 * row.depth + row.name


def settings_text(findings: Findings) -> str:
    """config.json for the page: a folder of pictures without its location, which is private."""
    name = legible(Path(findings.config.data).name)
    return json.dumps({"format": FORMAT, **to_mapping(findings.config), "data": name}, indent=1)


def again(findings: Findings) -> str:
    """The commands that repeat the run."""
    commit = str((findings.summary or {}).get("commit") or "")
    lines = [f"git checkout {shlex.quote(commit.removesuffix('+changes'))}"] if commit else []
    data = Path(findings.config.data)
    place = f" --data PATH/TO/{shlex.quote(legible(data.name))}" if data.name != findings.config.data else ""
    return "\n".join([*lines, f"mnist-ops train --config {CONFIG}{place} --out ANOTHER_FOLDER"])


def made_by(findings: Findings) -> Table:
    """The versions that trained the run, from its summary, and those that wrote this page."""
    summary: Mapping[str, Any] = findings.summary or {}
    config = findings.config
    unknown = "not recorded: the run is not finished"
    rows = [("Recipe, seed", f"{legible(config.recipe)}, {config.seed}"),
            ("Dataset", f"{legible(findings.title)}" + (f", {len(findings.data.train):,} training images"
                                                         if findings.data else "")),
            ("Device", f"{config.device}, {counted(config.threads, 'thread')}, {config.precision}"),
            ("PyTorch of the run", str(summary.get("torch") or unknown)),
            ("Commit of the run", str(summary.get("commit") or ("none: an installed copy" if summary else unknown))),
            ("This page", f"mnist-ops {__version__}, Python {platform.python_version()}, PyTorch {torch.__version__}, "
                          f"NumPy {np.__version__}, {platform.system()} {platform.machine()}")]
    if "started_from" in summary:
        rows.insert(1, ("Started from the weights of", legible(str(summary["started_from"]))))
    return Table("Versions of the run and of this page", ("What", "Value"), rows, 2)
