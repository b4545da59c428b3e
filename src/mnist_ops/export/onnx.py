"""The folded operations as one ONNX file, made node by node: any batch size, float32, raw grey values in.

Needs the packages of the extra `onnx`: onnx writes the file, onnxruntime checks it.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_ops.arch.arithmetic import Shape
from mnist_ops.arch.layers import AdaptiveAvgPool, AvgPool, MaxPool, ReLU
from mnist_ops.errors import UsageError
from mnist_ops.export.fold_norms import Affine, Convolution, Operation, Sum, shape_after
from mnist_ops.export.forward import spans, with_channels
from mnist_ops.score.refusal import LEAST_DOUBT, Refusal

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET, IR_VERSION = 13, 7  # of ONNX 1.8, 2020: old runtimes read it too
BATCH = 1000  # images per call of the runtime
MISSING = "ONNX needs further packages: pip install 'mnist-ops[onnx]'"


def model_bytes(operations: Sequence[Operation], shape: Shape, classes: int, metadata: Mapping[str, str], *,
                refusal: Refusal | None = None) -> bytes:
    """The file: input "image" (N, *shape) uint8, outputs "logits" and "probabilities" (N, classes) float32, and with
    the score that refuses "oddness" (N, 1).

    `metadata` is written into it. Raises UsageError if the extra `onnx` is not installed."""
    helper, types = _packages()
    graph = _Graph(helper)
    made = graph.add("Cast", "image", to=types.FLOAT)
    features = graph.add_all(operations[:-1], made, shape)
    made = graph.add_all(operations[-1:], features, reduce(lambda so_far, one: shape_after(one, so_far),
                                                           operations[:-1], shape))
    graph.add("Flatten", made, output="logits", axis=1)
    graph.add("Softmax", "logits", output="probabilities", axis=1)
    widths = {"logits": classes, "probabilities": classes}
    if refusal is not None:
        graph.add_oddness(refusal, features)
        widths["oddness"] = 1
    outputs = [helper.make_tensor_value_info(name, types.FLOAT, ["batch", width]) for name, width in widths.items()]
    image = helper.make_tensor_value_info("image", types.UINT8, ["batch", *shape])
    model = helper.make_model(helper.make_graph(graph.nodes, "mnist_ops", [image], outputs, graph.tensors),
                              opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                              producer_name="mnist-ops")
    helper.set_model_props(model, dict(metadata))
    _check(model)
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def run_onnx(content: bytes, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    """All outputs by onnxruntime for images (N, H, W) or (N, 3, H, W) uint8, on the CPU.

    Raises UsageError if it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"{MISSING} ({error})") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    made = [session.run(None, {"image": with_channels(images[start:start + BATCH])})
            for start in range(0, len(images), BATCH)]
    return tuple(np.concatenate(part) for part in zip(*made, strict=True))


class _Graph:
    """The nodes and constants of a graph."""

    def __init__(self, helper: Any) -> None:
        self.helper = helper
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node; -> the name of its output, "kind_number" unless it is given."""
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], name=f"{kind}_{len(self.nodes)}",
                                                **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """A tensor of float32; -> its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def add_all(self, operations: Sequence[Operation], given: str, shape: Shape) -> str:
        """The operations on `given`, whose maps have the shape `shape`; -> the name of their output."""
        for operation in operations:
            given, shape = self._operation(operation, given, shape), shape_after(operation, shape)
        return given

    def add_oddness(self, refusal: Refusal, features: str) -> None:
        """`Refusal.oddness` of the features, as output "oddness"."""
        hidden, output = refusal.hidden.numpy(), refusal.output.numpy()
        flat = self.add("Flatten", features, axis=1)
        units = self.add("Relu", self.add("Gemm", flat, self.constant(hidden[:, :-1].T), self.constant(hidden[:, -1])))
        best = self.add("ReduceMax", "probabilities", axes=[1], keepdims=1)
        doubt = self.add("Log", self.add("Sub", self.constant(np.array([1 + LEAST_DOUBT])), best))
        self.add("Gemm", self.add("Concat", units, doubt, axis=1), self.constant(output[:-1, None]),
                 self.constant(output[-1:]), output="oddness")

    def _operation(self, operation: Operation, given: str, shape: Shape) -> str:
        match operation:
            case Convolution(weights=weights, bias=bias):
                return self.add("Conv", given, self.constant(weights), self.constant(bias), group=operation.groups,
                                dilations=[operation.dilation] * 2, **_window(operation, weights.shape[2]))
            case Affine(scale=scale, shift=shift):
                scaled = self.add("Mul", given, self.constant(scale[:, None, None]))
                return self.add("Add", scaled, self.constant(shift[:, None, None]))
            case Sum(body=body):
                return self.add("Add", given, self.add_all(body, given, shape))
            case ReLU():
                return self.add("Relu", given)
            case MaxPool(kernel=kernel, dilation=dilation):
                return self.add("MaxPool", given, dilations=[dilation] * 2, **_window(operation, kernel))
            case AvgPool(kernel=kernel):
                return self.add("AveragePool", given, count_include_pad=1, **_window(operation, kernel))
            case AdaptiveAvgPool(size=1):
                return self.add("GlobalAveragePool", given)
            case AdaptiveAvgPool(size=size):  # not in ONNX: a product with a matrix of shares along each axis
                rows, columns = (_shares(size, length) for length in shape[1:])
                below = self.add("MatMul", self.constant(rows), given)
                return self.add("MatMul", below, self.constant(columns.T))


def _window(operation: Convolution | MaxPool | AvgPool, kernel: int) -> dict[str, Any]:
    return {"kernel_shape": [kernel] * 2, "strides": [operation.stride] * 2, "pads": [operation.padding] * 4}


def _shares(size: int, length: int) -> NDArray[np.float64]:
    """(size, length): the share of each pixel along an axis in each window's mean."""
    shares = np.zeros((size, length))
    for index, (begin, end) in enumerate(spans(size, length)):
        shares[index, begin:end] = 1 / (end - begin)
    return shares


def _packages() -> tuple[Any, Any]:
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise UsageError(f"{MISSING} ({error})") from error
    return helper, TensorProto


def _check(model: Any) -> None:
    from onnx import checker

    checker.check_model(model, full_check=True)
