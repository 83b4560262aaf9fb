"""Explorers: each control is labelled and changes the picture; without widgets a picture stays."""

import base64
import io
from types import SimpleNamespace

import ipywidgets
import made_up
import numpy as np
import pytest
from IPython import display
from PIL import Image

from course_lib.analysis.statistics import mcnemar
from course_lib.arms.traditional import BOUNDS, PICTURES
from course_lib.images.tasks import TASKS, load_task
from course_lib.models import Generator
from course_lib.show import explorers as widgets


@pytest.fixture(scope="module")
def explorers():
    tasks = [load_task(name, "auto" if "mnist" in name else "stand-in", 0, 50) for name in TASKS]
    history = made_up.history()
    made = {
        (loss, alpha): alpha * picture
        for loss, picture in zip(("content", "style"), history.generated, strict=False)
        for alpha in (1, 0.5, 0.25)
    }
    return {
        "browse_images": widgets.browse_images(tasks),
        "explore_interval": widgets.explore_interval(),
        "explore_transforms": widgets.explore_transforms(tasks[0]),
        "explore_styles": widgets.explore_styles(tasks[0]),
        "explore_augnet": widgets.explore_augnet(tasks[0], dict(enumerate(history.augnets, 1))),
        "explore_weights": widgets.explore_weights(tasks[0], history.sources, made),
        "explore_mcnemar": widgets.explore_mcnemar(),
        "explore_power": widgets.explore_power(),
        "explore_verdict": widgets.explore_verdict(),
    }


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a4944415478da63f8ff1f00030001ff5c2d9a9e0000000049454e44ae426082"
)
NAMES = [name for name in vars(widgets) if name.startswith(("explore_", "browse_"))]


def test_every_explorer_is_here(explorers):
    assert sorted(explorers) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_control_has_a_label_and_changes_the_picture(explorers, name):
    title, *controls, picture = explorers[name].children
    assert title.value and isinstance(picture, ipywidgets.Image)
    assert not plots_left_open()
    for control in controls:
        assert control.description
        before = picture.value
        control.value = another(control)
        assert picture.value != before, control.description
        assert Image.open(io.BytesIO(picture.value)).format == "PNG"
    assert not plots_left_open()


def test_sliders_of_transformations_reach_the_courses_values_and_their_bounds(explorers):
    sliders = {
        control.description: control
        for control in explorers["explore_transforms"].children
        if isinstance(control, ipywidgets.FloatSlider)
    }
    assert len(sliders) == len(BOUNDS)
    for name, slider in sliders.items():
        for value in (getattr(PICTURES, name), BOUNDS[name]):
            assert value / slider.step == pytest.approx(round(value / slider.step)), name


def another(control: ipywidgets.Widget) -> object:
    """A value that the control does not have now."""
    if isinstance(control, (ipywidgets.Dropdown, ipywidgets.SelectionSlider)):
        values = [one[1] if isinstance(one, tuple) else one for one in control.options]
        return values[-1] if control.value != values[-1] else values[0]
    return control.max if control.value != control.max else control.min


def plots_left_open() -> list[int]:
    return widgets.plt.get_fignums()


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_stands_for_the_explorer_where_widgets_cannot_be_shown(explorers, name):
    bundle = explorers[name]._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.width > 300


@pytest.mark.parametrize("split", [(0, 0), (1, 0), (12, 6), (6, 12), (7, 7), (40, 0), (25, 38)])
def test_the_red_bars_are_mcnemars_p(monkeypatch, split):
    figures = []
    monkeypatch.setattr(widgets.pictures, "png", lambda figure: figures.append(figure) or PIXEL)
    only_first, only_second = split
    _, first, second, _ = widgets.explore_mcnemar().children
    first.value, second.value = only_first, only_second
    ones = np.repeat([True, False], split)
    p = mcnemar(ones, ~ones).p if sum(split) else 1.0
    assert f"{only_first} : {only_second}, p = {p:.3f}" in figures[-1].axes[0].get_title()
    widgets.plt.close("all")


class Handle(list):
    """Stands for the display of a picture in a notebook."""

    update = list.append


@pytest.fixture
def handles(monkeypatch):
    shown = []
    monkeypatch.setattr(
        display, "display", lambda *things, **_: shown.append(Handle()) or shown[-1]
    )
    return shown


def test_a_training_is_watched_in_one_place(handles):
    update = widgets.watch_training(made_up.small_task(), epochs=4)
    for _ in range(3):
        update(made_up.history())
    curves, pairs = handles
    assert len(curves) == len(pairs) == 3 and not plots_left_open()
    assert all(picture.data.startswith(b"\x89PNG") for picture in curves + pairs)


def test_a_cyclegan_is_watched_in_one_place(handles):
    generator = Generator(width=4, blocks=1)
    networks = SimpleNamespace(to_style=generator, to_photo=generator)
    update = widgets.watch_cyclegan(made_up.small_task().train.images[:2])
    for _ in range(2):
        update(networks, {"cycle": [0.3, 0.2], "identity": [0.1, 0.1]})
    assert [len(handle) for handle in handles] == [2, 2] and not plots_left_open()


def test_the_axes_stay_where_they_were():
    """Axes that jump while a slider moves would hide what the slider does."""
    explorer = widgets.explore_mcnemar()
    *_, only_second, picture = explorer.children
    places = [left_spine(picture.value)]
    for value in (40, 0, 20):
        only_second.value = value
        places.append(left_spine(picture.value))
    assert len(set(places)) == 1, places


def left_spine(png: bytes) -> int:
    """The first column of pixels that is dark over half the height."""
    dark = np.asarray(Image.open(io.BytesIO(png)).convert("L")) < 128
    return int(np.argmax(dark.mean(axis=0) > 0.5))
