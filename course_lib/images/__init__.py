"""Where images come from: the paper's two data sets, and a stand-in for the pictures."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Examples(NamedTuple):
    """Images with their labels.

    images: (N, C, H, W) uint8, 0–255. labels: (N,) int64, 0 or 1.
    """

    images: Tensor
    labels: Tensor
