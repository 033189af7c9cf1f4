#!/usr/bin/env bash
# tensorrt-rtx-cu13 1.7.1.116 (PyPI): an int8 constant without axes is refused in front of DequantizeLinear.
#
# Expected: ONNX, DequantizeLinear: "x: N-D quantized input tensor to be de-quantized"; with a scalar scale, x has any number of
#           axes, none among them. The engine is built, as it is for the same constant of shape [1], or the parser names what
#           it does not take.
# Seen:     the parser takes the model, and the builder then fails with "Quantized constant (c) is only allowed before DQ ...",
#           although DequantizeLinear is the constant's only reader.
# Affects:  models quantised by QDQ in which a scalar is added to, or multiplies, a quantised value.
# Instead:  store the constant with the shape [1], which broadcasts in the same way.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
# The bindings' metadata ask for a package that fetches from another index; the two wheels are all that is needed.
"$folder/venv/bin/pip" install --quiet --no-deps tensorrt-rtx-cu13-bindings==1.7.1.116 tensorrt-rtx-cu13-libs==1.7.1.116 || exit 2
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import numpy
import onnx
import tensorrt_rtx_bindings as trt
from onnx import TensorProto, helper, numpy_helper


class Log(trt.ILogger):
    def __init__(self):
        super().__init__()
        self.errors = []

    def log(self, severity, message):
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(message)


def build(shape):
    """Builds y = x + dequantised c, with c of a shape; returns how far it comes, and the errors."""
    constants = [
        numpy_helper.from_array(numpy.full(shape, 127, numpy.int8), "c"),
        numpy_helper.from_array(numpy.array(1 / 127, numpy.float32), "scale"),
        numpy_helper.from_array(numpy.array(0, numpy.int8), "zero"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["c", "scale", "zero"], ["d"]),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    edges = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3])] for name in "xy"]
    graph = helper.make_graph(nodes, "g", *edges, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if not trt.OnnxParser(network, log).parse(model.SerializeToString()):
        return "refused by the parser", log.errors
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    engine = builder.build_serialized_network(network, config)
    return ("refused by the builder" if engine is None else "built"), log.errors


vector, _ = build([1])
scalar, errors = build([])
said = next((error for error in errors if "only allowed before DQ" in error), "")
print("expected: built with a constant of shape [1] and of shape []")
print(f"seen:     [1]: {vector}; []: {scalar}: {said[:160]}")
raise SystemExit(0 if (vector, scalar) == ("built", "refused by the builder") and said else 1)
PYTHON
