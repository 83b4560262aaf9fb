"""Where images come from: the paper's two data sets, stand-ins, and pictures of your own."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Examples(NamedTuple):
    """Images (N, C, H, W), uint8 from 0 to 255, with their labels (N,), int64, 0 or 1."""

    images: Tensor
    labels: Tensor


def labelled(parts: Sequence[Tensor]) -> Examples:
    """The images of each class, (N, C, H, W), together: those of part k get label k."""
    labels = [torch.full((len(part),), label) for label, part in enumerate(parts)]
    return Examples(torch.cat(list(parts)), torch.cat(labels))
