"""Checks ONNX files, named as arguments, with the official `onnx` package.

Each file must pass the checker and strict shape inference, record a shape for every value, and record none that differs
from what inference finds from the inputs alone.
"""

import sys

import onnx


def infer(model):
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


def shapes(graph):
    """The dimensions by value; those that are not constant are None."""
    values = [*graph.value_info, *graph.output]
    constant = lambda dim: dim.dim_value if dim.HasField("dim_value") else None
    return {value.name: [constant(dim) for dim in value.type.tensor_type.shape.dim] for value in values}


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    infer(model)
    recorded = shapes(model.graph)
    missing = {name for node in model.graph.node for name in node.output} - recorded.keys()
    assert not missing, f"no shape is recorded for {missing}"

    del model.graph.value_info[:]
    inferred = shapes(infer(model).graph)
    assert inferred.keys() == recorded.keys(), f"no shape is inferred for {recorded.keys() - inferred.keys()}"
    for name, shape in inferred.items():
        agree = all(theirs in (None, ours) for ours, theirs in zip(recorded[name], shape, strict=True))
        assert agree, f"{name} is recorded as {recorded[name]} and inferred as {shape}"
    return len(recorded)


for path in sys.argv[1:]:
    print(f"{path}: {check(path)} values")
