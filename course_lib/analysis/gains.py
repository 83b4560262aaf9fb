"""What each arm gains over a baseline, paired by seed: mean and interval over several runs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from course_lib.analysis.results import Result
from course_lib.analysis.statistics import paired_difference, worth_in_images
from course_lib.arms import ARMS
from course_lib.support.files import BUNDLED
from course_lib.support.validation import CourseError, choose

SIZES = BUNDLED / "reference" / "sizes"  # runs with 25 to 800 stand-ins of a class
MATRIX = BUNDLED / "reference" / "nuisances"  # runs with one transformation each, tested on all


def label(result: Result) -> str:
    """The run's arm, its one transformation and a strength that is not 1: "traditional: hue ×2"."""
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
    return pd.DataFrame(rows, columns=["task", "arm", "mean", "low", "high", "seeds"])


def leads(results: Sequence[Result]) -> pd.DataFrame:
    """By how much training with a nuisance's own transformation beats the next best row, on it.

    Results have `nuisances`, of one task. A row per nuisance that was trained for: which row is
    next, and the difference of accuracies, paired by seed, with Student's 95 % interval (0–1).
    """
    rows: dict[str, dict[int, dict[str, float]]] = {}
    for result in results:
        row = result.single_transform or result.arm
        rows.setdefault(row, {})[result.seed] = result.nuisances
    found = {}
    for name in (name for name in rows if any(name in run for run in rows[name].values())):
        by_seed = {row: {s: run[name] for s, run in runs.items()} for row, runs in rows.items()}
        own = by_seed.pop(name)
        if not by_seed or any(runs.keys() != own.keys() for runs in by_seed.values()):
            raise CourseError("results must have the same seeds in every row, two rows or more")
        following = max(by_seed, key=lambda row: sum(by_seed[row].values()))
        lead = paired_difference([*own.values()], [by_seed[following][seed] for seed in own])
        found[name] = {"next": following, "mean": lead.mean, "low": lead.low, "high": lead.high}
    return pd.DataFrame.from_dict(found, orient="index")


def gains_by_size(results: Sequence[Result], to: str = "none-matched") -> pd.DataFrame:
    """What one arm gains over another on one task, by the number of training images.

    A row per images per class: accuracies of `to` and of the arm (means over seeds, 0–1), the gain
    with its interval as in `gains`, and `worth` as in `statistics.worth_in_images`.
    """
    arms = dict.fromkeys([to, *(run.arm for run in results)])
    sizes, tasks = {run.images_per_class for run in results}, {run.task for run in results}
    if len(arms) != 2 or len(tasks) != 1 or None in sizes:
        raise CourseError("results must be of one task and two arms, with numbers of images")
    rows: dict[int, dict[str, Any]] = {}
    for size in sorted(filter(None, sizes)):
        part = [run for run in results if run.images_per_class == size]
        found = gains(part, to)
        of = {arm: [run.unseen_accuracy for run in part if run.arm == arm] for arm in arms}
        rows[size] = {name: sum(values) / len(values) for name, values in of.items()}
        rows[size] |= {name: found.loc[0, name] for name in ("mean", "low", "high", "seeds")}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("images per class")
    return table.assign(worth=worth_in_images(list(table.index), *(table[arm] for arm in arms)))
