"""The planned study: the sample that notebooks/PLAN.md names, in an order of which any start is fair."""

from collections import Counter

from course_lib.analysis.plan import (
    COMPARISONS,
    DIGIT_RUNS,
    PAIR_RUNS,
    PLAN,
    POSITIVE_CONTROL,
)
from course_lib.arms import ARMS
from course_lib.images.tasks import BREEDS
from course_lib.paper import CATS, GOLDFISH, MNIST
from course_lib.study import is_run


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
