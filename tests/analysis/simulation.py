"""How often the tests of `replication` err: simulated studies of the planned size, as tables.

    python tests/analysis/simulation.py

Points are percentage points of accuracy. A run's paired difference is the sum of
    the true difference + dog + other + dog × other + seed + the mean over its 300 images of
    (image + seed × image).
An image's effect is the same in all runs that judge it, whatever the other class and seed.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from course_lib.analysis.replication import mean_variance

STUDIES = 20_000
DOGS, FOLD, POOL, TEST = 6, 100, 500, 50
JUDGED = 2 * (FOLD + TEST)
STRATA = ("cats", "goldfish", "pooled")
GOALS = ("power at 2", "power at 3", "power at 5", "2, .05/6", "3, .05/6", "TOST power at 0")


class Scenario(NamedTuple):
    """Standard deviations in points; `spread` is a run's, by 200 validation images."""

    dog: float
    other: float  # of cats: there is one goldfish
    pair: float
    spread: float = 2.0
    image: float = 0.15  # shares of the variance
    seed: float = 0.24

    def __str__(self):
        text = f"dog {self.dog:g}, other {self.other:g}, pair {self.pair:g}"
        text += f"; spread {self.spread:g}" * (self.spread != 2)
        return text + f"; image share {self.image:.0%}" * (self.image != 0.15)


PLAUSIBLE = [Scenario(*sizes) for sizes in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))]
LARGE = [Scenario(*sizes) for sizes in ((2, 0, 0), (0, 2, 0), (0, 0, 2), (2, 2, 2))]
HARSH = [
    Scenario(0, 0, 0, spread=3),
    Scenario(0, 0, 0, image=0.3, seed=0.2),
    Scenario(1, 1, 1, image=0.3, seed=0.2),
]


