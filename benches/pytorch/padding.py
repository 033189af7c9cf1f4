"""Padding of a deep map to the size of its skip, which odd sides need."""

import torch
import torch.nn.functional as F
from torch import Tensor


def padded(deep: Tensor, skip: Tensor) -> Tensor:
    """Pads the deep map with zeros on both sides to the height and width of the skip."""
    rows, columns = (skip.shape[axis] - deep.shape[axis] for axis in (2, 3))
    # An exporter keeps the branch of its example alone, so open sides are padded by whatever they lack.
    if isinstance(rows, torch.SymInt) or rows or columns:
        top, left = rows // 2, columns // 2
        deep = F.pad(deep, (left, columns - left, top, rows - top))
    return deep
