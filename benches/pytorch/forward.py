"""Compares the forward pass in seg-runtime with the same network in PyTorch, eager and compiled, and fails below the targets.

All take turns on one GPU. Input and output lie in the host's memory on every side, so that all pay for the copies. PyTorch gets the
memory layout that is faster for it, and looks for the fastest convolutions; ours is CUDA as it is and as one graph. `--precision fp16`
runs a model that was exported in float16.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from amsunet import AMSUnet

# How many times as fast as PyTorch.
TARGETS = {"eager": 2.0, "compiled": 1.2}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seg-runtime", type=Path, required=True, help="the program")
    parser.add_argument("--model", type=Path, required=True, help="the exported model in float32")
    parser.add_argument("--half-model", type=Path, help="the exported model in float16, for --precision fp16")
    parser.add_argument("--weights", type=Path, required=True, help="the .safetensors file that was exported")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--precision", nargs="+", choices=["fp32", "tf32", "fp16"], default=["fp32", "tf32", "fp16"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--size", type=int, default=256, help="height and width")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=30, help="timed runs of a side in a round")
    args = parser.parse_args()
    if "fp16" in args.precision and not args.half_model:
        parser.error("--precision fp16 needs --half-model")
    return args


def ours(args: argparse.Namespace, precision: str, batch: int, *flags: str) -> float:
    """The median time of a run in seg-runtime, in milliseconds."""
    model, computed = (args.half_model, "fp32") if precision == "fp16" else (args.model, precision)
    size = f"{args.size}x{args.size}"
    command = [args.seg_runtime, "bench", model, "--json", "--ep", args.device, "--precision", computed, *flags]
    command += ["--batch", str(batch), "--size", size, "--runs", str(args.runs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    rows = json.loads(done.stdout) if done.stdout else []
    if done.returncode != 0:
        raise RuntimeError("; ".join(row["error"] for row in rows if "error" in row) or "seg-runtime bench failed")
    return rows[0]["latency_ms"]["p50"]


class PyTorch:
    """The network in PyTorch, on images of one shape."""

    def __init__(self, args: argparse.Namespace, precision: str, batch: int):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True
        weights = safetensors.torch.load_file(args.weights)
        net = AMSUnet(num_classes=weights["out_conv.0.bias"].numel())
        # The counters of batches are not in the file.
        net.load_state_dict(weights, strict=False)
        self.device, self.runs = args.device, args.runs
        self.dtype = torch.float16 if precision == "fp16" else torch.float32
        self.net = net.eval().to(self.device, self.dtype)
        shape = (batch, 3, args.size, args.size)
        self.images = torch.from_numpy(np.random.default_rng(0).uniform(-2, 2, shape).astype(np.float32))
        self.use("contiguous")
        times = {}
        for layout in LAYOUTS:
            self.use(layout)
            times[layout] = self.median(self.net)
        self.layout = min(times, key=times.get)
        self.use(self.layout)

    def use(self, layout: str) -> None:
        self.format = LAYOUTS[layout]
        self.net = self.net.to(memory_format=self.format)

    @torch.inference_mode()
    def run(self, net: Callable) -> float:
        begun = time.perf_counter()
        images = self.images.to(self.device, self.dtype).contiguous(memory_format=self.format)
        # The copy back waits for the device.
        net(images).float().cpu()
        return (time.perf_counter() - begun) * 1e3

    def median(self, net: Callable) -> float:
        for _ in range(3):
            self.run(net)
        return statistics.median(self.run(net) for _ in range(self.runs))


def compare(args: argparse.Namespace, precision: str, batch: int) -> list[str]:
    """Prints the medians of all sides, and returns which targets are missed and what failed."""
    name = f"{precision}, batch {batch}"
    peer = PyTorch(args, precision, batch)
    sides = {"here": lambda: ours(args, precision, batch)}
    if args.device == "cuda":
        sides["here, one graph"] = lambda: ours(args, precision, batch, "--cuda-graph")
    sides["eager"] = lambda: peer.median(peer.net)
    compiled = torch.compile(peer.net, dynamic=False)
    sides["compiled"] = lambda: peer.median(compiled)
    times, faults = {side: [] for side in sides}, []
    for _ in range(args.rounds):
        for side, measure in sides.items():
            try:
                times[side].append(measure())
            # A side that fails costs no figure of the others.
            except Exception as error:
                faults.append(f"{name}, {side}: {error}")
    medians = {side: statistics.median(found) for side, found in times.items() if found}
    print(f"\n{name}, {args.size}x{args.size}; PyTorch {torch.__version__}, {peer.layout}")
    for side, milliseconds in medians.items():
        print(f"  {side:18} {milliseconds:9.2f} ms {batch * 1e3 / milliseconds:9.1f} images/s")
    here = {side: milliseconds for side, milliseconds in medians.items() if side.startswith("here")}
    for side, target in TARGETS.items():
        if not here or side not in medians:
            continue
        best = min(here, key=here.get)
        times_as_fast = medians[side] / here[best]
        verdict = "reached" if times_as_fast >= target else "MISSED"
        print(f"  {best}: {times_as_fast:.2f} times as fast as {side}; at least {target} is {verdict}")
        if times_as_fast < target:
            faults.append(f"{name}: {times_as_fast:.2f} times as fast as PyTorch {side}, expected {target}")
    sys.stdout.flush()
    return faults


def main() -> None:
    args = parse()
    faults = [fault for precision in args.precision for batch in args.batch for fault in compare(args, precision, batch)]
    if faults:
        sys.exit("\n".join(["", *dict.fromkeys(faults)]))


if __name__ == "__main__":
    main()
