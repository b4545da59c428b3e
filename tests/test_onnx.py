"""The ONNX file computes what PyTorch computes, in batches of any size, and says what it is."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings

from mnist_ops.arch.zoo import INPUT, MODELS
from mnist_ops.errors import UsageError
from mnist_ops.export import onnx
from mnist_ops.export.fold_norms import fold_trained
from tests.every_kind import EVERYTHING
from tests.small_networks import architectures, images, logits, trained


def answers(one, pictures):
    return onnx.run_onnx(onnx.model_bytes(fold_trained(one), one.input_shape, len(one.classes), {}), pictures)


@settings(max_examples=12)
@given(layers=architectures())
def test_the_runtime_computes_any_network(layers):
    one = trained(layers)
    np.testing.assert_allclose(answers(one, images(3))[0], logits(one, images(3)), rtol=1e-4, atol=1e-4)


def test_the_size_of_the_batch_changes_nothing():
    one = trained(MODELS["early-pool"])
    whole = answers(one, images(5))[0]
    single = np.concatenate([answers(one, images(5)[index:index + 1])[0] for index in range(5)])
    np.testing.assert_allclose(single, whole, rtol=1e-5, atol=1e-5)


def test_the_file_states_its_input_its_outputs_and_its_metadata():
    import onnxruntime

    one = trained(MODELS["early-pool"])
    content = onnx.model_bytes(fold_trained(one), INPUT, 10, {"classes": "a\nb", "prepare": "mnist"})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [(given.name, given.type, given.shape) for given in session.get_inputs()] == [
        ("image", "tensor(uint8)", ["batch", 1, 28, 28])]
    assert [(made.name, made.type, made.shape) for made in session.get_outputs()] == [
        ("logits", "tensor(float)", ["batch", 10]), ("probabilities", "tensor(float)", ["batch", 10])]
    assert session.get_modelmeta().custom_metadata_map == {"classes": "a\nb", "prepare": "mnist"}


def test_the_same_network_gives_the_same_bytes():
    operations = fold_trained(trained(EVERYTHING))
    assert onnx.model_bytes(operations, INPUT, 4, {"a": "b"}) == onnx.model_bytes(operations, INPUT, 4, {"a": "b"})


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_the_error_says_what_to_install(monkeypatch, package):
    content = onnx.model_bytes(fold_trained(trained(MODELS["early-pool"])), INPUT, 10, {})
    monkeypatch.setitem(sys.modules, package, None)
    needing = {"onnx": lambda: onnx.model_bytes((), INPUT, 10, {}),
               "onnxruntime": lambda: onnx.run_onnx(content, images(1))}
    with pytest.raises(UsageError, match=r"pip install 'mnist-ops\[onnx\]'"):
        needing[package]()
