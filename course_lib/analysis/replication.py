"""A claim tested on many pairs of classes: do dogs like these, not just these runs, bear it out?

A table has a row per pair-run: dog, other (the class opposite), seed, difference of two arms (0–1).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from course_lib.support.validation import CourseError, checks, number

MARGIN = 0.02  # a smaller difference is of no importance


class Estimate(NamedTuple):
    """A mean difference, its 95 % interval, p (it is 0) and p_equivalent (it reaches the margin).

    Where all differences are the same, the degrees are nan, and what cannot be known is nan.
    """

    mean: float
    low: float
    high: float
    p: float
    error: float
    degrees: float
    runs: int
    p_equivalent: float


def crossed_mean(*strata: pd.DataFrame, margin: float = MARGIN) -> Estimate:
    """Mean over dogs like these, against just these other classes, of one stratum or of several.

    Every dog of a stratum meets every other class equally often; strata have the same dogs and
    weigh the same. The other classes are too few to tell of others like them.
    """
    cubes = [_cube(table) for table in strata]
    dogs = {tuple(sorted(set(table["dog"]))) for table in strata}
    if len(dogs) != 1:
        raise CourseError(f"dogs {sorted(dogs)} must be the same in all strata, one or more")
    variance, degrees = map(float, mean_variance(*cubes))
    mean = float(np.mean([cube.mean() for cube in cubes]))
    return estimate(mean, variance, degrees, sum(cube.size for cube in cubes), margin)


def mean_variance(*strata: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared standard error of the mean of strata (…, dogs, others, repeats); its degrees.

    That of Student's t over the D dogs' means, with D − 1 degrees: it allows for what dogs, and
    pairs of classes, have of their own. From so few dogs it is at times too small by luck. It never
    counts as less than the runs tell: s²/n of a stratum's n runs, where s² is their variance about
    the mean of each of the K other classes. This has K·(D − 1) degrees, not n − K, as repeats of a
    pair share images; those of several strata are combined by Satterthwaite's formula.
    """
    by_dog = sum(cube.mean((-2, -1)) for cube in strata) / len(strata)
    dogs = by_dog.shape[-1]
    variance, least, spread = by_dog.var(-1, ddof=1) / dogs, 0, 0
    for cube in strata:
        others, runs = cube.shape[-2], math.prod(cube.shape[-3:])
        squares = (cube - cube.mean((-3, -1), keepdims=True)) ** 2
        part = squares.sum((-3, -2, -1)) / (runs - others) / runs / len(strata) ** 2
        least, spread = least + part, spread + part**2 / (others * (dogs - 1))
    pairs = least**2 / np.where(spread > 0, spread, math.inf)
    return np.maximum(variance, least), np.where(variance < least, pairs, dogs - 1)


def equivalence(mean: float, error: float, degrees: float, margin: float = MARGIN) -> float:
    """Two one-sided tests: p, the larger of the two, of a true difference of ±margin or beyond."""
    if number("margin", margin) <= 0:
        raise CourseError(f"margin {margin!r} must be above 0")
    return float(student.sf((margin - abs(mean)) / error, degrees)) if error > 0 else math.nan


def prediction_interval(estimate: Estimate, spread: float) -> tuple[float, float]:
    """Within which one further run's difference falls, at 95 %: mean ± t·√(error² + spread²).

    `spread` is the standard deviation of the difference over runs. Can the paper's run be one?
    """
    width = math.hypot(estimate.error, number("spread", spread, 0))
    width *= float(student.isf(0.025, estimate.degrees))
    return estimate.mean - width, estimate.mean + width


@checks(test_share="share")
def nadeau_bengio(
    differences: Sequence[float], test_share: float, margin: float = MARGIN
) -> Estimate:
    """The corrected resampled t test, for runs that split the same images again and again.

    Their training sets overlap, so J runs tell less than J: with a share τ of the images held out,
    the variance of the mean is ( 1/J + τ/(1 − τ) )·s² (Nadeau & Bengio, Machine Learning 52, 2003).
    For one task and many seeds, as with MNIST; where pairs of classes vary, use `crossed_mean`.
    """
    values = _differences(differences)
    factor = 1 / len(values) + test_share / (1 - test_share)
    variance = factor * float(values.var(ddof=1))
    return estimate(float(values.mean()), variance, len(values) - 1, len(values), margin)


def verdict(estimate: Estimate, p_corrected: float, direction: int, margin: float = MARGIN) -> str:
    """What is found of a claim that the difference is above 0 (direction 1) or below it (−1).

    `p_corrected` is p corrected for the family's claims (`statistics.holm`). The sign wins.
    """
    if direction not in (1, -1):
        raise CourseError(f"direction {direction!r} must be 1 or -1")
    if p_corrected < 0.05:
        return "holds" if estimate.mean * direction > 0 else "the opposite holds"
    if equivalence(estimate.mean, estimate.error, estimate.degrees, margin) < 0.05:
        points = "two" if margin == MARGIN else f"{100 * margin:g}"
        return f"no difference of {points} points or more"
    return "inconclusive"


def estimate(
    mean: float, variance: float, degrees: float, runs: int, margin: float = MARGIN
) -> Estimate:
    """The estimate that a mean, its squared standard error and Student's t make."""
    error = math.sqrt(variance) if variance > 1e-24 else 0.0
    p_equivalent = equivalence(mean, error, degrees, margin)
    if not error:  # all differences are the same
        p = 1.0 if abs(mean) < 1e-12 else math.nan
        return Estimate(mean, mean, mean, p, 0.0, math.nan, runs, math.nan)
    half = error * float(student.isf(0.025, degrees))
    p = 2 * float(student.sf(abs(mean) / error, degrees))
    return Estimate(mean, mean - half, mean + half, p, error, degrees, runs, p_equivalent)


def _cube(table: pd.DataFrame) -> np.ndarray:
    """A stratum's differences, (dogs, others, repeats), in the order of names and seeds."""
    if missing := {"dog", "other", "seed", "difference"} - set(table.columns):
        raise CourseError(f"columns {sorted(missing)} are missing from the table")
    if table[["dog", "other"]].isna().any(axis=None):
        raise CourseError(
            f"dog and other {table[['dog', 'other']].values.tolist()} must not be empty"
        )
    if twice := table.loc[table.duplicated(["dog", "other", "seed"]), "seed"].tolist():
        raise CourseError(f"seed {twice[0]!r} is twice in one pair of classes")
    cells = table.groupby(["dog", "other"]).size().unstack(fill_value=0)
    if len(cells) < 2 or len(set(cells.to_numpy().flat)) != 1:
        raise CourseError(
            f"runs {cells.to_numpy().tolist()} must be as many in each pair of classes"
        )
    ordered = table.sort_values(["dog", "other", "seed"])["difference"]
    return _differences(ordered.tolist()).reshape(*cells.shape, -1)


def _differences(values: Sequence[float]) -> np.ndarray:
    if len(values) < 2:
        raise CourseError(f"differences {values!r} must be two or more")
    return np.array([number("difference", value, -1, 1) for value in values])
