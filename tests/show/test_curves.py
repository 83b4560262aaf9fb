"""Curves and intervals show the numbers that they were given, in the styles of the registry."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import history

from course_lib.analysis.comparison import differences, reference_results
from course_lib.arms import ARMS
from course_lib.show import curves
from course_lib.support.validation import CourseError


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def reference():
    return reference_results()


@pytest.fixture(scope="module")
def cats(reference):
    return [result for result in reference if result.task == "dogs-vs-cats"]


def of(results, arm, curve="validation_accuracy"):
    """(seeds, epochs)."""
    return np.array([result.curves[curve] for result in results if result.arm == arm])


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_learning_curves_of_each_run(cats):
    figure = curves.learning_curves(cats[:2])
    loss, _, accuracy, _ = figure.axes
    training, validation, best = accuracy.lines
    assert training.get_ydata().tolist() == cats[0].curves["train_accuracy"]
    assert validation.get_ydata().tolist() == cats[0].curves["validation_accuracy"]
    assert validation.get_xdata()[0] == 1
    assert best.get_xdata()[0] == cats[0].best_epoch + 1
    assert legend(loss) == ["training", "validation"]
    assert loss.get_title() == f"dogs-vs-cats\n({cats[0].source})" and not loss.get_xlabel()


def test_a_new_arm_of_the_registry_is_drawn(cats, monkeypatch):
    monkeypatch.setitem(ARMS, "made-up", SimpleNamespace(colour="#123456", line="-."))
    new = [replace(one, settings=one.settings | {"arm": "made-up"}) for one in cats[:2]]
    line = curves.arm_panels([*cats, *new], "").axes[9].lines[-1]
    assert (line.get_label(), line.get_color()) == ("made-up", "#123456")


def test_panels_of_training_images_against_any_arm(cats):
    shown = curves.arm_panels(cats, "", "train", to="control").axes[0]
    assert legend(shown) == ["control", "none"]
    for line, arm in zip(shown.lines, legend(shown), strict=True):
        assert line.get_ydata() == pytest.approx(of(cats, arm, "train_accuracy").mean(0))
    with pytest.raises(CourseError, match="gan-fresh"):
        curves.arm_panels(cats, "", to="gan-fresh")


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_panel_for_each_arm_against_none(cats, count):
    arms = [arm for arm in ARMS if arm != "none" and len(of(cats, arm))][:count]
    figure = curves.arm_panels([one for one in cats if one.arm in ("none", *arms)], "")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [legend(axes) for axes in shown] == [["none", arm] for arm in arms]
    last = shown[-1]
    assert last.lines[1].get_ydata() == pytest.approx(of(cats, arms[-1]).mean(0))
    band = last.collections[1].get_paths()[0].vertices[:, 1]
    values = of(cats, arms[-1])
    assert (band.min(), band.max()) == pytest.approx((values.min(), values.max()))
    lowest = [not shown[index + 3 : index + 4] for index in range(count)]
    assert [axes.get_xlabel() == "epoch" for axes in shown] == lowest
    ticks = [axes.xaxis.get_tick_params()["labelbottom"] for axes in shown]
    assert ticks == lowest


def test_learned_curves_of_all_three_kinds_of_images():
    figure = curves.learned_curves(history(), "epoch 3 of 3")
    values = [line.get_ydata().tolist() for line in figure.axes[0].lines]
    names = ("train", "generated", "validation")
    assert values == [history().curves[f"{name}_accuracy"] for name in names]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "training images", "generated images", "validation images",
    ]  # fmt: skip


def test_a_panel_for_each_augmentation_loss_and_a_colour_for_each_task(reference):
    content, style = curves.augmentation_losses(reference, "").axes
    assert (content.get_title(), style.get_title()) == ("neural-content", "neural-style")
    tasks = {one.task for one in reference if one.arm == "neural-content"}
    assert set(legend(content)) == tasks and len(legend(content)) == len(tasks)
    runs = of(reference, "neural-content", "augmentation_loss")
    assert len(content.lines) == len(runs)
    shown = sorted(line.get_ydata()[-1] for line in content.lines)
    assert shown == pytest.approx(sorted(runs[:, -1]))


def test_no_task_is_left_out_where_colours_run_out(cats):
    one = next(result for result in cats if result.arm == "neural-style")
    tasks = [f"folder-{letter}" for letter in "abcdef"]
    runs = [replace(one, settings=one.settings | {"task": task}) for task in tasks]
    (axes,) = curves.augmentation_losses(runs, "").axes
    assert legend(axes) == tasks


def test_losses_of_a_cyclegan_by_step():
    cycle, identity = curves.cyclegan_curves({"cycle": [3, 2, 1], "identity": [1, 1, 1]}).axes
    (line,) = cycle.lines
    assert line.get_xdata().tolist() == [50, 100, 150] and line.get_ydata().tolist() == [3, 2, 1]
    assert identity.get_title() == "identity"


def ends(lines):
    """(low, high, height) of each line of a LineCollection."""
    return [(*segment[:, 0], segment[0, 1]) for segment in lines.get_segments()]


def test_intervals_stand_below_each_other_in_their_order():
    table = pd.DataFrame({"low": [0.7, 0.8], "high": [0.9, 1.0]}, index=["second", "first"])
    axes = curves.interval_plot({"first": 0.95, "second": 0.75}, table, "Two").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert ends(axes.collections[0]) == [(0.8, 1.0, 0), (0.7, 0.9, 1)]
    assert axes.lines[0].get_xdata().tolist() == [0.95, 0.75]
    assert [text.get_text() for text in axes.texts] == ["0.950", "0.750"]
    assert axes.yaxis_inverted()  # the first at the top


def rows_of(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_a_forest_has_a_panel_for_each_table_in_points(reference):
    tables = {task: differences(reference, task) for task in ("dogs-vs-goldfish", "dogs-vs-cats")}
    figure = curves.forest_plot(tables, "")
    for axes, (task, table) in zip(figure.axes, tables.items(), strict=True):
        assert axes.get_title() == task and rows_of(axes) == table["arm"].tolist()
        assert axes.yaxis_inverted()
        (lines,) = axes.collections
        rows = range(len(table))
        expected = np.column_stack([100 * table["low"], 100 * table["high"], rows])
        assert np.array(ends(lines)) == pytest.approx(expected)
        zero, means = axes.lines
        assert zero.get_xdata() == [0, 0]
        assert means.get_xdata() == pytest.approx(100 * table["mean"])
    assert legends(figure) == ["mean, 95 % interval"]


def legends(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_forest_shows_the_margin_the_papers_size_and_what_is_preliminary():
    table = pd.DataFrame({
        "arms": ["a", "b", "c"], "mean": [0.01, -0.02, np.nan], "low": [0, np.nan, np.nan],
        "high": [0.02, np.nan, np.nan], "standard error": [np.nan, 0.005, np.nan],
        "paper says": [0.06, np.nan, -0.01],
    })  # fmt: skip
    figure = curves.forest_plot({"cats": table}, "", margin=0.02)
    (axes,) = figure.axes
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (-2, 2)
    final, preliminary = axes.collections
    assert ends(final) == [(0, 2, 0)]
    assert ends(preliminary)[0] == pytest.approx((-2.5, -1.5, 1))
    _, filled, hollow, paper = axes.lines
    assert filled.get_xdata().tolist() == [1] and hollow.get_xdata()[0] == -2
    assert hollow.get_markerfacecolor() == "white" != filled.get_markerfacecolor()
    assert paper.get_xdata()[0] == 6 and paper.get_xdata()[2] == -1
    assert legends(figure) == ["within ±2 points", "mean, 95 % interval",
                               "so far, ± standard error", "the paper's difference"]  # fmt: skip
    nothing = table.assign(mean=np.nan).drop(columns=["low", "high"])
    assert rows_of(curves.forest_plot({"cats": nothing}, "", 0.02).axes[0]) == ["a", "b", "c"]


def test_without_an_arm_to_show_panels_stay_empty(cats):
    none = [result for result in cats if result.arm == "none"]
    for figure in (curves.arm_panels(none, ""), curves.augmentation_losses(none, "")):
        assert not any(axes.lines for axes in figure.axes)
