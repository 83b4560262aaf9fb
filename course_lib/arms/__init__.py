"""The arms: one file an arm or a family of arms, and here the registry that names them all.

To add an arm, write a function that makes its images, and add an entry to `ARMS`: studies, tables
and figures find it here, and draw arms in this order.
"""

from functools import partial

from course_lib.arms import gan, neural, pairs, traditional
from course_lib.arms.arm import Arm
from course_lib.arms.pairs import Augmenter
from course_lib.losses import content_loss, style_loss

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLACK, GREY, BLUE, ORANGE = "#000000", "#666666", "#0072B2", "#E69F00"
GREEN, RED, PURPLE = "#009E73", "#D55E00", "#CC79A7"

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
        Arm("none-matched", "ours", "never", 2, GREY, "--",
            copies=lambda task, choices, seed, device: task.train.images),
        Arm("pair-mean", "ours", "each batch", 3, PURPLE, needs=("pairs",),
            augmenter=lambda images, labels, _: Augmenter(images, labels, pairs.mean)),
        Arm("pair-mixup", "ours", "each batch", 3, PURPLE, "--", needs=("pairs",),
            augmenter=lambda images, labels, _: Augmenter(images, labels, pairs.mixup)),
    )
}  # fmt: skip

__all__ = ["ARMS", "Arm"]
