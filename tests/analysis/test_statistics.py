import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from course_lib.analysis.statistics import (
    best_of_bias,
    holm,
    images_needed,
    mcnemar,
    mcnemar_power,
    paired_difference,
    seeds_needed,
    wilson_interval,
    worth_in_images,
)
from course_lib.support.validation import CourseError


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), Table I, method 3 (score, no correction).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_against_newcombe(right, count, low, high):
    assert wilson_interval(right, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 0), "count 0 must be"),
        ((-1, 10), "right -1 must be"),
        ((11, 10), "right 11 is more than the 10"),
        ((0.5, 10), "right 0.5 must be"),
        ((5, 10, 1.0), "confidence 1.0 must lie between"),
    ],
)
def test_bad_counts(arguments, message):
    with pytest.raises(CourseError, match=message):
        wilson_interval(*arguments)


def split(only_first, only_second, both=7, neither=3):
    """Two arrays of correctness that disagree like this."""
    counts = ((1, 0, only_first), (0, 1, only_second), (1, 1, both), (0, 0, neither))
    first = [one for one, _, count in counts for _ in range(count)]
    second = [other for _, other, count in counts for _ in range(count)]
    return np.array(first, bool), np.array(second, bool)


def test_mcnemar_against_its_definition():
    for b, c in product(range(9), range(9)):
        coins = [math.comb(b + c, k) for k in range(min(b, c) + 1)]
        p = min(1, 2 * sum(coins) / 2 ** (b + c))
        assert mcnemar(*split(b, c)) == (b, c, pytest.approx(p))


def test_mcnemar_against_agresti():
    """Approval of the prime minister, in Agresti's books on categorical data: z = −4.17 there."""
    result = mcnemar(*split(150, 86, both=794, neither=570))
    assert (result.only_first, result.only_second) == (150, 86)
    assert result.p == pytest.approx(3.72e-5, rel=0.01)


