"""Forest plots: what each arm gains over a baseline, with its interval."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_lib.analysis.replication import MARGIN
from course_lib.analysis.results import Result
from course_lib.arms import ARMS
from course_lib.arms.traditional import BOUNDS
from course_lib.show import GREY
from course_lib.show.curves import forest_plot
from course_lib.support.validation import CourseError


def gain_plot(table: pd.DataFrame, to: str = "none-matched") -> Figure:
    """Draw a table of `analysis.gains.gains` as a `forest_plot`: a panel for each task."""
    tasks = table.groupby("task", sort=False)
    panels = {str(task): part.drop(columns="task") for task, part in tasks}
    if not panels:
        raise CourseError("table has no rows: there is nothing to draw")
    return forest_plot(panels, f"Accuracy minus that of {to}", MARGIN)


def nuisance_plot(results: Sequence[Result]) -> Figure:
    """Draw accuracy by what was trained with (rows) and tested on (columns), a mean over runs.

    Results have `nuisances`; a row is the one transformation of a run, or else its arm. The best
    of each column has a frame.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    for result in results:
        rows.setdefault(result.single_transform or result.arm, []).append(result.nuisances)
    columns = list(results[0].nuisances) if results else []
    if not columns:
        raise CourseError("results hold no nuisances: run them with nuisances=True")
    names = sorted(rows, key=[*ARMS, *columns, *BOUNDS].index)
    means = np.array([[np.mean([run[c] for run in rows[name]]) for c in columns] for name in names])
    size = (1.6 + 0.75 * len(columns), 1 + 0.45 * len(rows))
    figure, place = plt.subplots(figsize=size)
    place.imshow(means - means.mean(axis=0), cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(means):
        best = value == means[:, column].max()
        frame = {"boxstyle": "round", "fc": "white", "ec": GREY} if best else None
        place.text(column, row, f"{100 * value:.1f}", ha="center", va="center", bbox=frame)
    place.set_xticks(range(len(columns)), columns)
    place.set_yticks(range(len(rows)), names)
    place.set(xlabel="tested on", ylabel="trained with")
    place.grid(False)
    return figure


def size_plot(table: pd.DataFrame) -> Figure:
    """Draw a table of `analysis.gains.gains_by_size`: accuracies, and what the arm gains."""
    to, arm = table.columns[:2]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2))
    for name in (to, arm):
        left.plot(table.index, 100 * table[name], "o-", color=ARMS[name].colour, label=name)
    left.set(title="Accuracy", ylabel="%")
    left.legend()
    right.axhspan(-100 * MARGIN, 100 * MARGIN, color=GREY, alpha=0.13, lw=0)
    right.axhline(0, color=GREY, lw=1)
    right.vlines(table.index, 100 * table["low"], 100 * table["high"], color=ARMS[arm].colour, lw=2)
    right.plot(table.index, 100 * table["mean"], "o", color=ARMS[arm].colour, ms=5)
    right.set(title=f"What {arm} gains", ylabel=f"points more than {to}")
    for place in (left, right):
        place.set(xscale="log", xlabel="images per class")
        place.set_xticks(table.index, map(str, table.index))
        place.minorticks_off()
    return figure
