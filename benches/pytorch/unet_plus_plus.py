"""UNet++ in PyTorch, under the names of the published checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 5


class Node(nn.Module):
    """Two convolutions with bias, each with its normalisation and ReLU."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


class UNetPlusPlus(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, for sides that are multiples of 16.

    The node `convI_J` is at level I of the size and joins all earlier nodes of its level with the one below.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 2, base_width: int = 32):
        super().__init__()
        widths = [base_width << level for level in range(LEVELS)]
        for level, (before, width) in enumerate(zip([in_channels, *widths], widths)):
            self.add_module(f"conv{level}_0", Node(before, width))
        for step in range(1, LEVELS):
            for level in range(LEVELS - step):
                node = Node(step * widths[level] + widths[level + 1], widths[level])
                self.add_module(f"conv{level}_{step}", node)
        self.final = nn.Conv2d(base_width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = [[self.conv0_0(x)]]
        for level in range(1, LEVELS):
            rows.append([self.get_submodule(f"conv{level}_0")(F.max_pool2d(rows[-1][0], 2))])
            # The nodes that this one completes, from below upwards.
            for step in range(1, level + 1):
                up = F.interpolate(rows[level - step + 1][-1], scale_factor=2, mode="bilinear", align_corners=True)
                row = rows[level - step]
                row.append(self.get_submodule(f"conv{level - step}_{step}")(torch.cat((*row, up), dim=1)))
        return self.final(rows[0][-1])
