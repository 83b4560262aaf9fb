"""Pictures stand where their labels say."""

import matplotlib.pyplot as plt
import pytest
import torch

from course_lib.images.tasks import load_task
from course_lib.show.figures import class_sheets, image_grid, labelled_rows


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def images(count, channels=3, side=20):
    """Flat pictures of different values: 0, 10, 20, …"""
    values = 10 * torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1)
    return values.expand(count, channels, side, side).contiguous()


def at(axes, x, y):
    """The colour of the picture at a place in data coordinates."""
    return axes.images[0].get_array()[round(y), round(x)].tolist()


def test_rows_and_columns_have_their_names():
    rows = {"first": images(3), "second": images(6)[3:]}
    axes = labelled_rows(rows, above=["a", "b", "c"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    seen = [[at(axes, x, y)[0] for x in axes.get_xticks()] for y in axes.get_yticks()]
    assert seen == [[0, 10, 20], [30, 40, 50]]


def test_a_grid_is_filled_row_by_row_and_ends_in_white():
    axes = image_grid(images(5), ["one", "two", "three"], columns=3).axes[0]
    left, middle, right = axes.get_xticks()
    assert at(axes, middle, 10) == [10, 10, 10]
    assert at(axes, left, 30) == [30, 30, 30]
    assert at(axes, right, 30) == [255, 255, 255]


def test_grey_images_are_shown_in_grey():
    axes = image_grid(images(2, channels=1), columns=2).axes[0]
    assert at(axes, 30, 10) == [10, 10, 10]


def test_a_sheet_for_each_class():
    task = load_task("dogs-vs-goldfish", "stand-in", images_per_class=25)
    dogs, fish = class_sheets(task).axes
    assert dogs.get_title() == "label 0: dogs" and fish.get_title() == "label 1: goldfish"
    expected = task.train.images[task.train.labels == 1][0].permute(1, 2, 0)
    gap = 3
    shown = fish.images[0].get_array()[gap : gap + 64, gap : gap + 64]
    assert (torch.from_numpy(shown.copy()) == expected).all()
