"""Pictures stand where their labels say."""

import matplotlib.pyplot as plt
import pytest
import torch
from made_up import history, small_task

from course_lib.arms.traditional import Transforms, traditional
from course_lib.show.pictures import (
    class_sheets,
    image_grid,
    labelled_rows,
    network_figure,
    pair_rows,
    png,
    stretched,
    transform_sheet,
)
from course_lib.support.validation import CourseError
from course_lib.training import History


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


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_rows_and_columns_have_their_names():
    rows = {"first": images(3), "second": images(6)[3:]}
    axes = labelled_rows(rows, above=["a", "b", "c"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert names(axes) == ["first", "second"]
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


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_images_than_columns_fill_their_figure(count):
    figure = image_grid(images(count), columns=10)
    assert figure.get_figwidth() == pytest.approx(0.92 * count)


def test_a_sheet_for_each_class():
    task = small_task()
    dogs, fish = class_sheets(task).axes
    assert dogs.get_title() == "label 0: dogs" and fish.get_title() == "label 1: goldfish"
    expected = task.train.images[task.train.labels == 1][0].permute(1, 2, 0)
    gap = 3
    shown = fish.images[0].get_array()[gap : gap + 64, gap : gap + 64]
    assert (torch.from_numpy(shown.copy()) == expected).all()


def test_a_row_for_each_transformation_that_is_switched_on():
    some, transforms = small_task().train.images[:2], Transforms(hue=0.0, warp=0.0)
    axes = transform_sheet(some, transforms, seed=3).axes[0]
    assert names(axes) == ["original", "shift", "zoom", "rotate", "shear", "flip", "all"]
    moved = traditional(some, transforms.only("shift"), torch.Generator().manual_seed(3))
    x, y = 3 + 20, axes.get_yticks()[1]
    row = round(y - 3 / 2) - 67  # of the image's pixels, 64 and a gap of 3 to each row above
    assert at(axes, x, y) == moved[0, :, row - 3 + 2, 20].tolist()


def test_generated_images_are_shown_as_they_are_and_stretched():
    axes = pair_rows(small_task(), history(), [1, 3]).axes[0]
    assert names(axes) == [
        "source 1", "source 2", "epoch 1", "epoch 1, stretched", "epoch 3", "epoch 3, stretched",
    ]  # fmt: skip
    with pytest.raises(CourseError, match="epoch 4 must be a number from 1 to 3"):
        pair_rows(small_task(), history(), [4])
    with pytest.raises(CourseError, match="no generated images"):
        pair_rows(small_task(), History(), [1])


def test_stretching_fills_the_range():
    pale = 0.01 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) + 5
    wide = stretched(pale).float()
    assert wide.mean().item() == pytest.approx(127, abs=2) and wide.std() > 45


@pytest.mark.parametrize("training", [True, False])
def test_the_diagrams_name_what_takes_part(training):
    texts = {text.get_text() for text in network_figure(training).axes[0].texts}
    parts = {"AugNet", "generated\nimage", "$L_a$", "target", "source 1", "source 2"}
    assert "SmallNet" in texts and (parts <= texts if training else not parts & texts)


def test_a_figure_becomes_a_png_file_and_is_closed():
    assert png(image_grid(images(2))).startswith(b"\x89PNG")
    assert not plt.get_fignums()