def test_paired_difference():
    # Student's sleep data (1908), extra hours of ten patients under two drugs: t = 4.0621. R's manual
    # (`t.test`, paired) gives p and the interval.
    first = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    second = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    result = paired_difference(first, second)
    assert result.mean == pytest.approx(1.58) and result.p == pytest.approx(0.002833, abs=5e-7)
    assert (result.low, result.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert result.seeds == 10
    assert result == paired_difference(first, second), "the same resamples each time"
    # A slow bootstrap of our own, with other draws.
    draws = np.random.default_rng(1)
    differences = np.subtract(first, second)
    means = [draws.choice(differences, 10).mean() for _ in range(4000)]
    ours = result.bootstrap_low, result.bootstrap_high
    assert np.quantile(means, [0.025, 0.975]) == pytest.approx(ours, abs=0.06)


def test_the_bootstrap_of_three_seeds_spans_just_their_differences():
    few = paired_difference([0.80, 0.85, 0.90], [0.79, 0.80, 0.88])
    assert (few.bootstrap_low, few.bootstrap_high) == pytest.approx((0.01, 0.05))
    assert few.low < 0 < few.high and few.p > 0.05, "Student's knows how little three are"


def test_paired_difference_of_few_seeds():
    for first, second in (([0.9], [0.8]), ([0.9, 0.8], [0.8, 0.7]), ([0.9, 0.8], [0.9, 0.6])):
        few = paired_difference(first, second)
        assert few.mean == pytest.approx(0.1) and few.seeds == len(first)
        assert all(map(math.isnan, (few.p, few.low, few.high, few.bootstrap_low)))
    assert paired_difference([0.9, 0.8, 0.7], [0.9, 0.8, 0.7])[:4] == (0, 0, 0, 1)
    always = paired_difference([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert always.low == always.high == pytest.approx(0.1) and math.isnan(always.p)


def test_holm():
    # Holm, Scandinavian Journal of Statistics 6 (1979): the i-th smallest times (m − i + 1).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = holm([0.02, math.nan, 0.5])
    assert corrected[0] == pytest.approx(0.04) and math.isnan(corrected[1])
    assert all(math.isnan(value) for value in holm([math.nan]))


def test_power_against_obrien():
    """G*Power's manual, McNemar's test, after O'Brien (2002): disagreement .40, odds ratio .25, 50
    pairs, one side of .05: power .839343. Both sides at .10 add the other side, some 1e-5."""
    assert mcnemar_power(0.08, 0.32, 50, significance=0.10) == pytest.approx(0.839343, abs=5e-5)


def test_power_by_simulation():
    draws = np.random.default_rng(0)
    cases = draws.multinomial(60, [0.25, 0.08, 0.67], size=1500)
    found = [mcnemar(*split(b, c, both=n, neither=0)).p <= 0.05 for b, c, n in cases]
    assert np.mean(found) == pytest.approx(mcnemar_power(0.25, 0.08, 60), abs=0.04)


def test_images_needed():
    count = images_needed(0.10, 0.20)
    assert mcnemar_power(0.15, 0.05, count) >= 0.8 > mcnemar_power(0.15, 0.05, count - 10)
    normal = (1.960 + 0.842) ** 2 * 0.20 / 0.10**2  # 157, by the normal approximation
    assert normal < count < 1.1 * normal, "an exact test needs some more"
    assert images_needed(-0.10, 0.20) == count
    assert images_needed(0.001, 0.3) is None


@pytest.mark.parametrize(("size", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_against_cohen(size, seeds):
    """Cohen's small, medium and large effects, paired t test, two-sided .05, power .8."""
    assert seeds_needed(size, 1.0) == seeds_needed(-2 * size, 2.0) == seeds
    assert seeds_needed(9.0, 0.1) == 3, "paired_difference asks for three"


LARGE = [  # difference, spread, significance, seeds
    (0.05, 0.005, 0.05, 3),
    (0.07, 0.009, 0.05 / 12, 4),
    (0.10, 0.02, 0.05 / 12, 5),
    (0.035, 0.0042, 0.05 / 12, 4),
]


@pytest.mark.parametrize(("difference", "spread", "significance", "seeds"), LARGE)
def test_seeds_needed_for_large_effects(difference, spread, significance, seeds):
    assert seeds_needed(difference, spread, 0.8, significance) == seeds


@pytest.mark.parametrize(
    ("difference", "spread", "significance"), [case[:3] for case in LARGE] + [(1.2, 1.0, 0.01)]
)
def test_seeds_needed_by_simulation(difference, spread, significance):
    count = seeds_needed(difference, spread, 0.8, significance)
    studies = np.random.default_rng(0).normal(difference, spread, (20_000, count))
    fewer = studies[:, :-1]
    power, less = (
        (ttest_1samp(some, 0, axis=1).pvalue < significance).mean() for some in (studies, fewer)
    )
    error = 3 * math.sqrt(0.8 * 0.2 / 20_000)
    assert power > 0.8 - error
    assert count == 3 or less < 0.8 + error, "one seed fewer is not enough"


def test_best_of_bias():
    assert best_of_bias(0.85, 200, 1) == pytest.approx(0, abs=1e-12)
    draws = np.random.default_rng(0).binomial(200, 0.85, (20_000, 40)) / 200
    assert best_of_bias(0.85, 200, 40) == pytest.approx(draws.max(1).mean() - 0.85, abs=5e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcnemar([True], [True, False]), "not of the same images"),
        (lambda: mcnemar([], []), "not of the same images"),
        (lambda: paired_difference([0.8], [0.8, 0.9]), "make no pairs"),
        (lambda: paired_difference([], []), "make no pairs"),
        (lambda: mcnemar_power(0.6, 0.6, 100), "shares 0.6 and 0.6"),
        (lambda: mcnemar_power(0.1, 0.0, 0), "images 0 must be"),
        (lambda: images_needed(0.2, 0.1), "difference 0.2 must not be 0 nor exceed"),
        (lambda: images_needed(0.1, 0.2, power=1.0), "power 1.0 must lie"),
        (lambda: seeds_needed(0.0, 1.0), "difference 0.0 must not be 0"),
        (lambda: seeds_needed(0.1, 1.0, significance=0.0), "significance 0.0 must lie"),
        (lambda: best_of_bias(1.2, 200, 40), "accuracy 1.2 must be a number from 0 to 1"),
        (lambda: best_of_bias(0.8, 200, 0), "epochs 0 must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(CourseError, match=message):
        call()


def test_worth_in_images():
    """On a straight line in log size, adding a tenth is worth the same factor everywhere."""
    sizes = [25, 50, 100, 200, 400, 800]
    plain = [0.6 + 0.05 * k for k in range(6)]
    factors = worth_in_images(sizes, plain, [value + 0.05 for value in plain])
    assert factors[:4] == pytest.approx([2.0] * 4) and math.isnan(factors[5])
    half = worth_in_images(sizes, plain, [value + 0.025 for value in plain])
    assert half[0] == pytest.approx(2**0.5)
    assert worth_in_images(sizes, plain, plain) == pytest.approx([1.0] * 6)
    assert math.isnan(worth_in_images(sizes, plain, [0.5] * 6)[0]), "worse than the fewest images"
    dip = [0.6, 0.7, 0.65, 0.8]
    assert worth_in_images([1, 10, 100, 1000], dip, [0.65] * 4)[0] == pytest.approx(10**0.5)


@pytest.mark.parametrize("sizes", [[25, 25], [50, 25], [25], [25, 50, 100]])
def test_worth_in_images_of_bad_sizes(sizes):
    with pytest.raises(CourseError, match="must grow, two or more, with an accuracy each"):
        worth_in_images(sizes, [0.5, 0.6], [0.6, 0.7])
