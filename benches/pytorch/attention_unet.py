"""Attention U-Net in PyTorch, under the names of the published checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoubleConv(nn.Module):
    """Two convolutions with bias, each with its normalisation and ReLU."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Up(nn.Module):
    """Twice the size by the nearest pixel, and a convolution to the skip's channels."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), conv, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class Gate(nn.Module):
    """Every pixel of the skip weighted by one number, from the skip and the deep features."""

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 2
        self.W_g = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner))
        self.W_x = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        return skip * self.psi(F.relu(self.W_g(deep) + self.W_x(skip)))


class AttentionUNet(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, for sides that are multiples of 16."""

    def __init__(self, in_channels: int = 3, num_classes: int = 2, base_width: int = 32):
        super().__init__()
        widths = [base_width << level for level in range(5)]
        for level, (before, width) in enumerate(zip([in_channels, *widths], widths), start=1):
            self.add_module(f"Conv{level}", DoubleConv(before, width))
        for level in range(5, 1, -1):
            deep, width = widths[level - 1], widths[level - 2]
            self.add_module(f"Up{level}", Up(deep, width))
            self.add_module(f"Att{level}", Gate(width))
            self.add_module(f"Up_conv{level}", DoubleConv(2 * width, width))
        self.Conv_1x1 = nn.Conv2d(base_width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.Conv1(x)]
        for level in range(2, 6):
            skips.append(self.get_submodule(f"Conv{level}")(F.max_pool2d(skips[-1], 2)))
        y = skips.pop()
        for level in range(5, 1, -1):
            y = self.get_submodule(f"Up{level}")(y)
            gated = self.get_submodule(f"Att{level}")(y, skips.pop())
            y = self.get_submodule(f"Up_conv{level}")(torch.cat((gated, y), dim=1))
        return self.Conv_1x1(y)
