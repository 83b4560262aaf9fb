"""The registry of arms: one entry and one function make an arm."""

import dataclasses
import re

import matplotlib.pyplot as plt
import pytest

from course_lib.analysis.comparison import differences, paper_table
from course_lib.analysis.results import results_table
from course_lib.arms import ARMS, Arm
from course_lib.paper import PAPER
from course_lib.show.curves import arm_panels
from course_lib.study import is_run, study
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, fit


def negative(task, choices, seed, device):
    """Copies of a made-up arm: the training images as negatives."""
    return 255 - task.train.images


NEGATIVE = Arm("negative", "ours", "once", 2, "#123456", "-.", copies=negative)


def test_a_new_arm_is_one_entry_and_one_function(tmp_path, monkeypatch):
    """It is run, tabled, compared and drawn like the others."""
    monkeypatch.setitem(ARMS, "negative", NEGATIVE)
    results = study(
        ["dogs-vs-cats"], ["none", "negative"], [0, 1, 2], source="stand-in", epochs=2, side=32, readings=False,
        images_per_class=10, workers=1, folder=tmp_path,
    )  # fmt: skip
    table = results_table(results)
    assert table["arm"].tolist() == ["none", "negative"] * 3
    assert "negative" in paper_table(results, [], "dogs-vs-cats")["arm"].tolist()
    assert differences(results, "dogs-vs-cats")["arm"].tolist() == ["negative"]
    figure = arm_panels(results, "negatives")
    (_, line), colour = figure.axes[0].get_lines(), "#123456"
    assert (line.get_label(), line.get_color()) == ("negative", colour)
    plt.close(figure)


def test_copies_of_an_arm_are_trained_on(tiny_task, monkeypatch):
    monkeypatch.setitem(ARMS, "negative", NEGATIVE)
    recipe = Recipe(epochs=2)
    _, by_arm = fit(tiny_task, "negative", recipe)
    _, by_hand = fit(tiny_task.with_copies(255 - tiny_task.train.images), recipe=recipe)
    assert by_arm.curves["train_loss"] == by_hand.curves["train_loss"]


def test_entries_are_whole():
    for name, arm in ARMS.items():
        assert arm.name == name and arm.whose in ("paper", "ours", "practice")
        assert arm.made in ("never", "once", "each epoch", "each batch")
        assert (arm.fresh is not None) >= (arm.made == "each epoch")
        assert (arm.augmenter is not None) == (arm.made == "each batch")
        assert re.fullmatch("#[0-9A-F]{6}", arm.colour)
    drawn = [(arm.colour, arm.line) for arm in ARMS.values()]
    assert len(set(drawn)) == len(drawn), "no two arms look alike"
    assert {arm for _, arm in PAPER} == {a.name for a in ARMS.values() if a.whose == "paper"}


def test_which_arms_are_run():
    assert is_run("mnist-0-vs-8", "neural") and not is_run("mnist-0-vs-8", "traditional")
    assert not is_run("mnist-0-vs-8", "pair-mean") and is_run("dogs-vs-cats", "pair-mean")
    assert all(is_run("n02099601-vs-n02123394", arm) for arm in ARMS)


@pytest.mark.parametrize("choice", [{"transforms": "flop"}, {"generators": "big"}, {"loss": "x"}])
def test_a_bad_choice_is_refused_before_anything_is_computed(tiny_task, monkeypatch, choice):
    def never(*_):
        raise AssertionError("copies were made")

    monkeypatch.setitem(ARMS, "gan", dataclasses.replace(ARMS["gan"], copies=never))
    with pytest.raises(CourseError, match="is unknown"):
        fit(tiny_task, "gan", Recipe(**choice))
