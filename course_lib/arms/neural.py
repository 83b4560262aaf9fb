"""The paper's learned arms (§5): AugNet makes new images, its control feeds it one image twice."""

from torch import Tensor

from course_lib.arms.arm import Choices
from course_lib.arms.pairs import Augmenter, Loss
from course_lib.models import AugNet


def neural(
    images: Tensor, labels: Tensor, choices: Choices, loss: Loss | None = None, alone: bool = False
) -> Augmenter:
    """AugNet on two random training images of a class, or `alone`, on each itself, twice (§5)."""
    augnet = AugNet(images.shape[1], choices.initialisation, choices.augnet_gain)
    return Augmenter(images, labels, lambda x, y, _: augnet(x, y), augnet, loss, alone)
