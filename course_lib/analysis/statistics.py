"""Statistics that tell a difference from luck; bad values end in a CourseError."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, binomtest, bootstrap, nct, ttest_1samp
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

from course_lib.support.validation import CourseError, checks, number


@checks(count=1, right=0, confidence="share")
def wilson_interval(right: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval, in 0–1, for an accuracy: `right` of `count` images.

    With p = right/count and z the normal quantile of the confidence (1.96 for 95 %):
        ( p + z²/2n ± z·√( p(1−p)/n + z²/4n² ) ) / ( 1 + z²/n )
    """
    if right > count:
        raise CourseError(f"right {right!r} is more than the {count} images there are")
    interval = binomtest(right, count).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


class McNemar(NamedTuple):
    """Images that just one of two classifiers has right, and p: how likely so uneven a split is."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """McNemar's exact test on per-image correctness, bool (N,) each, of the same N images.

    Only images on which the two disagree count; if the two are equally good, each of these is a
    fair coin: p = min(1, 2·P(B ≤ min(b, c))), B ~ Binomial(b + c, ½).
    """
    one, other = _pair("correctness", first, second, "is not of the same images", bool)
    b, c = int((one & ~other).sum()), int((~one & other).sum())
    return McNemar(b, c, min(1.0, 2 * float(binom.cdf(min(b, c), b + c, 0.5))))


class Difference(NamedTuple):
    """A mean difference over seeds, p of Student's paired t test, and two 95 % intervals.

    Student's, `low` to `high`, excludes 0 exactly where p is below .05. The percentile bootstrap's
    is too narrow: in 2,000 simulated studies it covered the truth in 75 % with 3 seeds, 84 % with
    5, 90 % with 10. What cannot be known is nan.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int
    bootstrap_low: float
    bootstrap_high: float


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Mean of first − second, one pair of accuracies per seed, with p and two intervals.

    A pair shares its seed, and so split, initial weights and batch order: their luck cancels.
    """
    differences = np.subtract(*_pair("accuracies", first, second, "seeds make no pairs"))
    mean, seeds = float(differences.mean()), len(differences)
    if seeds < 3 or np.ptp(differences) < 1e-12:
        bound = math.nan if seeds < 3 else mean  # intervals and p tell nothing
        p = 1.0 if abs(bound) < 1e-12 else math.nan
        return Difference(mean, bound, bound, p, seeds, bound, bound)
    test = ttest_1samp(differences, 0)
    low, high = map(float, test.confidence_interval(0.95))
    # Seeds are drawn with replacement; rng=0 makes the draws the same each time.
    draws = bootstrap((differences,), np.mean, n_resamples=9_999, method="percentile", rng=0)
    resampled = map(float, draws.confidence_interval)
    return Difference(mean, low, high, float(test.pvalue), seeds, *resampled)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for how many there are (Holm's step-down): nan stays nan, uncounted."""
    values = _column("p values", p_values, unknown=True)
    known = ~np.isnan(values)
    if ((values < 0) | (values > 1)).any():
        raise CourseError(f"p values {values.tolist()} must lie between 0 and 1")
    if known.any():
        values[known] = multipletests(values[known], method="holm")[1]
    return values.tolist()


@checks(images=1, significance="share")
def mcnemar_power(
    only_first: float, only_second: float, images: int, significance: float = 0.05
) -> float:
    """The chance that McNemar's exact test finds a difference that is there.

    The shares of images that just one of the two has right are in 0–1. The number of disagreements
    is binomial, and so is their split; the power is summed over both, all but 2·10⁻¹² of it.
    """
    either = number("only_first", only_first, 0, 1) + number("only_second", only_second, 0, 1)
    if not 0 < either <= 1:
        raise CourseError(f"shares {only_first!r} and {only_second!r} must lie between 0 and 1")
    fewest, greatest = (float(binom.ppf(tail, images, either)) for tail in (1e-12, 1 - 1e-12))
    disagreements = np.arange(max(1, fewest), greatest + 1)
    # The largest minority that the test still finds uneven enough; -1: there is none.
    most = np.asarray(binom.ppf(significance / 2, disagreements, 0.5))
    most -= binom.cdf(most, disagreements, 0.5) > significance / 2
    share = only_second / either
    found = binom.cdf(most, disagreements, share)
    found += binom.sf(disagreements - most - 1, disagreements, share)
    return float((binom.pmf(disagreements, images, either) * found).sum())


