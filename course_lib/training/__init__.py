"""The one training loop of the course: a `Recipe`, a `train_step`, and `fit`."""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_lib.arms import ARMS
from course_lib.arms.pairs import Augmenter, SameClassSampler
from course_lib.images import Examples
from course_lib.images.tasks import Task
from course_lib.losses import classification_loss, combined_loss
from course_lib.models import NETWORKS, RunningAverages, initialise_glorot, start_vgg16_from
from course_lib.support.devices import find_device, keep_freed_memory, thread_count
from course_lib.support.progress import one_line_if_stopped
from course_lib.support.randomness import stream, stream_seed
from course_lib.support.validation import checks, choose
from course_lib.training.measure import Evaluation, History, evaluate, measure
from course_lib.training.recipe import Recipe

__all__ = ["Evaluation", "History", "Recipe", "evaluate", "fit", "train_step"]

SHOWN_CLASSES = (0, 0, 1, 1)  # of the pairs kept in the History


def train_step(
    model: nn.Module, augmenter: Augmenter | None, optimiser: torch.optim.Optimizer, images: Tensor,
    labels: Tensor, recipe: Recipe, draws: torch.Generator, averages: RunningAverages,
) -> dict[str, Tensor]:  # fmt: skip
    """Train on a batch of images, then on as many generated ones (§5); sums over the batch."""
    with _numbers(images, recipe):  # losses, updates and running averages stay float32
        scores = model(images).float()
    loss = classification_loss(scores, smoothed(labels, recipe.label_smoothing), recipe.loss)
    sums = {"train_loss": loss.detach() * len(labels), "train_accuracy": _right(scores, labels)}
    if augmenter is None or recipe.update == "alternate":
        _descend(optimiser, loss)
    if augmenter is None:
        return sums
    with averages.of_generated(), _numbers(images, recipe):
        generated, targets, augmentation = augmenter(images, labels, draws)
        scores = model(generated).float()
    classified = classification_loss(scores, targets, recipe.loss)
    total = combined_loss(classified, augmentation, recipe.alpha, recipe.beta)
    if recipe.update == "joint":  # beside the first loss, α does more than scale
        total = loss + (recipe.alpha * classified if total is classified else total)
    _descend(optimiser, total)
    sums["generated_accuracy"] = _right(scores, targets)
    if augmentation is not None:
        sums["augmentation_loss"] = augmentation.detach() * len(labels)
    return sums


def _numbers(images: Tensor, recipe: Recipe) -> torch.autocast:
    return torch.autocast(images.device.type, torch.bfloat16, recipe.precision == "bfloat16")


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
    on = find_device(device, recipe.precision)
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
            values |= measure(history, model, averages, original[0], unseen, recipe)
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
