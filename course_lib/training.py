"""The one training loop of the course: a `Recipe`, a `train_step`, and `fit`."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.arms import ARMS
from course_lib.arms.arm import Choices
from course_lib.arms.generators import KINDS
from course_lib.arms.pairs import Augmenter, SameClassSampler
from course_lib.arms.traditional import BOUNDS
from course_lib.images import Examples
from course_lib.images.tasks import Task
from course_lib.losses import CLASSIFICATION_LOSSES, classification_loss, combined_loss
from course_lib.models import (
    INITIALISATIONS,
    NETWORKS,
    READINGS,
    AugNet,
    RunningAverages,
    initialise_glorot,
    interleaved,
    start_vgg16_from,
)  # fmt: skip
from course_lib.support.devices import find_device, keep_freed_memory, thread_count
from course_lib.support.progress import one_line_if_stopped
from course_lib.support.randomness import stream, stream_seed
from course_lib.support.validation import CourseError, checks, choose, number, whole_number

MOST_EPOCHS, MOST_IMAGES = 10**6, 2**20  # a batch of more is a slip of the keyboard
MOST_LAST_EPOCHS = 35  # a digit of a result's file counts them
SHOWN_CLASSES = (0, 0, 1, 1)  # of the pairs kept in the History


@dataclass(frozen=True)
class Recipe(Choices):
    """Every choice of a training (§5), the paper's value or ours; CourseError for a bad one."""

    epochs: int = 40
    batch_size: int = 64  # ours
    learning_rate: float = 1e-4  # Adam's
    augnet_learning_rate: float | None = None  # None: the same
    network: str = "smallnet"  # of NETWORKS
    vgg_weights: str | None = None  # a file of torchvision's for VGG16, to fine-tune from
    dropout: float = 0.5  # ours
    smallnet_initialisation: str = "torch"  # or "glorot"
    weight_decay: float = 0.0  # AdamW's, apart from the gradient
    label_smoothing: float = 0.0  # of the labels trained on: the share given to both classes alike
    momentum: float = 0.1  # a batch's share of the running averages; TensorFlow: 1 − decay
    loss: str = "sigmoid"  # the reading of `losses.classification_loss`
    alpha: float = 0.75  # weight of the classification loss of generated images
    beta: float = 0.25  # weight of the augmentation loss
    update: str = "alternate"  # training images, then generated ones; "joint": one step on the sum
    running_statistics: str = "all"  # batch normalisation's for unseen images, of READINGS
    last_epochs: int = 10  # whose accuracy on all unseen images is averaged
    balance: bool = False  # copy images of the class that has fewer, until both have as many
    readings: bool = True  # whether unseen images are also scored under the other READINGS

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("epochs", self.epochs, at_least=1, at_most=MOST_EPOCHS)
        whole_number("batch_size", self.batch_size, at_least=1, at_most=MOST_IMAGES)
        for name in ("learning_rate", "augnet_learning_rate", "augnet_gain"):
            value = getattr(self, name)
            if value is not None and number(name, value) <= 0:
                raise CourseError(f"{name} {value!r} must be a number above 0")
        number("dropout", self.dropout, 0, 0.99)
        number("momentum", self.momentum, 0, 1)
        number("weight_decay", self.weight_decay, 0, 10)
        number("label_smoothing", self.label_smoothing, 0, 1)
        if number("alpha", self.alpha, 0) == number("beta", self.beta, 0) == 0:
            raise CourseError("alpha and beta are both 0: nothing would be learned")
        choose("network", self.network, NETWORKS)
        if self.vgg_weights is not None and self.network != "vgg16":
            raise CourseError(f"vgg_weights {self.vgg_weights!r} need network 'vgg16'")
        choose("loss", self.loss, CLASSIFICATION_LOSSES)
        choose("update", self.update, ("alternate", "joint"))
        choose("running_statistics", self.running_statistics, READINGS)
        if whole_number("last_epochs", self.last_epochs, at_least=1) > MOST_LAST_EPOCHS:
            raise CourseError(f"last_epochs {self.last_epochs} is more than {MOST_LAST_EPOCHS}")
        choose("initialisation", self.initialisation, INITIALISATIONS)
        choose("smallnet_initialisation", self.smallnet_initialisation, INITIALISATIONS)
        choose("transforms", self.transforms, ("all", "one", *BOUNDS))
        choose("generators", self.generators, ("auto", *KINDS))


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
    sources: Tensor | None = None  # fixed pairs of training images, uint8 (K, 2, C, H, W)
    # What the arm makes of them after each epoch, normalised (K, C, H, W), and its AugNet.
    generated: list[Tensor] = field(default_factory=list)
    augnets: list[AugNet] = field(default_factory=list)

    @property
    def best_accuracy(self) -> float:
        """Best validation accuracy over the epochs: the number that the paper reports (§6)."""
        return self.curves["validation_accuracy"][self.best_epoch]

    def keep(self, when: str, found: "dict[str, Evaluation]") -> None:
        """Keep what was found at the "best" or the "last" epoch so far."""
        for name, scored in found.items():
            self.scores[f"{name}_{when}"] = scored.scores
            self.correct[f"{name}_{when}"] = scored.correct

    def count(self, reading: str, found: "dict[str, Evaluation]") -> None:
        """Count which images were right in one of the last epochs."""
        counts = self.times_right.setdefault(reading, {})
        for name, scored in found.items():
            counts[name] = counts.get(name, 0) + scored.correct.to(torch.uint8)


