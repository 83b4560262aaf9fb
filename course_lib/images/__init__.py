"""Where images come from: the paper's two data sets, and a stand-in for the pictures."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from course_lib.support.validation import CourseError, tensor


class Examples(NamedTuple):
    """Images with their labels.

    images: (N, C, H, W) uint8, 0–255. labels: (N,) int64, 0 or 1.
    """

    images: Tensor
    labels: Tensor


def check_labels(name: str, labels: Tensor, form: str = "N") -> None:
    """Raise a CourseError unless these are int64 labels (N,), each 0 or 1."""
    tensor(name, labels, form, "int64")
    if labels.device.type == "cpu":  # a GPU would have to wait for the answer
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high > 1:
            raise CourseError(f"{name} from {low} to {high} must be 0 or 1, the two classes")
