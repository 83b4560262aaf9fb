"""Figures of page 08 show the numbers that they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from course_lib.analysis.gains import gains
from course_lib.analysis.results import Result
from course_lib.show.practice import reliability_plot, strength_plot
from course_lib.support.validation import CourseError


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def made(arm, seed, right, strength=1.0, transforms=()):
    """A run with `right` of 200 unseen images right in its one last epoch."""
    settings = {
        "task": "dogs-vs-cats", "arm": arm, "seed": seed, "source": "stand-in", "epochs": 1,
        "last_epochs": 1, "running_statistics": "all", "images_per_class": 10,
        "strength": strength, "transforms": dict.fromkeys(transforms, 1),
    }  # fmt: skip
    half = (np.arange(100) < right / 2).astype(int)
    return Result(
        settings, "key", {"validation_accuracy": [0.5]}, 0, {}, {"date": "2026"}, 1.0,
        times_right={"all validation": half, "all test": half},
    )  # fmt: skip


def test_strengths_are_drawn_from_nothing_on():
    baseline = [made("none-matched", seed, 140 + 2 * seed) for seed in range(3)]
    runs = [
        made("traditional-fresh", seed, right + 4 * seed, strength, transforms)
        for strength, right, transforms in (
            (2.0, 130, ["shift", "hue"]), (1.0, 150, ["shift", "hue"]), (12.5, 120, ["hue"]),
        )
        for seed in range(3)
    ]  # fmt: skip
    of_all, of_hue = strength_plot(baseline + runs).axes
    assert [of_all.get_title(), of_hue.get_title()] == ["all", "hue"]
    (line,) = [line for line in of_all.get_lines() if line.get_marker() == "o"]
    assert line.get_xdata().tolist() == [0, 1, 2]
    assert line.get_ydata().tolist() == pytest.approx([0, 6, -4])
    low, high = gains(baseline + runs[3:6]).iloc[0][["low", "high"]] * 100
    drawn = [segment[:, 1].tolist() for segment in of_all.collections[-1].get_segments()]
    assert drawn[0] == pytest.approx([low, high])
    with pytest.raises(CourseError, match="results hold no run besides 'none-matched'"):
        strength_plot(baseline)


def test_reliability_is_drawn_beside_the_diagonal():
    table = pd.DataFrame({"images": [30, 10], "confidence": [0.6, 0.9], "accuracy": [0.6, 0.5]})
    one, other = reliability_plot({"one": table, "other": table.assign(accuracy=[0.6, 0.9])}).axes
    assert one.get_title() == "one\ncalibration error 0.100"
    assert other.get_title() == "other\ncalibration error 0.000"
    lines = [np.column_stack(line.get_data()).tolist() for line in one.get_lines()]
    assert lines == [[[0.5, 0.5], [1, 1]], [[0.6, 0.6], [0.9, 0.5]]]
    assert [bar.get_height() for bar in one.patches] == pytest.approx([0.75, 0.25])