def train_step(
    model: nn.Module, augmenter: Augmenter | None, optimiser: torch.optim.Optimizer,
    images: Tensor, labels: Tensor, recipe: Recipe, draws: torch.Generator,
    averages: RunningAverages,
) -> dict[str, Tensor]:  # fmt: skip
    """Train on a batch of images, then on as many generated ones (§5); sums over the batch."""
    scores = model(images)
    loss = classification_loss(scores, smoothed(labels, recipe.label_smoothing), recipe.loss)
    sums = {"train_loss": loss.detach() * len(labels), "train_accuracy": _right(scores, labels)}
    if augmenter is None or recipe.update == "alternate":
        _descend(optimiser, loss)
    if augmenter is None:
        return sums
    generated, targets, augmentation = augmenter(images, labels, draws)
    with averages.of_generated():
        scores = model(generated)
    classified = classification_loss(scores, targets, recipe.loss)
    total = combined_loss(classified, augmentation, recipe.alpha, recipe.beta)
    if recipe.update == "joint":  # beside the first loss, α does more than scale
        total = loss + (recipe.alpha * classified if total is classified else total)
    _descend(optimiser, total)
    sums["generated_accuracy"] = _right(scores, targets)
    if augmentation is not None:
        sums["augmentation_loss"] = augmentation.detach() * len(labels)
    return sums


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def smoothed(labels: Tensor, share: float) -> Tensor:
    """Labels (N,) → (1 − share)·one-hot + share/2, (N, 2); the labels themselves for share 0."""
    if not share:
        return labels
    return functional.one_hot(labels, 2) * (1 - share) + share / 2


def _right(scores: Tensor, targets: Tensor) -> Tensor:
    """Number of images classified rightly, left on the device: reading it makes a GPU wait."""
    labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
    return (scores.argmax(dim=1) == labels).sum()


