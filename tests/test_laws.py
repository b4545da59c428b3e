"""The laws of every network and recipe there is by name: a new one is one entry in MODELS or RECIPES and inherits all.

After scikit-learn's parametrize_with_checks, one list of named laws over one list of subjects. Equal networks are one
subject, by all the names that they have."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from math import isfinite, prod

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from mnist_ops.arch.arithmetic import Shape, walk
from mnist_ops.arch.layers import Layer, Norm, from_records, to_records
from mnist_ops.arch.table import as_json, field_text, layer_rows, layer_text, totals
from mnist_ops.arch.zoo import INPUT, MODELS, architecture
from mnist_ops.config import RECIPES, Config
from mnist_ops.engine.compiler import c_compiler
from mnist_ops.errors import RunError
from mnist_ops.events import StepDone
from mnist_ops.experiment import run
from mnist_ops.export import forward, javascript, onnx
from mnist_ops.export.c import code, compiler, int8
from mnist_ops.export.c.int8 import IntegerNetwork
from mnist_ops.export.c.oddness import of_integers, of_map
from mnist_ops.export.c.quantize import quantize
from mnist_ops.export.c.steps import Stage, stages
from mnist_ops.export.c.target import Wanted, export_c
from mnist_ops.export.fold_norms import fold_trained, score_of
from mnist_ops.export.page import page_html
from mnist_ops.export.proof import Expected
from mnist_ops.export.targets import Subject, export_html, export_onnx
from mnist_ops.model import build, layers_of
from mnist_ops.run.trained import TrainedNetwork, load_trained, save_trained
from tests.every_kind import EVERYTHING
from tests.miniature import REPOSITORY, SHORT, few_digits, generator, same_run, stopped, train
from tests.small_networks import images, logits, oddness, trained

CONFIGS: dict[str, Config] = {**{name: replace(SHORT, model=name) for name in MODELS},
                              **{f"recipe {name}": config for name, config in RECIPES.items()}}


def named_networks() -> dict[str, tuple[Layer, ...]]:
    """Every network there is, once, by its names; and one of every kind of layer."""
    names: dict[tuple[Layer, ...], list[str]] = {}
    for name, config in CONFIGS.items():
        names.setdefault(layers_of(config, 10), []).append(name)
    return {**{", ".join(those): layers for layers, those in names.items()}, "every kind of layer": EVERYTHING,
            "colour of 32x32": MODELS["early-pool"], "grey of 96x96": MODELS["separable-micro"],
            "every kind of layer in colour": EVERYTHING}


NETWORKS = named_networks()
SHAPES: dict[str, Shape] = {"colour of 32x32": (3, 32, 32), "grey of 96x96": (1, 96, 96),
                            "every kind of layer in colour": (3, 28, 28)}  # of an image; else MNIST's
every_network = pytest.mark.parametrize("name", NETWORKS)


@cache
def subject(name: str) -> TrainedNetwork:
    """With weights that nobody trained and normalisations of both signs."""
    return trained(NETWORKS[name], shape=shape_of(name))


def shape_of(name: str) -> Shape:
    """Channels, height and width of its images."""
    return SHAPES.get(name, INPUT)


def seen(name: str, count: int = 12, seed: int = 0) -> NDArray[np.uint8]:
    """Images that it takes."""
    return images(count, seed, shape_of(name))


# ---------------------------------------------------------------- exports compute what PyTorch computes


@every_network
def test_folding_changes_no_logit(name):
    """Float32 weights bring a relative error of about 1e-7 per layer; logits of these networks are of the order 1."""
    operations, wanted = fold_trained(subject(name)), logits(subject(name), seen(name))
    np.testing.assert_allclose(forward.logits(operations, seen(name)), wanted, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(forward.logits(operations, seen(name), np.float32), wanted, rtol=1e-4, atol=1e-4)


@every_network
def test_the_onnx_file_computes_pytorchs_logits_and_probabilities(name):
    operations = fold_trained(subject(name))
    refusal = score_of(subject(name), operations)
    content = onnx.model_bytes(operations, shape_of(name), len(subject(name).classes), {}, refusal=refusal)
    found, probabilities, *odd = onnx.run_onnx(content, seen(name))
    agree(name, found, probabilities)
    assert len(odd) == (0 if refusal is None else 1)
    for one in odd:
        np.testing.assert_allclose(one[:, 0], oddness(subject(name), seen(name)), rtol=1e-3, atol=1e-3)


def agree(name: str, found: np.ndarray, probabilities: np.ndarray) -> None:
    wanted = logits(subject(name), seen(name))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(probabilities, forward.softmax(wanted), atol=1e-5)


@every_network
def test_the_script_of_the_page_computes_what_python_computes(name):
    operations = fold_trained(subject(name))
    found = javascript.run_script(page_html(subject(name), operations), seen(name))
    if isinstance(found, javascript.NotRun):
        pytest.skip(f"needs Node.js or a Chromium: {found.reason}")
    wanted = forward.softmax(forward.logits(operations, seen(name)))
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-12)
    np.testing.assert_array_equal(found.predicted, wanted.argmax(1))
    assert np.isnan(found.oddness).all() == (score_of(subject(name), operations) is None)
    if not np.isnan(found.oddness).all():
        np.testing.assert_allclose(found.oddness, oddness(subject(name), seen(name)), rtol=1e-3, atol=1e-3)


SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def in_c(name: str, network: IntegerNetwork | Sequence[Stage]) -> compiler.CompiledOutput:
    """What the C code of a network answers; the sanitizers find nothing."""
    if c_compiler() is None:
        pytest.skip("needs a C compiler: none of $CC, cc, gcc, clang is here")
    naming = code.Naming("tiny", "network", "A test", ("Made by a test.",), "0", subject(name).classes,
                         shape_of(name))
    score = of_map(score_of(subject(name), fold_trained(subject(name))), network)
    found = compiler.run_compiled(code.render(network, naming, score), seen(name), stem="network", name="tiny",
                                  flags=SANITIZED)
    assert (found.oddness is None) == (score is None)
    if score is not None and found.oddness is not None:
        wanted = (of_integers(score, network, seen(name)) if isinstance(network, IntegerNetwork)
                  else oddness(subject(name), seen(name)))
        np.testing.assert_allclose(found.oddness, wanted, rtol=1e-3, atol=1e-3)
    return found


@every_network
def test_c_code_in_float32_computes_pytorchs_logits_and_probabilities(name):
    found = in_c(name, stages(fold_trained(subject(name))))
    agree(name, found.logits, found.probabilities)


@every_network
def test_c_code_in_int8_computes_every_integer_of_the_reference_which_is_near_pytorch(name):
    network = quantize(stages(fold_trained(subject(name))), seen(name, 200, 2))
    wanted = int8.logits(network, seen(name))
    found = in_c(name, network)
    np.testing.assert_array_equal(found.logits, wanted)
    np.testing.assert_array_equal(found.predicted, wanted.argmax(1))
    np.testing.assert_array_equal(found.probabilities, int8.probabilities(network, wanted))
    expected = logits(subject(name), seen(name, 60))
    error = int8.logits(network, seen(name, 60)) * network.unit - expected
    assert np.sqrt(np.square(error).mean()) < 0.05 * np.ptp(expected)
    assert abs(error.mean()) < 0.02 * np.ptp(expected)


EXPORTS: dict[str, Callable[[Subject], object]] = {
    "onnx": export_onnx, "html": export_html, "c": lambda one: export_c(one, Wanted("tiny", "tiny")),
    "c in float32": lambda one: export_c(one, Wanted("tiny", "tiny", floating=True))}


@pytest.mark.parametrize("export", EXPORTS)
@every_network
def test_a_weight_that_is_nan_is_refused_by_every_export(name, export):
    one = trained(NETWORKS[name], shape=shape_of(name))
    *_, last = one.network.parameters()
    with torch.no_grad():
        last[(-1,) * last.dim()] = float("nan")
    given = Subject(one, seen(name), Expected(logits(one, seen(name)), None), seen(name), "noise")
    with pytest.raises(RunError, match=r"cannot be exported: body\.\d+\.\w+ has a number that is not finite"):
        EXPORTS[export](given)


@every_network
def test_saved_and_loaded_it_gives_the_same_logits(name, tmp_path):
    one = replace(subject(name), model=name)
    save_trained(tmp_path, one)
    read = load_trained(tmp_path)
    assert (read.layers, read.classes, read.model) == (one.layers, one.classes, name)
    np.testing.assert_array_equal(logits(read, seen(name)), logits(one, seen(name)))


# ---------------------------------------------------------------- tables add up


@every_network
def test_the_table_states_what_pytorch_counts(name):
    network, layers = subject(name).network, NETWORKS[name]
    rows = layer_rows(layers, shape_of(name))
    total = totals(layers, shape_of(name))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made = network(torch.zeros(1, *shape_of(name)))
    assert total.parameters == sum(row.parameters for row in rows) == sum(one.numel() for one in network.parameters())
    assert 2 * total.macs == 2 * sum(row.macs for row in rows) == counter.get_total_flops()
    assert rows[-1].output_shape == (*made.shape[1:], 1, 1)
    maps = torch.zeros(1, *shape_of(name))
    for module, row in zip(network.body, (row for row in rows if row.depth == 0), strict=True):
        assert row.input_shape == maps.shape[1:]
        maps = module(maps)
        assert row.output_shape == maps.shape[1:]


@every_network
def test_the_text_and_the_json_of_its_tables_say_the_same_and_fit_a_terminal(name):
    layers = NETWORKS[name]
    data = as_json(iter(layers), INPUT)
    assert json.loads(json.dumps(data, allow_nan=False)) == data == as_json(from_records(to_records(layers)), INPUT)
    lines = layer_text(layers, INPUT).splitlines()
    first, second, _ = (index for index, line in enumerate(lines) if set(line) == {"-"})
    columns = [line.replace(",", "").split() for line in lines[first + 1:second]]
    assert len(columns) == len(data["layers"])
    sums = [sum(int(row[column]) for row in columns) for column in (2, 3)]
    assert lines[second + 1].replace(",", "").split() == ["Total", *map(str, sums)]
    assert sums == [data["totals"]["parameters"], data["totals"]["macs"]]
    for table in (lines, field_text(layers, INPUT).splitlines()[1:]):  # below the title
        assert len({len(line) for line in table}) == 1
        assert len(table[0]) <= 80
        assert "0.00" not in "".join(table)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_record_of_a_recipe_states_its_network(recipe):
    path = REPOSITORY / "records" / f"{recipe}.json"
    if not path.exists():
        pytest.skip(f"{recipe} has no record yet")
    record = json.loads(path.read_text(encoding="utf-8"))
    total = totals(layers_of(RECIPES[recipe], 10), INPUT)
    assert (record["parameters"], record["macs"]) == (total.parameters, total.macs)


# ---------------------------------------------------------------- it trains


def at_hand(config: Config) -> Config:
    """The same on one thread of a processor, in float32: the same bits everywhere."""
    return replace(config, device=SHORT.device, threads=SHORT.threads, precision=SHORT.precision)


@pytest.mark.parametrize("model", MODELS)
def test_its_last_layer_has_a_channel_per_class_and_nothing_else_changes(model):
    layers = architecture(model, 47)
    assert layers[:-1] == MODELS[model][:-1]
    assert build(layers, INPUT, generator())(torch.zeros(2, *INPUT)).shape == (2, 47)


@every_network
def test_it_gives_logits_and_every_parameter_gets_a_gradient(name):
    network = build(NETWORKS[name], INPUT, generator())
    network.feed(generator())
    made = network(torch.randn(8, *INPUT, generator=generator()))
    assert (made < 0).any(), "probabilities are made where they are shown"
    made[:, 0].pow(2).sum().backward()
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in network.parameters())


@every_network
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(name):
    first, again, other = (build(NETWORKS[name], INPUT, generator(seed)).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    key = next(key for key, value in first.items() if value.dim() == 4)
    assert not torch.equal(first[key], other[key])


@every_network
def test_it_normalises_no_map_of_one_pixel(name):
    """Which is what a batch of one needs: its mean and SD are those of a map's own pixels."""
    assert all(prod(step.input_shape[1:]) > 1 for step in walk(NETWORKS[name], INPUT) if isinstance(step.layer, Norm))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_batch_of_one_image_trains(name, tmp_path):
    config = replace(at_hand(CONFIGS[name]), epochs=1, batch_size=1, lr=0.01)
    steps = [event for event in run(config, few_digits(12, 10), tmp_path)
             if isinstance(event, StepDone) and event.part == "train"]
    assert len(steps) == 12
    assert all(step.loss is not None and isfinite(step.loss) for step in steps)
    assert all(value.isfinite().all() for value in load_trained(tmp_path).network.state_dict().values())


@pytest.mark.parametrize("name", CONFIGS)
def test_stopped_and_resumed_it_gives_the_same_bits(name, tmp_path):
    config = replace(at_hand(CONFIGS[name]), epochs=3, batch_size=32, lr=0.05)
    train(config, tmp_path / "whole")
    stopped(config, tmp_path / "half", after=1, batches=1)
    train(config, tmp_path / "half", resume=True)
    same_run(tmp_path / "whole", tmp_path / "half")
