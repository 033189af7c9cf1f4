"""Writes PyTorch's own exports of a network, and its weights, for `cargo bench --bench export`."""

import argparse
from pathlib import Path

import safetensors.torch
import torch

from networks import NETWORKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="amsunet", help="at base width 32")
    parser.add_argument("--weights", type=Path, help="a .safetensors file; without it, fresh weights")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="export for this size alone")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the files")
    args = parser.parse_args()
    torch.manual_seed(0)
    net = NETWORKS[args.network]().eval()
    if args.weights:
        net.load_state_dict(safetensors.torch.load_file(args.weights), strict=False)
    args.out.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    safetensors.torch.save_file(state, args.out / "weights.safetensors")
    image = torch.zeros(1, 3, *(args.size or (256, 256)))
    auto = torch.export.Dim.AUTO
    open_sizes = None if args.size else ({0: auto, 2: auto, 3: auto},)
    torch.onnx.export(
        net,
        (image,),
        args.out / "torch_dynamo_opset20.onnx",
        dynamo=True,
        opset_version=20,
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=open_sizes,
        external_data=False,
    )


if __name__ == "__main__":
    main()
