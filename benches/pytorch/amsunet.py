"""AMSUnet and its loss in PyTorch, under the names of the published checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from padding import padded

IGNORE_LABEL = 255
DICE_EPSILON = 1e-6


def depthwise(channels: int, kernel: tuple[int, int], dilation: int = 1) -> nn.Conv2d:
    """A depthwise convolution that keeps the size."""
    padding = tuple(dilation * (side - 1) // 2 for side in kernel)
    return nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels)


class AMS(nn.Module):
    """The attention map of one dilation and three strip lengths, times what it attends to."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.conv = depthwise(channels, (3, 3))
        self.conv0 = depthwise(channels, (3, 3), dilation)
        self.conv0_1 = depthwise(channels, (1, 5))
        self.conv0_2 = depthwise(channels, (5, 1))
        self.conv1_1 = depthwise(channels, (1, 7))
        self.conv1_2 = depthwise(channels, (7, 1))
        self.conv2_1 = depthwise(channels, (1, 11))
        self.conv2_2 = depthwise(channels, (11, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        local = self.conv(x)
        atrous = self.conv0(local)
        strip_5 = self.conv0_2(self.conv0_1(atrous))
        strip_7 = self.conv1_2(self.conv1_1(atrous))
        strip_11 = self.conv2_2(self.conv2_1(atrous))
        return self.conv3(local + atrous + strip_5 + strip_7 + strip_11) * x


class Attention(nn.Module):
    """AMS between two pointwise convolutions."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.ams = AMS(channels, dilation)
        self.conv2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.ams(F.gelu(self.conv1(x))))


class FFN(nn.Module):
    """The feed-forward part, four times as wide in its middle."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 4 * channels, 1)
        self.conv2 = depthwise(4 * channels, (3, 3))
        self.conv3 = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(self.conv1(x))))


class AMSE(nn.Module):
    """Attention and feed-forward part under one residual."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.attn = Attention(channels, dilation)
        self.bn2 = nn.BatchNorm2d(channels)
        self.ffn = FFN(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.ffn(self.bn2(self.attn(self.bn1(x)))) + x)


class SpatialWeight(nn.Module):
    """Every pixel weighted by one number."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.squeeze(x).sigmoid()


class ChannelWeight(nn.Module):
    """Every channel weighted by one number."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = F.adaptive_avg_pool2d(x, 1)
        return x * self.conv2(F.relu(self.conv1(mean))).sigmoid()


class Up(nn.Module):
    """A step of the decoder: the deep features at the skip's size, joined with the weighted skip."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        half = channels_in // 2
        self.norm = nn.BatchNorm2d(half)
        self.satt = SpatialWeight(half)
        self.catt = ChannelWeight(half)
        self.conv1x1 = nn.Conv2d(channels_in, channels_out, 1)
        self.conv = nn.Sequential(AMSE(channels_out))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        deep = padded(F.interpolate(self.norm(deep), scale_factor=2, mode="bilinear", align_corners=True), skip)
        skip = skip + self.satt(skip) * self.catt(skip)
        return self.conv(self.conv1x1(torch.cat((skip, deep), dim=1)))


def down(channels_in: int, channels_out: int, dilation: int) -> nn.Sequential:
    """A step of the encoder: half the size."""
    return nn.Sequential(
        nn.BatchNorm2d(channels_in),
        nn.Conv2d(channels_in, channels_out, 2, stride=2),
        AMSE(channels_out, dilation),
    )


class AMSUnet(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, for sides of at least 16."""

    def __init__(self, in_channels: int = 3, num_classes: int = 2, base_width: int = 32):
        super().__init__()
        b = base_width
        self.in_conv = nn.Sequential(
            nn.Conv2d(in_channels, b, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(b), nn.GELU(), AMSE(b)
        )
        self.down1 = down(b, 2 * b, 1)
        self.down2 = down(2 * b, 4 * b, 1)
        self.down3 = down(4 * b, 8 * b, 3)
        self.down4 = down(8 * b, 8 * b, 5)
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
        x5 = self.down4(x4)
        y = self.up1(x5, x4)
        y = self.up2(y, x3)
        y = self.up3(y, x2)
        y = self.up4(y, x1)
        return self.out_conv(y)


def loss(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cross entropy plus Dice loss, and the two terms; pixels labelled `IGNORE_LABEL` count in neither."""
    cross_entropy = F.cross_entropy(logits, target, ignore_index=IGNORE_LABEL)
    counted = target != IGNORE_LABEL
    truth = torch.stack([target == label for label in range(logits.shape[1])], dim=1).float()
    probability = logits.softmax(dim=1) * counted.unsqueeze(1)
    overlap = (probability * truth).sum(dim=(2, 3))
    sizes = probability.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    dice = 1 - ((2 * overlap + DICE_EPSILON) / (sizes + DICE_EPSILON)).mean()
    return cross_entropy + dice, cross_entropy, dice
