"""A task and a history for tests of pictures, made without training."""

from functools import lru_cache

import torch

from course_lib.images.tasks import Task, load_task
from course_lib.models import AugNet
from course_lib.training import History


@lru_cache(maxsize=1)
def small_task() -> Task:
    return load_task("dogs-vs-goldfish", "stand-in", images_per_class=50)


@lru_cache(maxsize=1)
def history() -> History:
    """Three epochs of an arm with AugNet, on `small_task`."""
    task = small_task()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        augnets = [AugNet(3).eval() for _ in range(3)]
    first, second = task.train.images[:4], task.train.images[4:8]
    with torch.inference_mode():
        generated = [net(task.normalise(first), task.normalise(second)) for net in augnets]
    curves = {
        "train_accuracy": [0.5, 0.6, 0.7],
        "generated_accuracy": [0.4, 0.5, 0.55],
        "validation_accuracy": [0.55, 0.65, 0.6],
        "seconds": [2.0, 2.0, 2.0],
    }
    return History(
        curves=curves,
        best_epoch=1,
        sources=torch.stack([first, second], dim=1),
        generated=generated,
        augnets=augnets,
    )
