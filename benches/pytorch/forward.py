"""Measures PyTorch's forward pass of AMSUnet, eager or compiled, and prints one JSON line.

Input and output lie in the host's memory, as those of `seg-runtime bench` do, so that both pay for the copies.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from amsunet import AMSUnet


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--size", type=int, required=True, help="height and width")
    parser.add_argument("--precision", choices=["fp32", "tf32", "fp16"], default="fp32")
    parser.add_argument("--way", choices=["eager", "compile"], default="eager")
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--runs", type=int, default=30)
    return parser.parse_args()


def main() -> None:
    args = parse()
    torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    weights = safetensors.torch.load_file(args.weights)
    net = AMSUnet(num_classes=weights["out_conv.0.bias"].numel())
    # The counters of batches are not in the file.
    net.load_state_dict(weights, strict=False)
    dtype = torch.float16 if args.precision == "fp16" else torch.float32
    net = net.eval().to(args.device, dtype)
    if args.way == "compile":
        net = torch.compile(net)
    images = torch.from_numpy(
        np.random.default_rng(0).uniform(-2, 2, (args.batch, 3, args.size, args.size)).astype(np.float32)
    )

    @torch.inference_mode()
    def run() -> float:
        begun = time.perf_counter()
        # The copy back waits for the device.
        net(images.to(args.device, dtype)).float().cpu()
        return (time.perf_counter() - begun) * 1e3

    for _ in range(args.warm_up):
        run()
    p50, p95, p99 = np.percentile([run() for _ in range(args.runs)], [50, 95, 99], method="inverted_cdf")
    case = {name: getattr(args, name) for name in ["way", "device", "precision", "batch", "size"]}
    latency = {"p50": p50, "p95": p95, "p99": p99}
    print(json.dumps({**case, "latency_ms": latency, "images_per_second": args.batch * 1e3 / p50}))


if __name__ == "__main__":
    main()
