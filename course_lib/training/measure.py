"""What a training is measured by: `evaluate`, and the `History` of a run."""

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_lib.losses import classification_loss
from course_lib.models import READINGS, AugNet, RunningAverages, interleaved
from course_lib.training.recipe import Recipe


class Evaluation(NamedTuple):
    """Mean loss on some images, their scores (N, 2), and which are right: bool (N,), on the CPU."""

    loss: float
    scores: Tensor
    correct: Tensor

    @property
    def accuracy(self) -> float:
        """The share of images that are right."""
        return self.correct.sum().item() / len(self.correct)


@dataclass
class History:
    """What `fit` measured: curves have one value per epoch, a mean over images.

    `train_…` is measured during the steps (dropout on, copies included), `validation_…` after them.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1  # the first with the highest validation accuracy, counted from 0
    # "validation_best", "validation_last", "test_best", "test_last" → scores (N, 2), and which
    # images are right, bool (N,).
    scores: dict[str, Tensor] = field(default_factory=dict)
    correct: dict[str, Tensor] = field(default_factory=dict)
    # Reading → "validation", "test" → in how many of the last epochs each image was right, (N,).
    times_right: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    best_model: nn.Module | None = None  # as it was after the best epoch
    sources: Tensor | None = None  # fixed pairs of training images, uint8 (K, 2, C, H, W)
    # What the arm makes of them after each epoch, normalised (K, C, H, W), and its AugNet.
    generated: list[Tensor] = field(default_factory=list)
    augnets: list[AugNet] = field(default_factory=list)

    @property
    def best_accuracy(self) -> float:
        """Best validation accuracy over the epochs: the number that the paper reports (§6)."""
        return self.curves["validation_accuracy"][self.best_epoch]

    def keep(self, when: str, found: dict[str, Evaluation]) -> None:
        """Keep what was found at the "best" or the "last" epoch so far."""
        for name, scored in found.items():
            self.scores[f"{name}_{when}"] = scored.scores
            self.correct[f"{name}_{when}"] = scored.correct

    def count(self, reading: str, found: dict[str, Evaluation]) -> None:
        """Count which images were right in one of the last epochs."""
        counts = self.times_right.setdefault(reading, {})
        for name, scored in found.items():
            counts[name] = counts.get(name, 0) + scored.correct.to(torch.uint8)


@torch.inference_mode()
def evaluate(model: nn.Module, examples: tuple[Tensor, Tensor], loss: str) -> Evaluation:
    """Score normalised images (N, C, H, W) with labels (N,), in evaluation mode."""
    images, labels = examples
    training = model.training
    model.eval()
    scores = torch.empty(len(images), 2, device=images.device)
    for part in interleaved(len(images)):
        scores[part] = model(images[part])
    model.train(training)
    correct = (scores.argmax(dim=1) == labels).cpu()
    return Evaluation(classification_loss(scores, labels, loss).item(), scores.cpu(), correct)


def measure(
    history: History, model: nn.Module, averages: RunningAverages, images: Tensor,
    unseen: dict[str, tuple[Tensor, Tensor]], recipe: Recipe,
) -> dict[str, float]:  # fmt: skip
    """Score validation and test images after an epoch: the epoch's values for the curves."""
    epoch, reading = len(history.curves.get("seconds", ())), recipe.running_statistics
    late = epoch >= recipe.epochs - recipe.last_epochs
    with averages.reading(reading, images):
        found = {"validation": evaluate(model, unseen["validation"], recipe.loss)}
        accuracy = found["validation"].accuracy
        best = history.best_epoch < 0 or accuracy > history.best_accuracy
        if best:  # it is scored on test images when no better one can come
            history.best_epoch, history.best_model = epoch, copy.deepcopy(model)
            history.keep("best", found)
        if late:
            found["test"] = evaluate(model, unseen["test"], recipe.loss)
    if late:
        history.keep("last", found)
        history.count(reading, found)
        for other in READINGS if recipe.readings else ():
            if other != reading:
                with averages.reading(other, images):
                    scored = {name: evaluate(model, unseen[name], recipe.loss) for name in unseen}
                history.count(other, scored)
    if epoch == recipe.epochs - 1 and history.best_model is not None:
        history.keep("best", {"test": evaluate(history.best_model, unseen["test"], recipe.loss)})
    return {"validation_loss": found["validation"].loss, "validation_accuracy": accuracy}
