import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from simulation import LARGE, PLAUSIBLE, TARGETS, errors, image_weights
from statsmodels.stats.weightstats import DescrStatsW

from course_lib.analysis.replication import (
    Estimate,
    crossed_mean,
    equivalence,
    mean_variance,
    nadeau_bengio,
    prediction_interval,
    verdict,
)
from course_lib.support.validation import CourseError


def table(others, repeats, seed=0, dogs=6, effect=0.0):
    """A stratum in which each dog shifts its differences by up to `effect`."""
    draws = np.random.default_rng(seed)
    rows = [
        (f"dog {dog}", f"other {other}", 100 * seed + number, effect * dog / dogs)
        for number, (dog, other, _) in enumerate(
            product(range(dogs), range(others), range(repeats))
        )
    ]
    made = pd.DataFrame(rows, columns=["dog", "other", "seed", "difference"])
    made["difference"] += draws.normal(0.01, 0.02, len(made))
    return made.sample(frac=1, random_state=seed)  # in no order


def slow_variance(*strata):
    """By loops over rows: the squared standard error from dogs, and from runs, with degrees."""
    dogs = sorted(set(strata[0]["dog"]))
    means = [np.mean([s.loc[s["dog"] == dog, "difference"].mean() for s in strata]) for dog in dogs]
    from_dogs = sum((mean - np.mean(means)) ** 2 for mean in means) / (len(dogs) - 1) / len(dogs)
    parts = []
    for stratum in strata:
        total, others = 0.0, sorted(set(stratum["other"]))
        for other in others:
            values = list(stratum.loc[stratum["other"] == other, "difference"])
            total += sum((value - sum(values) / len(values)) ** 2 for value in values)
        square = total / (len(stratum) - len(others)) / len(stratum) / len(strata) ** 2
        parts.append((square, len(others) * (len(dogs) - 1)))
    from_runs = sum(square for square, _ in parts)
    degrees = from_runs**2 / sum(square**2 / free for square, free in parts)
    return (from_dogs, len(dogs) - 1), (from_runs, degrees)


DESIGNS = [((3, 1),), ((1, 3),), ((3, 1), (1, 3)), ((2, 2), (1, 2), (3, 1))]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("alike", [True, False])
def test_crossed_mean_against_loops(design, alike):
    strata = [table(*sizes, seed, effect=0.1) for seed, sizes in enumerate(design)]
    for stratum in strata * alike:
        stratum["difference"] -= 0.9 * stratum.groupby("dog")["difference"].transform("mean")
    from_dogs, from_runs = slow_variance(*strata)
    variance, degrees = max(from_dogs, from_runs)
    assert alike == (variance == from_runs[0]), "each of the two is the larger once"
    mean = np.mean([stratum["difference"].mean() for stratum in strata])
    error, result = math.sqrt(variance), crossed_mean(*strata)
    reach = student.ppf(0.975, degrees) * error
    assert result[:3] == pytest.approx((mean, mean - reach, mean + reach))
    assert result.p == pytest.approx(2 * student.cdf(-abs(mean) / error, degrees))
    assert (result.error, result.degrees) == pytest.approx((error, degrees))
    assert result.runs == sum(map(len, strata))
    assert result.p_equivalent == pytest.approx(
        max(student.sf((mean + 0.02) / error, degrees), student.cdf((mean - 0.02) / error, degrees))
    )


def test_where_dogs_differ_it_is_students_t_over_their_means():
    stratum = table(1, 3, effect=0.2)
    test = ttest_1samp(stratum.groupby("dog")["difference"].mean(), 0)
    result = crossed_mean(stratum)
    assert (result.p, result.degrees) == (pytest.approx(test.pvalue), 5)
    assert (result.low, result.high) == pytest.approx(tuple(test.confidence_interval()))


def test_strata_weigh_the_same():
    one, other = table(3, 2, 1), table(1, 3, 2)
    means = [stratum["difference"].mean() for stratum in (one, other)]
    assert crossed_mean(one, other).mean == pytest.approx(np.mean(means))


def test_studies_side_by_side():
    cubes = np.random.default_rng(0).normal(size=(5, 6, 3, 1))
    both = np.array([mean_variance(cube) for cube in cubes]).T
    assert np.array(mean_variance(cubes)) == pytest.approx(both)


def test_differences_all_the_same():
    stratum = table(3, 1)
    stratum["difference"] = 0.01
    always = crossed_mean(stratum)
    assert always.low == always.high == pytest.approx(0.01) and always.error == 0
    assert all(map(math.isnan, (always.p, always.degrees, always.p_equivalent)))
    assert verdict(always, math.nan, 1) == "inconclusive"
    stratum["difference"] = 0.0
    assert crossed_mean(stratum).p == 1


@pytest.mark.parametrize("shift", [0.0, 0.015, -0.03])
def test_equivalence_against_statsmodels(shift):
    values = np.random.default_rng(0).normal(shift, 0.02, 18)
    error = values.std(ddof=1) / math.sqrt(18)
    expected = DescrStatsW(values).ttost_mean(-0.02, 0.02)[0]
    assert equivalence(values.mean(), error, 17) == pytest.approx(expected)


