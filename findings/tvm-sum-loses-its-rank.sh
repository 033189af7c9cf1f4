#!/usr/bin/env bash
# TVM 0.27.0.post1 (PyPI): of a sum of maps whose sides are two expressions, the importer forgets even the number of axes.
#
# Expected: ONNX, Broadcasting: the sum of two tensors of four axes has four. ONNX's own shape inference, in strict mode, knows them,
#           and Resize and GlobalAveragePool ask for no more.
# Seen:     importing a graph of height and width h and w that adds a map to its own half, doubled (sides h and 2 * floor(h / 2)),
#           fails at the operator that reads the sum: "object of type 'NoneType' has no len()". With h and w as numbers it works.
# Affects:  U-shaped networks for any size whose skip connections add, where something reads the sum that counts its axes.
# Instead:  a file of one size.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet --only-binary :all: apache-tvm==0.27.0.post1 onnx==1.23.2 || exit 2
"$folder/venv/bin/python" - <<'PYTHON'
import onnx
from onnx import TensorProto, helper
from tvm.relax.frontend.onnx import from_onnx

DOUBLE = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
READERS = {
    "Resize": helper.make_node("Resize", ["s", "", "scales"], ["y"], **DOUBLE),
    "GlobalAveragePool": helper.make_node("GlobalAveragePool", ["s"], ["y"]),
}


def model(reader, sides):
    """A map plus its own half, doubled, which is as large where sides are even."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["half", "", "scales"], ["double"], **DOUBLE),
        helper.make_node("Add", ["x", "double"], ["s"]),
        READERS[reader],
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, *sides])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, None, None])
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 2, 2])
    graph = helper.make_graph(nodes, "g", [x], [y], [scales])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def rank(made):
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
    return next(len(value.type.tensor_type.shape.dim) for value in inferred.graph.value_info if value.name == "s")


def imported(made):
    try:
        from_onnx(made)
    except TypeError as error:
        return str(error)
    return "imported"


shows = True
for reader in READERS:
    of_names, of_numbers = (model(reader, sides) for sides in (["h", "w"], [8, 8]))
    seen = imported(of_names)
    print(f"{reader}: expected: imported (ONNX infers {rank(of_names)} axes); with sides of 8: {imported(of_numbers)}")
    print(f"{reader}: seen:     {seen}")
    shows = shows and "has no len()" in seen and imported(of_numbers) == "imported"
raise SystemExit(0 if shows else 1)
PYTHON
