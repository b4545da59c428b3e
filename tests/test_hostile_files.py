"""Run folders and files made by somebody who means harm: refused by name; nothing in them runs, leads elsewhere or
takes all memory. Every file here is the real thing, and goes through the commands that a user would give."""

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import struct
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

import mnist_ops
from mnist_ops.cli.main import main
from mnist_ops.errors import MnistOpsError, RunError
from mnist_ops.optim.optimizers import make_optimizer
from mnist_ops.run.checkpoint import load_checkpoint, restore, save_checkpoint
from mnist_ops.run.folder import FORMAT, read_history, read_json, read_split
from mnist_ops.run.safe_files import MOST_JSON
from mnist_ops.run.trained import load_trained
from tests.datasets import folder_of
from tests.miniature import SHORT, few_digits, network, train

TWO_EPOCHS = replace(SHORT, recipe="default", epochs=2)
FILES = ("config.json", "model.safetensors", "checkpoint.pt", "history.jsonl", "summary.json", ".lock")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that lacks only its last epoch and its summary, so that every command has something to read."""
    path = tmp_path_factory.mktemp("whole") / "run"
    train(TWO_EPOCHS, path)
    return path


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy of it in a folder of its own, on digits that are few."""
    monkeypatch.setattr("mnist_ops.data.source.digits", lambda how: few_digits())
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(whole, tmp_path / "run"))


def refused(capfd: pytest.CaptureFixture[str], *words: object) -> str:
    """What the command says on stderr: one error, no traceback, exit code 1 or 2."""
    assert main([str(word) for word in words]) in (1, 2)
    said = capfd.readouterr().err
    assert said.startswith("mnist-ops: error: ")
    assert "Traceback" not in said
    return said


def resumed(run: Path) -> tuple[object, ...]:
    (run / "summary.json").unlink(missing_ok=True)
    return "train", "--config", run / "config.json", "--out", run, "--resume", "--no-report"


# ---------------------------------------------------------------- code


