"""Times single convolutions in ONNX Runtime's CPU provider, in 32-bit floats and in 8-bit integers (QDQ)."""

import argparse
import statistics
import time

import numpy
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

# Name, channels in and out, kernel, groups, side of the map.
LAYERS = [
    ("1x1, 32 and 128 channels at 256", 32, 128, 1, 1, 256),
    ("1x1, 128 and 512 channels at 64", 128, 512, 1, 1, 64),
    ("1x1, 256 and 1024 channels at 32", 256, 1024, 1, 1, 32),
    ("3x3 depthwise, 128 channels at 256", 128, 128, 3, 128, 256),
]
# Two depths of one chain: their difference is what layers take, without the edges.
DEPTHS = (4, 12)
ROUNDS = 21


def chain(layer, depth, quantised):
    """A model of `depth` convolutions in a row, there and back between the two numbers of channels."""
    _, narrow, wide, kernel, groups, side = layer
    random = numpy.random.default_rng(0)
    nodes, constants = [], {"step": numpy.float32(0.02), "zero": numpy.uint8(128)}
    value, channels = "image", narrow
    if quantised:
        nodes.append(helper.make_node("QuantizeLinear", [value, "step", "zero"], ["quantised"]))
        value = "quantised"
    for place in range(depth):
        outputs = wide if channels == narrow else narrow
        shape = (outputs, channels // groups, kernel, kernel)
        weight, result = f"weight_{place}", f"conv_{place}"
        if quantised:
            constants[f"{weight}_8"] = random.integers(-63, 64, shape, numpy.int8)
            constants[f"{weight}_step"] = numpy.full(outputs, 0.01, numpy.float32)
            constants[f"{weight}_zero"] = numpy.zeros(outputs, numpy.int8)
            weights = [f"{weight}_8", f"{weight}_step", f"{weight}_zero"]
            nodes.append(helper.make_node("DequantizeLinear", weights, [weight], axis=0))
            nodes.append(helper.make_node("DequantizeLinear", [value, "step", "zero"], [f"input_{place}"]))
            value = f"input_{place}"
        else:
            constants[weight] = random.normal(0, 0.1, shape).astype(numpy.float32)
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [value, weight], [result], pads=pads, group=groups))
        value, channels = result, outputs
        if quantised:
            nodes.append(helper.make_node("QuantizeLinear", [value, "step", "zero"], [f"{result}_8"]))
            value = f"{result}_8"
    last = ("DequantizeLinear", [value, "step", "zero"]) if quantised else ("Identity", [value])
    nodes.append(helper.make_node(*last, ["output"]))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, narrow, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def session(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # The sessions take turns: the threads of one must not spin while another runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(f"ONNX Runtime {onnxruntime.__version__}, {arguments.threads} threads, medians of {ROUNDS} rounds")
    for layer in LAYERS:
        name, channels, _, _, _, side = layer
        forms = [(quantised, depth) for quantised in (False, True) for depth in DEPTHS]
        sessions = [session(chain(layer, depth, quantised), arguments.threads) for quantised, depth in forms]
        image = numpy.random.default_rng(1).standard_normal((1, channels, side, side)).astype(numpy.float32)
        seconds = [[] for _ in forms]
        for _ in range(ROUNDS):
            for model, taken in zip(sessions, seconds):
                begun = time.perf_counter()
                model.run(None, {"image": image})
                taken.append(time.perf_counter() - begun)
        few_floats, floats, few_integers, integers = map(statistics.median, seconds)
        layers = DEPTHS[1] - DEPTHS[0]
        floats, integers = [1e3 * span / layers for span in (floats - few_floats, integers - few_integers)]
        print(f"  {name:36} {floats:6.2f} ms in floats, {integers:6.2f} ms in integers: {floats / integers:.2f} times as fast")


if __name__ == "__main__":
    main()
