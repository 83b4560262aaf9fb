"""The paper's learned arms (§5): AugNet makes new images, its control feeds it one image twice."""

from __future__ import annotations

from torch import Tensor

from course_lib.arms.arm import Choices
from course_lib.arms.pairs import Augmenter, Loss
from course_lib.models import AugNet


def neural(
    images: Tensor, labels: Tensor, choices: Choices, loss: Loss | None = None, alone: bool = False
) -> Augmenter:
    """AugNet on two random training images of a class, or `alone`, on each image itself, twice.

    `loss` compares what it makes with a third image of the class (§5).
    """
    augnet = AugNet(images.shape[1], choices.initialisation)
    return Augmenter(
        images, labels, lambda first, second, _: augnet(first, second), augnet, loss, alone
    )
