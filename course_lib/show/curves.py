"""Losses and accuracies as they develop, and accuracies with their intervals."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from course_lib.analysis.results import Result
from course_lib.arms import ARMS
from course_lib.arms.cyclegan import REPORT_STEPS
from course_lib.show import BLUE, GREEN, GREY, ORANGE, RED
from course_lib.support.validation import choose
from course_lib.training import History


def learning_curves(results: Sequence[Result]) -> Figure:
    """Draw loss and accuracy on training and on validation images, a column for each run."""
    figure, axes = _panels("loss", len(results), 3.3, 2.3, rows=2, sharex="col")
    for (above, below), result in zip(axes.T, results, strict=True):
        for place, measure in ((above, "loss"), (below, "accuracy")):
            for part, line, colour in (("train", "o-", BLUE), ("validation", "s--", RED)):
                _curve(place, result.curves[f"{part}_{measure}"], line, colour, ms=3)
        above.set(title=f"{result.task}\n({result.source})", xlabel="")
        above.set_ylim(bottom=0)
        below.set_ylim(top=1.005)
        best, late = result.best_epoch + 1, result.best_epoch > result.epochs / 3
        below.axvline(best, color=GREY, lw=0.8, ls=":")
        below.annotate("best epoch", (best, below.get_ylim()[0]), (-2 if late else 2, 2),
                       textcoords="offset points", ha="right" if late else "left", va="bottom",
                       color=GREY, fontsize="small")  # fmt: skip
    axes[1, 0].set_ylabel("accuracy")
    axes[0, 0].legend(["training", "validation"])
    return figure


def arm_panels(
    results: Sequence[Result], title: str, measure: str = "validation", to: str = "none"
) -> Figure:
    """Draw Figure XI with a panel for each arm: mean and range over seeds, against the arm `to`."""
    choose("measure", measure, ("train", "validation"))
    curves = _by_arm(results, f"{measure}_accuracy")
    choose("arm", to, curves)
    arms = [arm for arm in curves if arm != to]
    rows = -(-len(arms) // 3) or 1
    high = 1.7 + 0.5 / rows
    figure, axes = _panels("accuracy", 3, 2.4, high, rows, title, sharex=True, sharey=True)
    for index, (place, arm) in enumerate(zip(axes.flat, arms, strict=False)):
        for name, line, colour in ((to, "--", "black"), (arm, "-", ARMS[arm].colour)):
            values = curves[name]
            epochs = range(1, values.shape[1] + 1)
            place.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
            _curve(place, values.mean(0), line, colour, name, lw=1.4)
        place.legend(fontsize="small", loc="lower right")
        lowest = index + 3 >= len(arms)
        place.set_xlabel("epoch" if lowest else "")
        place.tick_params(labelbottom=lowest)
    for place in axes.flat[len(arms) :]:
        place.axis("off")
    return figure


def learned_curves(history: History, title: str) -> Figure:
    """Draw SmallNet's accuracy on training, generated and validation images."""
    figure, axes = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
    lines = {"train": ("o-", BLUE), "generated": ("^-", GREEN), "validation": ("s--", RED)}
    for part, (line, colour) in lines.items():
        label = "training images" if part == "train" else f"{part} images"
        _curve(axes, history.curves[f"{part}_accuracy"], line, colour, label, ms=3)
    axes.set(title=title, ylabel="accuracy of SmallNet")
    axes.set_ylim(top=1.01)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def augmentation_losses(results: Sequence[Result], title: str) -> Figure:
    """Draw the content and style losses (§6): a panel for each loss, a line for each run."""
    runs = [result for result in results if "augmentation_loss" in result.curves]
    arms = [arm for arm in ARMS if any(run.arm == arm for run in runs)]
    tasks = dict.fromkeys(run.task for run in runs)
    figure, axes = _panels("augmentation loss", len(arms) or 1, 4.8, 3, title=title)
    for place, arm in zip(axes[0], arms, strict=False):
        for task, colour in zip(tasks, cycle((BLUE, ORANGE, GREEN, RED)), strict=False):
            curves = [r.curves["augmentation_loss"] for r in runs if (r.arm, r.task) == (arm, task)]
            for index, values in enumerate(curves):
                _curve(place, values, "-", colour, "" if index else task, lw=1)
        place.set_title(arm)
        place.set_ylim(bottom=0)
        place.legend(fontsize="small")
    return figure


