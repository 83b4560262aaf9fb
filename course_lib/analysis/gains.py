"""What each arm gains over a baseline, paired by seed: mean and interval over several runs."""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from course_lib.analysis.plan import PAIR_RUNS
from course_lib.analysis.replication import crossed_mean
from course_lib.analysis.results import Result
from course_lib.analysis.statistics import paired_difference
from course_lib.arms import ARMS
from course_lib.paper import CATS, GOLDFISH
from course_lib.support.validation import CourseError, choose

COLUMNS = ("task", "arm", "mean", "low", "high", "seeds")


def label(result: Result) -> str:
    """The run's arm, its one transformation if it had just one, and a strength that is not 1.

    As in "traditional", "traditional: flip", "traditional: ×2" and "traditional: hue ×2".
    """
    strength = result.settings.get("strength", 1)  # files from before it existed lack it
    changes = [result.single_transform, f"×{strength:g}" if strength != 1 else None]
    named = " ".join(filter(None, changes))
    return f"{result.arm}: {named}" if named else result.arm


def gains(results: Sequence[Result], to: str = "none-matched") -> pd.DataFrame:
    """Accuracy on unseen images minus that of the arm `to`, with Student's 95 % interval.

    A row per task and arm, in the registry's order: mean, low and high (0–1), and how many seeds
    both have. Only runs of one task and seed are compared; three seeds or more make an interval.
    """
    choose("arm", to, ARMS)
    by_run: dict[tuple[str, str], dict[int, float]] = {}
    for result in results:
        by_run.setdefault((result.task, label(result)), {})[result.seed] = result.unseen_accuracy
    order = {arm: place for place, arm in enumerate(ARMS)}
    named = dict.fromkeys(name for _, name in by_run)  # in the order of the results, within an arm
    names = sorted(named, key=lambda name: order[name.partition(":")[0]])
    rows = []
    for task in dict.fromkeys(task for task, _ in by_run):
        baseline = by_run.get((task, to))
        if baseline is None:
            raise CourseError(
                f"arm {to!r} has no run on {task}: it is what the others are compared to"
            )
        for name in names:
            runs = by_run.get((task, name), {})
            if name != to and (seeds := sorted(runs.keys() & baseline.keys())):
                found = paired_difference([runs[s] for s in seeds], [baseline[s] for s in seeds])
                rows.append((task, name, found.mean, found.low, found.high, len(seeds)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def study_gains(results: Sequence[Result], to: str = "none-matched") -> pd.DataFrame:
    """What each arm gains over the arm `to` on the planned study's pairs of classes, by task.

    A row per task and arm: runs (pairs that both have run), mean, and standard error over these;
    instead of it, low and high by `crossed_mean` as soon as all of a task's pairs are there. The
    plan makes no claim about these differences, and so they get no verdict.
    """
    choose("arm", to, ARMS)
    runs: dict[tuple[str, int], dict[str, float]] = {}
    for run in results:
        runs.setdefault((run.task, run.seed), {})[run.arm] = run.unseen_accuracy
    rows: list[dict[str, object]] = []
    for task, arm in product((GOLDFISH, CATS), ARMS):
        pairs = [pair for pair in PAIR_RUNS if pair.stratum == task]
        both = [(pair, runs.get((pair.task, pair.seed), {})) for pair in pairs]
        differences = [
            (pair.dog, pair.other, pair.seed, arms[arm] - arms[to])
            for pair, arms in both
            if {arm, to} <= arms.keys()
        ]
        if arm == to or not differences:
            continue
        table = pd.DataFrame(differences, columns=["dog", "other", "seed", "difference"])
        found = table["difference"]
        rows.append({"task": task, "arm": arm, "runs": len(found), "mean": found.mean()})
        if len(found) == len(pairs):
            estimate = crossed_mean(table)
            rows[-1] |= {"low": estimate.low, "high": estimate.high}
        else:
            rows[-1]["standard error"] = found.std() / len(found) ** 0.5
    return pd.DataFrame(rows)