def test_prediction_interval():
    """With error s/√n and spread s: mean ± t·s·√(1 + 1/n), as in any textbook."""
    estimate = Estimate(0.01, 0, 0, 0, 0.02 / 3, 8, 9, 0)
    reach = 2.306004 * 0.02 * math.sqrt(1 + 1 / 9)  # a t table's .025, 8 degrees
    assert prediction_interval(estimate, 0.02) == pytest.approx((0.01 - reach, 0.01 + reach))


def test_nadeau_bengio():
    values = [0.01, 0.03, -0.01, 0.02, 0.04, 0.0, 0.01, 0.02, -0.02, 0.03]
    result, square = nadeau_bengio(values, 0.2), np.var(values, ddof=1)
    assert result.error == pytest.approx(math.sqrt((1 / 10 + 1 / 4) * square))
    assert (result.degrees, result.runs) == (9, 10)
    t = np.mean(values) / result.error
    assert result.p == pytest.approx(2 * student.sf(t, 9))
    assert result.p > 4 * ttest_1samp(values, 0).pvalue, "overlapping runs tell less"


@pytest.mark.parametrize(
    ("mean", "error", "p", "direction", "found"),
    [
        (0.03, 0.005, 0.01, 1, "holds"),
        (-0.03, 0.005, 0.01, -1, "holds"),
        (-0.03, 0.005, 0.01, 1, "the opposite holds"),
        (0.01, 0.001, 0.01, 1, "holds"),  # and small: the sign wins
        (0.005, 0.005, 0.6, 1, "no difference of two points or more"),
        (0.01, 0.02, 0.6, 1, "inconclusive"),
        (0.03, 0.005, 0.05, 1, "inconclusive"),
        (0.01, 0.02, math.nan, 1, "inconclusive"),
    ],
)
def test_verdict(mean, error, p, direction, found):
    assert verdict(Estimate(mean, 0, 0, 0, error, 10, 18, 0), p, direction) == found


def test_verdict_of_another_margin():
    estimate = Estimate(0.005, 0, 0, 0, 0.005, 10, 18, 0)
    assert verdict(estimate, 1.0, 1, 0.01) == "inconclusive"
    assert verdict(estimate, 1.0, 1, 0.03) == "no difference of 3 points or more"


def spoilt(column, value, row=0):
    bad = table(3, 1).astype({"difference": object}).reset_index(drop=True)
    bad.loc[row, column] = value
    return bad


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crossed_mean(), r"dogs \[\] must be the same in all strata, one or more"),
        (lambda: crossed_mean(table(3, 1).drop(columns="seed")), r"columns \['seed'\] are missing"),
        (lambda: crossed_mean(table(3, 1).iloc[1:]), r"runs \[\[.*0.*\]\] must be as many"),
        (lambda: crossed_mean(table(3, 1, dogs=1)), r"runs \[\[1, 1, 1\]\] must be as many"),
        (lambda: crossed_mean(pd.concat([table(3, 1)] * 2)), "seed .* is twice"),
        (lambda: crossed_mean(table(3, 1), table(1, 3, dogs=5)), "dogs .* must be the same"),
        (lambda: crossed_mean(spoilt("difference", math.nan)), "difference nan must be a number"),
        (lambda: crossed_mean(spoilt("difference", 2.5)), "difference 2.5 must be .* from -1 to 1"),
        (lambda: crossed_mean(spoilt("difference", "x")), "difference 'x' must be a number"),
        (lambda: crossed_mean(spoilt("dog", None)), "dog and other .* must not be empty"),
        (lambda: crossed_mean(table(3, 1), margin=0), "margin 0 must be above 0"),
        (lambda: nadeau_bengio([0.1], 0.2), r"differences \[0.1\] must be two or more"),
        (lambda: nadeau_bengio([0.1, math.inf], 0.2), "difference inf must be a number"),
        (lambda: nadeau_bengio([0.1, 0.2], 1.0), "test_share 1.0 must lie between"),
        (lambda: prediction_interval(crossed_mean(table(3, 1)), -1), "spread -1 must be a number"),
        (lambda: verdict(crossed_mean(table(3, 1)), 0.5, 0), "direction 0 must be 1 or -1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(CourseError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_simulated_design():
    """Every run judges 300 images; folds of a block are disjoint; the test images are shared."""
    weights = image_weights().reshape(36, 10, 550) > 0
    assert (weights.sum((1, 2)) == 300).all()
    goldfish = weights[18:, 9]
    assert goldfish[:, 500:].all() and not (goldfish[0, :500] & goldfish[1, :500]).any()
    assert goldfish[:5, :500].any(0).all(), "seeds 120 to 124 validate on every image once"
    assert (goldfish[0, :500] & goldfish[5, :500]).any(), "seed 125 begins another permutation"
    assert [weights[run, :9].any(1).nonzero()[0].tolist() for run in (0, 4, 17)] == [
        [0, 6],
        [1, 7],
        [5, 8],
    ]


@pytest.mark.slow
def test_the_test_keeps_its_level():
    """In 10,000 simulated studies of each plausible scenario; .004 is two Monte Carlo errors."""
    aim = next(iter(TARGETS))
    for stratum, found in errors(aim, [*PLAUSIBLE, *LARGE], studies=10_000, seed=4).items():
        where = f"{stratum}\n{found}"
        assert found["p < .05"].between(0.03 - 0.004, 0.06 + 0.004).all(), where
        assert found["coverage"].between(0.93 - 0.004, 0.97 + 0.004).all(), where
        assert (found["TOST error at 2"] < 0.06 + 0.004).all(), where
