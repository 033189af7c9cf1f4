"""The published ResUNet in PyTorch, under the names of its checkpoints."""

import torch
from torch import Tensor, nn


def conv_3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """A convolution with bias that keeps the size, or halves it."""
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding=1)


class Residual(nn.Module):
    """Two convolutions behind normalisation and ReLU, and a convolution beside them."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.BatchNorm2d(channels_in),
            nn.ReLU(inplace=True),
            conv_3x3(channels_in, channels_out, stride),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            conv_3x3(channels_out, channels_out),
        )
        self.conv_skip = nn.Sequential(conv_3x3(channels_in, channels_out, stride), nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block(x) + self.conv_skip(x)


class Upsample(nn.Module):
    """Twice the size by a transposed convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(x)


class ResUNetCanonical(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, for sides that are multiples of 8."""

    def __init__(self, in_channels: int = 3, num_classes: int = 2, base_width: int = 32):
        super().__init__()
        b = base_width
        self.input_layer = nn.Sequential(
            conv_3x3(in_channels, b), nn.BatchNorm2d(b), nn.ReLU(inplace=True), conv_3x3(b, b)
        )
        self.input_skip = nn.Sequential(conv_3x3(in_channels, b))
        self.residual_conv_1 = Residual(b, 2 * b, 2)
        self.residual_conv_2 = Residual(2 * b, 4 * b, 2)
        self.bridge = Residual(4 * b, 8 * b, 2)
        self.upsample_1 = Upsample(8 * b)
        self.up_residual_conv1 = Residual(12 * b, 4 * b, 1)
        self.upsample_2 = Upsample(4 * b)
        self.up_residual_conv2 = Residual(6 * b, 2 * b, 1)
        self.upsample_3 = Upsample(2 * b)
        self.up_residual_conv3 = Residual(3 * b, b, 1)
        self.output_layer = nn.Sequential(nn.Conv2d(b, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.input_layer(x) + self.input_skip(x)
        x2 = self.residual_conv_1(x1)
        x3 = self.residual_conv_2(x2)
        y = self.upsample_1(self.bridge(x3))
        y = self.up_residual_conv1(torch.cat((y, x3), dim=1))
        y = self.up_residual_conv2(torch.cat((self.upsample_2(y), x2), dim=1))
        y = self.up_residual_conv3(torch.cat((self.upsample_3(y), x1), dim=1))
        return self.output_layer(y)
