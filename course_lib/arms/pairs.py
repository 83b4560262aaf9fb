"""Images generated for each batch from pairs of training images of one class (§3.3, §5).

AugNet learns what to make of a pair (see `arms.neural`); `mean` and `mixup` are fixed controls.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.models import AugNet
from course_lib.support.validation import checks

Mix = Callable[[Tensor, Tensor, torch.Generator], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
# Images (B, C, H, W), their labels (B,) or each class's share in them (B, 2), an augmentation loss.
Generated = tuple[Tensor, Tensor, Tensor | None]


class SameClassSampler:
    """Draws three different training images of a class, for all labels of a batch at once."""

    @checks(labels="N labels")
    def __init__(self, labels: Tensor) -> None:
        self.counts = torch.bincount(labels, minlength=2)
        self.starts = torch.cumsum(self.counts, 0) - self.counts
        self.by_class = torch.argsort(labels, stable=True)  # class 0's indices, then class 1's

    def draw(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Labels (B,) → indices (B, 3), drawn on the CPU: the same on every device."""
        uniform = torch.rand(len(labels), 3, generator=generator).to(labels.device)
        count = self.counts[labels]
        # Each draw is among the places not taken yet, counted past the taken ones.
        first = (uniform[:, 0] * count).long()
        second = (uniform[:, 1] * (count - 1)).long()
        second += second >= first
        third = (uniform[:, 2] * (count - 2)).long()
        third += third >= torch.minimum(first, second)
        third += third >= torch.maximum(first, second)
        places = torch.stack([first, second, third % count], dim=1)  # of two images, one again
        return self.by_class[self.starts[labels].unsqueeze(1) + places]


class Augmenter(nn.Module):
    """Generates a batch of images (§3.3, §5): from pairs of a class, or `alone`, from each twice.

    `mix` makes an image of two normalised training images; `loss` compares it with a third.
    """

    @checks(images="N 1|3 H W float", labels="N labels")
    def __init__(
        self, images: Tensor, labels: Tensor, mix: Mix, augnet: AugNet | None = None,
        loss: Loss | None = None, alone: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.images, self.sampler = images, SameClassSampler(labels)
        self.mix, self.augnet, self.loss, self.alone = mix, augnet, loss, alone

    def forward(self, images: Tensor, labels: Tensor, draws: torch.Generator) -> Generated:
        """Generated images for a batch (B, C, H, W), (B,), and their augmentation loss or None."""
        if self.alone:
            return self.mix(images, images, draws), labels, None
        first, second, target = self.sampler.draw(labels, draws).unbind(dim=1)
        generated = self.mix(self.images[first], self.images[second], draws)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 rounds too much
            loss = self.loss(generated.float(), self.images[target]) if self.loss else None
        return generated, labels, loss


def mean(first: Tensor, second: Tensor, draws: torch.Generator) -> Tensor:
    """The mean of two batches of images (B, C, H, W)."""
    return torch.lerp(first, second, 0.5)


def mixup(first: Tensor, second: Tensor, draws: torch.Generator) -> Tensor:
    """(1−λ)·first + λ·second of two batches (B, C, H, W), with a λ of its own for each pair."""
    share = torch.rand(len(first), 1, 1, 1, generator=draws).to(first.device)
    return torch.lerp(first, second, share)
