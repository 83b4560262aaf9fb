"""What practice uses, from torchvision: policies, each image its own draw; mixing across classes.

Torchvision is imported where it is used: importing it takes seconds.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from course_lib.arms.arm import Choices
from course_lib.arms.pairs import Generated
from course_lib.images.tasks import Task
from course_lib.support.randomness import global_draws, stream

CROP_PADDING = 1 / 8  # of the side: 4 pixels of 32, as is usual
Transform = Callable[[Tensor], Tensor]  # of one image, uint8 (C, H, W)


def flip_crop(side: int) -> Transform:
    """A crop of the image, padded with its reflection, and a mirror image in half of the cases."""
    from torchvision.transforms import v2

    crop = v2.RandomCrop(side, round(CROP_PADDING * side), padding_mode="reflect")
    return v2.Compose([crop, v2.RandomHorizontalFlip()])


def policy(side: int, name: str) -> Transform:
    """A transform of torchvision by its class's name, with its defaults."""
    from torchvision.transforms import v2

    return getattr(v2, name)()


def fresh(
    images: Tensor, task: Task, choices: Choices, seed: int, make: Callable[[int], Transform]
) -> Iterator[Tensor]:
    """New copies for each epoch by a policy, which draws anew for each image; (N, C, H, W)."""
    transform, draws = make(images.shape[-1]), stream(seed, "policy")
    while True:
        with global_draws(draws):
            copies = [transform(image) for image in images.cpu()]
        yield torch.stack(copies).to(images.device)


class AcrossClasses(nn.Module):
    """MixUp or CutMix of a batch with itself in another order, with soft labels (torchvision's)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        from torchvision.transforms import v2

        self.mixing = getattr(v2, name)(num_classes=2)

    def forward(self, images: Tensor, labels: Tensor, draws: torch.Generator) -> Generated:
        """Mixed images (B, C, H, W), each class's share in them (B, 2), and no loss."""
        with global_draws(draws):
            mixed, shares = self.mixing(images, labels)
        return mixed, shares, None
