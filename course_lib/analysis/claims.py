"""The planned study from its files: how far it is, and what it decides about the paper's claims."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import isnan, nan
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib.analysis.comparison import complete
from course_lib.analysis.plan import (
    ARMS_FIRST,
    ARMS_ON_DIGITS,
    ARMS_THEN,
    COMPARISONS,
    DIGIT_RUNS,
    PAIR_RUNS,
    PLAN,
    POSITIVE_CONTROL,
    STUDY,
    Comparison,
    PairRun,
)
from course_lib.analysis.replication import (
    Estimate,
    crossed_mean,
    nadeau_bengio,
    prediction_interval,
    verdict,
)
from course_lib.analysis.results import Result, read_results
from course_lib.analysis.statistics import holm
from course_lib.arms import ARMS
from course_lib.models import READINGS
from course_lib.paper import CATS, GOLDFISH, MNIST, PAPER
from course_lib.support.files import runs_folder
from course_lib.support.validation import CourseError, choose

STRATA = {"goldfish": (GOLDFISH,), "cats": (CATS,), "pooled": (GOLDFISH, CATS)}
# Run after the rest; the plan makes no claim about them, and so they get no verdict.
NO_CLAIMS = tuple(Comparison(f"{arm} against none", arm, "none", 0) for arm in ARMS_THEN)
COMPARED = (*COMPARISONS, POSITIVE_CONTROL, *NO_CLAIMS)
_unseen = attrgetter("unseen_accuracy")  # the plan's primary measure
_best = attrgetter("best_accuracy")  # the secondary, which is the paper's
HELD_OUT = 0.2  # of the digits that a seed splits, the share that it does not train on


def study_results(own: bool = True) -> tuple[list[Result], list[Path]]:
    """The study's runs in the plan's order, and files in runs/plan/ that are none.

    Those in `data/reference/study/` come first; if `own`, the reader's in runs/plan/ fill the gaps.
    """
    bundled, damaged = read_results(STUDY)
    if damaged:
        raise CourseError(f"{damaged[0]} is damaged: get the course's data/reference/ again")
    mine, foreign = read_results(runs_folder() / "plan") if own else ([], [])
    # A comparison never mixes kinds of devices, and the plan's is the CPU.
    runs = _by_run(run for run in complete([*mine, *bundled]) if run.settings["device"] == "cpu")
    return [runs[row] for row in PLAN if row in runs], foreign


def finished(results: Iterable[Result]) -> list[PairRun]:
    """The pair-runs of which all seven arms of the first priority are there."""
    runs = _by_run(results)
    return [
        pair for pair in PAIR_RUNS
        if all((pair.task, arm, pair.seed) in runs for arm in ARMS_FIRST)
    ]  # fmt: skip


def progress(results: Sequence[Result]) -> str:
    """How far the study is, in a sentence, and whether it may give verdicts."""
    count, planned = len(finished(results)), len(PAIR_RUNS)
    if count == planned:
        return f"All {planned} pair-runs are finished: the verdicts are final."
    return f"{count} of {planned} pair-runs are finished: preliminary means, no verdicts yet."


def study_table(results: Sequence[Result]) -> pd.DataFrame:
    """A row for each comparison of the plan on goldfish, on cats and pooled.

    Columns: claim, arms, task, runs (pair-runs), paper says, mean (of the primary measure). Until
    all pair-runs are finished, "standard error" follows. Then: low and high (95 %), p, "p, Holm"
    over a stratum's six claims, verdict, and by the secondary measure the mean, the 95 % prediction
    interval of one further run, and whether it excludes the paper's size. The paper has no size for
    the two tasks pooled.
    """
    runs, pairs = _by_run(results), finished(results)
    rows = []
    for asked, tasks, row in _rows():
        unseen, best = (_paired(runs, pairs, asked, tasks, of) for of in (_unseen, _best))
        row |= {"runs": sum(map(len, unseen)), "paper says": _paper_says(asked, tasks)}
        if len(pairs) == len(PAIR_RUNS) and row["runs"] == len(tasks) * len(PAIR_RUNS) // 2:
            row |= _found(crossed_mean(*unseen), asked) | _further_run(best, row["paper says"])
        else:
            row |= _so_far(unseen)
        rows.append(row)
    return _with_verdicts(pd.DataFrame(rows))


def study_gains(results: Iterable[Result], to: str = "none-matched") -> pd.DataFrame:
    """What each arm gains over the arm `to` on the study's pairs so far: a row per task and arm.

    Columns: runs (pairs that both have run), mean, standard error over these, or low and high by
    `crossed_mean` where all of a task's pairs are there. The plan makes no claim about these.
    """
    runs, rows = _by_run(results), []
    for task, arm in product((GOLDFISH, CATS), ARMS):
        asked = Comparison("", arm, choose("arm", to, ARMS), 0)
        (table,) = _paired(runs, PAIR_RUNS, asked, (task,), _unseen)
        if arm != to and len(table):
            row = {"task": task, "arm": arm, "runs": len(table)} | _so_far([table])
            if len(table) == len(PAIR_RUNS) // 2:
                estimate = crossed_mean(table)
                row |= {"low": estimate.low, "high": estimate.high, "standard error": nan}
            rows.append(row)
    return pd.DataFrame(rows)


def averages_table(results: Sequence[Result]) -> pd.DataFrame:
    """The mean differences under each of `models.READINGS` of the same trainings, a column each."""
    runs, pairs = _by_run(results), finished(results)
    rows = []
    for asked, tasks, row in _rows():
        for reading in READINGS:
            read = partial(Result.accuracy_under, reading=reading)
            row[reading] = _so_far(_paired(runs, pairs, asked, tasks, read))["mean"]
        rows.append(row)
    return pd.DataFrame(rows)


def digits_table(results: Sequence[Result]) -> pd.DataFrame:
    """MNIST, with `study_table`'s columns: `nadeau_bengio` over ten seeds, when all are there.

    Its verdict is about these test images, and about neural augmentation alone.
    """
    runs, rows = _by_run(results), []
    seeds = [s for s in DIGIT_RUNS if all((MNIST, arm, s) in runs for arm in ARMS_ON_DIGITS)]
    for asked in (COMPARISONS[0], NO_CLAIMS[0]):
        one, other = ([_unseen(runs[MNIST, arm, s]) for s in seeds] for arm in asked[1:3])
        differences = np.subtract(one, other).tolist()
        row = {"claim": asked.text, "arms": _arms(asked), "task": MNIST, "runs": len(seeds)}
        row["paper says"] = _paper_says(asked, (MNIST,))
        if len(seeds) == len(DIGIT_RUNS):
            row |= _found(nadeau_bengio(differences, HELD_OUT), asked)
        else:
            row |= _so_far([pd.DataFrame({"difference": differences})])
        rows.append(row)
    return _with_verdicts(pd.DataFrame(rows))


def _rows() -> Iterator[tuple[Comparison, tuple[str, ...], dict[str, Any]]]:
    """Each comparison in each stratum, the stratum's tasks, and the start of a table's row."""
    for stratum, tasks in STRATA.items():
        for asked in COMPARED:
            yield asked, tasks, {"claim": asked.text, "arms": _arms(asked), "task": stratum}


def _arms(asked: Comparison) -> str:
    return f"{asked.first} − {asked.second}"


def _by_run(results: Iterable[Result]) -> dict[tuple[str, str, int], Result]:
    return {(run.task, run.arm, run.seed): run for run in results}


def _paired(
    runs: Mapping[tuple[str, str, int], Result], pairs: Sequence[PairRun], asked: Comparison,
    tasks: Sequence[str], measure: Callable[[Result], float],
) -> list[pd.DataFrame]:  # fmt: skip
    """A table for each task, as `crossed_mean` takes it, of the pairs that have both arms."""
    tables = []
    for task in tasks:
        rows = []
        for pair in pairs:
            one, other = (runs.get((pair.task, arm, pair.seed)) for arm in asked[1:3])
            if pair.stratum == task and one and other:
                rows.append((pair.dog, pair.other, pair.seed, measure(one) - measure(other)))
        tables.append(pd.DataFrame(rows, columns=["dog", "other", "seed", "difference"]))
    return tables


def _paper_says(asked: Comparison, tasks: Sequence[str]) -> float:
    sizes = [PAPER.get((task, asked.first), nan) - PAPER.get((task, asked.second), nan)
             for task in tasks]  # fmt: skip
    return sizes[0] if len(sizes) == 1 else nan


def _so_far(tables: Sequence[pd.DataFrame]) -> dict[str, float]:
    """Mean, strata weighing the same, and its plain standard error over pair-runs; nan for none."""
    columns = [table["difference"].astype(float) for table in tables]
    mean = np.mean([column.mean() for column in columns])
    square = np.sum([column.var() / max(1, len(column)) for column in columns])
    return {"mean": float(mean), "standard error": float(np.sqrt(square)) / len(columns)}


def _found(estimate: Estimate, asked: Comparison) -> dict[str, Any]:
    return {
        "mean": estimate.mean, "low": estimate.low, "high": estimate.high, "p": estimate.p,
        "estimate": estimate, "direction": asked.direction,
    }  # fmt: skip


def _further_run(tables: Sequence[pd.DataFrame], size: float) -> dict[str, Any]:
    """By best validation: the mean, where one further run falls, and whether the paper's does."""
    if isnan(size):
        return {}
    (table,) = tables
    estimate = crossed_mean(table)
    low, high = prediction_interval(estimate, float(table["difference"].std()))
    excluded = "possible" if low <= size <= high else "excluded"
    return {"by best validation": estimate.mean, "further run, low": low, "further run, high": high,
            "the paper's size": excluded}  # fmt: skip


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Holm's correction over the claims of each stratum, and verdicts, once there are p values."""
    if "estimate" not in table:
        return table
    claims = table["claim"].isin([asked.text for asked in COMPARISONS])
    table["p, Holm"] = table["p"]  # the positive control stands alone
    for stratum in table["task"].unique():
        family = claims & (table["task"] == stratum)
        table.loc[family, "p, Holm"] = holm(table.loc[family, "p"])
    asked = table["direction"].isin((1, -1))
    table.loc[~asked, "p, Holm"] = nan
    table["verdict"] = [
        verdict(row["estimate"], row["p, Holm"], int(row["direction"])) if told else ""
        for told, (_, row) in zip(asked, table.iterrows(), strict=True)
    ]
    if "the paper's size" in table:  # pooled, the paper has none
        table["the paper's size"] = table["the paper's size"].fillna("")
    return table.drop(columns=["estimate", "direction"])
