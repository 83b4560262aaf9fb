"""What to do with pictures of your own: gains by strength, and reliability diagrams."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course_lib.analysis.calibration import calibration_error
from course_lib.analysis.gains import gains
from course_lib.analysis.replication import MARGIN
from course_lib.analysis.results import Result
from course_lib.show import BLUE, GREY, RED
from course_lib.support.validation import CourseError

BAR = 0.04  # width of a bar, in units of confidence


def strength_plot(results: Sequence[Result], to: str = "none-matched") -> Figure:
    """Draw what transformations gain over the arm `to`, by their strength, in points.

    A panel for all transformations together ("all"), or for the one that a run was limited to. At
    strength 0 nothing is transformed, so that the line begins at 0.
    """
    baseline = [run for run in results if run.arm == to]
    panels: dict[str, dict[float, list[Result]]] = {}
    for run in results:
        if run.arm != to:
            panel = panels.setdefault(run.single_transform or "all", {})
            panel.setdefault(run.settings.get("strength", 1.0), []).append(run)
    if not panels:
        raise CourseError(f"results hold no run besides {to!r}: there is nothing to draw")
    size = (3.7, 2 * len(panels) + 0.3)  # readable at the width of a phone
    figure, axes = plt.subplots(len(panels), 1, figsize=size, sharey=True, squeeze=False)
    for place, (name, runs) in zip(axes[:, 0], panels.items(), strict=True):
        strengths = sorted(runs)
        table = pd.concat([gains([*baseline, *runs[strength]], to) for strength in strengths])
        mean, low, high = (100 * table[column].to_numpy() for column in ("mean", "low", "high"))
        place.axhspan(-100 * MARGIN, 100 * MARGIN, color=GREY, alpha=0.13, lw=0)
        place.axhline(0, color=GREY, lw=1)
        place.plot([0, *strengths], [0, *mean], "o-", color=BLUE, ms=5, lw=1.4)
        place.vlines(strengths, low, high, BLUE, lw=2)
        place.set(title=name, ylabel="points")
        place.set_xticks([0, *strengths])
    axes[-1, 0].set_xlabel("strength")
    figure.suptitle(f"Points more than {to}", fontsize="medium")
    return figure


def reliability_plot(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw reliability diagrams: tables of `analysis.calibration.reliability`, a panel for each.

    A dot above the diagonal is right more often than it says, one below it less often. Bars show
    which share of the images has that confidence.
    """
    size = (2.3 * len(tables) + 0.5, 3.1)
    figure, axes = plt.subplots(1, len(tables), figsize=size, sharey=True, squeeze=False)
    for place, (name, table) in zip(axes[0], tables.items(), strict=True):
        share = table["images"] / table["images"].sum()
        place.bar(table["confidence"], share, BAR, color=GREY, alpha=0.3, label="share of images")
        place.plot([0.5, 1], [0.5, 1], color=GREY, lw=1, ls="--", label="as sure as right")
        place.plot(table["confidence"], table["accuracy"], "o-", color=RED, ms=5, label="accuracy")
        place.set(title=f"{name}\ncalibration error {calibration_error(table):.3f}")
        place.set(xlabel="confidence", xlim=(0.48, 1.02), ylim=(0, 1.02))
        place.set_xticks(np.linspace(0.5, 1, 6))
    axes[0, 0].set_ylabel("accuracy; share")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, fontsize="small")
    return figure
