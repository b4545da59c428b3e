"""The bench: baselines that are what they say, ratios that are right, a page that says what was measured."""

import copy
import json
import math
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import (
    bench,
    compare,
    compiled_profile,
    curves,
    machine,
    page,
    profile,
    pytorch_example,
    ratios,
    reference,
    sections,
    start,
)
from benchmarks.child import child
from benchmarks.ours import from_recipe, repeated, widened
from benchmarks.per_image import PerImage, perspective_coefficients, random_perspective, random_rotation, to_tensor
from benchmarks.pictures import PICTURES
from benchmarks.program import count_macs, count_moved
from benchmarks.worker import Worker
from mnist_ops.arch.arithmetic import walk
from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.report import style
from tests.miniature import REPOSITORY, few_digits

MACHINE = {"processor": "Some CPU", "architecture": "x86_64", "cores": 2, "memory_bytes": 24 * 2**30, "device": "cpu",
           "threads": 2, "native_bfloat16": False, "torch": "2.13.0", "python": "3.11.7", "commit": "0123456789abcdef",
           "date": "2026-11-22"}
SIGNED = {"machine": MACHINE, "command": "python -m benchmarks.bench", "data": "mnist"}


def contender(name: str, parameters: int, macs: int, speeds: tuple[float, ...]) -> dict[str, Any]:
    about = {"name": name, "model": name, "parameters": parameters, "macs": macs, "moved": 250_000, "batch": 64,
             "epochs": 12, "train_images": 60_000, "test_images": 10_000, "device": "cpu", "threads": 2,
             "precision": "float32"}
    rounds = [{"images_per_second": speed, "test_seconds": 10.0 + number} for number, speed in enumerate(speeds)]
    return {"about": about, "rounds": rounds, "peak_bytes": 400_000_000,
            "inference": {"eager_one": 300.0, "eager_many": 40.0}}


def figures() -> dict[str, Any]:
    contenders = {"default": contender("early-pool-wide", 9688, 574_224, (8000.0, 6000.0, 7000.0)),
                  "reference": contender("seed", 7758, 1_521_304, (800.0, 500.0, 640.0)),
                  "example": contender("linear", 1_199_882, 11_992_448, (500.0, 480.0, 520.0))}
    contenders["reference"]["batch_microseconds"] = 400.0
    contenders["default"]["whole"] = {"seconds": 100.0, "train_seconds": 90.0, "peak_bytes": 500_000_000}
    contenders["default"]["inference"] |= {"onnx_one": 30.0, "onnx_many": 20.0}
    compare = SIGNED | {"images": None, "rounds": 3, "recipes": ["default"], "contenders": contenders,
                        "rates": {"float32": [1e11, 1e11, 1e11], "memory": [17e9, 18e9, 19e9]}}
    groups = {"convolution, backward": 3.0, profile.PYTHON: 1.0}
    rows = [{"threads": threads, "batch": batch, "images_per_second": 1000 * threads * math.log2(batch)}
            for threads in (1, 2) for batch in (32, 64, 128, 256, 512)]
    cost = SIGNED | {
        "recipe": "default", "epochs_images": 10_000,
        "images": [{"images": count, "seconds": count / 5000, "peak_bytes": 4e8 + 800 * count}
                   for count in (10_000, 30_000, 60_000, 120_000, 240_000)],
        "epochs": [{"epochs": count, "seconds": 9 + 2 * count, "search_seconds": 8 + count} for count in (1, 2, 4, 8)],
        "models": [{"model": model, "parameters": parameters, "macs": macs, "width": width,
                    "images_per_second": 1e6 / macs**0.5}
                   for model, parameters, macs, width in (("early-pool-wide x 0.5", 2540, 150_000, 0.5),
                                                          ("early-pool-wide", 9688, 574_224, 1),
                                                          ("early-pool-wide x 4", 150_000, 9_000_000, 4),
                                                          ("seed", 7758, 1_521_304, None),
                                                          ("early-pool", 7568, 464_000, None))]}
    return {"compare": compare, "scaling": SIGNED | {"recipe": "default", "rows": rows}, "cost": cost,
            "operations": SIGNED | {"recipes": {"default": {"seconds": 4.0, "images": 1000, "steps": 10,
                                                            "calls_per_step": 123.4, "groups": groups}},
                                    "compiled": {"default": {"seconds": 4.0, "images": 1000, "steps": 10,
                                                             "groups": {"loss": 1.0, compiled_profile.REST: 3.0}}}},
            "start": SIGNED | {"recipe": "default", "seconds": {"auto": [4.0, 3.0, 3.5], "0.1": [2.0, 2.5, 3.0]}}}


