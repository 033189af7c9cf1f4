"""SegNeXt in PyTorch, under the names of the published checkpoints, with first bases that are drawn once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
STEPS = 7
STEPS_TRAINING = 6
EPSILON = 1e-6


def depthwise(channels: int, height: int, width: int) -> nn.Conv2d:
    """A depthwise convolution that keeps the size."""
    return nn.Conv2d(channels, channels, (height, width), padding=(height // 2, width // 2), groups=channels)


class StripAttention(nn.Module):
    """Depthwise convolutions of strips, as factors of the map."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = depthwise(channels, 5, 5)
        self.conv0_1, self.conv0_2 = depthwise(channels, 1, 7), depthwise(channels, 7, 1)
        self.conv1_1, self.conv1_2 = depthwise(channels, 1, 11), depthwise(channels, 11, 1)
        self.conv2_1, self.conv2_2 = depthwise(channels, 1, 21), depthwise(channels, 21, 1)
        self.conv3 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv0(x)
        strips = self.conv0_2(self.conv0_1(a)) + self.conv1_2(self.conv1_1(a)) + self.conv2_2(self.conv2_1(a))
        return self.conv3(a + strips) * x


class Attention(nn.Module):
    """The strips' attention between two 1x1 convolutions, added to what they were given."""

    def __init__(self, channels: int):
        super().__init__()
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.spatial_gating_unit = StripAttention(channels)
        self.proj_2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.proj_2(self.spatial_gating_unit(F.gelu(self.proj_1(x))))


class Depthwise(nn.Module):
    """A depthwise convolution, under the name that checkpoints have for it."""

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = depthwise(channels, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.dwconv(x)


class Mlp(nn.Module):
    """The feed-forward part of a block."""

    def __init__(self, channels: int, wide: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, wide, 1)
        self.dwconv = Depthwise(wide)
        self.fc2 = nn.Conv2d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.dwconv(self.fc1(x))))


class Block(nn.Module):
    """Attention and feed-forward part, each scaled channel by channel and added to what it was given."""

    def __init__(self, channels: int, ratio: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.attn = Attention(channels)
        self.mlp = Mlp(channels, ratio * channels)
        self.layer_scale_1 = nn.Parameter(torch.full((channels,), 0.01))
        self.layer_scale_2 = nn.Parameter(torch.full((channels,), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1[:, None, None] * self.attn(self.norm1(x))
        return x + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(x))


def half(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A convolution to half the size."""
    return nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)


class Stem(nn.Module):
    """The image at a quarter of the size."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        middle = channels_out // 2
        self.proj = nn.Sequential(
            half(channels_in, middle),
            nn.BatchNorm2d(middle),
            nn.GELU(),
            half(middle, channels_out),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Embed(nn.Module):
    """The features at half the size."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.proj = half(channels_in, channels_out)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x))


class Backbone(nn.Module):
    """Four stages at 1/4 to 1/32 of the size."""

    def __init__(self, in_channels: int, widths: Sequence[int], depths: Sequence[int], ratios: Sequence[int]):
        super().__init__()
        before = in_channels
        for stage, (width, depth, ratio) in enumerate(zip(widths, depths, ratios), start=1):
            self.add_module(f"patch_embed{stage}", (Stem if stage == 1 else Embed)(before, width))
            self.add_module(f"block{stage}", nn.Sequential(*(Block(width, ratio) for _ in range(depth))))
            self.add_module(f"norm{stage}", nn.LayerNorm(width))
            before = width

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in range(1, 5):
            x = self.get_submodule(f"block{stage}")(self.get_submodule(f"patch_embed{stage}")(x))
            norm = self.get_submodule(f"norm{stage}")
            x = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            maps.append(x)
        return maps


class ConvNorm(nn.Module):
    """A 1x1 convolution, with bias if it has no normalisation in groups behind it."""

    def __init__(self, channels_in: int, channels_out: int, norm: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 1, bias=not norm)
        if norm:
            self.gn = nn.GroupNorm(GROUPS, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.gn(x) if hasattr(self, "gn") else x


def update(factor: Tensor, x: Tensor, other: Tensor) -> Tensor:
    """A factor `F` of `X = F G^T` after a multiplicative update."""
    return factor * (x @ other) / (factor @ (other.transpose(1, 2) @ other) + EPSILON)


class Factors(nn.Module):
    """The product of bases and coefficients that approximates a map without negative numbers."""

    def __init__(self, channels: int, rank: int):
        super().__init__()
        self.register_buffer("bases", F.normalize(torch.rand(1, channels, rank), dim=1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = x.flatten(2)
        turned = x.transpose(1, 2)
        bases = self.bases.expand(len(x), -1, -1)
        coefficients = (turned @ bases).softmax(dim=2)
        for _ in range(STEPS_TRAINING if self.training else STEPS):
            coefficients = update(coefficients, turned, bases)
            bases = update(bases, x, coefficients)
        coefficients = update(coefficients, turned, bases)
        return (bases @ coefficients.transpose(1, 2)).unflatten(2, (height, width))


class Hamburger(nn.Module):
    """The factorisation between two 1x1 convolutions, added to what they were given."""

    def __init__(self, channels: int, rank: int):
        super().__init__()
        self.ham_in = ConvNorm(channels, channels, norm=False)
        self.ham = Factors(channels, rank)
        self.ham_out = ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.ham_out(self.ham(F.relu(self.ham_in(x)))))


class Head(nn.Module):
    """The logits at 1/8 of the size, from the last three stages."""

    def __init__(self, widths: Sequence[int], ham_channels: int, channels: int, rank: int, num_classes: int):
        super().__init__()
        self.squeeze = ConvNorm(sum(widths), ham_channels)
        self.hamburger = Hamburger(ham_channels, rank)
        self.align = ConvNorm(ham_channels, channels)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        size = maps[0].shape[2:]
        x = torch.cat([resize(x, size) for x in maps], dim=1)
        x = self.hamburger(F.relu(self.squeeze(x)))
        return self.conv_seg(F.relu(self.align(x)))


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """A map at another size."""
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


class SegNext(nn.Module):
    """`[n, in_channels, h, w]` to logits `[n, num_classes, h, w]`, without dropping values or paths at random.

    The defaults are those of SegNeXt-T.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        widths: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (3, 3, 5, 2),
        ratios: Sequence[int] = (8, 8, 4, 4),
        ham_channels: int = 256,
        head_channels: int = 256,
        rank: int = 16,
    ):
        super().__init__()
        self.backbone = Backbone(in_channels, widths, depths, ratios)
        self.decode_head = Head(widths[1:], ham_channels, head_channels, rank, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return resize(self.decode_head(self.backbone(x)[1:]), x.shape[2:])
