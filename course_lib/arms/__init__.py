"""The arms: one file an arm or a family of arms, and here the registry that names them all.

To add an arm, write a function that makes its images, and add an entry to `ARMS`: studies, tables
and figures find it here, and draw arms in this order.
"""

from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor

from course_lib.arms import gan, neural, pairs, practice, traditional
from course_lib.arms.arm import Arm, Choices
from course_lib.arms.pairs import Augmenter
from course_lib.images.tasks import Task
from course_lib.losses import content_loss, style_loss

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLACK, GREY, BLUE, ORANGE = "#000000", "#666666", "#0072B2", "#E69F00"
GREEN, RED, PURPLE, SKY = "#009E73", "#D55E00", "#CC79A7", "#56B4E9"


def again(task: Task, choices: Choices, seed: int, device: str) -> Tensor:
    """Every training image a second time."""
    return task.train.images


def of_torchvision(name: str) -> Callable[..., Iterator[Tensor]]:
    """Fresh copies by one of torchvision's policies."""
    return partial(practice.fresh, make=partial(practice.policy, name=name))


ARMS = {
    arm.name: arm
    for arm in (
        Arm("none", "paper", "never", 1, BLACK),
        Arm("traditional", "paper", "once", 2, BLUE, copies=traditional.copies,
            facts=traditional.facts),
        Arm("gan", "paper", "once", 2, ORANGE, needs=("colour",), copies=gan.copies,
            facts=gan.facts),
        Arm("neural", "paper", "each batch", 3, GREEN, needs=("pairs",), augmenter=neural.neural),
        Arm("neural-content", "paper", "each batch", 3, GREEN, "--", needs=("pairs",),
            augmenter=partial(neural.neural, loss=content_loss)),
        Arm("neural-style", "paper", "each batch", 3, GREEN, ":", needs=("colour", "pairs"),
            augmenter=partial(neural.neural, loss=style_loss)),
        Arm("control", "paper", "each batch", 3, RED, needs=("pairs",),
            augmenter=partial(neural.neural, alone=True)),
        # Every training image twice an epoch: as many steps as the arms with 2N images take.
        Arm("traditional-fresh", "ours", "each epoch", 2, BLUE, "--", fresh=traditional.fresh,
            facts=traditional.facts),
        Arm("gan-fresh", "ours", "each epoch", 2, ORANGE, "--", needs=("colour",), fresh=gan.fresh,
            facts=gan.facts),
        Arm("none-matched", "ours", "never", 2, GREY, "--", copies=again),
        Arm("pair-mean", "ours", "each batch", 3, PURPLE, needs=("pairs",),
            augmenter=lambda images, labels, _: Augmenter(images, labels, pairs.mean)),
        Arm("pair-mixup", "ours", "each batch", 3, PURPLE, "--", needs=("pairs",),
            augmenter=lambda images, labels, _: Augmenter(images, labels, pairs.mixup)),
        # The paper's proposal (§6): AugNet on pairs of images that are transformed anew.
        Arm("traditional+neural", "ours", "each batch", 3, BLUE, "-.", needs=("pairs",),
            fresh=traditional.fresh, augmenter=neural.neural, facts=traditional.facts),
        Arm("flip-crop", "practice", "each epoch", 2, SKY,
            fresh=partial(practice.fresh, make=practice.flip_crop)),
        Arm("trivialaugment", "practice", "each epoch", 2, SKY, "--", needs=("colour",),
            fresh=of_torchvision("TrivialAugmentWide")),
        Arm("randaugment", "practice", "each epoch", 2, SKY, ":", needs=("colour",),
            fresh=of_torchvision("RandAugment")),
        Arm("erasing", "practice", "each epoch", 2, SKY, "-.",
            fresh=of_torchvision("RandomErasing")),
        Arm("mixup", "practice", "each batch", 2, RED, "--",
            augmenter=lambda images, labels, _: practice.AcrossClasses("MixUp")),
        Arm("cutmix", "practice", "each batch", 2, RED, ":",
            augmenter=lambda images, labels, _: practice.AcrossClasses("CutMix")),
        # Rivals that make no images: what they do to none-matched.
        Arm("weight-decay", "practice", "never", 2, GREY, copies=again,
            recipe={"weight_decay": 0.1}),
        Arm("label-smoothing", "practice", "never", 2, GREY, ":", copies=again,
            recipe={"label_smoothing": 0.1}),
    )
}  # fmt: skip

__all__ = ["ARMS", "Arm"]