def cyclegan_curves(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Draw CycleGAN's losses as it trains, a panel for each: means over 50 steps."""
    figure, axes = _panels("loss", len(curves), 2.5, 2.2)
    for place, (name, values) in zip(axes[0], curves.items(), strict=True):
        place.plot(REPORT_STEPS * np.arange(1, len(values) + 1), values, "o-", color=BLUE, ms=3)
        place.set(title=name, xlabel="step", ylim=(0, 1.1 * max(values)))
    return figure


def interval_plot(accuracies: Mapping[str, float], intervals: pd.DataFrame, title: str) -> Figure:
    """Draw accuracies below each other, with intervals: their names → columns low and high."""
    table, rows = intervals.loc[list(accuracies)], range(len(accuracies))
    figure, axes = plt.subplots(figsize=(7.4, 0.42 * len(rows) + 1.1), layout="constrained")
    axes.hlines(rows, table["low"], table["high"], BLUE, lw=2.5)
    axes.plot(list(accuracies.values()), rows, "o", color=RED, ms=6)
    for row, accuracy in enumerate(accuracies.values()):
        axes.text(accuracy, row - 0.15, f"{accuracy:.3f}", ha="center", va="bottom", size="small")
    axes.set_yticks(rows, list(accuracies))
    axes.set(ylim=(len(rows) - 0.4, -0.7), xlabel="accuracy", title=title)
    return figure


def forest_plot(
    panels: Mapping[str, pd.DataFrame], title: str, margin: float | None = None
) -> Figure:
    """Draw mean differences below each other, a panel for each table, with zero and the margin.

    A table's first column names its rows. Lines run from low to high; where these are unknown, they
    are one standard error long either way, and the mean is hollow. A diamond is the paper's size.
    The figure is as narrow as a telephone.
    """
    rows = sum(map(len, panels.values()))
    figure = plt.figure(figsize=(3.7, 0.32 * rows + 0.5 * len(panels) + 1.2), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    shares = [len(table) for table in panels.values()]
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=shares)[:, 0]
    for place, (name, table) in zip(axes, panels.items(), strict=True):
        if margin is not None:
            place.axvspan(-100 * margin, 100 * margin, color=GREY, alpha=0.13, lw=0,
                          label=f"within ±{100 * margin:g} points")  # fmt: skip
        place.axvline(0, color=GREY, lw=1)
        final = table["low"].notna() if "low" in table else pd.Series(False, table.index)
        for known, face, label in ((True, BLUE, "mean, 95 % interval"),
                                   (False, "white", "so far, ± standard error")):  # fmt: skip
            heights = np.flatnonzero((final == known) & table["mean"].notna())
            if len(heights):
                part = 100 * table.iloc[heights].select_dtypes("number")
                error = part.get("standard error", np.nan)  # a single run has none
                low, high = (part["low"], part["high"]) if known else (
                    part["mean"] - error, part["mean"] + error)  # fmt: skip
                place.hlines(heights, low, high, BLUE, lw=2)
                place.plot(part["mean"], heights, "o", color=BLUE, mfc=face, ms=6, label=label)
        if "paper says" in table:
            place.plot(100 * table["paper says"], range(len(table)), "D", color=RED, ms=5,
                       mfc="none", label="the paper's difference")  # fmt: skip
        place.set(title=name, ylim=(len(table) - 0.5, -0.5))
        names = [
            name if len(name) < 18 else name.replace(" − ", "\n− ") for name in table.iloc[:, 0]
        ]
        place.set_yticks(range(len(table)), names, fontsize="small")
        place.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes[-1].set_xlabel("points of accuracy")
    labels: dict[str, Any] = {}
    for place in axes:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=1, fontsize="small")
    return figure


def _panels(
    label: str, count: int, wide: float, high: float, rows: int = 1, title: str = "", **shared: Any
) -> tuple[Figure, np.ndarray]:
    """Axes in rows of `count`, each so wide and high, in inches; the label is the first one's y."""
    figure = plt.figure(figsize=(wide * count, high * rows), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, count, squeeze=False, **shared)
    axes[0, 0].set_ylabel(label)
    return figure, axes


def _by_arm(results: Sequence[Result], curve: str) -> dict[str, np.ndarray]:
    """Arm → (seeds, epochs) of a curve, in the order of the registry."""
    arms = {arm: [run.curves[curve] for run in results if run.arm == arm] for arm in ARMS}
    return {arm: np.array(curves) for arm, curves in arms.items() if curves}


def _curve(
    axes: Axes, values: Sequence[float], line: str, colour: str, label: str = "", **size: Any
) -> None:
    """One value per epoch, from epoch 1."""
    axes.plot(range(1, len(values) + 1), values, line, color=colour, label=label, **size)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
