import pytest
import torch
from torch import nn

from course_lib.models import SmallNet


def test_the_papers_layers():
    kinds = [type(layer).__name__ for layer in SmallNet() if not isinstance(layer, nn.ReLU)]
    assert kinds == [
        "Conv2d", "BatchNorm2d", "MaxPool2d", "Conv2d", "Conv2d", "BatchNorm2d", "MaxPool2d",
        "Flatten", "Linear", "Dropout", "Linear",
    ]  # fmt: skip


def test_parameter_count():
    assert sum(weights.numel() for weights in SmallNet().parameters()) == 8_406_114


@pytest.mark.parametrize(("channels", "side"), [(3, 64), (1, 28), (3, 32), (1, 4), (3, 100)])
def test_scores(channels, side):
    assert SmallNet(channels, side)(torch.randn(5, channels, side, side)).shape == (5, 2)