class Payload:
    """Pickled, it runs a command in a shell when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def in_archive(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def in_old_format(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def in_array(content: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([content, content], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def in_archive_of_arrays(content: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, images=np.array([content], dtype=object))
    return buffer.getvalue()


def within_a_checkpoint(content: object) -> bytes:
    """Deep inside what is otherwise a checkpoint of ours."""
    return in_archive({"format": 1, "lr": 0.1, "model": {"body.0.weight": [content]}, "optimizer": {}, "history": [],
                       "search_seconds": 0.0, "made": {}})


def in_weights(content: object) -> bytes:
    """As the bytes of a tensor, and as the description, of a well-formed safetensors file."""
    raw = pickle.dumps(content)
    tensor = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
    return save({"weight": tensor}, {"mnist_ops": raw.decode("latin-1")})


CARRIERS: dict[str, Callable[[object], bytes]] = {
    "pickle": pickle.dumps, "old pickle": lambda one: pickle.dumps(one, 0), "torch": in_archive,
    "old torch": in_old_format, "within": within_a_checkpoint, "array": in_array, "arrays": in_archive_of_arrays,
    "weights": in_weights,
}


@pytest.mark.parametrize("carrier", list(CARRIERS))
@pytest.mark.parametrize("name", ["checkpoint.pt", "model.safetensors", "config.json", "summary.json", "lr.json"])
def test_code_in_any_file_of_a_run_is_not_run(name, carrier, run, tmp_path, capfd):
    marker = tmp_path / "marker"
    (run / name).write_bytes(CARRIERS[carrier](Payload(marker)))
    if name == "checkpoint.pt":
        assert name in refused(capfd, *resumed(run))
    elif name == "model.safetensors":
        assert name in refused(capfd, "score", run)
        with pytest.raises(RunError, match=r"model\.safetensors: damaged, or not an mnist-ops weights file"):
            mnist_ops.load(run)
    elif name == "summary.json":
        assert name in refused(capfd, "check", run, "--accuracy", "1")
    elif name == "config.json":
        assert name in refused(capfd, "score", run)
        assert name in refused(capfd, *resumed(run))
    else:
        with pytest.raises(RunError, match=r"lr\.json: "):
            read_json(run / name)
    assert not marker.exists()


def test_the_payload_is_a_real_one(tmp_path):
    """Or the tests above would prove nothing."""
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()
    marker.unlink()
    torch.load(io.BytesIO(in_archive(Payload(marker))), weights_only=False)
    assert marker.exists()


# ---------------------------------------------------------------- damage


def damages(raw: bytes) -> list[bytes]:
    """Cut at 40 lengths, a bit changed at 120 places, half of them near the start, where the structure is."""
    draw = random.Random(0)
    cuts = [raw[:length] for length in sorted({0, 1, 7, 8, 9, *(draw.randrange(len(raw)) for _ in range(35))})]
    places = [draw.randrange(min(len(raw), 2000)) for _ in range(60)] + [draw.randrange(len(raw)) for _ in range(60)]
    changed = []
    for place in places:
        bits = bytearray(raw)
        bits[place] ^= 1 << draw.randrange(8)
        changed.append(bytes(bits))
    return cuts + changed


@pytest.mark.parametrize("name", ["config.json", "summary.json", "history.jsonl", "model.safetensors", "checkpoint.pt"])
def test_a_damaged_file_is_named_or_its_damage_is_of_no_consequence(name, run):
    path, refusals = run / name, 0
    readers: dict[str, Callable[[], object]] = {
        "config.json": lambda: mnist_ops.run.folder.read_config(run), "summary.json": lambda: read_json(path),
        "history.jsonl": lambda: read_history(run), "model.safetensors": lambda: load_trained(run),
        "checkpoint.pt": lambda: load_checkpoint(path)}
    raw = path.read_bytes()
    for damaged in damages(raw):
        path.write_bytes(damaged)
        try:
            readers[name]()
        except MnistOpsError as error:
            refusals += str(error).startswith(f"{path}: ") or 1000
    least = {"model.safetensors": 150, "checkpoint.pt": 100}.get(name, 25)
    assert least < refusals < 1000  # 1,000 where one does not begin with the file's name


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.pt"])
@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(200), b"%PDF-1.7\n", b"PK\x05\x06" + bytes(18), b"GIF89a",
                                     b"\xff" * 4096, b"<svg/>" * 100, struct.pack("<Q", 2**63) + b"{}"])
def test_the_file_of_another_program_is_refused_by_name(name, content, run, capfd):
    (run / name).write_bytes(content)
    assert name in refused(capfd, *(("score", run) if name == "model.safetensors" else resumed(run)))


def test_a_newer_format_is_refused_by_name_whatever_reads_it(run, capfd):
    for name, words in (("config.json", ("score", run)), ("summary.json", ("check", run))):
        content = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(content | {"format": 3}))
        assert f"{name}: format 3, expected 2" in refused(capfd, *words)
        (run / name).write_text(json.dumps(content))


def test_the_weights_and_the_checkpoint_of_another_architecture_are_refused_by_name(run, tmp_path, capfd):
    train(replace(TWO_EPOCHS, model="seed"), tmp_path / "other")
    shutil.copy(tmp_path / "other" / "checkpoint.pt", run / "checkpoint.pt")
    assert "checkpoint.pt: does not fit the network of this run" in refused(capfd, *resumed(run))


# ---------------------------------------------------------------- what passes for a checkpoint


def changed_checkpoint(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    content["history"] = json.loads(content["history"].numpy().tobytes())
    change(content)
    with contextlib.suppress(ValueError, TypeError):  # where it is not JSON any more, it is left as it is
        content["history"] = torch.frombuffer(bytearray(json.dumps(content["history"]).encode()), dtype=torch.uint8)
    torch.save(content, run / "checkpoint.pt")


def first_state(content: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = content["optimizer"]["state"][0]
    return state


NAN = float("nan")
HISTORY = [{"epoch": 1, "train_loss": 1.0, "train_accuracy": 9.0, "last_lr": 0.1, "seconds": 1.0}]
MISFITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "format is a tensor": lambda c: c.update(format=torch.ones(2)),
    "format is true": lambda c: c.update(format=True),
    "rate is a text": lambda c: c.update(lr="0.1"),
    "rate is nan": lambda c: c.update(lr=NAN),
    "rate is below zero": lambda c: c.update(lr=-1.0),
    "time is a list": lambda c: c.update(search_seconds=[]),
    "model is a list": lambda c: c.update(model=[]),
    "a weight is missing": lambda c: c["model"].popitem(),
    "a weight is a number": lambda c: c["model"].update({"body.0.weight": 3}),
    "a weight is sparse": lambda c: c["model"].update({"body.0.weight": c["model"]["body.0.weight"].to_sparse()}),
    "a weight is of doubles": lambda c: c["model"].update({"body.0.weight": c["model"]["body.0.weight"].double()}),
    "a weight is of another shape": lambda c: c["model"].update({"body.0.weight": torch.zeros(8, 1, 3, 2)}),
    "history is not a list": lambda c: c.update(history={}),
    "an epoch is not a table": lambda c: c.update(history=[1, 2]),
    "an epoch is missing": lambda c: c.update(history=c["history"][1:]),
    "a loss is a text": lambda c: c["history"][0].update(train_loss="1"),
    "a loss is nan": lambda c: c["history"][0].update(train_loss=NAN),
    "an epoch without loss": lambda c: c["history"][0].pop("train_loss"),
    "one epoch validated": lambda c: c["history"][0].update(validation_loss=1.0, validation_accuracy=50.0),
    "history in a circle": lambda c: c["history"].append(c["history"]),
    "history of doubles": lambda c: c.update(history=torch.zeros(9)),
    "history of no text": lambda c: c.update(history=torch.full((9,), 255, dtype=torch.uint8)),
    "history too deep": lambda c: c.update(history=torch.full((90_000,), ord("["), dtype=torch.uint8)),
    "history of empty objects": lambda c: c.update(history=torch.full((900_000,), ord("{"), dtype=torch.uint8)),
    "history stretched": lambda c: c.update(history=torch.full((1,), 49, dtype=torch.uint8).expand(2**40)),
    "optimiser is a list": lambda c: c.update(optimizer=[]),
    "no state": lambda c: c["optimizer"].pop("state"),
    "groups are numbers": lambda c: c["optimizer"].update(param_groups=[1, 2]),
    "state of one parameter": lambda c: c["optimizer"].update(state={0: first_state(c)}),
    # PyTorch itself takes these three, and its fused update then writes past the end of the tensor.
    "momentum too small": lambda c: first_state(c).update(momentum_buffer=torch.zeros(1)),
    "momentum of one number stretched": lambda c: first_state(c).update(
        momentum_buffer=torch.zeros(1).expand(8, 1, 3, 3)[..., :2]),
    "momentum of halves": lambda c: first_state(c).update(momentum_buffer=torch.zeros(8, 1, 3, 3).half()),
    "more state": lambda c: first_state(c).update(step=torch.zeros(())),
    "made by a number": lambda c: c.update(made={"torch": 3}),
}


@pytest.mark.parametrize("name", list(MISFITS))
def test_a_checkpoint_that_is_well_formed_and_senseless_is_refused_by_name(name, run, capfd):
    changed_checkpoint(run, MISFITS[name])
    assert "checkpoint.pt: " in refused(capfd, *resumed(run))


def test_a_pickle_of_countless_pieces_is_not_begun(run):
    """PyTorch reads it piece by piece, in seconds for each megabyte."""
    path = run / "checkpoint.pt"
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"\x80\x02" + b"]" * 10**7 + b"." if name.endswith(".pkl") else old.read(name))
    path.write_bytes(buffer.getvalue())
    start = time.process_time()
    with pytest.raises(RunError, match=r"checkpoint\.pt: .*its structure has more than 524,288 bytes"):
        load_checkpoint(path)
    assert time.process_time() - start < 1


def test_a_history_of_as_many_epochs_as_a_config_allows_is_read_back(run):
    checkpoint = load_checkpoint(run / "checkpoint.pt")
    assert checkpoint is not None
    first = checkpoint.history[0]
    checkpoint.history = [first | {"epoch": number, "train_loss": 1 / number} for number in range(1, 100_001)]
    save_checkpoint(run / "checkpoint.pt", checkpoint)
    read = load_checkpoint(run / "checkpoint.pt")
    assert read is not None
    assert read.history == checkpoint.history


def test_a_stretched_tensor_is_read_into_memory_of_its_own(run):
    """Its numbers all lie at one address; an update in place would write to that address again and again."""
    changed_checkpoint(run, lambda c: first_state(c).update(momentum_buffer=torch.ones(1).expand(8, 1, 3, 3)))
    checkpoint, made = load_checkpoint(run / "checkpoint.pt"), network()
    assert checkpoint is not None
    optimizer = make_optimizer(made, SHORT.optimizer, 0.1)
    restore(run / "checkpoint.pt", checkpoint, made, optimizer)
    parameter = next(iter(optimizer.param_groups[0]["params"]))
    assert optimizer.state[parameter]["momentum_buffer"].stride() == parameter.stride()


def rezipped(raw: bytes, how: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w", how) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def test_a_packed_checkpoint_is_not_unpacked(run):
    """PyTorch would: ten megabytes become ten gigabytes."""
    path = run / "checkpoint.pt"
    path.write_bytes(rezipped(path.read_bytes(), zipfile.ZIP_DEFLATED))
    assert torch.load(path, weights_only=True)["format"] == FORMAT
    with pytest.raises(RunError, match=r"checkpoint\.pt: .*it is compressed, which torch\.save never does"):
        load_checkpoint(path)


def test_a_checkpoint_whose_parts_overlap_is_refused(run):
    """One part of the archive under many names: as small as one and as long as all."""
    path = run / "checkpoint.pt"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(100_000))
        for number in range(100):
            twin = zipfile.ZipInfo(f"archive/data/{number}")
            first = archive.filelist[0]
            twin.file_size, twin.compress_size, twin.CRC = first.file_size, first.compress_size, first.CRC
            twin.header_offset = first.header_offset
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    path.write_bytes(buffer.getvalue())
    with pytest.raises(RunError, match=r"checkpoint\.pt: .*its parts overlap"):
        load_checkpoint(path)


# ---------------------------------------------------------------- size


def described(run: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    trained = load_trained(run)
    raw = (run / "model.safetensors").read_bytes()
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    return json.loads(header["__metadata__"]["mnist_ops"]), {
        name: value.contiguous() for name, value in trained.network.state_dict().items()}


def conv(channels: int, kernel: int = 1, padding: int = 0) -> dict[str, Any]:
    return {"type": "Conv", "channels": channels, "kernel": kernel, "padding": padding}


POOL = {"type": "AdaptiveAvgPool", "size": 1}


@pytest.mark.parametrize(("layers", "says"), [
    ([conv(4096, 28), POOL, conv(10)], "another architecture"),  # 3.2 million weights, which are not there
    ([conv(400, 9, 4), POOL, conv(10)], "feature maps of 313,600 elements"),
    ([conv(4096, 64, 64), conv(4096, 64), POOL, conv(10)], "elements"),
    ([conv(10)], "7840 outputs for 10 classes"),
    ([{"type": "AdaptiveAvgPool", "size": 64}, conv(4096), POOL, conv(10)], "elements"),
    ([conv(2**40)], "channels is 1099511627776, expected an integer from 1 to 4096"),
    ([{"type": "Residual", "body": [{"type": "ReLU"}]}] * 2000, "layers, expected at most 1,000"),
])
def test_a_description_that_claims_a_huge_network_costs_neither_memory_nor_time(layers, says, run):
    about, tensors = described(run)
    del about["sha256"]
    many = tensors | {"filler": torch.zeros(400_000)} if "elements" in says else tensors
    (run / "model.safetensors").write_bytes(save(many, {"mnist_ops": json.dumps(about | {"layers": layers})}))
    start = time.process_time()
    with pytest.raises(RunError, match=rf"model\.safetensors: .*{says}"):
        load_trained(run)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("entry", [
    {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**60]},
    {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
    {"dtype": "F4096", "shape": [1], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]},
])
def test_tensors_that_claim_a_huge_shape_are_refused(entry, run):
    header = json.dumps({"__metadata__": {"mnist_ops": "{}"}, "weight": entry}).encode()
    (run / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(RunError, match=r"model\.safetensors: damaged, or not an mnist-ops weights file"):
        load_trained(run)


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_file_far_too_large_is_not_even_read(name, run):
    with (run / name).open("wb") as file:
        file.truncate(2**34)  # sparse: takes no room on the disk
    readers: dict[str, Callable[[], object]] = {
        "model.safetensors": lambda: load_trained(run), "checkpoint.pt": lambda: load_checkpoint(run / name),
        "history.jsonl": lambda: read_history(run)}
    with pytest.raises(RunError, match=rf"{name}: has 17,179,869,184 bytes, the limit is [0-9,]+"):
        readers.get(name, lambda: read_json(run / name))()


def test_json_of_countless_empty_objects_is_not_unfolded(run):
    (run / "summary.json").write_bytes(b"[" + b"{}," * (MOST_JSON // 3 - 10) + b"{}]")
    with pytest.raises(RunError, match=r"summary\.json: more than 200,000 objects and lists"):
        read_json(run / "summary.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 90_000, "9" * 10_000, '{"format": 1e999}',
                                  '{"format": NaN}'])
def test_json_that_is_too_deep_or_too_long_a_number_is_refused(text, run, capfd):
    (run / "summary.json").write_text(text)
    assert "summary.json: " in refused(capfd, "check", run)


# ---------------------------------------------------------------- elsewhere


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows does not give to all")
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_link_in_the_place_of_a_file_is_refused_by_name_wherever_it_leads(name, inside, run, tmp_path, capfd):
    target = (run if inside else tmp_path) / "target"
    shutil.move(run / name, target)
    before = target.read_bytes()
    (run / name).symlink_to(target)
    assert f"{name}: is a link, which is not allowed in a run folder" in said_of(name, run, capfd)
    assert target.read_bytes() == before


def said_of(name: str, run: Path, capfd: Any) -> str:
    """The error of what reads that file of a run."""
    words = {"summary.json": ("check", run), "config.json": ("score", run), "model.safetensors": ("score", run)}
    if name != "history.jsonl":
        return refused(capfd, *(words[name] if name in words else resumed(run)))
    with pytest.raises(RunError) as caught:
        read_history(run)
    return str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows does not give to all")
def test_going_on_in_a_folder_of_links_writes_nothing_where_they_lead(run, tmp_path):
    """What is only written is put in the place of the link."""
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("mine")
    for name in ("history.jsonl", "summary.json", "model.safetensors"):
        (run / name).unlink()
        (run / name).symlink_to(elsewhere if name != "summary.json" else tmp_path / "nowhere")
    changed_checkpoint(run, lambda content: content["history"].pop())
    assert main([str(word) for word in resumed(run)]) == 0
    assert elsewhere.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert not any((run / name).is_symlink() for name in ("history.jsonl", "summary.json", "model.safetensors"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(name, run, capfd):
    (run / name).unlink()
    os.mkfifo(run / name)
    assert f"{name}: is a pipe, a socket or a device, expected a regular file" in said_of(name, run, capfd)


@pytest.mark.skipif(os.name == "nt", reason="links need rights that Windows does not give to all")
def test_a_run_and_weights_that_the_user_names_by_a_link_are_read(run, tmp_path, capfd):
    (tmp_path / "latest").symlink_to(run)
    (tmp_path / "best").symlink_to(run / "model.safetensors")
    assert main(["score", str(tmp_path / "latest")]) == 0
    assert mnist_ops.load(tmp_path / "best").classes == mnist_ops.load(tmp_path / "latest").classes


def with_config(run: Path, **changes: Any) -> None:
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(content | changes))


@pytest.mark.parametrize("data", ["../../etc", "/etc/../etc", "/etc", "/", "~root", "pictures", "//server/share", "\0",
                                  "C:\\Users", "file:///etc", ""])
def test_data_that_leads_elsewhere_is_not_followed(data, run, capfd, monkeypatch):
    def never(folder: Path) -> None:
        raise AssertionError(f"{folder} was looked into")

    monkeypatch.setattr("mnist_ops.data.own.read_folder", never)
    with_config(run, data=data)
    said = refused(capfd, "score", run)
    assert "config.json: data is " in said
    assert "nothing was read. Give the data with --data" in said


@pytest.mark.parametrize("changes", [
    {"model": "../../etc/passwd"}, {"model": "/etc/passwd"}, {"recipe": "../up"}, {"recipe": "/etc"},
    {"prepare": "../resize"}, {"device": "/dev/null"},
], ids=str)
def test_names_with_parts_of_a_path_are_refused_by_name(changes, run, capfd):
    ((name, value),) = changes.items()
    with_config(run, **changes)
    said = refused(capfd, *resumed(run))
    assert name in said
    assert value in said


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "dark/../../up.png", "", "a\0b"])
def test_a_recorded_picture_that_leads_out_of_its_folder_is_refused_by_name(name, run):
    (run / "split.json").write_text(json.dumps({"format": 1, "train": [], "test": ["dark/1.png", name]}))
    with pytest.raises(RunError, match=r"split\.json: names the picture .*outside the folder"):
        read_split(run)


def test_the_folder_of_somebody_else_is_not_scored_unless_it_holds_the_recorded_pictures(tmp_path, capfd):
    """A whole path is what a run on a folder records; another's pictures are not read as if they were its own."""
    mine, theirs = (folder_of(tmp_path / name, {"dark": 10, "grey": 10}, first) for name, first in
                    (("mine", 40), ("theirs", 90)))
    words = ["--device", "cpu", "--threads", "1", "--lr", "0.05", "--epochs", "1", "--batch-size", "8", "--no-report"]
    assert main(["train", "--data", str(mine), *words, "--out", str(tmp_path / "run")]) == 0
    assert main(["score", str(tmp_path / "run")]) == 0
    with_config(tmp_path / "run", data=str(theirs))
    for path in theirs.rglob("*.png"):
        path.rename(path.with_stem(f"private {path.stem}"))
    capfd.readouterr()
    assert "pictures of the run's test set no longer exist" in refused(capfd, "score", tmp_path / "run")
    (tmp_path / "run" / "split.json").unlink()
    assert "config.json: data is " in refused(capfd, "score", tmp_path / "run")
