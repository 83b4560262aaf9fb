"""The figures' style is the reader's choice, and every figure works with it and without."""

import inspect
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from made_up import history, small_task
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from course_lib.analysis.comparison import differences, reference_results
from course_lib.arms.traditional import Transforms
from course_lib.models import Generator
from course_lib.show import curves, pictures

STYLE = "course_lib.show.course"
IMPORT_ALL = """
import importlib, pkgutil
import matplotlib
before = matplotlib.rcParams.copy()
import course_lib
for module in pkgutil.walk_packages(course_lib.__path__, "course_lib."):
    importlib.import_module(module.name)
after = matplotlib.rcParams.copy()
print(*(name for name in before if before[name] != after[name]))
"""


def test_imports_leave_the_readers_style_alone():
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_style_is_applied_by_its_name():
    with plt.style.context(STYLE):
        assert matplotlib.rcParams["figure.constrained_layout.use"]
        assert not matplotlib.rcParams["axes.spines.top"]
        assert matplotlib.rcParams["grid.color"] == "#dcdcda"


def some_intervals(accuracies):
    table = pd.DataFrame({"low": 0.7, "high": 0.95}, index=list(accuracies))
    return curves.interval_plot(accuracies, table, "95 % intervals")


def networks():
    generator = Generator(width=4, blocks=1)
    return SimpleNamespace(to_style=generator, to_photo=generator)


FIGURES = {
    "image_grid": lambda all, cats: pictures.image_grid(small_task().train.images[:12], ["first"]),
    "class_sheets": lambda all, cats: pictures.class_sheets(small_task()),
    "labelled_rows": lambda all, cats: pictures.labelled_rows(
        {"a long name on the left": small_task().train.images[:3]}, above=["one", "two", "three"]
    ),
    "transform_sheet": lambda all, cats: pictures.transform_sheet(
        small_task().train.images[:3], Transforms()
    ),
    "style_sheet": lambda all, cats: pictures.style_sheet(small_task().train.images[:2]),
    "there_and_back": lambda all, cats: pictures.there_and_back(
        networks(), small_task().train.images[:2]
    ),
    "pair_rows": lambda all, cats: pictures.pair_rows(small_task(), history(), [1, 3]),
    "network_figure": lambda all, cats: pictures.network_figure(training=True),
    "learning_curves": lambda all, cats: curves.learning_curves(cats[:3]),
    "arm_panels": lambda all, cats: curves.arm_panels(cats, "Figure XI"),
    "learned_curves": lambda all, cats: curves.learned_curves(history(), "epoch 3 of 3"),
    "augmentation_losses": lambda all, cats: curves.augmentation_losses(all, "Losses"),
    "cyclegan_curves": lambda all, cats: curves.cyclegan_curves(
        dict.fromkeys(("adversarial", "cycle", "identity", "critics"), [0.3, 0.2])
    ),
    "interval_plot": lambda all, cats: some_intervals({"none": 0.8, "neural-content": 0.9}),
    "forest_plot": lambda all, cats: curves.forest_plot(
        {task: differences(all, task) for task in ("dogs-vs-goldfish", "dogs-vs-cats")}, "Test"
    ),
}


def test_every_figure_is_here():
    public = {
        name
        for module in (pictures, curves)
        for name, thing in vars(module).items()
        if inspect.isfunction(thing)
        and thing.__module__ == module.__name__
        and not name.startswith("_")
        and inspect.signature(thing).return_annotation is Figure
    }
    assert public == set(FIGURES)


@pytest.mark.parametrize("style", ["default", STYLE])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_keeps_everything_inside_in_either_style(name, style):
    results = reference_results()
    cats = [result for result in results if result.task == "dogs-vs-cats"]
    with plt.style.context(style, after_reset=True):
        figure = FIGURES[name](results, cats)
        assert isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
        for _ in range(2):
            figure.draw_without_rendering()
        drawn, paper = figure.get_tightbbox(), figure.bbox_inches
    plt.close("all")
    slack = 0.05  # inches: a label at the end of an axis may reach over it
    assert drawn.x0 >= -slack and drawn.y0 >= -slack
    assert drawn.x1 <= paper.x1 + slack and drawn.y1 <= paper.y1 + slack
