"""Forest plots: what each arm gains over a baseline, with its interval."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from course_lib.analysis.replication import MARGIN
from course_lib.arms import ARMS
from course_lib.show import GREY
from course_lib.support.validation import CourseError

ROW = 0.3  # inches


def gain_plot(table: pd.DataFrame, to: str = "none-matched") -> Figure:
    """Draw a table of `analysis.gains.gains`: a panel per task, a row per arm, in points.

    The line is no difference, the band one of less than two points either way.
    """
    tasks = list(dict.fromkeys(table["task"]))
    if not tasks:
        raise CourseError("table has no rows: there is nothing to draw")
    arms = list(dict.fromkeys(table["arm"]))
    size = (1.6 + 2.9 * len(tasks), 1.1 + ROW * len(arms))
    figure, axes = plt.subplots(
        1, len(tasks), figsize=size, squeeze=False, sharey=True, sharex=True
    )
    for place, task in zip(axes[0], tasks, strict=True):
        place.axvspan(-100 * MARGIN, 100 * MARGIN, color=GREY, alpha=0.13, lw=0)
        place.axvline(0, color=GREY, lw=1)
        for _, row in table[table["task"] == task].iterrows():
            height, colour = arms.index(row["arm"]), ARMS[row["arm"].partition(":")[0]].colour
            place.plot([100 * row["low"], 100 * row["high"]], [height] * 2, color=colour, lw=2)
            place.plot(100 * row["mean"], height, "o", color=colour, ms=5)
        place.set(title=task, xlabel=f"points more than {to}")
    axes[0, 0].set_yticks(range(len(arms)), arms)
    axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    return figure
