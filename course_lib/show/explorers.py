"""Explorers: ipywidgets that redraw one picture when a control moves.

Each draws into an image widget, not into an output area: it works the same in JupyterLab and under
papermill, and it leaves nothing behind but its controls.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from functools import lru_cache

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import DisplayHandle, Image, display
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from scipy.stats import binom
from torch import Tensor

from course_lib.analysis.statistics import images_needed, mcnemar, mcnemar_power, wilson_interval
from course_lib.arms.cyclegan import CycleGAN
from course_lib.arms.gan import apply_style
from course_lib.arms.generators import KINDS, STYLES, choose_kind, load_generator
from course_lib.arms.traditional import BOUNDS, Transforms, traditional, transforms_for
from course_lib.images.tasks import Task
from course_lib.show.figures import (
    BLUE,
    GREY,
    RED,
    class_sheets,
    cyclegan_curves,
    image_grid,
    labelled_rows,
    learned_curves,
    pair_rows,
    stretched,
    there_and_back,
)
from course_lib.training import History

IMAGE_COUNTS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class Explorer(ipywidgets.VBox):
    """Controls above a picture that `draw(**values of the controls)` makes anew on each change.

    Where widgets cannot be shown, the first picture stands for it.
    """

    def __init__(
        self, draw: Callable[..., Figure], description: str, **controls: ipywidgets.Widget
    ) -> None:
        picture = ipywidgets.Image(
            format="png", layout={"max_width": "100%", "align_self": "flex-start"}
        )
        places: list[Bbox] = []

        def redraw(_change: object = None) -> None:
            figure = draw(**{name: control.value for name, control in controls.items()})
            if places:  # the layout of the first picture: to find it takes most of a drawing's time
                figure.set_layout_engine("none")
                for axes, place in zip(figure.axes, places, strict=True):
                    axes.set_position(place)
            picture.value = _png(figure)
            places[:] = [axes.get_position() for axes in figure.axes]

        for control in controls.values():
            control.style.description_width = "9rem"
            control.layout.width = "min(34rem, 100%)"
            control.observe(redraw, names="value")
        redraw()
        super().__init__([ipywidgets.HTML(description), *controls.values(), picture])

    def _repr_mimebundle_(self, **options: object) -> dict:
        bundle = super()._repr_mimebundle_(**options)
        picture = self.children[-1].value
        return bundle | {"image/png": base64.b64encode(picture).decode("ascii")}


def browse_images(tasks: list[Task]) -> Explorer:
    """Leaf through the training images of each task, fifteen of each class at a time."""
    by_name = {task.name: task for task in tasks}
    pages = min(len(task.train.labels) for task in tasks) // 30

    def draw(task: str, page: int) -> Figure:
        return class_sheets(by_name[task], first=15 * (page - 1))

    return Explorer(
        draw,
        "Leaf through the training images. Which would you get wrong yourself?",
        task=ipywidgets.Dropdown(options=list(by_name), description="task"),
        page=ipywidgets.IntSlider(1, 1, pages, description="page", continuous_update=False),
    )


def explore_interval() -> Explorer:
    """Accuracy and number of images against the width of Wilson's interval."""

    def draw(accuracy: float, count: int) -> Figure:
        low, high = wilson_interval(round(accuracy * count), count)
        bounds = np.array([wilson_interval(round(accuracy * n), n) for n in IMAGE_COUNTS])
        figure, axes = plt.subplots(figsize=(7.4, 3.2))
        axes.fill_between(IMAGE_COUNTS, bounds[:, 0], bounds[:, 1], color=BLUE, alpha=0.2, lw=0)
        axes.plot([count, count], [low, high], color=RED, lw=3)
        _log_of_images(axes)
        axes.set_ylabel("accuracy")
        axes.set_ylim(0.4, 1)
        axes.set_title(
            f"{round(accuracy * count)} of {count} right: 95 % interval {low:.3f} to {high:.3f}"
        )
        return figure

    return Explorer(
        draw,
        "How wide is the interval, and how many images make it narrow?",
        accuracy=ipywidgets.FloatSlider(0.855, min=0.5, max=1, step=0.005,
                                        readout_format=".3f", description="accuracy"),
        count=ipywidgets.SelectionSlider(
            options=IMAGE_COUNTS, value=200, description="images"
        ),
    )  # fmt: skip


