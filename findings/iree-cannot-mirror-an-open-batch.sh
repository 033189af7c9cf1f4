#!/usr/bin/env bash
# IREE 3.13.0 (PyPI): Pad that mirrors is not compiled where the batch or the height is open; with the width alone it is.
#
# Expected: a program: ONNX, Pad, mode "reflect" takes a tensor of any shape, and the pads are constant. Modes "edge" and "constant" of the
#           same sizes compile.
# Seen:     iree-compile ends with 1, and "LLVM Translation failed for operation: builtin.unrealized_conversion_cast", which names no
#           operator and no line of the model.
# Affects:  networks that mirror at the image's border, exported for any number or size of images.
# Instead:  a file of one size and one number of images.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" || exit 2
"$folder/venv/bin/pip" install --quiet --only-binary :all: 'iree-base-compiler[onnx]==3.13.0' onnx==1.23.2 || exit 2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

TOOLS = Path(sys.executable).parent
COMPILE = [TOOLS / "iree-compile", "model.mlir", "--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
           "--iree-llvmcpu-target-cpu=generic", "-o", "model.vmfb"]


def compiled(mode, shape):
    """Compiles a Pad by one on each side of height and width, and returns the first error."""
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", shape), ("y", [None] * 4))]
    pads = helper.make_tensor("pads", TensorProto.INT64, [8], [0, 0, 1, 1, 0, 0, 1, 1])
    graph = helper.make_graph([helper.make_node("Pad", ["x", "pads"], ["y"], mode=mode)], "g", edges[:1], edges[1:], [pads])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    subprocess.run([TOOLS / "iree-import-onnx", "model.onnx", "-o", "model.mlir"], check=True)
    ended = subprocess.run(COMPILE, capture_output=True, text=True)
    errors = [line for line in ended.stderr.splitlines() if "error: " in line]
    return "compiled" if ended.returncode == 0 else errors[0].split("error: ")[1]


seen = {}
for shape in (["n", 4, 8, 8], [1, 4, "h", 8], [1, 4, 8, "w"], [1, 4, 8, 8]):
    for mode in ("reflect", "edge", "constant"):
        seen[mode, shape[0], shape[2]] = found = compiled(mode, shape)
        print(f"Pad, {mode:8} of {str(shape):18} expected: compiled   seen: {found}")
failing = {("reflect", "n", 8), ("reflect", 1, "h")}
shows = all(("unrealized_conversion_cast" in found) == (case in failing) for case, found in seen.items())
raise SystemExit(0 if shows else 1)
PYTHON
