"""Pictures that change: explorers, redrawn when a control moves, and trainings to watch."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython import display
from ipywidgets import HTML, Dropdown, FloatSlider, Image, IntSlider, SelectionSlider, VBox, Widget
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import binom
from torch import Tensor

from course_lib.analysis.replication import estimate, verdict
from course_lib.analysis.statistics import images_needed, mcnemar_power, wilson_interval
from course_lib.arms.gan import apply_style
from course_lib.arms.generators import KINDS, STYLES, choose_kind, load_generator
from course_lib.arms.traditional import BOUNDS, Transforms, traditional, transforms_for
from course_lib.images.tasks import Task
from course_lib.models import AugNet, CycleGAN
from course_lib.show import BLUE, GREY, RED, curves, pictures
from course_lib.training import History

IMAGE_COUNTS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)


class Explorer(VBox):
    """Controls, labelled by their names, above a picture that `draw` makes anew when one moves."""

    def __init__(self, question: str, draw: Callable[..., Figure], /, **controls: Widget) -> None:
        # An image widget, unlike an output area, works the same in JupyterLab and under papermill.
        picture = Image(format="png", layout={"max_width": "100%", "align_self": "flex-start"})
        places: list = []

        def redraw(_change: object = None) -> None:
            figure = draw(**{name: control.value for name, control in controls.items()})
            if places:  # the layout of the first picture: to find it takes most of a drawing's time
                figure.set_layout_engine("none")
                for axes, place in zip(figure.axes, places, strict=True):
                    axes.set_position(place)
            picture.value = pictures.png(figure)
            places[:] = [axes.get_position() for axes in figure.axes]

        for name, control in controls.items():
            control.description = control.description or name.replace("_", " ")
            control.style.description_width = "9rem"
            control.layout.width = "min(34rem, 100%)"
            control.observe(redraw, names="value")
        redraw()
        super().__init__([HTML(question), *controls.values(), picture])

    def _repr_mimebundle_(self, **options: object) -> dict[str, object]:
        picture = base64.b64encode(self.children[-1].value).decode("ascii")
        return super()._repr_mimebundle_(**options) | {"image/png": picture}


def browse_images(tasks: Sequence[Task]) -> Explorer:
    """Leaf through the training images of each task, 15 of each class at a time."""
    by_name = {task.name: task for task in tasks}

    def draw(task: str, page: int) -> Figure:
        return pictures.class_sheets(by_name[task], first=15 * (page - 1))

    question = "Leaf through the training images. Which would you get wrong yourself?"
    pages = min(len(task.train.labels) for task in tasks) // 30
    page = IntSlider(1, 1, pages, continuous_update=False)
    return Explorer(question, draw, task=Dropdown(options=list(by_name)), page=page)


def explore_interval() -> Explorer:
    """See how accuracy and number of images set the width of Wilson's interval."""

    def draw(accuracy: float, images: int) -> Figure:
        right = round(accuracy * images)
        low, high = wilson_interval(right, images)
        bounds = [wilson_interval(round(accuracy * count), count) for count in IMAGE_COUNTS]
        figure, axes = _over_image_counts(height=3.2)
        axes.fill_between(IMAGE_COUNTS, *np.transpose(bounds), color=BLUE, alpha=0.2, lw=0)
        axes.plot([images, images], [low, high], color=RED, lw=3)
        axes.set(ylabel="accuracy", ylim=(0.4, 1))
        axes.set_title(f"{right} of {images} right: 95 % interval {low:.3f} to {high:.3f}")
        return figure

    question = "How wide is the interval, and how many images make it narrow?"
    accuracy = FloatSlider(0.855, min=0.5, max=1, step=0.005, readout_format=".3f")
    images = SelectionSlider(options=IMAGE_COUNTS, value=200)
    return Explorer(question, draw, accuracy=accuracy, images=images)


def explore_mcnemar() -> Explorer:
    """See when a split of disagreements is more than chance: McNemar's exact test."""

    def draw(only_the_first: int, only_the_second: int) -> Figure:
        total = only_the_first + only_the_second
        wins = np.arange(total + 1)
        chances = binom.pmf(wins, total, 0.5)
        uneven = np.minimum(wins, total - wins) <= min(only_the_first, only_the_second)
        p = chances[uneven].sum()
        figure, axes = plt.subplots(figsize=(7.4, 2.8), layout="constrained")
        axes.vlines(wins, 0, chances, colors=[RED if u else BLUE for u in uneven], lw=4)
        axes.set(ylabel="probability", ylim=(0, 1.05 * chances.max()))
        axes.set_xlabel(f"wins of the first in {total} disagreements, if both are equally good")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(f"{only_the_first} : {only_the_second}, p = {p:.3f} (sum of the red bars)")
        return figure

    question = "Images that only one of two networks gets right: is their split more than luck?"
    first, second = IntSlider(12, 0, 40), IntSlider(6, 0, 40)
    return Explorer(question, draw, only_the_first=first, only_the_second=second)


