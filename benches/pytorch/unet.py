"""U-Net and ResUNet in PyTorch, under the names of their checkpoints."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from padding import padded


def conv_3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A convolution that keeps the size; the normalisation behind it has the bias."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)


class DoubleConv(nn.Sequential):
    """Two convolutions, each with its normalisation and ReLU."""

    def __init__(self, channels_in: int, middle: int, channels_out: int):
        first = (conv_3x3(channels_in, middle), nn.BatchNorm2d(middle), nn.ReLU(inplace=True))
        second = (conv_3x3(middle, channels_out), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))
        super().__init__(*first, *second)


class Residual(nn.Module):
    """Two convolutions and a shortcut, which is a convolution where the number of channels changes."""

    def __init__(self, channels_in: int, middle: int, channels_out: int):
        super().__init__()
        self.conv1 = conv_3x3(channels_in, middle)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = conv_3x3(middle, channels_out)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Sequential()
        if channels_in != channels_out:
            self.shortcut = nn.Sequential(conv_3x3(channels_in, channels_out), nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


Block = Callable[[int, int, int], nn.Module]


class Up(nn.Module):
    """A step of the decoder: the deep features at the skip's size, behind the skip."""

    def __init__(self, block: Block, channels_in: int, channels_out: int):
        super().__init__()
        self.conv = block(channels_in, channels_in // 2, channels_out)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        deep = padded(F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=True), skip)
        return self.conv(torch.cat((skip, deep), dim=1))


class UNet(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, for sides of at least 16."""

    block: Block = DoubleConv

    def __init__(self, in_channels: int = 3, num_classes: int = 2, base_width: int = 32):
        super().__init__()
        b, block = base_width, type(self).block
        self.in_conv = block(in_channels, b, b)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), block(b, 2 * b, 2 * b))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), block(2 * b, 4 * b, 4 * b))
        self.down3 = nn.Sequential(nn.MaxPool2d(2), block(4 * b, 8 * b, 8 * b))
        self.down4 = nn.Sequential(nn.MaxPool2d(2), block(8 * b, 8 * b, 8 * b))
        self.up1 = Up(block, 16 * b, 4 * b)
        self.up2 = Up(block, 8 * b, 2 * b)
        self.up3 = Up(block, 4 * b, b)
        self.up4 = Up(block, 2 * b, b)
        self.out_conv = nn.Sequential(nn.Conv2d(b, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.in_conv(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.down3(x3)
        y = self.up1(self.down4(x4), x4)
        y = self.up2(y, x3)
        y = self.up3(y, x2)
        return self.out_conv(self.up4(y, x1))


class ResUNet(UNet):
    """U-Net with residual blocks."""

    block = Residual
