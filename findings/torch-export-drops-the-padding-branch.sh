#!/usr/bin/env bash
# PyTorch 2.15.0 (PyPI), torch.onnx.export(dynamo=True): of a network that pads only where sizes differ, a file with open height and
# width is written without the padding and without a warning; it fails on the sizes that need it.
#
# Expected: with dynamic_shapes of torch.export.Dim.AUTO, either the axis is fixed in the file, or a file whose height is a symbol
#           takes any height that the network takes; a condition on it is in the graph, or is reported.
# Seen:     height stays a symbol, the graph has neither If nor Pad, and nothing is said of the condition that the example met
#           (an even height). ONNX Runtime then refuses odd heights at Concat.
# Affects:  U-Nets that pad the upsampled map to its skip, exported with an example of a multiple of 16.
# Instead:  compute the padding without a condition (padding by zero is the identity); `seg export` writes it so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet --only-binary :all: torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 \
    numpy==2.4.6 || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy
import onnx
import onnxruntime
import torch
import torch.nn.functional as F


class Net(torch.nn.Module):
    def forward(self, x):
        y = F.interpolate(F.max_pool2d(x, 2), scale_factor=2.0)
        missing = x.shape[2] - y.shape[2]
        if missing:
            y = F.pad(y, (0, 0, 0, missing))
        return torch.cat((x, y), dim=1)


net = Net().eval()
print("PyTorch, height 15:", tuple(net(torch.zeros(1, 1, 15, 8)).shape))
auto = torch.export.Dim.AUTO
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    torch.onnx.export(net, (torch.zeros(1, 1, 16, 8),), "net.onnx", dynamo=True, opset_version=20, input_names=["x"],
                      output_names=["y"], dynamic_shapes=({2: auto},), external_data=False, verbose=False)
about = [str(one.message) for one in warned if "pad" in str(one.message).lower() or "height" in str(one.message).lower()]
model = onnx.load("net.onnx")
height = model.graph.input[0].type.tensor_type.shape.dim[2]
operators = sorted({node.op_type for node in model.graph.node})
print("height in the file:", height.dim_param or height.dim_value, "- operators:", operators, "- warnings of it:", about)
session = onnxruntime.InferenceSession("net.onnx")
results = {}
for rows in (16, 18, 15):
    try:
        results[rows] = session.run(None, {"x": numpy.zeros((1, 1, rows, 8), numpy.float32)})[0].shape
    except Exception as error:
        results[rows] = type(error).__name__
    print("ONNX Runtime, height", rows, "-", results[rows])
as_seen = bool(height.dim_param) and not {"If", "Pad"} & set(operators) and not about
as_seen &= results[16] == (1, 2, 16, 8) and results[18] == (1, 2, 18, 8) and isinstance(results[15], str)
raise SystemExit(not as_seen)
PYTHON
