"""A network in a file: what it says is what is trained, without the file, and a mistake is named with its line."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mnist_ops
from mnist_ops.arch.layers import Layer, to_records
from mnist_ops.arch.network_file import read_network
from mnist_ops.arch.zoo import MODELS, named_network
from mnist_ops.cli.main import main
from mnist_ops.config import Config
from mnist_ops.errors import ConfigError
from mnist_ops.mapping import from_mapping, to_mapping
from tests.every_kind import EVERYTHING

TEXT = """# A comment with a { in it.
layers = [
  {type = "Conv", channels = 4},
  {type = "MaxPool", kernel = 4}, {type = "ReLU"},

  {type = "Residual", body = [
    {type = "Norm"},
    {type = "ReLU"}]},
  {type = "AdaptiveAvgPool"},
  {type = "Conv", channels = 10, kernel = 1},
]
"""


def as_toml(layers: list[dict[str, Any]], header: str = "layers") -> str:
    """The records as arrays of tables, the other way in which TOML writes them."""
    lines = []
    for layer in layers:
        lines += [f"[[{header}]]", *(f"{key} = {json.dumps(value)}" for key, value in layer.items() if key != "body")]
        lines += [as_toml(layer["body"], f"{header}.body")] if "body" in layer else []
    return "\n".join(lines)


@pytest.mark.parametrize("layers", [*MODELS.values(), EVERYTHING, named_network("blocks:8s2-16a-16r-24d*2")])
def test_a_network_comes_back_from_its_file_and_from_a_config(layers: tuple[Layer, ...], tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(as_toml(to_records(layers)))
    assert read_network(path) == layers
    config = replace(Config(), model="net.toml", layers=layers)
    again = json.loads(json.dumps(to_mapping(config)))
    assert from_mapping(Config(), again, "config.json") == config
    assert from_mapping(config, {"model": "seed"}, "command line").layers == ()  # another network, another's layers
    assert from_mapping(Config(), {"layers": again["layers"]}, "my.toml").model == "own"


@pytest.mark.parametrize(("old", "new", "says"), [
    ('"MaxPool"', '"MaxPol"', r"net\.toml, line 4: layer 2: type is 'MaxPol', expected one of Conv, Norm"),
    ('{type = "ReLU"},', '{kind = "ReLU"},', r"line 4: layer 3: type is None"),
    ('"Norm"', '"Nrom"', r"line 7: layer 4\.1: type is 'Nrom'"),
    ('{type = "ReLU"}]}', '{type = "ReLU", share = 1}]}', r"line 8: layer 4\.2: ReLU has no field 'share', only none"),
    ("kernel = 1", "kernel = 0", r"line 10: layer 6: Conv\.kernel is 0, expected an integer from 1 to 64"),
    ("channels = 4", "channels = '{'", r"line 3: layer 1: Conv\.channels is '\{', expected an integer"),
    ("layers", "layer", r"net\.toml: found 'layer', expected one list, layers, of tables"),
    ("[\n", "[[\n", r"net\.toml: not TOML: .*line 8"),
    (TEXT, "layers = 3", r"net\.toml: the architecture is 3, expected a list of at least one layer"),
    (TEXT, 'layers = "layer 2"', r"net\.toml: the architecture is 'layer 2', expected a list of at least one layer"),
    (TEXT, "", r"net\.toml: found nothing, expected one list"),
])
def test_a_mistake_is_named_with_its_line(old, new, says, tmp_path):
    assert old in TEXT
    (tmp_path / "net.toml").write_text(TEXT.replace(old, new))
    with pytest.raises(ConfigError, match=says):
        read_network(tmp_path / "net.toml")


def test_the_line_is_right_in_the_other_way_to_write_it(tmp_path):
    (tmp_path / "net.toml").write_text(as_toml(to_records(EVERYTHING)) + '\n\n[[layers]]\ntype = "Cnov"\n')
    line = (tmp_path / "net.toml").read_text().splitlines().index('type = "Cnov"')
    with pytest.raises(ConfigError, match=f"line {line}: layer {len(EVERYTHING) + 1}: type is 'Cnov'"):
        read_network(tmp_path / "net.toml")


def test_a_run_needs_the_file_no_more(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    Path("nets/net.toml").write_text(TEXT)
    Path("nets/mine.toml").write_text('model = "net.toml"\ndata = "digits"\nepochs = 1\nlr = 0.1\ndevice = "cpu"\n')
    assert main(["table", "nets/net.toml", "--classes", "3", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["layers"][-1]["output_shape"] == [3, 1, 1]
    assert main(["sweep", "--config", "nets/mine.toml", "--seeds", "1", "--threads", "1", "--out", "sweep"]) == 0
    Path("nets/net.toml").unlink()
    assert json.loads(Path("sweep/s0/config.json").read_text())["model"] == "net.toml"
    capfd.readouterr()
    assert main(["train", "--config", "sweep/s0/config.json", "--out", "again", "--no-report", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert (said["model"], said["parameters"]) == ("net.toml", 4 * 9 + 2 * 4 + 4 * 10)
    assert Path("again/model.safetensors").read_bytes() == Path("sweep/s0/model.safetensors").read_bytes()
    for target in ("onnx", "c", "html"):
        assert main(["export", "again", "--to", target]) == 0
    further = ["--epochs", "1", "--data", "digits", "--lr", "0.01", "--out", "third", "--no-report"]
    assert main(["train", "--from", "again/model.safetensors", *further]) == 0
    for words, says in [(["train", "--model", "sed"], "unknown model 'sed'; did you mean seed"),
                        (["train", "--model", "no.toml"], "no.toml: cannot be read (No such file or directory)"),
                        (["train", "--out", "again", "--resume", "--model", "seed"],
                         "model: 'net.toml' there, 'seed' requested")]:
        assert main(words) == 2
        assert says in " ".join(capfd.readouterr().err.split())


@pytest.mark.filterwarnings("ignore:only 46 training steps")
def test_python_reads_the_file_too_and_takes_layers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.toml").write_text(TEXT)
    short = Config(data="digits", epochs=2, batch_size=64, lr=0.1, device="cpu")
    by_file = mnist_ops.train(replace(short, model="net.toml"), out="file")
    by_layers = mnist_ops.train(short, network=read_network(Path("net.toml")), out="layers")
    assert (by_file["model"], by_layers["model"]) == ("net.toml", "own")
    assert by_file["test_accuracy"] == by_layers["test_accuracy"]
