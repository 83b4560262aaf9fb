"""What an arm is: an entry of the registry in `course_lib.arms`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from course_lib.arms.pairs import Augmenter
from course_lib.images.tasks import Task
from course_lib.support.validation import CourseError


class Choices(Protocol):
    """What an arm reads of a training's recipe (see `course_lib.training.Recipe`)."""

    @property
    def transforms(self) -> str: ...
    @property
    def generators(self) -> str: ...
    @property
    def initialisation(self) -> str: ...


def no_facts(task: Task, choices: Choices) -> dict[str, object]:
    """For arms whose images follow from the task, the recipe and the seed alone."""
    return {}


@dataclass(frozen=True)
class Arm:
    """One way to train: what is added to the training images, when, and how it is drawn.

    Attributes:
        name: of the arm, as in `--arms`.
        whose: "paper", or "ours" for an arm that the paper does not have.
        made: when its images are made: "never", "once" before training, or for "each batch".
        cost: of an epoch, in passes over the training images.
        colour, line: of its curves; a line style repeats what a colour says.
        needs: "colour" images, two images a class to make "pairs" of.
        copies: makes a uint8 copy of each training image, for the arms that do so once:
            (task, choices, seed, device) → (N, C, H, W).
        augmenter: generates images for each batch, for the arms that do:
            (normalised training images, labels, choices) → Augmenter.
        facts: what else decides its images, for a result's record and key.
    """

    name: str
    whose: str
    made: str
    cost: int
    colour: str
    line: str = "-"
    needs: tuple[str, ...] = ()
    copies: Callable[[Task, Choices, int, str], Tensor] | None = None
    augmenter: Callable[[Tensor, Tensor, Choices], Augmenter] | None = None
    facts: Callable[[Task, Choices], dict[str, object]] = no_facts

    def check(self, task: Task) -> None:
        """Raise a CourseError in one line if a task's images lack what the arm needs."""
        if "colour" in self.needs and task.train.images.shape[1] == 1:
            raise CourseError(f"arm {self.name!r} needs colour: grey images have no style (§6)")
        counts = torch.bincount(task.train.labels, minlength=2).tolist()
        for label, count in enumerate(counts):
            if "pairs" in self.needs and count < 2:
                raise CourseError(
                    f"labels: class {label} has {count} training images: a pair takes 2 or more"
                )
