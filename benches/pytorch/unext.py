"""UNeXt in PyTorch, under the names of the published checkpoints."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHIFTS = 5
WIDTHS = (16, 32, 128, 160, 256)


def shift(x: Tensor, axis: int) -> Tensor:
    """Five groups of channels, moved along an axis by -2 to 2 pixels; zeros enter."""
    border = SHIFTS // 2
    padded = F.pad(x, (0, 0, border, border) if axis == 2 else (border, border))
    groups = padded.split(math.ceil(x.shape[1] / SHIFTS), dim=1)
    moved = [part.narrow(axis, 2 * border - group, x.shape[axis]) for group, part in enumerate(groups)]
    return torch.cat(moved, dim=1)


def tokens(x: Tensor) -> Tensor:
    """The pixels of a map `[n, c, h, w]` as `[n, h * w, c]`."""
    return x.flatten(2).transpose(1, 2)


def as_map(x: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `tokens`."""
    return x.transpose(1, 2).unflatten(2, (height, width))


class Depthwise(nn.Module):
    """A depthwise convolution, under the name that checkpoints have for it."""

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.dwconv(x)


class ShiftedMlp(nn.Module):
    """Two linear maps of tokens, shifted along the height and along the width before them."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, channels)
        self.dwconv = Depthwise(channels)
        self.fc2 = nn.Linear(channels, channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        x = as_map(x, height, width)
        y = as_map(self.fc1(tokens(shift(x, axis=2))), height, width)
        y = F.gelu(self.dwconv(y))
        return self.fc2(tokens(shift(y, axis=3)))


class ShiftedBlock(nn.Module):
    """Shifted linear maps of normalised tokens, added to the tokens."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = ShiftedMlp(channels)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        return x + self.mlp(self.norm2(x), height, width)


class PatchEmbed(nn.Module):
    """The tokens of a map at half the size."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.proj = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(channels_out)

    def forward(self, x: Tensor) -> tuple[Tensor, int, int]:
        x = self.proj(x)
        return self.norm(tokens(x)), *x.shape[2:]


def conv_3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A convolution with bias that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def twice(x: Tensor) -> Tensor:
    """Twice the size, and ReLU."""
    return F.relu(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))


class UNext(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, for sides that are multiples of 32."""

    def __init__(self, in_channels: int = 3, num_classes: int = 2, widths: Sequence[int] = WIDTHS):
        super().__init__()
        w = widths
        for step, (before, width) in enumerate(zip([in_channels, *w], w[:3]), start=1):
            self.add_module(f"encoder{step}", conv_3x3(before, width))
            self.add_module(f"ebn{step}", nn.BatchNorm2d(width))
        self.patch_embed3, self.patch_embed4 = PatchEmbed(w[2], w[3]), PatchEmbed(w[3], w[4])
        self.block1, self.block2 = (nn.ModuleList([ShiftedBlock(width)]) for width in w[3:])
        self.norm3, self.norm4 = nn.LayerNorm(w[3]), nn.LayerNorm(w[4])
        for step, (before, width) in enumerate(zip(w[:0:-1], w[-2::-1]), start=1):
            self.add_module(f"decoder{step}", conv_3x3(before, width))
            self.add_module(f"dbn{step}", nn.BatchNorm2d(width))
        self.decoder5 = conv_3x3(w[0], w[0])
        self.dblock1, self.dblock2 = (nn.ModuleList([ShiftedBlock(width)]) for width in (w[3], w[2]))
        self.dnorm3, self.dnorm4 = nn.LayerNorm(w[3]), nn.LayerNorm(w[2])
        self.final = nn.Conv2d(w[0], num_classes, 1)

    def encode(self, embed: PatchEmbed, block: nn.ModuleList, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        """A step of the encoder on tokens."""
        x, height, width = embed(x)
        return as_map(norm(block[0](x, height, width)), height, width)

    def decode(self, block: nn.ModuleList, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        """The part of a step of the decoder that is on tokens."""
        height, width = x.shape[2:]
        return as_map(norm(block[0](tokens(x), height, width)), height, width)

    def forward(self, x: Tensor) -> Tensor:
        t1 = F.relu(F.max_pool2d(self.ebn1(self.encoder1(x)), 2))
        t2 = F.relu(F.max_pool2d(self.ebn2(self.encoder2(t1)), 2))
        t3 = F.relu(F.max_pool2d(self.ebn3(self.encoder3(t2)), 2))
        t4 = self.encode(self.patch_embed3, self.block1, self.norm3, t3)
        y = self.encode(self.patch_embed4, self.block2, self.norm4, t4)
        y = self.decode(self.dblock1, self.dnorm3, twice(self.dbn1(self.decoder1(y))) + t4)
        y = self.decode(self.dblock2, self.dnorm4, twice(self.dbn2(self.decoder2(y))) + t3)
        y = twice(self.dbn3(self.decoder3(y))) + t2
        y = twice(self.dbn4(self.decoder4(y))) + t1
        return self.final(twice(self.decoder5(y)))
