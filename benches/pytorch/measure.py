"""Measures PyTorch's training step or forward pass of a network in this process, and prints one JSON line."""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from amsunet import IGNORE_LABEL, loss
from networks import NETWORKS

LEARNING_RATE = 2e-4
WEIGHT_DECAY = 5e-5


def batch(n: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise under a brighter disc, and the disc as its label; the same numbers as in `benches/training/batch.rs`."""
    rows, columns = np.ogrid[:height, :width]
    inside = (2 * rows - height) ** 2 + (2 * columns - width) ** 2 < min(height, width) ** 2 // 4
    labels = inside.astype(np.int64)
    labels[: height // 16] = IGNORE_LABEL
    index = np.arange(n * 3 * height * width, dtype=np.int64).reshape(n, 3, height, width)
    noise = (index * 7919 % 1000).astype(np.float32) / np.float32(500) - np.float32(1)
    images = noise + inside.astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(labels).expand(n, height, width).contiguous()


def memory(field: str) -> int:
    """A field of this process's status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def cpu_seconds() -> float:
    """What all threads of this process took so far, in user and system mode."""
    times = os.times()
    return times.user + times.system


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=["train", "forward"], required=True)
    parser.add_argument("--network", choices=NETWORKS, default="amsunet", help="at base width 32, if it has one")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="timed steps, after one that is not")
    parser.add_argument("--weights", type=Path, help="a .safetensors file to start from")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:INDEX")
    parser.add_argument("--save", type=Path, help="a .safetensors file for the weights after the last training step")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--tf32", action="store_true", help="products of float32 in TF32, on a GPU")
    parser.add_argument("--amp", action="store_true", help="bfloat16 by autocast where PyTorch does so")
    parser.add_argument("--profile", action="store_true", help="print the time by operator instead")
    return parser.parse_args()


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = args.tf32
    torch.backends.cudnn.allow_tf32 = args.tf32
    # The sizes stay the same, so looking for the fastest convolutions pays.
    torch.backends.cudnn.benchmark = True
    net = NETWORKS[args.network]()
    if args.weights:
        missing, foreign = net.load_state_dict(safetensors.torch.load_file(args.weights), strict=False)
        # The counters of batches are not in the file.
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or foreign:
            raise SystemExit(f"{args.weights} is of another network: it lacks {missing} and has {foreign}")
    net = net.to(args.device)
    images, labels = (tensor.to(args.device) for tensor in batch(args.batch, *args.size))
    if args.channels_last:
        net = net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    losses = []
    kind = torch.device(args.device).type

    def train() -> None:
        with torch.autocast(kind, torch.bfloat16, enabled=args.amp):
            logits = net(images)
        total, _, _ = loss(logits.float(), labels)
        total.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total.item())

    @torch.inference_mode()
    def forward() -> None:
        with torch.autocast(kind, torch.bfloat16, enabled=args.amp):
            # The copy back waits for the device.
            net(images).cpu()

    net.train(args.task == "train")
    step = train if args.task == "train" else forward
    rss_before = memory("VmRSS")
    step()
    if args.profile:
        with torch.profiler.profile() as profile:
            for _ in range(args.steps):
                step()
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=40))
        return
    seconds = []
    cpu_begun = cpu_seconds()
    for _ in range(args.steps):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    cpu = (cpu_seconds() - cpu_begun) / args.steps
    if args.save:
        safetensors.torch.save_file({name: value.cpu().contiguous() for name, value in net.state_dict().items()}, args.save)
    print(
        json.dumps(
            {
                "seconds_median": statistics.median(seconds),
                "seconds_min": min(seconds),
                "cpu_seconds": cpu,
                "rss_before": rss_before,
                "rss_peak": memory("VmHWM"),
                "losses": losses,
                "version": f"PyTorch {torch.__version__}",
            }
        )
    )


if __name__ == "__main__":
    main()