def explore_verdict() -> Explorer:
    """See how a mean difference, its standard error and the margin make a verdict."""

    def draw(difference: float, standard_error: float, margin: float) -> Figure:
        dogs = estimate(difference / 100, (standard_error / 100) ** 2, 5, 18, margin / 100)
        table = pd.DataFrame([{"claim": "first − second", **dogs._asdict()}])
        found = verdict(dogs, dogs.p, 1, margin / 100)
        figure = curves.forest_plot({f"“First beats second”:\n{found}": table}, "", margin / 100)
        figure.axes[0].set_xlim(-8, 8)
        return figure

    question = "Six dogs' means, so 5 degrees of freedom. When is the claim decided, and how?"
    return Explorer(
        question, draw, difference=FloatSlider(0.5, min=-6, max=6, step=0.1),
        standard_error=FloatSlider(0.6, min=0.1, max=2, step=0.1),
        margin=FloatSlider(2, min=0.5, max=4, step=0.5),
    )  # fmt: skip


def explore_power() -> Explorer:
    """See how many test images it takes to detect a difference between two networks."""

    def draw(points: float, disagreement: float) -> Figure:
        difference = points / 100
        total = max(disagreement, difference)
        only_one, only_other = (total + difference) / 2, (total - difference) / 2
        chances = [mcnemar_power(only_one, only_other, count) for count in IMAGE_COUNTS]
        figure, axes = _over_image_counts(height=3)
        axes.plot(IMAGE_COUNTS, chances, "o-", color=BLUE, ms=3)
        axes.axhline(0.8, color=GREY, lw=1, ls=":")
        for count, name in ((100, "our test images"), (200, "the paper's validation images")):
            axes.axvline(count, color=RED, lw=1)
            axes.text(1.03 * count, 1, name, color=RED, rotation=90, va="top", size="small")
        axes.set(ylabel="probability of detection", ylim=(0, 1.02))
        needed = images_needed(difference, total)
        axes.set_title(f"80 % need {f'{needed:,}' if needed else 'over 20,000'} images")
        return figure

    question = "How many test images does it take to detect this difference between two networks?"
    points = FloatSlider(3, min=0.5, max=15, step=0.5, continuous_update=False)
    share = FloatSlider(0.15, min=0.02, max=0.5, step=0.01, continuous_update=False)
    return Explorer(question, draw, points=points, disagreement=share)


def explore_transforms(task: Task) -> Explorer:
    """See one training image and eight duplicates of it, transformed as the sliders say."""

    def draw(image: int, draw: int, **amounts: float) -> Figure:
        one, generator = task.train.images[image, None], torch.Generator().manual_seed(draw)
        copies = traditional(one.expand(8, -1, -1, -1), Transforms(**amounts), generator)
        return pictures.image_grid(torch.cat([one, copies]), ["original"], columns=9)

    sliders = {}
    for name, most in BOUNDS.items():
        step = 10.0 ** math.floor(math.log10(most / 50))  # .001, .01, .1 or 1: they reach `start`
        start = getattr(transforms_for(task), name)
        sliders[name] = FloatSlider(start, min=0, max=most, step=step, readout_format=".3f")
    sliders["hue"].disabled = task.train.images.shape[1] == 1
    question = "How far can each go before you no longer recognise the image?"
    image = IntSlider(0, 0, len(task.train.labels) - 1)
    return Explorer(question, draw, image=image, draw=IntSlider(0, 0, 50), **sliders)


def explore_styles(task: Task) -> Explorer:
    """See a training image in all six styles, mixed with the original at any strength."""
    kind = choose_kind("auto")
    generators = [load_generator(style, kind) for style in STYLES]

    @lru_cache(maxsize=1)  # a new strength only mixes anew
    def copies(image: int) -> Tensor:
        one, side = task.train.images[image, None], KINDS[kind].side
        return torch.cat([apply_style(generator, one, side) for generator in generators])

    def draw(image: int, strength: float) -> Figure:
        original = task.train.images[image, None]
        mixed = strength * copies(image).float() + (1 - strength) * original
        shown = torch.cat([original, mixed.clamp(0, 255).to(torch.uint8)])
        return pictures.image_grid(shown, ["original", *STYLES], columns=7)

    question = "At which strength does a copy stop looking like a picture of the same thing?"
    image = IntSlider(0, 0, len(task.train.labels) - 1)
    return Explorer(question, draw, image=image, strength=FloatSlider(1, min=0, max=1.5, step=0.05))


