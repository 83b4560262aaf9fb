"""Many runs as tables: the paper's numbers beside means over seeds, and differences of arms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from course_lib.analysis.results import Result, read_results
from course_lib.analysis.statistics import Difference, holm, mcnemar, paired_difference
from course_lib.arms import ARMS
from course_lib.images.tasks import TASKS
from course_lib.paper import PAPER
from course_lib.support.files import BUNDLED
from course_lib.support.validation import CourseError, choose

REFERENCE = BUNDLED / "reference"
# "best validation" is the paper's protocol; in "last validation" no epoch is chosen; "test" is of
# held-out images, at the epoch that was best on validation.
MEASURES = {
    "best validation": "best_accuracy",
    "last validation": "last_accuracy",
    "test": "test_accuracy",
}
# Columns of differences.
SIGNED = ("mean", "low", "high", "bootstrap_low", "bootstrap_high", "paper says")


def reference_results() -> list[Result]:
    """The replication that comes with the course: the whole seeds in `data/reference/`.

    A seed that lacks runs which others have is left out: arms are compared on the same seeds.

    Raises:
        CourseError: a file there is damaged.
    """
    results, foreign = read_results(REFERENCE)
    if foreign:
        raise CourseError(f"{foreign[0]} is damaged: get the course's data/reference/ again")
    rows: dict[int, set[tuple[str, str]]] = {}
    for result in results:
        row = result.task, result.arm
        rows.setdefault(result.seed, set()).add(row)
    whole = max(map(len, rows.values()), default=0)
    return [result for result in results if len(rows[result.seed]) == whole]


def complete(results: Sequence[Result]) -> list[Result]:
    """The results of the paper's size on its images: 40 epochs, all images, no single transform."""
    return [
        result
        for result in results
        if result.epochs == 40
        and result.images_per_class is None
        and result.source != "stand-in"
        and result.single_transform is None
    ]


def runs_by_seed(results: Sequence[Result], task: str) -> dict[str, dict[int, Result]]:
    """arm → seed → run, for one task, in the order of ARMS.

    Of several results of one arm and seed (another version of torch, say) the newest counts.
    """
    arms: dict[str, dict[int, Result]] = {}
    for result in sorted(results, key=lambda result: result.environment["date"]):
        if result.task == task:
            arms.setdefault(result.arm, {})[result.seed] = result
    return {arm: arms[arm] for arm in ARMS if arm in arms}


def by_seed(results: Sequence[Result], task: str, measure: str) -> dict[str, dict[int, float]]:
    """arm → seed → accuracy, of `runs_by_seed`, for a measure of MEASURES."""
    attribute = MEASURES[choose("measure", measure, MEASURES)]
    return {
        arm: {seed: getattr(run, attribute) for seed, run in runs.items()}
        for arm, runs in runs_by_seed(results, task).items()
    }


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half width of Student's 95 % interval) over seeds; nan for fewer than three seeds.

    With two seeds the half width would be 12.7 standard errors, often wider than all accuracies.
    """
    count = len(values)
    if not count:
        raise CourseError("values [] hold no seed: a mean takes 1 or more")
    if count < 3:
        return float(np.mean(values)), math.nan
    half = student.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    return float(np.mean(values)), float(half)


def seed_names(seeds: Iterable[int]) -> str:
    """Seeds as `study --seeds` takes them, in order: "0-4", "0-2,17"; "" for none."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ",".join(f"{low}-{high}" if low < high else str(low) for low, high in ranges)


