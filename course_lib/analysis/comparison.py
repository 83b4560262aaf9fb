"""Many runs as tables: the paper's numbers beside means over seeds, and differences of arms."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from course_lib.analysis.plan import COMPARISONS
from course_lib.analysis.results import Result, read_results
from course_lib.analysis.statistics import Difference, holm, mcnemar, paired_difference
from course_lib.arms import ARMS
from course_lib.images.tasks import TASKS
from course_lib.models import READINGS
from course_lib.paper import CATS, GOLDFISH, PAPER
from course_lib.support.files import BUNDLED
from course_lib.support.validation import CourseError, choose

PILOT = BUNDLED / "reference" / "pilot"
# "best validation" is the paper's protocol; in "last validation" no epoch is chosen; "test" is of
# held-out images, at the epoch that was best on validation.
MEASURES = {
    "best validation": "best_accuracy",
    "last validation": "last_accuracy",
    "test": "test_accuracy",
}
DIFFERENCES = {  # columns that are shown with a sign
    "mean", "low", "high", "bootstrap_low", "bootstrap_high", "paper says", "by best validation",
    "further run, low", "further run, high", *READINGS,
}  # fmt: skip


def reference_results() -> list[Result]:
    """The pilot in `data/reference/pilot/`, less seeds that lack runs which others have."""
    results, foreign = read_results(PILOT)
    if foreign:
        raise CourseError(f"{foreign[0]} is damaged: get the course's data/reference/ again")
    rows = {(result.seed, result.task, result.arm) for result in results}
    counts = Counter(seed for seed, _, _ in rows)
    return [result for result in results if counts[result.seed] == max(counts.values())]


def complete(results: Sequence[Result]) -> list[Result]:
    """The results of the paper's size on its images: 40 epochs, all images, no single transform."""
    whole = [run for run in results if (run.epochs, run.images_per_class) == (40, None)]
    return [run for run in whole if not run.single_transform and run.source != "stand-in"]


def runs_by_seed(results: Sequence[Result], task: str) -> dict[str, dict[int, Result]]:
    """Arm → seed → newest run (of several versions of torch, say) of a task, in ARMS' order."""
    arms: dict[str, dict[int, Result]] = {}
    for result in sorted(results, key=lambda result: result.environment["date"]):
        if result.task == task:
            arms.setdefault(result.arm, {})[result.seed] = result
    return {arm: arms[arm] for arm in ARMS if arm in arms}


def by_seed(results: Sequence[Result], task: str, measure: str) -> dict[str, dict[int, float]]:
    """Arm → seed → accuracy, of `runs_by_seed`, for a measure of MEASURES."""
    attribute = MEASURES[choose("measure", measure, MEASURES)]
    arms = runs_by_seed(results, task).items()
    return {
        arm: {seed: getattr(run, attribute) for seed, run in runs.items()} for arm, runs in arms
    }


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half width of Student's 95 % interval) over seeds; nan for fewer than three seeds."""
    count = len(values)
    if not count:
        raise CourseError("values [] hold no seed: a mean takes 1 or more")
    if count < 3:  # two would give 12.7 standard errors, often wider than all accuracies
        return float(np.mean(values)), math.nan
    half = student.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    return float(np.mean(values)), float(half)


