"""The paper's learned arms (§5): AugNet makes new images, its control feeds it one image twice."""

from __future__ import annotations

from torch import Tensor

from course_lib.arms.arm import Choices
from course_lib.arms.pairs import Augmenter, Loss
from course_lib.losses import content_loss, style_loss
from course_lib.models import AugNet


def neural(
    images: Tensor, labels: Tensor, choices: Choices, loss: Loss | None = None, alone: bool = False
) -> Augmenter:
    """AugNet on two random training images of a class, with or without an augmentation loss."""
    augnet = AugNet(images.shape[1], choices.initialisation)

    def mix(first: Tensor, second: Tensor, draws: object) -> Tensor:
        return augnet(first, second)

    return Augmenter(images, labels, mix, augnet, loss, alone)


def neural_content(images: Tensor, labels: Tensor, choices: Choices) -> Augmenter:
    """AugNet whose images shall resemble a third image of the class, value by value."""
    return neural(images, labels, choices, content_loss)


def neural_style(images: Tensor, labels: Tensor, choices: Choices) -> Augmenter:
    """AugNet whose images shall have the colours of a third image of the class."""
    return neural(images, labels, choices, style_loss)


def control(images: Tensor, labels: Tensor, choices: Choices) -> Augmenter:
    """AugNet on each training image itself, twice, without an augmentation loss."""
    return neural(images, labels, choices, alone=True)