@checks(power="share", most=1)
def images_needed(
    difference: float, disagreement: float, power: float = 0.8, most: int = 20_000
) -> int | None:
    """Images for McNemar's test at .05, by the share on which two disagree; None: over `most`."""
    if not 0 < abs(number("difference", difference)) <= number("disagreement", disagreement) <= 1:
        limit = f"must not be 0 nor exceed disagreement {disagreement!r}"
        raise CourseError(f"difference {difference!r} {limit}")
    shares = (disagreement + difference) / 2, (disagreement - difference) / 2
    low, high = 1, 2
    while mcnemar_power(*shares, high) < power:
        low, high = high, 2 * high
        if low >= most:
            return None
    while high - low > max(1, low // 100):  # the power of an exact test climbs in small waves
        middle = (low + high) // 2
        low, high = (low, middle) if mcnemar_power(*shares, middle) >= power else (middle, high)
    return high if high <= most else None


@checks(power="share", significance="share")
def seeds_needed(
    difference: float, spread: float, power: float = 0.8, significance: float = 0.05
) -> int:
    """Seeds, 3 at least, that Student's paired t test needs to find a difference with this power.

    `spread` is the standard deviation of the paired difference over seeds. The statistic of n seeds
    follows a noncentral t: n − 1 degrees of freedom and noncentrality √n·difference/spread.
    """
    if not (abs(number("difference", difference)) > 0 and number("spread", spread) > 0):
        limit = f"must not be 0, and spread {spread!r} must be above 0"
        raise CourseError(f"difference {difference!r} {limit}")

    def found(seeds: int) -> bool:
        critical = student.isf(significance / 2, seeds - 1)
        # The other side adds less than half of the significance, and nothing where power is high.
        return nct.sf(critical, seeds - 1, math.sqrt(seeds) * abs(difference) / spread) >= power

    seeds = 3
    while not found(seeds):
        seeds *= 2
    return bisect_left(range(seeds), True, lo=max(3, seeds // 2), key=found)


@checks(images=1, epochs=1)
def best_of_bias(accuracy: float, images: int, epochs: int) -> float:
    """By how much the best of several epochs' accuracies flatters a network that never changes.

    E[max of `epochs` independent Binomial(images, accuracy)] / images − accuracy: as epochs of one
    training are not independent, the most that luck alone gives (§6 reports the best of 40).
    """
    number("accuracy", accuracy, 0, 1)
    below = binom.cdf(np.arange(images), images, accuracy)  # P(count ≤ k) for k < images
    return float((1 - below**epochs).sum() / images - accuracy)


def worth_in_images(
    sizes: Sequence[float], plain: Sequence[float], augmented: Sequence[float]
) -> list[float]:
    """How many times as many images, without augmentation, would give the augmented accuracy.

    For each size, from accuracies (N,) at N growing sizes: linear between sizes on a logarithmic
    scale, where accuracy is taken never to fall as images grow. nan where it lies outside the
    curve: more images than were tried, or fewer (Geiping et al. 2023, "exchange rates").
    """
    counts, without, with_it = (
        _column(name, values)
        for name, values in (("sizes", sizes), ("plain", plain), ("augmented", augmented))
    )
    if not len(counts) == len(without) == len(with_it) >= 2 or (np.diff(counts) <= 0).any():
        raise CourseError(f"sizes {sizes!r} must grow, two or more, with an accuracy each")
    rising = np.maximum.accumulate(without)
    needed = np.exp(np.interp(with_it, rising, np.log(counts), left=math.nan, right=math.nan))
    return list(map(float, needed / counts))


def _pair(
    name: str, first: Sequence[float], second: Sequence[float], fault: str, kind: type = float
) -> tuple[np.ndarray, np.ndarray]:
    """Two columns of the same length, as float or bool."""
    one, other = _column(name, first), _column(name, second)
    if kind is bool and not {*one, *other} <= {0, 1}:
        raise CourseError(f"{name} must be True or False, one value per image")
    if one.shape != other.shape or not len(one):
        raise CourseError(f"{name} of {one.shape} and {other.shape} {fault}")
    return one.astype(kind), other.astype(kind)


def _column(name: str, values: Sequence[float], unknown: bool = False) -> np.ndarray:
    """The values as floats, (N,), a copy; nan only where it stands for an unknown value."""
    try:
        column = np.asarray(values)
    except ValueError:  # rows of unequal length
        column = np.array("")
    finite = column.dtype.kind in "biuf" and not np.isinf(column).any()
    if not finite or column.ndim != 1 or (np.isnan(column).any() and not unknown):
        raise CourseError(f"{name} {values!r} must be a row of finite numbers")
    return column.astype(float)