@one_line_if_stopped("stopped: nothing of this training is kept")
@checks(task=Task, recipe=Recipe, threads=1)
def fit(
    task: Task,
    arm: str = "none",
    recipe: Recipe = Recipe(),  # noqa: B008 - frozen
    *,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    on_epoch: Callable[[History], None] | None = None,
) -> tuple[nn.Sequential, History]:
    """Train a network (of NETWORKS) on a task with an arm (§5), and measure it after every epoch.

    Validation and test images are never augmented. With the same seed, device ("auto": cuda, then
    mps, then cpu) and threads of a CPU, results are identical. `on_epoch` gets the History so far.
    """
    chosen = ARMS[choose("arm", arm, ARMS)]
    chosen.check(task)
    recipe = replace(recipe, **chosen.recipe)
    on = find_device(device)
    draws = stream(seed, "pairs")
    keep_freed_memory()
    train = original = _on_device(task, task.train, on)
    count, copies, fresh = len(task.train.labels), task.copies, None
    copied = task.lacking() if recipe.balance else task  # the task whose images are copied
    if chosen.copies is not None:
        copies = chosen.copies(copied, recipe, seed, device)
    if chosen.fresh is not None:
        fresh = chosen.fresh(copied.train.images.to(on), copied, recipe, seed)
        copies = None if chosen.augmenter else copied.train.images  # until the first epoch
    if copies is not None:
        more = _on_device(task, Examples(copies, copied.train.labels), on)
        train = torch.cat([original[0], more[0]]), torch.cat([original[1], more[1]])
    parts = {"validation": task.validation, "test": task.test}
    unseen = {name: _on_device(task, part, on) for name, part in parts.items()}

    history = History()
    with thread_count(threads), torch.random.fork_rng([on] if on.type == "cuda" else []):
        torch.manual_seed(stream_seed(seed, "initial weights"))
        _, channels, side, _ = original[0].shape
        model = NETWORKS[recipe.network](channels, side, recipe.dropout)
        if recipe.smallnet_initialisation == "glorot":
            initialise_glorot(model)
        if recipe.vgg_weights is not None:
            start_vgg16_from(recipe.vgg_weights, model)
        model = model.to(on).to(memory_format=torch.channels_last)
        averages = RunningAverages(model, recipe.momentum)
        augmenter = None
        if chosen.augmenter is not None:
            torch.manual_seed(stream_seed(seed, "AugNet's initial weights"))
            augmenter = chosen.augmenter(*original, recipe)
            augmenter.to(on).to(memory_format=torch.channels_last)
        if isinstance(augmenter, Augmenter):
            classes, sampler = torch.tensor(SHOWN_CLASSES), SameClassSampler(task.train.labels)
            pairs = sampler.draw(classes, stream(seed, "shown pairs"))[:, :2]
            history.sources = task.train.images[pairs]
            first, second = original[0][pairs.to(on)].unbind(dim=1)
        # One Adam for both networks: it passes over weights that a step gave no gradient.
        learned = list(augmenter.parameters()) if augmenter else []
        groups: list[dict[str, Any]] = [{"params": [*model.parameters(), *learned]}]
        if learned and recipe.augnet_learning_rate is not None:
            rate = {"lr": recipe.augnet_learning_rate}
            groups = [{"params": [*model.parameters()]}, {"params": learned} | rate]
        optimiser = torch.optim.AdamW(  # without weight decay it is Adam
            groups, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        torch.manual_seed(stream_seed(seed, "dropout"))
        orders = _batch_orders(count, len(train[1]) - count, seed)
        for _ in range(recipe.epochs):
            start, order = time.perf_counter(), next(orders).to(on)
            if fresh is not None and augmenter is not None:
                augmenter.images = task.normalise(next(fresh))
            elif fresh is not None:
                train[0][count:] = task.normalise(next(fresh))
            sums: dict[str, Tensor] = {}
            for batch in order.split(recipe.batch_size):
                images, labels = (values[batch] for values in train)
                step = train_step(
                    model, augmenter, optimiser, images, labels, recipe, draws, averages
                )
                for name, total in step.items():
                    sums[name] = sums.get(name, 0) + total
            values = {name: total.item() / len(order) for name, total in sums.items()}
            values |= _measure(history, model, averages, original[0], unseen, recipe)
            values["seconds"] = time.perf_counter() - start
            values["images_per_second"] = len(order) / values["seconds"]
            for name, value in values.items():
                history.curves.setdefault(name, []).append(value)
            if isinstance(augmenter, Augmenter):
                with torch.inference_mode():
                    partner = first if augmenter.alone else second
                    made = augmenter.mix(first, partner, stream(seed, "shown pairs"))
                history.generated.append(made.cpu())
                if augmenter.augnet is not None:
                    history.augnets.append(copy.deepcopy(augmenter.augnet).cpu())
            if on_epoch is not None:
                on_epoch(history)
        averages.settle(recipe.running_statistics, original[0])
    return model.eval(), history


def _measure(
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
        if best or late:
            found["test"] = evaluate(model, unseen["test"], recipe.loss)
    if best:
        history.best_epoch = epoch
        history.keep("best", found)
    if late:
        history.keep("last", found)
        history.count(reading, found)
        for other in READINGS if recipe.readings else ():
            if other != reading:
                with averages.reading(other, images):
                    scored = {name: evaluate(model, unseen[name], recipe.loss) for name in unseen}
                history.count(other, scored)
    return {"validation_loss": found["validation"].loss, "validation_accuracy": accuracy}


class Evaluation(NamedTuple):
    """Mean loss on some images, their scores (N, 2), and which are right: bool (N,), on the CPU."""

    loss: float
    scores: Tensor
    correct: Tensor

    @property
    def accuracy(self) -> float:
        """The share of images that are right."""
        return self.correct.sum().item() / len(self.correct)


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


def _on_device(task: Task, examples: Examples, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalised images in channels-last memory, which a batch drawn by index keeps."""
    images = task.normalise(examples.images.to(device))
    return images.contiguous(memory_format=torch.channels_last), examples.labels.to(device)


def _batch_orders(count: int, copies: int, seed: int) -> Iterator[Tensor]:
    """Orders of the training images and copies, (N,): with copies, originals keep their order."""
    originals, extra = stream(seed, "batch order"), stream(seed, "copies order")
    while True:
        order = torch.randperm(count, generator=originals)
        if copies:
            places = torch.randperm(count + copies, generator=extra)
            mixed = count + torch.randperm(copies, generator=extra)
            order = torch.empty_like(places).masked_scatter_(places < count, order)
            order.masked_scatter_(places >= count, mixed)
        yield order