def image_weights(repeats=1):
    """What an image's effect weighs in a run's difference: (2 × 18 × repeats, classes × images).

    Classes are six dogs, three cats, the goldfish. Seed 5b + k validates on fold k of permutation b.
    """
    count = 18 * repeats
    seeds = [*range(100, 100 + count), *range(100 - -count // 5 * 5, 100 - -count // 5 * 5 + count)]
    weights = np.zeros((2 * count, DOGS + 4, POOL + TEST), np.float32)
    for run, seed in enumerate(seeds):
        dog, rest = divmod(run % count, 3 * repeats)
        block, fold = divmod(seed, 5)
        orders = np.random.default_rng(block)  # a block's permutations, the same for all its seeds
        for cls in (dog, DOGS + (rest // repeats if run < count else 3)):
            order = orders.permutation(POOL)
            weights[run, cls, order[FOLD * fold : FOLD * (fold + 1)]] = 1 / JUDGED
            weights[run, cls, POOL:] = 1 / JUDGED
    return weights.reshape(2 * count, -1)


def image_luck(studies, draws, repeats=1):
    """Mean image effects of each run, for effects of variance 1: (studies, runs)."""
    weights, luck = image_weights(repeats).T, []
    for first in range(0, studies, 1000):
        size = min(1000, studies - first), len(weights)
        luck.append(draws.standard_normal(size, dtype=np.float32) @ weights)
    return np.concatenate(luck).astype(float)


def simulate(scenario, luck, draws):
    """Stratum → (cubes of differences, their mean, its means over these breeds and these cats).

    All are in points, and the true difference is 0. A cube is (studies, dogs, others, repeats). A
    dog's effect is the same in both strata: the worst case for their mean.
    """
    studies, variance = len(luck), scenario.spread**2
    seed_image = 1 - scenario.image - scenario.seed
    noise = variance * (scenario.seed + seed_image * 200 / JUDGED)
    runs = luck * np.sqrt(variance * scenario.image * 200)
    runs += draws.normal(0, np.sqrt(noise), luck.shape)
    dog = draws.normal(0, scenario.dog, (studies, DOGS, 1, 1))
    cat = draws.normal(0, scenario.other, (studies, 1, 3, 1))
    cats = dog + cat + draws.normal(0, scenario.pair, (studies, DOGS, 3, 1))
    fish = dog + draws.normal(0, scenario.pair, (studies, DOGS, 1, 1))
    half = luck.shape[1] // 2
    cubes = (
        cats + runs[:, :half].reshape(studies, DOGS, 3, -1),
        fish + runs[:, half:].reshape(studies, DOGS, 1, -1),
    )
    both = [
        (cube.mean((1, 2, 3)), breeds.mean((1, 2, 3)), these)
        for cube, breeds, these in zip(cubes, (cats, fish), (cat.mean((1, 2, 3)), 0), strict=True)
    ]
    middle = [sum(values) / 2 for values in zip(*both, strict=True)]
    return {
        "cats": (cubes[:1], *both[0]),
        "goldfish": (cubes[1:], *both[1]),
        "pooled": (cubes, *middle),
    }


def crossed_variance(*strata):
    """A rival of `mean_variance` for another target: others, too, are a sample of breeds like them.

    Two-way ANOVA with random effects, Satterthwaite's degrees, at least the runs' variance.
    """
    share = 1 / len(strata) ** 2
    by_dog = sum(cube.mean((2, 3)) for cube in strata) / len(strata)
    terms, floor = [(by_dog.var(1, ddof=1) / DOGS, DOGS - 1)], []
    for cube in strata:
        others, runs = cube.shape[2], cube[0].size
        floor.append((share * cube.var((1, 2, 3), ddof=1) / runs, DOGS * others - 1))
        if others > 1:
            cells, free = cube.mean(3), (DOGS - 1) * (others - 1)
            rest = cells - cells.mean(2, keepdims=True) - cells.mean(1, keepdims=True)
            rest += cells.mean((1, 2), keepdims=True)
            terms.append((share * cells.mean(1).var(1, ddof=1) / others, others - 1))
            terms.append((-share * (rest**2).sum((1, 2)) / free / (DOGS * others), free))
    (variance, degrees), (least, pairs) = satterthwaite(terms), satterthwaite(floor)
    return np.maximum(variance, least), np.where(variance < least, pairs, degrees.clip(1))


def satterthwaite(terms):
    """The sum of independent variances, and its approximate degrees of freedom."""
    total = sum(term for term, _ in terms)
    return total, total**2 / sum(term**2 / degrees for term, degrees in terms)


# What a mean is to tell of → the function that serves it.
TARGETS = {
    "dogs like these, just these cats": mean_variance,
    "dogs and cats like these": crossed_variance,
}


def off_target(target, mean, cats):
    """By how much a mean is off the truth, which of just these cats is not 0."""
    return mean - cats if target == "dogs like these, just these cats" else mean


def rates(target, found, new_run):
    """The rates of a target's test, in shares of the studies."""
    cubes, mean, breeds, cats = found
    variance, degrees = TARGETS[target](*cubes)
    off, error = off_target(target, mean, cats), np.sqrt(variance)
    half, one_sided, strict = (student.isf(t, degrees) * error for t in (0.025, 0.05, 0.025 / 6))
    spread = np.concatenate([cube.reshape(len(mean), -1) for cube in cubes], 1).std(1, ddof=1)
    reach = student.isf(0.025, degrees) * np.hypot(error, spread)
    return {
        "p < .05": (abs(off) > half).mean(),
        "coverage": (abs(off) <= half).mean(),
        "TOST error at 2": (abs(off + 2) + one_sided < 2).mean(),
        **{f"power at {size}": (off + size > half).mean() for size in (2, 3, 5)},
        **{f"{size}, .05/6": (off + size > strict).mean() for size in (2, 3)},
        "TOST power at 0": (abs(off) + one_sided < 2).mean(),
        "p < .05, just these breeds": (abs(mean - breeds) > half).mean(),
        "prediction": (abs(new_run - mean) <= reach).mean(),
    }


def new_runs(scenario, name, studies, draws):
    """The difference of one further run of a new pair of breeds, in points."""
    variance = scenario.spread**2
    shares = scenario.seed + (1 - scenario.seed) * 200 / JUDGED
    other = np.where(draws.random(studies) < {"cats": 1, "goldfish": 0, "pooled": 0.5}[name], 1, 0)
    total = variance * shares + scenario.dog**2 + scenario.pair**2 + other * scenario.other**2
    return draws.normal(0, np.sqrt(total))


def tables(row, scenarios, studies, seed):
    """Stratum → table with a row(stratum, found, draws) for each scenario."""
    draws = np.random.default_rng(seed)
    luck = image_luck(studies, draws)
    rows = {name: {} for name in STRATA}
    for scenario in scenarios:
        for name, found in simulate(scenario, luck, draws).items():
            rows[name][str(scenario)] = row(scenario, name, found, draws)
    return {name: pd.DataFrame(table).T for name, table in rows.items()}


def errors(target, scenarios, studies=STUDIES, seed=0):
    """Stratum → table of `rates`."""

    def row(scenario, name, found, draws):
        return rates(target, found, new_runs(scenario, name, len(found[1]), draws))

    return tables(row, scenarios, studies, seed)


def candidates(target, scenarios, studies=STUDIES, seed=1):
    """Stratum → table: how often each candidate finds what is not there."""

    def row(scenario, name, found, draws):
        off = abs(off_target(target, found[1], found[3]))
        return {
            candidate: (off > student.isf(0.025, degrees) * np.sqrt(variance)).mean()
            for candidate, (variance, degrees) in candidate_errors(name, found[0]).items()
        }

    return tables(row, scenarios, studies, seed)


def candidate_errors(name, cubes):
    """Candidate → squared standard error and degrees of freedom."""
    runs = np.concatenate([cube.reshape(len(cube), DOGS, -1) for cube in cubes], 2)
    count = runs[0].size
    plain, free = satterthwaite(
        [(cube.var((1, 2, 3), ddof=1) / 18 / len(cubes) ** 2, 17) for cube in cubes]
    )
    by_dog, about = runs.mean(2).var(1, ddof=1) / DOGS, runs - runs.mean(2, keepdims=True)
    found = {
        "dogs, floor": mean_variance(*cubes),
        "crossed ANOVA, floor": crossed_variance(*cubes),
        "t over runs": (plain, free),
        "t over dogs": (by_dog, DOGS - 1),
        "max of these two": (np.maximum(by_dog, plain), np.where(by_dog > plain, DOGS - 1, free)),
        "within dogs": ((about**2).sum((1, 2)) / (count - DOGS) / count, count - DOGS),
    }
    if name == "cats":
        rest = about - runs.mean(1, keepdims=True) + runs.mean((1, 2), keepdims=True)
        found["additive rest"] = (rest**2).sum((1, 2)) / 10 / count, 10
        centred = runs - runs.mean((1, 2), keepdims=True)
        one_way = (centred**2).sum((1, 2)) / count**2
        robust = by_dog + runs.mean(1).var(1, ddof=1) / 3 - one_way  # with G/(G − 1) of clusters
        found["two-way cluster, 2 df"] = np.maximum(robust, one_way), 2
    return found


def resampled(studies=STUDIES, runs=10, share=0.2, seed=2):
    """Error of Student's t and of Nadeau & Bengio's where runs on one task are correlated."""
    draws, rows = np.random.default_rng(seed), {}
    for correlation in (0, 0.1, 0.2, 0.3):
        values = draws.normal(0, np.sqrt(1 - correlation), (studies, runs))
        values += draws.normal(0, np.sqrt(correlation), (studies, 1))
        size = abs(values.mean(1)) / values.std(1, ddof=1) / student.isf(0.025, runs - 1)
        rows[f"correlation {correlation}"] = {
            "Student": (size > np.sqrt(1 / runs)).mean(),
            "Nadeau & Bengio": (size > np.sqrt(1 / runs + share / (1 - share))).mean(),
        }
    return pd.DataFrame(rows).T


def runs_needed(target, scenarios, studies=4000, seed=3, repeats=(1, 2, 3, 4, 6, 8)):
    """Stratum → table: the fewest runs a stratum, of the same breeds, that have a power of 80 %."""
    draws, needed = np.random.default_rng(seed), {name: {} for name in STRATA}
    for times in reversed(repeats):
        luck = image_luck(studies, draws, times)
        for scenario in scenarios:
            for name, found in simulate(scenario, luck, draws).items():
                powers = rates(target, found, np.zeros(studies))
                goals = {goal: power for goal, power in powers.items() if goal in GOALS}
                row = needed[name].setdefault(
                    str(scenario), dict.fromkeys(goals, f"over {18 * repeats[-1]}")
                )
                row |= {goal: str(18 * times) for goal, power in goals.items() if power >= 0.8}
    return {name: pd.DataFrame(table).T for name, table in needed.items()}


def show(title, table):
    """Print a table; shares as per cent."""
    numbers = (100 * table) if table.dtypes.iloc[0].kind == "f" else table
    print(f"\n### {title}\n\n{numbers.to_markdown(floatfmt='.1f')}")


if __name__ == "__main__":
    print(f"{STUDIES:,} simulated studies a row, in per cent; effects and spreads in points.")
    for aim in TARGETS:
        for stratum, table in errors(aim, [*PLAUSIBLE, *LARGE, *HARSH]).items():
            show(f"{aim}: {stratum}", table)
    for aim in TARGETS:
        for stratum, table in candidates(aim, [*PLAUSIBLE, *LARGE, *HARSH]).items():
            show(f"Candidates, p < .05 without an effect, {aim}: {stratum}", table)
    for aim in TARGETS:
        for stratum, table in runs_needed(aim, PLAUSIBLE).items():
            show(f"Fewest runs a stratum for a power of 80 %, {aim}: {stratum}", table)
    show("MNIST: ten runs on one task, p < .05 without an effect", resampled())