def test_the_baselines_are_the_networks_that_they_stand_for():
    ours = from_recipe(few_digits(), "seed", device="cpu", threads=1).about
    theirs = reference.reference(few_digits(), "cpu", 1).about
    assert (theirs.parameters, theirs.macs) == (7758, 1_521_304) == (ours.parameters, ours.macs)
    assert len(reference.make_network()) == 31 + 1  # and the flattening
    assert pytorch_example.example(few_digits(), "cpu", 1).about.parameters == 1_199_882
    # 26 * 26 * 32 * 9, 24 * 24 * 64 * 32 * 9, 9,216 * 128, 128 * 10
    assert count_macs(pytorch_example.make_network()) == 194_688 + 10_616_832 + 1_179_648 + 1_280


def test_the_numbers_that_a_step_moves_are_counted_layer_by_layer():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    # 28x28 to twice 26x26, then these to as many; flattening moves nothing
    assert count_moved(network) == (3 * 784 + 2 * 1352) + (3 * 1352 + 2 * 1352)
    assert network.training


def test_images_are_warped_one_by_one_and_keep_their_shape():
    source = few_digits()
    same = type(source.train)(np.repeat(source.train.images[:1], 8, 0), source.train.labels[:8])
    train, test = reference.loaders(type(source)("digits", source.classes, same, same, ()), "cpu")
    (warped, labels), (plain, _) = next(iter(train)), next(iter(test))
    assert warped.shape == plain.shape == (8, 1, 28, 28)
    assert sorted(labels.tolist()) == sorted(same.labels.tolist())
    assert len({image.numpy().tobytes() for image in warped}) == 8
    assert len({image.numpy().tobytes() for image in plain}) == 1
    mean, sd = reference.mean_and_sd(same)
    expected = (torch.from_numpy(same.images[0].astype(np.float32)) / 255 - mean) / sd
    torch.testing.assert_close(plain[0, 0], expected)


def test_the_perspective_takes_the_moved_corners_to_the_corners():
    start, end = [(0, 0), (27, 0), (27, 27), (0, 27)], [(2, 1), (25, 0), (26, 24), (1, 27)]
    a, b, c, d, e, f, g, h = perspective_coefficients(start, end)
    for (u, v), (x, y) in zip(start, end, strict=True):
        scale = g * x + h * y + 1
        assert ((a * x + b * y + c) / scale, (d * x + e * y + f) / scale) == pytest.approx((u, v), abs=1e-3)


def test_a_warp_that_is_off_leaves_the_image_as_it_is():
    grey = few_digits().train.images[0]
    picture = Image.fromarray(grey)
    assert random_perspective(picture, 0.2, 0.0, 0) is picture
    tilted = np.asarray(random_perspective(picture, 0.0, 1.0, 0)).astype(int)
    assert np.abs(tilted - grey).max() <= 1  # of 255: bilinear at points that are whole but for rounding
    assert np.array_equal(np.asarray(random_rotation(picture, 0.0, 0)), grey)
    assert to_tensor(picture).dtype == torch.float32
    assert PerImage(few_digits().train, to_tensor)[3][1] == few_digits().train.labels[3]


def test_the_references_search_puts_the_weights_back_and_sets_the_rate_it_found():
    program = reference.reference(few_digits(), "cpu", 1)
    before = copy.deepcopy(program.network.state_dict())
    rate = reference.search(program, steps=4)
    assert all(torch.equal(before[name], value) for name, value in program.network.state_dict().items())
    assert program.optimizer.param_groups[0]["lr"] == rate
    assert program.optimizer.state_dict()["state"] == {}
    assert reference.steepest([1.0, 2.0, 3.0, 4.0], [3.0, 2.9, 1.0, math.inf]) == 2.0