def explore_mcnemar() -> Explorer:
    """Two networks on the same images: what a split of their disagreements tells."""

    def draw(only_first: int, only_second: int) -> Figure:
        total = only_first + only_second
        ones = np.repeat([True, False], [only_first, only_second])
        p = mcnemar(ones, ~ones).p if total else 1.0
        heads = np.arange(total + 1)
        figure, axes = plt.subplots(figsize=(7.4, 2.8))
        minority = min(only_first, only_second)
        uneven = np.minimum(heads, total - heads) <= minority
        chances = binom.pmf(heads, total, 0.5)
        axes.vlines(heads, 0, chances, colors=[RED if u else BLUE for u in uneven], lw=4)
        axes.set_ylim(0, 1.05 * chances.max())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(f"of {total} disagreements: how many go to the first, if both are as good")
        axes.set_ylabel("chance")
        axes.set_title(f"{only_first} : {only_second}, p = {p:.3f} (sum of the red bars)")
        return figure

    return Explorer(
        draw,
        "Images that only one of two networks has right. When is the split more than luck?",
        only_first=ipywidgets.IntSlider(12, 0, 40, description="only the first"),
        only_second=ipywidgets.IntSlider(6, 0, 40, description="only the second"),
    )


def explore_power() -> Explorer:
    """How many test images it takes to see a difference between two networks."""

    def draw(points: float, disagreement: float) -> Figure:
        difference = points / 100
        disagreement = max(disagreement, difference)
        shares = (disagreement + difference) / 2, (disagreement - difference) / 2
        figure, axes = plt.subplots(figsize=(7.4, 3))
        chances = [mcnemar_power(*shares, count) for count in IMAGE_COUNTS]
        axes.plot(IMAGE_COUNTS, chances, "o-", color=BLUE, ms=3)
        axes.axhline(0.8, color=GREY, lw=1, ls=":")
        for count, name in ((100, "our test images"), (200, "the paper's validation images")):
            axes.axvline(count, color=RED, lw=1)
            axes.annotate(name, (count, 1), (3, 0), textcoords="offset points", rotation=90,
                          va="top", fontsize="small", color=RED)  # fmt: skip
        _log_of_images(axes)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("chance to find it")
        needed = images_needed(difference, disagreement)
        axes.set_title(f"80 % need {needed:,} images" if needed else "80 % need over 20,000 images")
        return figure

    return Explorer(
        draw,
        "How many test images to see so many points, if the two disagree on so many images?",
        points=ipywidgets.FloatSlider(3, min=0.5, max=15, step=0.5, description="points",
                                      continuous_update=False),
        disagreement=ipywidgets.FloatSlider(0.15, min=0.02, max=0.5, step=0.01,
                                            description="disagreement", continuous_update=False),
    )  # fmt: skip


def explore_transforms(task: Task) -> Explorer:
    """One training image and eight duplicates of it, transformed as the sliders say."""

    def draw(image: int, seed: int, **amounts: float) -> Figure:
        one = task.train.images[image : image + 1]
        copies = traditional(
            one.expand(8, -1, -1, -1), Transforms(**amounts), torch.Generator().manual_seed(seed)
        )
        return image_grid(torch.cat([one, copies]), ["original"], columns=9)

    grey = task.train.images.shape[1] == 1
    start = transforms_for(task)
    sliders = {
        name: ipywidgets.FloatSlider(
            getattr(start, name), min=0, max=most, step=most / 100, readout_format=".3f",
            description=name, disabled=grey and name == "hue",
        )
        for name, most in BOUNDS.items()
    }  # fmt: skip
    return Explorer(
        draw,
        "How far can each go before you no longer know what you see?",
        image=ipywidgets.IntSlider(0, 0, len(task.train.labels) - 1, description="image"),
        seed=ipywidgets.IntSlider(0, 0, 50, description="draw"),
        **sliders,
    )


def explore_augnet(task: Task, history: History) -> Explorer:
    """Any two training images of a class, and what AugNet makes of them after any epoch."""

    def draw(label: int, first: int, second: int, epoch: int) -> Figure:
        images = task.train.images[task.train.labels == label]
        one, other = (images[index : index + 1] for index in (first, second))
        with torch.inference_mode():
            made = history.augnets[epoch - 1](task.normalise(one), task.normalise(other))
        shown = torch.cat([one, other, task.denormalise(made), stretched(made)])
        return image_grid(shown, ["source 1", "source 2", f"epoch {epoch}", "stretched"], columns=4)

    most = torch.bincount(task.train.labels).min().item() - 1
    return Explorer(
        draw,
        "Pick two images of a class, and an epoch.",
        label=ipywidgets.Dropdown(
            options=[(name, label) for label, name in enumerate(task.classes)], description="class"
        ),
        first=ipywidgets.IntSlider(0, 0, most, description="source 1"),
        second=ipywidgets.IntSlider(1, 0, most, description="source 2"),
        epoch=ipywidgets.IntSlider(
            len(history.augnets), 1, len(history.augnets), description="epoch"
        ),
    )


