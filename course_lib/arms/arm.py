"""What an arm is: an entry of the registry in `course_lib.arms`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from course_lib.images.tasks import Task
from course_lib.support.validation import CourseError, as_python


@dataclass(frozen=True)
class Choices:
    """What an arm reads of a training's recipe (see `course_lib.training.Recipe`)."""

    initialisation: str = "glorot"  # AugNet's, or "torch"
    augnet_gain: float = 1.0  # factor of AugNet's Glorot weights
    transforms: str = "all"  # of the traditional arms; the name of one; "one": one for each image
    strength: float = 1.0  # factor of the course's range of each of those transformations
    generators: str = "auto"  # "published" ones if they are on disk, else "bundled"

    def __post_init__(self) -> None:
        as_python(self)


@dataclass(frozen=True)
class Arm:
    """One way to train: what is added to the training images, when, and how it is drawn."""

    name: str
    whose: str  # "paper", "ours", or "practice"
    made: str  # when its images are: "never", "once" before training, "each epoch", "each batch"
    cost: int  # of an epoch, in passes over the training images
    colour: str  # of its curves, as is the line
    line: str = "-"
    needs: tuple[str, ...] = ()  # "colour" images, two images per class to make "pairs" of
    # (task, choices, seed, device) → a uint8 copy of each training image, (N, C, H, W)
    copies: Callable[[Task, Choices, int, str], Tensor] | None = None
    # (training images on their device, task, choices, seed) → such copies, new for each epoch; an
    # arm with an augmenter, too, gives them to it instead of training on them
    fresh: Callable[[Tensor, Task, Choices, int], Iterator[Tensor]] | None = None
    # (normalised training images, labels, choices) → what makes images for each batch
    augmenter: Callable[[Tensor, Tensor, Choices], Any] | None = None
    # what of a recipe the arm decides
    recipe: Mapping[str, Any] = field(default_factory=dict)
    # (task, choices, device) → what else decides its images, for a result's record and key
    facts: Callable[[Task, Choices, str], dict[str, object]] = lambda task, choices, device: {}

    def check(self, task: Task) -> None:
        """Raise a CourseError in one line if a task's images lack what the arm needs."""
        if "colour" in self.needs and task.train.images.shape[1] == 1:
            raise CourseError(f"arm {self.name!r} needs colour: grey images have no style (§6)")
        counts = torch.bincount(task.train.labels, minlength=2).tolist()
        for label, count in enumerate(counts):
            found = f"labels: class {label} has {count} training images"
            if not count:
                raise CourseError(f"{found}: a task has two classes")
            if "pairs" in self.needs and count < 2:
                raise CourseError(f"{found}: a pair takes 2 or more")
