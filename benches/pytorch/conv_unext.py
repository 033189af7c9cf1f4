"""ConvUNeXt in PyTorch, under the names of the published checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from padding import padded


class PixelLinear(nn.Linear):
    """A linear map of each pixel's channels, `[n, c, h, w]`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


class Block(nn.Module):
    """A wide depthwise convolution and two linear maps of each pixel, added to what they were given."""

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, padding_mode="reflect")
        self.norm1 = nn.BatchNorm2d(channels)
        self.pwconv1 = PixelLinear(channels, 4 * channels)
        self.pwconv2 = PixelLinear(4 * channels, channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.gelu(self.pwconv1(self.norm1(self.dwconv(x))))
        return F.gelu(x + self.norm2(self.pwconv2(y)))


class Up(nn.Module):
    """A step of the decoder: the deep features at the skip's size, behind the skip, which they gate."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        channels = channels_in // 2
        self.norm = nn.BatchNorm2d(channels)
        self.gate = PixelLinear(channels, 3 * channels)
        self.linear1 = PixelLinear(channels, channels)
        self.linear2 = PixelLinear(channels, channels)
        self.conv1x1 = nn.Conv2d(channels_in, channels_out, 1)
        self.conv = nn.Sequential(Block(channels_out))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        deep = padded(F.interpolate(self.norm(deep), scale_factor=2, mode="bilinear", align_corners=True), skip)
        kept, opened, added = self.gate(deep).chunk(3, dim=1)
        gated = torch.sigmoid(self.linear1(kept + skip)) * skip + torch.sigmoid(opened) * torch.tanh(added)
        return self.conv(self.conv1x1(torch.cat((self.linear2(gated), deep), dim=1)))


def down(channels_in: int, channels_out: int, blocks: int = 1) -> nn.Sequential:
    """Half the size, and blocks."""
    conv = nn.Conv2d(channels_in, channels_out, 2, stride=2)
    return nn.Sequential(nn.BatchNorm2d(channels_in), conv, *(Block(channels_out) for _ in range(blocks)))


class ConvUNext(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, for sides of at least 64."""

    def __init__(self, in_channels: int = 3, num_classes: int = 2, base_width: int = 32):
        super().__init__()
        b = base_width
        stem = nn.Conv2d(in_channels, b, 7, padding=3, padding_mode="reflect")
        self.in_conv = nn.Sequential(stem, nn.BatchNorm2d(b), nn.GELU(), Block(b))
        self.down1 = down(b, 2 * b)
        self.down2 = down(2 * b, 4 * b)
        self.down3 = down(4 * b, 8 * b, blocks=3)
        self.down4 = down(8 * b, 8 * b)
        self.up1 = Up(16 * b, 4 * b)
        self.up2 = Up(8 * b, 2 * b)
        self.up3 = Up(4 * b, b)
        self.up4 = Up(2 * b, b)
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
