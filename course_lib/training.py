"""`fit`: the one training loop of the course."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from course_lib.arms.learned import Augmenter, SameClassSampler
from course_lib.images import Examples
from course_lib.images.tasks import Task
from course_lib.losses import (
    CLASSIFICATION_LOSSES,
    check_weights,
    classification_loss,
    combined_loss,
)
from course_lib.models import INITIALISATIONS, AugNet, SmallNet
from course_lib.support.devices import find_device, keep_freed_memory, thread_count
from course_lib.support.randomness import stream, stream_seed
from course_lib.support.validation import CourseError, choose, number, whole_number

UPDATES = ("alternate", "joint")
RUNNING_STATISTICS = ("all", "real-only")
EVALUATION_BATCH = 200
SHOWN_PAIRS = 2  # of each class, kept in the History


@dataclass
class History:
    """What `fit` measured.

    curves: name → one value an epoch. Losses and accuracies are means over images, not over
    batches. `train_…` values are those of the steps on original images and offline copies (dropout
    on, weights changing), `validation_…` values those after the epoch; `seconds` and
    `images_per_second` are of the training and validation of an epoch. The learned arms add
    `generated_accuracy`, of the classifier on generated images as it trains on them, and, if they
    have one, `augmentation_loss`.

    best_epoch: the first epoch with the highest validation accuracy, counted from 0.
    The three `correct` tensors are (N,) bool, one value an image: validation images at the best
    epoch, test images at the best and at the last epoch.

    sources: a few fixed pairs of training images, uint8 (K, 2, C, H, W); generated: what the arm
    makes of them after each epoch, normalised floats (K, C, H, W); augnets: AugNet after each
    epoch, on the CPU. Empty for the arms that generate nothing; mean and mixup have no AugNet.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1
    validation_correct_best: Tensor | None = None
    test_correct_best: Tensor | None = None
    test_correct_last: Tensor | None = None
    sources: Tensor | None = None
    generated: list[Tensor] = field(default_factory=list)
    augnets: list[AugNet] = field(default_factory=list)

    @property
    def best_accuracy(self) -> float:
        """Best validation accuracy over the epochs: the number that the paper reports (§6)."""
        return self.curves["validation_accuracy"][self.best_epoch]

    def add(self, **values: float) -> None:
        """Append one epoch's value to each named curve."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)


def fit(
    task: Task,
    learned: str | None = None,
    *,
    epochs: int = 40,
    batch_size: int = 64,
    learning_rate: float = 1e-4,
    loss: str = "sigmoid",
    alpha: float = 0.75,
    beta: float = 0.25,
    update: str = "alternate",
    running_statistics: str = "all",
    initialisation: str = "glorot",
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    on_epoch: Callable[[History], None] | None = None,
) -> tuple[SmallNet, History]:
    """Train SmallNet on a task (§5) and measure it after every epoch.

    Adam at `learning_rate`, batches of `batch_size` drawn anew each epoch from the training images
    and, if the task has them, their copies. loss: "sigmoid" or "softmax", the two readings of
    `losses.classification_loss`.

    learned: None, or one of LEARNED (§3.3, §5). For each batch of training images, as many are
    generated, each of the class of the image that it stands beside:
        "neural"          AugNet on two random training images of the class, no augmentation loss
        "neural-content"  the same, with the content loss against a third image
        "neural-style"    the same, with the style loss against a third image
        "control"         AugNet on the image itself, twice
        "pair-mean", "pair-mixup"  no AugNet: (1−λ)·one + λ·other, with λ = ½ or uniform in 0–1
    Their loss is alpha·L_c + beta·L_a (`losses.combined_loss`). update: "alternate" takes a step
    on the training images, then one on the generated images that updates both nets (the paper's
    "subsequently"); "joint" takes one step on the sum. running_statistics: of batch normalisation,
    from "all" batches, or "real-only" from those of training images. initialisation: of AugNet,
    "glorot" or "torch". Validation and test images pass through SmallNet alone.

    seed: decides initial weights, batch order, dropout and pairs. device: "auto" takes cuda, then
    mps, then cpu. threads: on a CPU; two runs side by side with one thread each beat one run with
    two, and another thread count gives other last bits. on_epoch: called with the History so far
    after each epoch.

    Returns the model after the last epoch, in evaluation mode, and its History. Same seed, device
    and threads: identical results. Raises CourseError for bad values, for a class with fewer than
    two training images to pair, and for the style loss on grey images.
    """
    if not isinstance(task, Task):
        raise CourseError(f"task {task!r} must be a Task, as load_task returns it")
    whole_number("epochs", epochs, at_least=1)
    whole_number("batch_size", batch_size, at_least=1)
    whole_number("threads", threads, at_least=1)
    if number("learning_rate", learning_rate) <= 0:
        raise CourseError(f"learning_rate {learning_rate!r} must be a number above 0")
    choose("loss", loss, CLASSIFICATION_LOSSES)
    check_weights(alpha, beta)
    choose("update", update, UPDATES)
    choose("running_statistics", running_statistics, RUNNING_STATISTICS)
    choose("initialisation", initialisation, INITIALISATIONS)
    on = find_device(device)
    keep_freed_memory()
    original = _on_device(task, task.train, on)
    train = original
    if task.copies is not None:
        copies = _on_device(task, Examples(task.copies, task.train.labels), on)
        train = tuple(torch.cat(pair) for pair in zip(original, copies, strict=True))
    validation, test = (_on_device(task, part, on) for part in (task.validation, task.test))

    history = History()
    with thread_count(threads), torch.random.fork_rng([on] if on.type == "cuda" else []):
        torch.manual_seed(stream_seed(seed, "initial weights"))
        _, channels, side, _ = original[0].shape
        model = SmallNet(channels, side).to(on, memory_format=torch.channels_last)
        augmenter = None
        if learned is not None:
            torch.manual_seed(stream_seed(seed, "AugNet's initial weights"))
            augmenter = Augmenter(learned, *original, initialisation).to(
                on, memory_format=torch.channels_last
            )
            shown = _shown_pairs(task.train.labels, seed)
            history.sources = task.train.images[shown]
        steps = _Steps(model, augmenter, learning_rate, loss, alpha, beta, update,
                       running_statistics, stream(seed, "pairs"))  # fmt: skip
        torch.manual_seed(stream_seed(seed, "dropout"))
        orders = _batch_orders(len(task.train.labels), task.copies is not None, seed)
        for epoch in range(epochs):
            start = time.perf_counter()
            order = next(orders).to(on)
            measured = steps.epoch(*train, order.split(batch_size))
            validation_loss, correct = evaluate(model, validation, loss)
            seconds = time.perf_counter() - start
            history.add(
                **measured,
                validation_loss=validation_loss,
                validation_accuracy=_share(correct),
                seconds=seconds,
                images_per_second=len(order) / seconds,
            )
            if history.best_epoch < 0 or _share(correct) > history.best_accuracy:
                history.best_epoch = epoch
                history.validation_correct_best = correct
                history.test_correct_best = evaluate(model, test, loss)[1]
            if epoch == epochs - 1:
                history.test_correct_last = evaluate(model, test, loss)[1]
            if augmenter is not None:
                first, second = original[0][shown.to(on)].unbind(dim=1)
                with torch.inference_mode():
                    blended = augmenter.blend(first, second, stream(seed, "shown pairs"))
                history.generated.append(blended.cpu())
                if augmenter.augnet is not None:
                    history.augnets.append(copy.deepcopy(augmenter.augnet).cpu())
            if on_epoch is not None:
                on_epoch(history)
    return model.eval(), history


@torch.inference_mode()
def evaluate(model: SmallNet, examples: tuple[Tensor, Tensor], loss: str) -> tuple[float, Tensor]:
    """Mean loss over normalised images with labels, and which are classified rightly: (N,) bool.

    Images pass through the classifier alone, never through an augmentation (Figure IV).
    """
    images, labels = examples
    model.eval()
    scores = torch.cat([model(part) for part in images.split(EVALUATION_BATCH)])
    model.train()
    mean_loss = classification_loss(scores, labels, loss).item()
    return mean_loss, (scores.argmax(dim=1) == labels).cpu()


@dataclass
class _Steps:
    """The optimiser's steps of one run: the choices of `fit`, bound to its networks."""

    model: SmallNet
    augmenter: Augmenter | None
    learning_rate: float
    loss: str
    alpha: float
    beta: float
    update: str
    running_statistics: str
    pairs: torch.Generator

    def __post_init__(self) -> None:
        # One Adam for both networks: it passes over weights that a step gave no gradient.
        weights = list(self.model.parameters())
        if self.augmenter is not None:
            weights += self.augmenter.parameters()
        self.optimiser = torch.optim.Adam(weights, lr=self.learning_rate, fused=True)

    def epoch(
        self, images: Tensor, labels: Tensor, batches: tuple[Tensor, ...]
    ) -> dict[str, float]:
        """One pass over the batches (indices into images and labels): means over the images."""
        # Sums stay on the device: to read one number a step would make a GPU wait.
        sums: dict[str, Tensor] = {}

        def count(name: str, value: Tensor) -> None:
            sums[name] = sums.get(name, 0) + value.detach()

        for batch in batches:
            inputs, targets = images[batch], labels[batch]
            scores = self.model(inputs)
            real = classification_loss(scores, targets, self.loss)
            count("train_loss", real * len(batch))
            count("train_accuracy", (scores.argmax(dim=1) == targets).sum())
            if self.augmenter is None:
                self._step(real)
                continue
            if self.update == "alternate":
                self._step(real)
            generated, augmentation = self.augmenter(inputs, targets, self.pairs)
            with _frozen_statistics(self.model, self.running_statistics == "real-only"):
                scores = self.model(generated)
            classified = classification_loss(scores, targets, self.loss)
            total = combined_loss(classified, augmentation, self.alpha, self.beta)
            self._step(total if self.update == "alternate" else real + total)
            count("generated_accuracy", (scores.argmax(dim=1) == targets).sum())
            if augmentation is not None:
                count("augmentation_loss", augmentation * len(batch))
        return {name: value.item() / sum(map(len, batches)) for name, value in sums.items()}

    def _step(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


@contextmanager
def _frozen_statistics(model: SmallNet, frozen: bool) -> Iterator[None]:
    """While it lasts, batches leave batch normalisation's running averages as they are."""
    layers = [layer for layer in model if isinstance(layer, nn.BatchNorm2d)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0 if frozen else layer.momentum
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


def _on_device(task: Task, examples: Examples, device: torch.device) -> tuple[Tensor, Tensor]:
    """Normalised images in channels-last memory, which a batch drawn by index keeps."""
    images = task.normalise(examples.images.to(device))
    return images.contiguous(memory_format=torch.channels_last), examples.labels.to(device)


def _shown_pairs(labels: Tensor, seed: int) -> Tensor:
    """Fixed pairs of training images to show: (2·SHOWN_PAIRS, 2) indices, class by class."""
    classes = torch.arange(2).repeat_interleave(SHOWN_PAIRS)
    return SameClassSampler(labels).draw(classes, stream(seed, "shown pairs"))[:, :2]


def _batch_orders(count: int, copies: bool, seed: int) -> Iterator[Tensor]:
    """The order of the training images, anew each epoch: (N,) or, with copies, (2N,) indices.

    Copies are shuffled in between, so that the originals come in the same order in every arm.
    """
    originals, extra = stream(seed, "batch order"), stream(seed, "copies order")
    while True:
        order = torch.randperm(count, generator=originals)
        if copies:
            both = torch.empty(2 * count, dtype=torch.int64)
            is_copy = torch.randperm(2 * count, generator=extra) >= count
            both[~is_copy] = order
            both[is_copy] = count + torch.randperm(count, generator=extra)
            order = both
        yield order


def _share(correct: Tensor) -> float:
    return correct.sum().item() / len(correct)