def explore_augnet(task: Task, augnets: Mapping[int, AugNet]) -> Explorer:
    """See any two training images of a class, and what AugNet made of them after each epoch."""

    def draw(label: int, source_1: int, source_2: int, epoch: int) -> Figure:
        pair = task.train.images[task.train.labels == label][[source_1, source_2]]
        with torch.inference_mode():
            made = augnets[epoch](*task.normalise(pair).split(1))
        shown = torch.cat([pair, task.denormalise(made), pictures.stretched(made)])
        names = ["source 1", "source 2", f"epoch {epoch}", "stretched"]
        return pictures.image_grid(shown, names, columns=4)

    question = "Choose two images of a class, and an epoch."
    options = [(name, label) for label, name in enumerate(task.classes)]
    label = Dropdown(options=options, description="class")
    last = torch.bincount(task.train.labels).min().item() - 1
    first, second = IntSlider(0, 0, last), IntSlider(1, 0, last)
    epoch = SelectionSlider(options=list(augnets), value=max(augnets))
    return Explorer(question, draw, label=label, source_1=first, source_2=second, epoch=epoch)


def explore_weights(
    task: Task, sources: Tensor, generated: Mapping[tuple[str, float], Tensor]
) -> Explorer:
    """See what AugNet makes of pairs under each augmentation loss and weight α of classification.

    `sources`: pairs, uint8 (K, 2, C, H, W); `generated`: (loss, α) → normalised (K, C, H, W).
    """

    def draw(augmentation_loss: str, weights: float) -> Figure:
        made = task.denormalise(generated[augmentation_loss, weights])
        rows = {"source 1": sources[:, 0], "source 2": sources[:, 1]}
        return pictures.labelled_rows(rows | {f"{augmentation_loss}, α {weights:g}": made})

    losses = list(dict.fromkeys(loss for loss, _ in generated))
    alphas = sorted({alpha for _, alpha in generated}, reverse=True)
    names = [(f"α {alpha:g}, β {1 - alpha:g}", alpha) for alpha in alphas]
    question = "What changes as the classification loss gets more of the weight?"
    loss = Dropdown(options=losses, value=losses[-1])
    weights = SelectionSlider(options=names, value=alphas[len(alphas) // 2])
    return Explorer(question, draw, augmentation_loss=loss, weights=weights)


def _over_image_counts(height: float) -> tuple[Figure, Axes]:
    """Axes over a logarithmic number of images; matplotlib's own ticks take longer to draw."""
    figure, axes = plt.subplots(figsize=(7.4, height), layout="constrained")
    axes.set(xscale="log", xlabel="number of images")
    axes.set_xticks(IMAGE_COUNTS, [f"{count:,}" for count in IMAGE_COUNTS])
    axes.minorticks_off()
    return figure, axes


def watch_training(task: Task, epochs: int) -> Callable[[History], None]:
    """A callback for `fit(on_epoch=…)`: shows the curves and the current pairs after each epoch."""

    def draw(history: History) -> list[Figure]:
        done = len(history.curves["seconds"])
        left = (epochs - done) * history.curves["seconds"][-1]
        title = f"epoch {done} of {epochs}" + (f", {left:.0f} s left" if left else "")
        return [curves.learned_curves(history, title), pictures.pair_rows(task, history, [done])]

    return _in_place(draw)


def watch_cyclegan(photos: Tensor) -> Callable[[CycleGAN, dict[str, list[float]]], None]:
    """A callback for `train_cyclegan(on_report=…)`: losses, and copies of photos (N, 3, H, W)."""
    return _in_place(
        lambda nets, losses: [curves.cyclegan_curves(losses), pictures.there_and_back(nets, photos)]
    )


def _in_place(draw: Callable[..., list[Figure]]) -> Callable[..., None]:
    """A callback that shows the figures of `draw` in the place of those that it showed before."""
    shown: list[display.DisplayHandle] = []

    def update(*news: object) -> None:
        images = [display.Image(pictures.png(figure)) for figure in draw(*news)]
        if not shown:
            shown.extend(display.display(image, display_id=True) for image in images)
        for handle, image in zip(shown, images, strict=True):
            handle.update(image)

    return update
