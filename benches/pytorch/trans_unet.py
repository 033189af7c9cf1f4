"""TransUNet in PyTorch, under the names of the published checkpoints."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 32
EPSILON = 1e-6


class StandardConv(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1; zeros are added at the border."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1):
        super().__init__(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
        weight = (self.weight - mean) / torch.sqrt(variance + 1e-5)
        return F.conv2d(x, weight, None, self.stride, self.padding)


class Unit(nn.Module):
    """Three convolutions, and what they were given, with a convolution where the shape changes."""

    def __init__(self, channels_in: int, middle: int, channels_out: int, stride: int):
        super().__init__()
        self.conv1 = StandardConv(channels_in, middle, 1)
        self.gn1 = nn.GroupNorm(GROUPS, middle, EPSILON)
        self.conv2 = StandardConv(middle, middle, 3, stride)
        self.gn2 = nn.GroupNorm(GROUPS, middle, EPSILON)
        self.conv3 = StandardConv(middle, channels_out, 1)
        self.gn3 = nn.GroupNorm(GROUPS, channels_out, EPSILON)
        self.changes = channels_in != channels_out or stride != 1
        if self.changes:
            self.downsample = StandardConv(channels_in, channels_out, 1, stride)
            self.gn_proj = nn.GroupNorm(channels_out, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.gn1(self.conv1(x)), inplace=True)
        y = F.relu(self.gn2(self.conv2(y)), inplace=True)
        y = self.gn3(self.conv3(y))
        if self.changes:
            x = self.gn_proj(self.downsample(x))
        return F.relu(x + y, inplace=True)


class Root(nn.Module):
    """A wide convolution to half the size."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv = StandardConv(channels_in, channels_out, 7, 2)
        self.gn = nn.GroupNorm(GROUPS, channels_out, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.gn(self.conv(x)), inplace=True)


def residual(channels_in: int, middle: int, units: int, stride: int) -> nn.Sequential:
    """A stage of units, the first with the stride."""
    stage = nn.Sequential()
    for number in range(1, units + 1):
        unit = Unit(channels_in, middle, 4 * middle, stride) if number == 1 else Unit(4 * middle, middle, 4 * middle, 1)
        stage.add_module(f"unit{number}", unit)
    return stage


class Hybrid(nn.Module):
    """The residual network: its output at 1/16 of the size, and maps for the decoder, the deepest first."""

    def __init__(self, channels_in: int, width: int, units: Sequence[int]):
        super().__init__()
        self.root = Root(channels_in, width)
        self.body = nn.Module()
        self.body.block1 = residual(width, width, units[0], 1)
        self.body.block2 = residual(4 * width, 2 * width, units[1], 2)
        self.body.block3 = residual(8 * width, 4 * width, units[2], 2)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        quarter = [side // 4 for side in x.shape[2:]]
        x1 = self.root(x)
        x2 = self.body.block1(F.max_pool2d(x1, 3, 2))
        x3 = self.body.block2(x2)
        # The pooling has lost a row and a column, which the decoder expects.
        padded = F.pad(x2, (0, quarter[1] - x2.shape[3], 0, quarter[0] - x2.shape[2]))
        return self.body.block3(x3), [x3, padded, x1]


class Embeddings(nn.Module):
    """The tokens of the residual network's output, each with its place."""

    def __init__(self, channels_in: int, side: int, width: int, units: Sequence[int], hidden: int):
        super().__init__()
        self.hybrid_model = Hybrid(channels_in, width, units)
        self.patch_embeddings = nn.Conv2d(16 * width, hidden, 1)
        self.position_embeddings = nn.Parameter(torch.zeros(1, (side // 16) ** 2, hidden))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, skips = self.hybrid_model(x)
        return self.patch_embeddings(x).flatten(2).transpose(1, 2) + self.position_embeddings, skips


class Attention(nn.Module):
    """Attention between all tokens."""

    def __init__(self, hidden: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for linear in (self.query, self.key, self.value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """The feed-forward part of a layer."""

    def __init__(self, hidden: int, wide: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(hidden, wide), nn.Linear(wide, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    """Attention and feed-forward part, each of normalised tokens and added to them."""

    def __init__(self, hidden: int, heads: int, mlp: int):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(hidden, EPSILON), nn.LayerNorm(hidden, EPSILON)
        self.attn = Attention(hidden, heads)
        self.ffn = Mlp(hidden, mlp)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


class Encoder(nn.Module):
    """The layers of the transformer, and a normalisation."""

    def __init__(self, hidden: int, heads: int, layers: int, mlp: int):
        super().__init__()
        self.layer = nn.Sequential(*(Layer(hidden, heads, mlp) for _ in range(layers)))
        self.encoder_norm = nn.LayerNorm(hidden, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder_norm(self.layer(x))


def conv_norm(channels_in: int, channels_out: int) -> nn.Sequential:
    """A convolution with its normalisation and ReLU."""
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


class Up(nn.Module):
    """A step of the decoder: the deep features at twice the size, before the skip if there is one."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv1, self.conv2 = conv_norm(channels_in, channels_out), conv_norm(channels_out, channels_out)

    def forward(self, deep: Tensor, skip: Tensor | None) -> Tensor:
        x = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=True)
        if skip is not None:
            x = torch.cat((x, skip), dim=1)
        return self.conv2(self.conv1(x))


class Decoder(nn.Module):
    """The tokens as a map, and steps to the full size."""

    def __init__(self, hidden: int, more: int, skips: Sequence[int], widths: Sequence[int]):
        super().__init__()
        self.conv_more = conv_norm(hidden, more)
        deep = [more, *widths]
        self.blocks = nn.ModuleList(Up(before + skip, width) for before, skip, width in zip(deep, skips, widths))

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        x = self.conv_more(x)
        for block, skip in zip(self.blocks, [*skips, None]):
            x = block(x, skip)
        return x


class TransUNet(nn.Module):
    """`[n, in_channels, side, side]` to logits `[n, num_classes, side, side]`, without dropping values at random.

    The defaults are the small configuration of `training/case.rs`; the published network has about twenty times as
    many parameters.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        side: int = 224,
        width: int = 32,
        units: Sequence[int] = (2, 2, 2),
        hidden: int = 192,
        heads: int = 12,
        layers: int = 8,
        mlp: int = 768,
        more: int = 128,
        decoder: Sequence[int] = (64, 32, 16, 16),
    ):
        super().__init__()
        self.transformer = nn.Module()
        self.transformer.embeddings = Embeddings(in_channels, side, width, units, hidden)
        self.transformer.encoder = Encoder(hidden, heads, layers, mlp)
        self.decoder = Decoder(hidden, more, (8 * width, 4 * width, width, 0), decoder)
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder[-1], num_classes, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        sides = [side // 16 for side in x.shape[2:]]
        tokens, skips = self.transformer.embeddings(x)
        tokens = self.transformer.encoder(tokens)
        x = self.decoder(tokens.transpose(1, 2).unflatten(2, sides), skips)
        return self.segmentation_head(x)
