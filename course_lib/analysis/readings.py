"""Readings of the paper: where it leaves a choice open, which choice gives its own numbers?

An exploration, without a plan and without a test (page 07): one seed, many trainings.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from course_lib.analysis.results import Result
from course_lib.paper import CATS, GOLDFISH, MNIST, PAPER
from course_lib.support.files import BUNDLED

READ = BUNDLED / "reference" / "readings"
SEED = 150
NEAREST = 12
ARMS_READ = ("none", "none-matched", "neural", "control")
Reading = dict[str, Any]  # what of a Recipe differs from its default

# Choices that the paper leaves open and a run of `none` depends on.
OPEN: dict[str, Sequence[Any]] = {
    "loss": ("softmax", "softmax-of-sigmoids"),
    "smallnet_initialisation": ("glorot",),
    "dropout": (0.25,),
    "batch_size": (32, 128),
    "momentum": (0.01, 0.001),  # TensorFlow's decay of .99 and .999
    "running_statistics": ("batch",),  # averages that were never updated
}
# TensorFlow's defaults of 2017, some of which a reading of three changes has.
TENSORFLOW: tuple[Reading, ...] = (
    {"smallnet_initialisation": "glorot", "momentum": 0.001},
    {"smallnet_initialisation": "glorot", "loss": "softmax-of-sigmoids"},
    {"momentum": 0.001, "loss": "softmax-of-sigmoids"},
    {"smallnet_initialisation": "glorot", "momentum": 0.01},
)


def _readings() -> tuple[Reading, ...]:
    """60: the default, every change and pair of changes, and triples with TensorFlow's defaults."""
    single = [{name: value} for name, values in OPEN.items() for value in values]
    found: list[Reading] = [{}, *single]
    found += [a | b for a, b in combinations(single, 2) if a.keys() != b.keys()]
    for base in TENSORFLOW:
        for change in single:
            if len(triple := base | change) == 3 and triple not in found:
                found.append(triple)
    return tuple(found[:60])


READINGS_ON_DIGITS = _readings()


def reading_of(result: Result, defaults: dict) -> Reading:
    """What of a result's settings differs from a Recipe's defaults."""
    return {name: result.settings[name] for name in OPEN if result.settings[name] != defaults[name]}


def distance(results: Iterable[Result]) -> float:
    """Root mean square of best validation accuracy minus the paper's, over runs that it has."""
    gaps = [
        run.best_accuracy - PAPER[run.task, run.arm]
        for run in results
        if (run.task, run.arm) in PAPER
    ]
    return float(np.sqrt(np.mean(np.square(gaps))))


def nearest(results: Sequence[Result]) -> list[Result]:
    """The dozen runs on MNIST that come nearest to the paper's .972."""
    return sorted(results, key=lambda run: distance([run]))[:NEAREST]


DIGIT_RUNS = tuple((MNIST, "none", SEED, reading) for reading in READINGS_ON_DIGITS)


def picture_runs(readings: Iterable[Reading]) -> list[tuple[str, str, int, Reading]]:
    """Runs of the readings on both picture tasks, reading by reading."""
    tasks = (GOLDFISH, CATS)
    return [(task, arm, SEED, read) for read in readings for task in tasks for arm in ARMS_READ]