def explore_weights(
    task: Task, sources: Tensor, generated: Mapping[tuple[str, float], Tensor]
) -> Explorer:
    """What AugNet makes of some pairs, for each augmentation loss and weight α of the other loss.

    sources: uint8 (K, 2, C, H, W). generated: (name of the augmentation loss, α) → normalised
    images (K, C, H, W); β is 1 − α.
    """
    losses = list(dict.fromkeys(loss for loss, _ in generated))
    alphas = sorted({alpha for _, alpha in generated}, reverse=True)

    def draw(loss: str, alpha: float) -> Figure:
        rows = {"source 1": sources[:, 0], "source 2": sources[:, 1]}
        return labelled_rows(
            rows | {f"{loss}, α {alpha:g}": task.denormalise(generated[loss, alpha])}
        )

    return Explorer(
        draw,
        "Give the classification loss more or less of the weight.",
        loss=ipywidgets.Dropdown(options=losses, value=losses[-1], description="augmentation loss"),
        alpha=ipywidgets.SelectionSlider(
            options=[(f"α {alpha:g}, β {1 - alpha:g}", alpha) for alpha in alphas],
            value=alphas[len(alphas) // 2], description="weights",
        ),
    )  # fmt: skip


def explore_styles(task: Task) -> Explorer:
    """A training image in all six styles, mixed with the original as strongly as you like."""

    kind = choose_kind("auto")
    generators = [load_generator(style, kind) for style in STYLES]

    @lru_cache(maxsize=1)  # to move the strength is to mix anew, no more
    def copies(image: int) -> Tensor:
        original = task.train.images[image : image + 1]
        return torch.cat([apply_style(one, original, KINDS[kind].side) for one in generators])

    def draw(image: int, strength: float) -> Figure:
        original = task.train.images[image : image + 1]
        mixed = strength * copies(image).float() + (1 - strength) * original
        rows = torch.cat([original, mixed.clamp(0, 255).to(torch.uint8)])
        return image_grid(rows, ["original", *STYLES], columns=7)

    return Explorer(
        draw,
        "At which strength does a copy stop looking like a picture of the same thing?",
        image=ipywidgets.IntSlider(0, 0, len(task.train.labels) - 1, description="image"),
        strength=ipywidgets.FloatSlider(1, min=0, max=1.5, step=0.05, description="strength"),
    )


def watch_training(task: Task, epochs: int) -> Callable[[History], None]:
    """A callback for `fit(on_epoch=…)`: the curves and the current pairs, updated in place.

    In a saved notebook only the last pictures remain.
    """
    show = _in_place()

    def update(history: History) -> None:
        done = len(history.curves["seconds"])
        left = (epochs - done) * history.curves["seconds"][-1]
        title = f"epoch {done} of {epochs}" + (f", {left:.0f} s left" if left else "")
        show([learned_curves({title: history}), pair_rows(task, history, [done])])

    return update


def watch_cyclegan(photos: Tensor) -> Callable[[CycleGAN, dict[str, list[float]]], None]:
    """A callback for `train_cyclegan(on_report=…)`: losses and samples, updated in place.

    photos: uint8 (N, 3, H, W), the samples' originals. The display is gone when training ends.
    """
    show = _in_place()

    def update(networks: CycleGAN, curves: dict[str, list[float]]) -> None:
        show([cyclegan_curves(curves), there_and_back(networks, photos)])

    return update


def _log_of_images(axes: Axes) -> None:
    """A logarithmic axis with just these numbers of images: matplotlib's own ticks take longer."""
    axes.set_xscale("log")
    axes.set_xticks(IMAGE_COUNTS, [f"{count:,}" for count in IMAGE_COUNTS])
    axes.minorticks_off()
    axes.set_xlabel("number of images")


def _in_place() -> Callable[[list[Figure]], None]:
    """Shows figures below each other, and at each further call in the place of those before."""
    shown: list[DisplayHandle] = []

    def show(figures: list[Figure]) -> None:
        pictures = [Image(_png(figure)) for figure in figures]
        if not shown:
            shown.extend(display(picture, display_id=True) for picture in pictures)
        for handle, picture in zip(shown, pictures, strict=True):
            handle.update(picture)

    return show


def _png(figure: Figure) -> bytes:
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        figure.draw_without_rendering()  # labels beside a picture take two passes to find room
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # draws once, where savefig would draw twice
    plt.close(figure)
    return buffer.getvalue()
