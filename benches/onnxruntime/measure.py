"""Runs one model in ONNX Runtime, in this process alone, and prints what it took as a line of JSON."""

import argparse
import json
import resource
import statistics
import time

import numpy
import onnxruntime


def rss_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def session(arguments, dimensions):
    """A session, opened for the lengths that `dimensions` has for the model's open ones."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.log_severity_level = 3
    # A memory plan is a second copy of what the first run has taken; `seg-runtime` has none either.
    options.enable_mem_pattern = False
    # Threads that spin while they wait would count as processor time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, length in dimensions.items():
        options.add_free_dimension_override_by_name(name, length)
    providers = ["CPUExecutionProvider"]
    if arguments.provider == "openvino":
        if "OpenVINOExecutionProvider" not in onnxruntime.get_available_providers():
            raise SystemExit("this Python's onnxruntime has no OpenVINO provider: install onnxruntime-openvino")
        providers.insert(0, ("OpenVINOExecutionProvider", {"device_type": "CPU", "num_of_threads": str(arguments.threads)}))
    return onnxruntime.InferenceSession(arguments.model, options, providers=providers)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--provider", choices=["cpu", "openvino"], required=True)
    parser.add_argument("--size", type=int, nargs=2, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--for-size", action="store_true", help="open the model for this shape alone")
    arguments = parser.parse_args()

    shape = (1, 3, *arguments.size)
    rss_before = rss_peak()
    model = session(arguments, {})
    if arguments.for_size:
        named = zip(model.get_inputs()[0].shape, shape)
        model = session(arguments, {name: length for name, length in named if isinstance(name, str)})
    name = model.get_inputs()[0].name
    image = numpy.random.default_rng(0).standard_normal(shape).astype(numpy.float32)
    for _ in range(2):
        output = model.run(None, {name: image})[0]
    seconds, cpu = [], time.process_time()
    for _ in range(arguments.runs):
        begun = time.perf_counter()
        model.run(None, {name: image})
        seconds.append(time.perf_counter() - begun)
    print(json.dumps({
        "version": onnxruntime.__version__,
        "seconds_median": statistics.median(seconds),
        "cpu_seconds": (time.process_time() - cpu) / arguments.runs,
        "rss_growth": rss_peak() - rss_before,
        "output_sum": float(numpy.abs(output).sum()),
    }))


main()