def paper_table(replication: Sequence[Result], own: Sequence[Result], task: str) -> pd.DataFrame:
    """One of Tables I–III (§6): one row per arm, the paper's first.

    Args:
        replication: runs to compare with the paper's numbers.
        own: the reader's runs; those of the paper's size count.
        task: of `TASKS`.

    Returns:
        The paper's number; of the replication the seeds (`seed_names`) and, for each measure, the
        mean and ± the half width of Student's 95 % interval over seeds; of the reader's own runs
        the seeds and the means, or "" and nan.
    """
    choose("task", task, TASKS)
    replicated = {measure: by_seed(replication, task, measure) for measure in MEASURES}
    mine = {measure: by_seed(complete(own), task, measure) for measure in MEASURES}
    rows = []
    for arm in ARMS:
        if (task, arm) not in PAPER and arm not in replicated["test"] | mine["test"]:
            continue
        row = {"arm": arm, "paper": PAPER.get((task, arm), math.nan)}
        row["seeds"] = seed_names(replicated["test"].get(arm, {}))
        for measure in MEASURES:
            values = list(replicated[measure].get(arm, {}).values()) or [math.nan]
            row[measure], row[f"± {measure}"] = mean_interval(values)
        row["own seeds"] = seed_names(mine["test"].get(arm, {}))
        for measure in MEASURES:
            values = list(mine[measure].get(arm, {}).values())
            row[f"own {measure}"] = float(np.mean(values)) if values else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


def differences(
    results: Sequence[Result], task: str, measure: str = "test", to: str = "none"
) -> pd.DataFrame:
    """Each arm minus the arm `to`, paired by seed: `paired_difference`, and p after Holm.

    One row per arm that shares a seed with `to`; "seeds" names these. Holm's correction is for all
    rows.
    """
    choose("task", task, {result.task for result in results})
    arms = by_seed(results, task, measure)
    base = arms.get(choose("arm", to, arms), {})
    rows = []
    for arm, accuracies in arms.items():
        shared = sorted(accuracies.keys() & base.keys())
        if arm != to and shared:
            found = paired_difference(
                [accuracies[seed] for seed in shared], [base[seed] for seed in shared]
            )
            rows.append({"arm": arm, **found._asdict(), "seeds": seed_names(shared)})
    table = pd.DataFrame(rows, columns=["arm", *Difference._fields])
    table["p, Holm"] = holm(table["p"])
    return table


def pairwise(results: Sequence[Result], task: str, measure: str = "test") -> pd.DataFrame:
    """Mean difference of each arm (row) minus each other arm (column), paired by seed."""
    choose("task", task, {result.task for result in results})
    arms = by_seed(results, task, measure)
    table = pd.DataFrame(index=list(arms), columns=list(arms), dtype=float)
    for row, mine in arms.items():
        for column, other in arms.items():
            shared = mine.keys() & other.keys()
            if shared:
                table.loc[row, column] = np.mean([mine[seed] - other[seed] for seed in shared])
    return table


def mcnemar_by_seed(results: Sequence[Result], task: str, first: str, second: str) -> pd.DataFrame:
    """McNemar's exact test of two arms on the test images: one row per seed that both have run."""
    for arm in (first, second):
        choose("arm", arm, ARMS)
    one, other = (runs_by_seed(results, task).get(arm, {}) for arm in (first, second))
    shared = sorted(one.keys() & other.keys())
    rows = [
        mcnemar(one[seed].correct["test_best"], other[seed].correct["test_best"]) for seed in shared
    ]
    table = pd.DataFrame(rows, columns=[f"only {first}", f"only {second}", "p"])
    table.insert(0, "seed", shared)
    return table


def long_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of several tasks below each other, the task in the first column."""
    return pd.concat(tables, names=["task"]).reset_index("task").reset_index(drop=True)


def markdown(table: pd.DataFrame) -> str:
    """A table of this module as Markdown, as `readable` shows it."""
    return readable(table).to_markdown(index=False, disable_numparse=True)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of this module as text for people: "mean ± half width", without empty columns."""
    text = pd.DataFrame(index=table.index)
    for name in table.columns:
        if name.startswith("± ") or (name.startswith("own") and not any(table["own seeds"])):
            continue
        values = table[name]
        if not pd.api.types.is_float_dtype(values):
            text[name] = values.astype(str).replace("", "–")
            continue
        text[name] = [_number(value, signed=name in SIGNED) for value in values]
        if f"± {name}" in table:
            half = [f" ± {width:.3f}" if width == width else "" for width in table[f"± {name}"]]
            text[name] += half
    return text


def _number(value: float, signed: bool = False) -> str:
    if math.isnan(value):
        return "–"
    value = round(value, 3) + 0.0  # no -0.000
    return f"{value:+.3f}" if signed else f"{value:.3f}"
