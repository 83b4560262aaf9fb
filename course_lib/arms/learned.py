"""The learned arms: images generated for each batch, from pairs of training images (§3.3, §5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib.losses import content_loss, style_loss
from course_lib.models import AugNet
from course_lib.support.validation import CourseError, check_labels, choose, tensor

LEARNED = ("neural", "neural-content", "neural-style", "control", "pair-mean", "pair-mixup")


class SameClassSampler:
    """Draws random training images of given classes, for a whole batch at once.

    labels: (N,) int64, the classes 0 and 1 of the training images, on the device to draw on.
    Raises CourseError if a class has fewer than two images: there is no pair to draw.
    """

    def __init__(self, labels: Tensor) -> None:
        check_labels("labels", labels)
        self.counts = torch.bincount(labels, minlength=2)
        for label, count in enumerate(self.counts.tolist()):
            if count < 2:
                raise CourseError(
                    f"labels: class {label} has {count} training images: a pair takes 2 or more"
                )
        self.by_class = torch.argsort(
            labels, stable=True
        )  # all indices of class 0, then of class 1
        self.starts = torch.cumsum(self.counts, 0) - self.counts

    def draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Three different training images of each label's class: (B,) labels → (B, 3) indices.

        generator: on the CPU, so that the draw does not depend on the device. Of a class with two
        images, the third is one of the two again.
        """
        uniform = torch.rand(len(labels), 3, generator=generator).to(labels.device)
        count = self.counts[labels]
        # Each draw is among the places not taken yet, counted past the taken ones.
        first = (uniform[:, 0] * count).long()
        second = (uniform[:, 1] * (count - 1)).long()
        second += second >= first
        third = (uniform[:, 2] * (count - 2)).long()
        third += third >= torch.minimum(first, second)
        third += third >= torch.maximum(first, second)
        places = torch.stack([first, second, third % count], dim=1)
        return self.by_class[self.starts[labels].unsqueeze(1) + places]


class Augmenter(nn.Module):
    """Makes the generated images of one arm, and their augmentation loss.

    arm: one of LEARNED. images, labels: the normalised training images (N, C, H, W) and their
    classes (N,): partners and targets come from these alone. initialisation: AugNet's, see there.
    The parameters are AugNet's, or none: "pair-mean" and "pair-mixup" mix two images in
    proportions that no one learns.

    Raises CourseError for an unknown arm, a class with fewer than two images, and the style loss
    on grey images.
    """

    def __init__(
        self, arm: str, images: Tensor, labels: Tensor, initialisation: str = "glorot"
    ) -> None:
        super().__init__()
        self.arm = choose("learned", arm, LEARNED)
        tensor("images", images, "N 1|3 H W", "float")
        tensor("labels", labels, str(len(images)), "int64")
        if arm == "neural-style" and images.shape[1] == 1:
            raise CourseError(f"learned {arm!r} needs colour images: a grey one has no style (§6)")
        self.images = images
        self.sampler = SameClassSampler(labels)
        self.augnet = None if arm.startswith("pair") else AugNet(images.shape[1], initialisation)

    def forward(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Generated images (B, C, H, W) of the classes of a batch, and the augmentation loss.

        images, labels: the batch of originals, (B, C, H, W) and (B,). Only the control looks at
        the images: it generates from each image itself. The loss is None where the arm has none.
        """
        if self.arm == "control":
            return self.augnet(images, images), None
        first, second, target = self.sampler.draw(labels, generator).unbind(dim=1)
        generated = self.blend(self.images[first], self.images[second], generator)
        if self.arm == "neural-content":
            return generated, content_loss(generated, self.images[target])
        if self.arm == "neural-style":
            return generated, style_loss(generated, self.images[target])
        return generated, None

    def blend(self, first: Tensor, second: Tensor, generator: torch.Generator) -> Tensor:
        """What the arm makes of two batches of images (B, C, H, W) of one class each."""
        if self.augnet is not None:
            return self.augnet(first, first if self.arm == "control" else second)
        if self.arm == "pair-mean":
            return torch.lerp(first, second, 0.5)
        share = torch.rand(len(first), 1, 1, 1, generator=generator).to(first.device)
        return torch.lerp(first, second, share)