def seed_names(seeds: Iterable[int]) -> str:
    """Seeds as `study --seeds` takes them, in order: "0-4", "0-2,17"; "" for none."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if not ranges or seed != ranges[-1][1] + 1:
            ranges.append([seed, seed])
        ranges[-1][1] = seed
    return ",".join(f"{low}-{high}" if low < high else str(low) for low, high in ranges)


def paper_table(replication: Sequence[Result], own: Sequence[Result], task: str) -> pd.DataFrame:
    """One of Tables I–III (§6): one row per arm, the paper's first.

    Seeds and `mean_interval` by each measure follow: the replication's, then the reader's own.
    """
    choose("task", task, TASKS)
    table = pd.DataFrame({"arm": list(ARMS)})
    table["paper"] = [PAPER.get((task, arm), math.nan) for arm in ARMS]
    for whose, results in (("", replication), ("own ", complete(own))):
        for measure in MEASURES:
            arms = by_seed(results, task, measure)
            table[f"{whose}seeds"] = [seed_names(arms.get(arm, {})) for arm in ARMS]
            values = [list(arms.get(arm, {}).values()) or [math.nan] for arm in ARMS]
            table[[whose + measure, f"± {whose}{measure}"]] = list(map(mean_interval, values))
    shown = table["paper"].notna() | (table["seeds"] + table["own seeds"] != "")
    own_widths = [f"± own {measure}" for measure in MEASURES]
    return table[shown].drop(columns=own_widths).reset_index(drop=True)


def versus(arms: Mapping[str, dict[int, float]], first: str, second: str) -> dict[str, Any]:
    """A table's row: `paired_difference` of two arms of `by_seed`; empty if they share no seed."""
    one, other = arms.get(first, {}), arms.get(second, {})
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return {}
    found = paired_difference([one[seed] for seed in shared], [other[seed] for seed in shared])
    return found._asdict() | {"seeds": seed_names(shared)}


def differences(
    results: Sequence[Result], task: str, measure: str = "test", to: str = "none"
) -> pd.DataFrame:
    """`paired_difference` of each arm and the arm `to`; "p, Holm" is p corrected for all rows."""
    choose("task", task, {result.task for result in results})
    arms = by_seed(results, task, measure)
    choose("arm", to, arms)
    rows = [{"arm": arm, **row} for arm in arms if arm != to and (row := versus(arms, arm, to))]
    table = pd.DataFrame(rows, columns=["arm", *Difference._fields])
    table["p, Holm"] = holm(table["p"])
    return table


def claims(results: Sequence[Result], measure: str = "test") -> pd.DataFrame:
    """The plan's six comparisons on both picture tasks, paired by seed; "p, Holm" is over them all.

    For the pilot's few seeds on one pair of classes; for the study, see `claims.study_table`.
    """
    rows = []
    for asked, task in product(COMPARISONS, (GOLDFISH, CATS)):
        if found := versus(by_seed(results, task, measure), asked.first, asked.second):
            says = PAPER[task, asked.first] - PAPER[task, asked.second]
            rows.append({"claim": asked.text, "task": task, "paper says": says, **found})
    table = pd.DataFrame(rows, columns=["claim", "task", "paper says", *Difference._fields])
    table["p, Holm"] = holm(table["p"])
    return table


def mcnemar_by_seed(results: Sequence[Result], task: str, first: str, second: str) -> pd.DataFrame:
    """McNemar's exact test of two arms on the test images: one row per seed that both have run."""
    for arm in (first, second):
        choose("arm", arm, ARMS)
    both = [runs_by_seed(results, task).get(arm, {}) for arm in (first, second)]
    shared = sorted(both[0].keys() & both[1].keys())
    one, other = ([runs[seed].correct["test_best"] for seed in shared] for runs in both)
    rows = [
        mcnemar(mine.tolist(), theirs.tolist()) for mine, theirs in zip(one, other, strict=True)
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
    for name in map(str, table.columns):
        values = table[name]
        if name.startswith("± ") or (name.startswith("own") and not any(table["own seeds"])):
            continue
        if not pd.api.types.is_float_dtype(values):
            text[name] = values.astype(str).replace("", "–")
            continue
        form = "{:+.3f}" if name in DIFFERENCES else "{:.3f}"
        rounded = [round(value, 3) + 0.0 for value in values]  # no -0.000
        text[name] = ["–" if math.isnan(value) else form.format(value) for value in rounded]
        if f"± {name}" in table:
            text[name] += [f" ± {half:.3f}" if half == half else "" for half in table[f"± {name}"]]
    return text
