"""The planned study: the sample that notebooks/PLAN.md names, in an order of which any start is fair."""

from collections import Counter
from dataclasses import asdict

import pytest

from course_lib.analysis import readings
from course_lib.analysis.plan import (
    COMPARISONS,
    DIGIT_RUNS,
    PAIR_RUNS,
    PLAN,
    POSITIVE_CONTROL,
)
from course_lib.analysis.readings import DIGIT_RUNS as DIGIT_RUNS_READ
from course_lib.analysis.readings import READINGS_ON_DIGITS, reading_of
from course_lib.arms import ARMS
from course_lib.images.tasks import BREEDS
from course_lib.paper import CATS, GOLDFISH, MNIST
from course_lib.study import is_run, read_the_paper, settings_of
from course_lib.training import Recipe


def test_the_sample():
    cats = Counter((run.dog, run.other) for run in PAIR_RUNS if run.stratum == CATS)
    assert len(cats) == 18 and set(cats.values()) == {1}
    fish = Counter((run.dog, run.other) for run in PAIR_RUNS if run.stratum == GOLDFISH)
    assert len(fish) == 6 and set(fish.values()) == {3}
    seeds = [run.seed for run in PAIR_RUNS] + list(DIGIT_RUNS)
    assert len(set(seeds)) == len(seeds) == 46, "no two runs of an arm share their luck"
    assert min(seeds) > 5, "the pilot's seeds are not used again"


def test_any_start_of_the_plan_is_balanced():
    for count in range(2, 37, 2):
        strata = Counter(run.stratum for run in PAIR_RUNS[:count])
        assert strata[CATS] == strata[GOLDFISH]
    for turn in range(3):
        dogs = Counter((run.stratum, run.dog) for run in PAIR_RUNS[12 * turn : 12 * turn + 12])
        assert len(dogs) == 12 and set(dogs.values()) == {1}


def test_the_runs():
    assert len(PLAN) == len(set(PLAN)) == 36 * 7 + 36 * 2 + 10 * 3
    assert all(arm in ARMS and is_run(task, arm) for task, arm, _ in PLAN)
    first = {arm for _, arm, _ in PLAN[: 36 * 7]}
    asked = {
        arm for claim in (*COMPARISONS, POSITIVE_CONTROL) for arm in (claim.first, claim.second)
    }
    assert asked == first and len(COMPARISONS) == 6
    assert all(task == MNIST for task, _, _ in PLAN[-30:])


def test_seeds_spread_the_folds():
    """Goldfish: every five consecutive seeds validate each image once; a dog's seeds differ."""
    fish = sorted(run.seed for run in PAIR_RUNS if run.stratum == GOLDFISH)
    assert fish == list(range(120, 138))
    for kind in BREEDS["dogs"]:
        assert len({run.seed % 5 for run in PAIR_RUNS if run.dog == kind}) >= 3


def test_sixty_readings_of_the_paper():
    """The default, each change once, each pair of changes once, and some triples."""
    sizes = Counter(map(len, READINGS_ON_DIGITS))
    assert sizes == {0: 1, 1: 9, 2: 33, 3: 17}
    as_text = [str(sorted(reading.items())) for reading in READINGS_ON_DIGITS]
    assert len(set(as_text)) == 60
    for reading in READINGS_ON_DIGITS:
        Recipe(**reading)


def test_the_nearest_readings_are_trained_on_pictures(tmp_path, monkeypatch):
    """One command: digits first, then the readings whose digits come nearest to the paper's."""
    monkeypatch.setattr("course_lib.study.READ", tmp_path / "bundled")
    small = {"epochs": 1, "images_per_class": 10, "source": "stand-in"}
    small |= {"side": 32, "readings": False, "last_epochs": 1}
    make = settings_of

    def settings(task, *words, **reading):
        source = {} if task != MNIST else {"source": "auto"}
        return make(task, *words, **small | source | reading)

    monkeypatch.setattr("course_lib.study.settings_of", settings)
    monkeypatch.setattr("course_lib.study.DIGIT_RUNS", DIGIT_RUNS_READ[:4])
    monkeypatch.setattr(readings, "NEAREST", 2)
    results = read_the_paper(workers=1)
    digits, pictures = results[:4], results[4:]
    assert [run.settings["loss"] for run in digits[:3]] == [
        "sigmoid", "softmax", "softmax-of-sigmoids",
    ]  # fmt: skip
    order = sorted(digits, key=lambda run: abs(run.best_accuracy - 0.972))
    near = [reading_of(run, asdict(Recipe())) for run in order[:2]]
    for number, reading in enumerate(near):
        part = pictures[8 * number : 8 * number + 8]
        assert [(run.task, run.arm) for run in part] == [
            (task, arm) for task in (GOLDFISH, CATS) for arm in readings.ARMS_READ
        ]
        assert all(reading_of(run, asdict(Recipe())) == reading for run in part)
    for result in digits:
        assert readings.distance([result]) == pytest.approx(abs(result.best_accuracy - 0.972))