def test_a_ratio_is_formed_round_by_round():
    assert ratios.paired([10.0, 6.0, 8.0], [2.0, 1.0, 2.0]) == ratios.Measured(5.0, 4.0, 6.0, 3)
    assert ratios.measured([3.0, 1.0]) == ratios.Measured(2.0, 1.0, 3.0, 2)
    assert ratios.training_flops(574_224, 1000) == 6 * 574_224 * 1000
    with pytest.raises(ValueError, match="found 1 and 2"):
        ratios.paired([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one"):
        ratios.measured([])


def test_the_tables_say_what_was_measured():
    part = figures()["compare"]
    records = {"default": {"mean": 99.52, "n": 10}, "seed": {"mean": 99.48, "n": 10}}
    assert "| 640 (500 to 800) | **10.9 times** (10.0 to 12.0) |" in sections.speed(part)
    told = sections.target(part, records)
    # 1,000 steps of 64 and 12 epochs of 60,000 are 784,000 images: 980 s and 120 of tests, 1,568 and 132, 1,225 and 144
    assert "| 1,369.0 (1,100.0 to 1,700.0) | 1,225.0 (980.0 to 1,568.0) | **13.7 times** (11.0 to 17.0) |" in told
    assert "| `default` | 12 | 99.520 %, n = 10 | 100.0 | 90.0 | – |" in told
    assert "| 99.19 % reported | does not reach it | does not reach it | – |" in told
    # 6 * 574,224 operations, 8,000, 6,000 and 7,000 times a second, of 100 GFLOP/s
    assert "| 3.45 M | 24.1 (20.7 to 27.6) | 24.1 % (20.7 to 27.6) | 29,025 |" in sections.limit(part)
    # 250,000 numbers of 4 bytes, 18 GB a second; 1 / (1 / 29,025 + 1 / 18,000)
    assert "| 29,025 | 1.00 M | 18,000 | 11,110 |" in sections.limit(part)
    assert "| 693 | 640 (500 to 800) | -8 % |" in sections.reference_check(part)
    assert "| `default` | 500 MB | 300.0 | 40.0 | 30.0 | 20.0 |" in sections.inference(part)


@pytest.mark.parametrize("record", [None, {"mean": 99.39, "n": 10}, {"mean": 99.5, "n": 9}])
def test_a_recipe_counts_only_where_ten_seeds_on_record_reach_the_target(record):
    one = figures()["compare"]["contenders"]["default"]
    assert sections.seconds_to_target("default", one, {"default": record} if record else {}) is None
    smoke = figures()["compare"] | {"data": "digits"}
    assert sections.target(smoke, page.records()).startswith("Not measured")


def test_the_curves_are_told_by_their_slopes():
    told = curves.cost(figures()["cost"])
    assert "200 µs more for each image" in told
    assert "2.00 s more for each epoch of 10,000 images. The rate search takes 9.0 to 16.0 s of the whole." in told
    assert "to the power of 0.50, over networks of 2,540 to 150,000 parameters" in told
    assert "800 bytes more for each image, beside about 400 MB" in told
    assert "| 64 | 6,000 | 12,000 | 2.00 |" in curves.scaling(figures()["scaling"])
    assert "| convolution, backward | 75.0 % |" in curves.operations(figures()["operations"])
    assert "| loss | 25.0 % |" in curves.compiled_operations(figures()["operations"])
    assert "| 3.50 (3.00 to 4.00) | 3 |" in curves.start(figures()["start"])


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_and_the_same_each_time(name, tmp_path):
    part, draw = PICTURES[name]
    with style.look():
        first, second = (style.save(tmp_path / f"{number}.png", draw(figures()[part])) for number in range(2))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size <= 150 * 1024


def test_no_generated_section_is_stale(capsys):
    assert page.main(["--check"]) == 0, capsys.readouterr().err


def test_every_picture_on_the_page_is_there():
    text = page.PAGE.read_text(encoding="utf-8")
    shown = set(re.findall(r"\(figures/([a-z-]+\.png)\)", text))
    assert shown == {name for name, (part, _) in PICTURES.items() if part in page.figures()}
    assert [name for name in shown if not (page.FOLDER / name).exists()] == []


def test_the_page_is_written_from_the_figures(tmp_path, monkeypatch, capsys):
    written = tmp_path / "performance.md"
    marks = "\n".join(f"<!-- generated: {name} -->\nold\n<!-- end -->" for name in page.SECTIONS)
    written.write_text(marks)
    for name, value in {"PAGE": written, "FOLDER": tmp_path, "FIGURES": tmp_path / "bench.json"}.items():
        monkeypatch.setattr(page, name, value)
    assert page.main([]) == 0
    assert written.read_text().count(page.NOT_YET) == len(page.SECTIONS)
    (tmp_path / "bench.json").write_text(json.dumps({"format": 1, **figures()}))
    assert page.main(["--check"]) == 1
    assert "the section 'speed' is stale; run python -m benchmarks.page" in capsys.readouterr().err
    monkeypatch.setattr(page, "draw_all", lambda found, folder: [])
    assert page.main([]) == 0
    assert page.main(["--check"]) == 0
    assert "GFLOP/s in products of float32 matrices, 18.0 GB/s in copying" in " ".join(written.read_text().split())


@contextmanager
def inside(**wanted: Any):
    """A worker in this process: starting one of its own takes seconds."""
    worker = Worker(wanted)
    yield SimpleNamespace(ask=lambda do, **options: json.loads(json.dumps(getattr(worker, do)(**options))))
    worker.training = None


def test_the_smoke_run_goes_every_way_of_the_comparison(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare, "child", inside)
    out = tmp_path / "bench.json"
    given = ["--quick", "--parts", "compare", "--recipes", "default", "--data", "digits", "--threads", "1"]
    assert bench.main([*given, "--out", str(out), "--json"]) == 0
    part = json.loads(capsys.readouterr().out)["compare"]
    assert part["command"] == f"python -m benchmarks.bench {' '.join(given)}"
    assert json.loads(out.read_text())["compare"] == part
    exact = ["default, PyTorch in float32"] if part["machine"]["native_bfloat16"] else []
    assert list(part["contenders"]) == ["default", "default, PyTorch", *exact, "reference", "example"]
    for one in part["contenders"].values():
        assert [row["images_per_second"] > 0 for row in one["rounds"]] == [True, True]
        assert min(one["inference"].values()) > 0
        assert 50e6 < one["peak_bytes"] < 5e9
    assert part["contenders"]["default"]["whole"]["train_seconds"] > 0
    assert sections.limit(part)


def test_the_first_bar_on_the_terminal_is_seen():
    reads, writes = os.pipe()
    os.write(writes, "Epoch 1 of 3\n\x1b[2K  Train       \x1b[31m━━\x1b[0m    1/469  loss 2.3".encode())
    assert start.wait_for(reads, start.BARS["0.1"], time.perf_counter()) < 60
    os.write(writes, b"mnist-ops: error: no such recipe")
    os.close(writes)
    with pytest.raises(RuntimeError, match=r"no training step was drawn(.|\n)*no such recipe"):
        start.wait_for(reads, start.BARS["auto"], time.perf_counter())
    os.close(reads)


def test_a_worker_answers_from_its_own_process_and_says_why_it_fails():
    with child(program="recipe", recipe="default", data="digits", images=96, threads=1, batch_size=32) as one:
        assert one.ask("about")["train_images"] == 96
        assert one.ask("train", steps=4)["images"] == 128
        with pytest.raises(RuntimeError, match=r"asked to dance(.|\n)*found 'dance', expected one of about, train"):
            one.ask("dance")


def test_the_time_of_a_step_is_shared_out_to_groups():
    program = from_recipe(few_digits(), "default", device="cpu", threads=1, batch_size=32, engine="pytorch")
    steps = program.steps()
    found = profile.profiled(steps, steps=2, warm=1, device="cpu")
    del steps
    assert found["images"] == 64
    assert sum(found["groups"].values()) == pytest.approx(found["seconds"], rel=0.05)
    assert all(found["groups"][group] > 0 for group, _ in profile.GROUPS)
    assert found["groups"]["convolution, backward"] > found["groups"]["ReLU"]
    assert profile.group_of(["aten::mul", profile.BATCH]) == profile.GROUPS[0][0]
    assert profile.group_of(["aten::mul"]) == profile.REST


def test_all_of_muons_update_counts_as_the_optimisers():
    shares = {}
    for recipe in ("strided", "default"):
        steps = from_recipe(few_digits(), recipe, device="cpu", threads=1, batch_size=32, engine="pytorch").steps()
        found = profile.profiled(steps, steps=2, warm=1, device="cpu")
        shares[recipe] = found["groups"]["optimiser"] / found["seconds"]
        assert found["groups"][profile.REST] < found["groups"]["optimiser"] or recipe == "default"
    assert shares["strided"] > 2 * shares["default"] > 0


def test_a_wider_network_has_wider_layers_and_the_same_classes():
    wide, narrow = (walk(widened(MODELS["early-pool"], factor), INPUT) for factor in (2, 1))
    assert wide[-1].output_shape == narrow[-1].output_shape == (10, 1, 1)
    assert wide[0].output_shape[0] == 2 * narrow[0].output_shape[0]
    assert len(repeated(few_digits(), 250).train.labels) == 250


def test_the_machine_is_described():
    found = machine.describe("cpu", 1)
    assert found["processor"]
    assert found["cores"] >= 1
    assert machine.memory_rate("cpu", 1, 0.01, 1000) > 0
    assert 50e6 < machine.peak_bytes() < found["memory_bytes"]


def test_a_process_that_has_told_its_progress_ends_without_a_word():
    code = "from benchmarks.program import tell; tell('step 1')"
    done = subprocess.run([sys.executable, "-W", "error::ResourceWarning", "-c", code], cwd=REPOSITORY,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
