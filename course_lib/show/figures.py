"""What the notebooks show: pictures, curves, intervals, and the course's own source."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from course_lib.analysis.results import Result
from course_lib.arms.cyclegan import REPORT_STEPS, CycleGAN
from course_lib.arms.gan import apply_style, in_style
from course_lib.arms.generators import STYLES
from course_lib.arms.traditional import Transforms, traditional
from course_lib.images.tasks import Task
from course_lib.support.validation import CourseError, choose, number, tensor, whole_number
from course_lib.training import History

# Okabe and Ito's colours: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#666666",
)  # fmt: skip
ARM_STYLES = {
    "none": ("#000000", "-"),
    "none-matched": (GREY, "--"),
    "traditional": (BLUE, "-"),
    "gan": (ORANGE, "-"),
    "neural": (GREEN, "-"),
    "neural-content": (GREEN, "--"),
    "neural-style": (GREEN, ":"),
    "control": (RED, "-"),
    "pair-mean": (PURPLE, "-"),
    "pair-mixup": (PURPLE, "--"),
}
plt.rcParams.update({
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.titley": 1.0,  # else every drawing looks for what a title might collide with
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "image.interpolation": "nearest",
})  # fmt: skip


def show_source(thing: object) -> Markdown:
    """The source of a class or function of the course, as a reader should see it."""
    return Markdown(f"```python\n{textwrap.dedent(inspect.getsource(thing))}```")


def image_grid(images: Tensor, titles: Sequence[str] = (), columns: int = 10) -> Figure:
    """A contact sheet of uint8 images (N, C, H, W); titles, if any, stand above the columns."""
    tensor("images", images, "N 1|3 H W", "uint8")
    rows = -(-len(images) // whole_number("columns", columns, at_least=1))
    figure, axes = plt.subplots(figsize=(0.92 * columns, 0.93 * rows + 0.25 * bool(titles)))
    _mosaic(axes, images, columns, titles)
    return figure


def class_sheets(task: Task, first: int = 0) -> Figure:
    """Fifteen training images of each of the task's two classes, from `first` on, side by side."""
    rows, columns = 3, 5
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 0.93 * rows + 0.6))
    figure.suptitle(task.title)
    for label, place in enumerate(axes):
        images = task.train.images[task.train.labels == label][first : first + rows * columns]
        _mosaic(place, images, columns)
        place.set_title(f"label {label}: {task.classes[label]}")
    return figure


def _mosaic(
    axes: Axes,
    images: Tensor,
    columns: int,
    above: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> None:
    """uint8 images (N, C, H, W) in rows, as one picture: axes for each take several times as long.

    above, beside: names of the columns, and of the rows.
    """
    gap = max(1, images.shape[3] // 20)
    rows = -(-len(images) // columns)
    count, channels, high, wide = images.shape
    high, wide = high + gap, wide + gap
    tiles = images.new_full((rows * columns, channels, high, wide), 255)
    tiles[:count, :, gap:, gap:] = images
    together = tiles.view(rows, columns, channels, high, wide).permute(0, 3, 1, 4, 2)
    axes.imshow(together.reshape(rows * high, columns * wide, channels).expand(-1, -1, 3).numpy())
    axes.set_xticks([wide * (column + 0.5) + gap / 2 for column in range(len(above))], above)
    axes.set_yticks([high * (row + 0.5) + gap / 2 for row in range(len(beside))], beside)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(False)


def learning_curves(results: Sequence[Result]) -> Figure:
    """Loss and accuracy by epoch, on training and on validation images; a column a run."""
    figure, axes = plt.subplots(
        2, len(results), figsize=(3.3 * len(results), 4.6), sharex="col", squeeze=False
    )
    for (above, below), result in zip(axes.T, results, strict=True):
        epochs = range(1, result.settings["epochs"] + 1)
        for place, measure in ((above, "loss"), (below, "accuracy")):
            place.plot(epochs, result.curves[f"train_{measure}"], "o-", color=BLUE, ms=3,
                       label="training")  # fmt: skip
            place.plot(epochs, result.curves[f"validation_{measure}"], "s--", color=RED, ms=3,
                       label="validation")  # fmt: skip
        above.set_title(f"{result.settings['task']}\n({result.settings['source']})")
        above.set_ylim(bottom=0)
        below.set_ylim(top=1.005)
        _over_epochs(below)
        below.axvline(result.best_epoch + 1, color=GREY, lw=0.8, ls=":")
        late = result.best_epoch > len(epochs) / 3
        below.annotate("best epoch", (result.best_epoch + 1, below.get_ylim()[0]), color=GREY,
                       fontsize="small", ha="right" if late else "left", va="bottom",
                       xytext=(-2 if late else 2, 2), textcoords="offset points")  # fmt: skip
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("accuracy")
    axes[0, 0].legend()
    return figure


def interval_plot(accuracies: Mapping[str, float], intervals: pd.DataFrame, title: str) -> Figure:
    """Accuracies with their intervals, one a line, so that overlaps meet the eye.

    accuracies: name → accuracy; intervals: indexed by the same names, with columns low and high.
    """
    names = list(accuracies)[::-1]
    figure, axes = plt.subplots(figsize=(7.4, 0.42 * len(names) + 1.1))
    for height, name in enumerate(names):
        low, high = intervals.loc[name, ["low", "high"]]
        axes.plot([low, high], [height, height], color=BLUE, lw=2.5, solid_capstyle="butt")
        axes.plot(accuracies[name], height, "o", color=RED, ms=6)
        axes.annotate(
            f"{accuracies[name]:.3f}",
            (accuracies[name], height),
            (0, 4),
            fontsize="small",
            ha="center",
            va="bottom",
            textcoords="offset points",
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.3)
    axes.set_xlabel("accuracy")
    axes.set_title(title)
    return figure


def transform_sheet(images: Tensor, transforms: Transforms, seed: int = 0) -> Figure:
    """Figure I: uint8 images in the first row, then one transformation a row, all last.

    images: (N, C, H, W). Each row draws anew from `seed`; a transformation that is switched off
    has no row.
    """
    rows = {"original": images}
    for name in transforms.amounts():
        generator = torch.Generator().manual_seed(seed)
        rows[name] = traditional(images, transforms.only(name), generator)
    rows["all"] = traditional(images, transforms, torch.Generator().manual_seed(seed))
    return labelled_rows(rows)


def style_sheet(images: Tensor) -> Figure:
    """Figure II: uint8 images (N, 3, H, W) in the first row, then one style a row."""
    rows = {"original": images} | {style: in_style(images, style) for style in STYLES}
    return labelled_rows(rows)


def there_and_back(networks: CycleGAN, photos: Tensor) -> Figure:
    """Photographs x, uint8 (N, 3, H, W), their copies G(x), and the way back, F(G(x))."""
    side = photos.shape[2]
    styled = apply_style(networks.to_style, photos, side)
    back = apply_style(networks.to_photo, styled, side)
    return labelled_rows({"photo x": photos, "G(x)": styled, "F(G(x))": back})


def cyclegan_curves(curves: Mapping[str, Sequence[float]]) -> Figure:
    """CycleGAN's losses while it trains, one panel each: means over 50 steps."""
    figure, axes = plt.subplots(1, len(curves), figsize=(2.5 * len(curves), 2.2))
    for place, (name, values) in zip(axes, curves.items(), strict=True):
        steps = [REPORT_STEPS * (index + 1) for index in range(len(values))]
        place.plot(steps, values, "o-", color=BLUE, ms=3)
        place.set_title(name)
        place.set_xlabel("step")
        place.set_ylim(0, 1.1 * max(values))
    axes[0].set_ylabel("loss")
    return figure


def labelled_rows(rows: Mapping[str, Tensor], above: Sequence[str] = ()) -> Figure:
    """Rows of as many uint8 images each (N, C, H, W), with their names on the left.

    above: names of the columns. Raises CourseError for rows of unequal length.
    """
    count, *others = {len(images) for images in rows.values()}
    if others:
        raise CourseError(f"rows of {sorted([count, *others])} images must be of one length")
    figure, axes = plt.subplots(figsize=(0.92 * count + 1.6, 0.93 * len(rows) + 0.25 * bool(above)))
    _mosaic(axes, torch.cat(list(rows.values())), count, above, list(rows))
    return figure


def pair_rows(task: Task, history: History, epochs: Sequence[int]) -> Figure:
    """Figures V–X: the fixed pairs of sources, and what the arm made of them after some epochs.

    Generated images are shown as they are, in the colours of the task, and below that with their
    contrast stretched, since AugNet's are pale.
    """
    rows = {"source 1": history.sources[:, 0], "source 2": history.sources[:, 1]}
    for epoch in epochs:
        number("epoch", epoch, 1, len(history.generated))
        made = history.generated[epoch - 1]
        rows[f"epoch {epoch}"] = task.denormalise(made)
        rows[f"epoch {epoch}, stretched"] = stretched(made)
    return labelled_rows(rows)


def stretched(images: Tensor) -> Tensor:
    """Float images (N, C, H, W) → uint8, each spread over the range: mean ± 2.5 deviations."""
    mean, spread = images.mean(dim=(1, 2, 3), keepdim=True), images.std(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) / spread * 51 + 127.5).clamp(0, 255).to(torch.uint8)


def learned_curves(histories: Mapping[str, History]) -> Figure:
    """For each learned arm: accuracy on its training, generated and validation images, by epoch."""
    figure, axes = plt.subplots(
        1, len(histories), figsize=(max(6.6, 3.3 * len(histories)), 3.2), sharey=True, squeeze=False
    )
    styles = {
        "train_accuracy": ("o-", BLUE, "training images"),
        "generated_accuracy": ("^-", GREEN, "generated images"),
        "validation_accuracy": ("s--", RED, "validation images"),
    }
    for place, (name, history) in zip(axes[0], histories.items(), strict=True):
        for curve, (line, colour, label) in styles.items():
            values = history.curves[curve]
            place.plot(range(1, len(values) + 1), values, line, color=colour, ms=3, label=label)
        place.set_title(name)
        _over_epochs(place)
    axes[0, 0].set_ylabel("accuracy of SmallNet")
    axes[0, 0].set_ylim(top=1.01)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def arm_curves(results: Sequence[Result], title: str) -> Figure:
    """Figure XI: accuracy by epoch for every arm, on training and on validation images.

    Several seeds of one arm are drawn as their mean. Line styles repeat what colours say.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), sharey=True)
    figure.suptitle(title)
    present = {result.settings["arm"] for result in results}
    arms = [arm for arm in ARM_STYLES if arm in present]
    for place, measure in zip(axes, ("train", "validation"), strict=True):
        for arm in arms:
            curves = [
                result.curves[f"{measure}_accuracy"]
                for result in results
                if result.settings["arm"] == arm
            ]
            colour, line = ARM_STYLES[arm]
            mean = torch.tensor(curves).mean(dim=0)
            place.plot(range(1, len(mean) + 1), mean, line, color=colour, label=arm, lw=1.4)
        place.set_title("validation images" if measure == "validation" else "training images")
        _over_epochs(place)
    axes[0].set_ylabel("accuracy")
    axes[1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def arm_panels(results: Sequence[Result], title: str, measure: str = "validation") -> Figure:
    """Figure XI once more, a panel an arm: mean over seeds and their range, against none's.

    measure: "train" or "validation".
    """
    choose("measure", measure, ("train", "validation"))
    curves: dict[str, list[list[float]]] = {}
    for result in results:
        arm = result.settings["arm"]
        curves.setdefault(arm, []).append(result.curves[f"{measure}_accuracy"])
    arms = [arm for arm in ARM_STYLES if arm in curves and arm != "none"]
    rows = -(-len(arms) // 3)
    figure, axes = plt.subplots(
        rows, 3, figsize=(9.6, 2.1 * rows + 0.5), sharex=True, sharey=True, squeeze=False
    )
    figure.suptitle(title)
    for place in axes.flat[len(arms) :]:
        place.axis("off")
    for place, arm in zip(axes.flat, arms, strict=False):
        for name in ("none", arm):
            values = torch.tensor(curves[name])
            epochs = range(1, values.shape[1] + 1)
            colour = ARM_STYLES[name][0] if name == arm else "#000000"
            low, high = values.amin(0), values.amax(0)
            place.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
            place.plot(epochs, values.mean(0), "--" if name == "none" else "-", color=colour,
                       lw=1.4, label=name)  # fmt: skip
        place.legend(fontsize="small", loc="lower right")
    for place in axes[-1]:
        _over_epochs(place)
    axes[0, 0].set_ylabel("accuracy")
    return figure


def _over_epochs(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def forest_plot(differences: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Each arm's difference to another in points: mean and intervals over seeds; a panel a task.

    differences: task → table of `comparison.differences` (accuracies, 0–1). Thin lines are
    Student's intervals, thick ones the bootstrap's.
    """
    most = max(len(table) for table in differences.values())
    figure, axes = plt.subplots(
        1, len(differences), figsize=(4.8 * len(differences), 0.34 * most + 1.2), sharex=True,
        squeeze=False,
    )  # fmt: skip
    figure.suptitle(title)
    for place, (task, table) in zip(axes[0], differences.items(), strict=True):
        for height, row in enumerate(table.iloc[::-1].itertuples()):
            colour = ARM_STYLES[row.arm][0]
            thin, thick = (row.low, row.high), (row.bootstrap_low, row.bootstrap_high)
            for (low, high), width in ((thin, 1), (thick, 4)):
                place.plot([100 * low, 100 * high], [height, height], color=colour, lw=width)
            place.plot(100 * row.mean, height, "o", color=colour, ms=6)
        place.set_yticks(range(len(table)), table["arm"].iloc[::-1])
        place.axvline(0, color=GREY, lw=1, ls=":")
        place.set_title(task)
        place.set_xlabel("points of accuracy")
        place.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def pairwise_plot(table: pd.DataFrame, title: str) -> Figure:
    """Mean difference of each arm (row) minus each other (column), in points, as colours."""
    points = 100 * table.to_numpy()
    reach = max(1.0, float(pd.DataFrame(points).abs().max().max()))
    figure, axes = plt.subplots(figsize=(6.6, 5.2))
    axes.imshow(points, cmap="PuOr", vmin=-reach, vmax=reach)
    axes.set_xticks(range(len(table)), table.columns, rotation=45, ha="right")
    axes.set_yticks(range(len(table)), table.index)
    axes.grid(False)
    for row in range(len(table)):
        for column in range(len(table)):
            value = points[row, column]
            if row != column and value == value:
                axes.text(column, row, f"{value:+.1f}", ha="center", va="center", fontsize="small",
                          color="white" if abs(value) > 0.6 * reach else "black")  # fmt: skip
    axes.set_title(title)
    return figure


def augmentation_losses(results: Sequence[Result], title: str) -> Figure:
    """§6's content and style losses by epoch: a line a run, a panel a loss."""
    arms = ("neural-content", "neural-style")
    tasks = list(dict.fromkeys(result.settings["task"] for result in results))
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3))
    figure.suptitle(title)
    for place, arm in zip(axes, arms, strict=True):
        for task, colour in zip(tasks, (BLUE, ORANGE, GREEN), strict=False):
            runs = [r for r in results if (r.settings["arm"], r.settings["task"]) == (arm, task)]
            for index, result in enumerate(runs):
                values = result.curves["augmentation_loss"]
                place.plot(range(1, len(values) + 1), values, color=colour, lw=1,
                           label=None if index else task)  # fmt: skip
        place.set_title(arm)
        _over_epochs(place)
        place.set_ylim(bottom=0)
        place.legend(fontsize="small")
    axes[0].set_ylabel("augmentation loss")
    return figure


def network_figure(training: bool) -> Figure:
    """Figure III (training) or Figure IV (validation and test): which images pass through what."""
    figure, axes = plt.subplots(figsize=(8.6, 2.9 if training else 1.2))
    axes.axis("off")
    axes.set(xlim=(0, 10), ylim=(-0.2, 3.2) if training else (1.9, 3.2))

    def box(x: float, y: float, text: str, colour: str) -> None:
        axes.text(x, y, text, ha="center", va="center", fontsize="medium",
                  bbox={"boxstyle": "round,pad=0.5", "fc": colour, "ec": "#444444"})  # fmt: skip

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": "->", "color": "#444444", "lw": 1.3}
        )

    white, blue, orange, green = "#ffffff", "#cfe3f2", "#fbe3b6", "#cdeae0"
    top = 2.6
    box(1.0, top, "image" if not training else "training image", white)
    arrow((2.0, top), (6.1, top))
    box(6.9, top, "SmallNet", blue)
    arrow((7.6, top), (8.5, top))
    box(9.2, top, "class" if not training else "$L_c$", white if not training else green)
    if training:
        box(1.0, 1.3, "source 1", white)
        box(1.0, 0.4, "source 2", white)
        box(2.9, 0.85, "AugNet", orange)
        box(4.8, 0.85, "generated\nimage", white)
        box(6.9, 0.1, "target", white)
        box(9.2, 0.1, "$L_a$", green)
        arrow((1.7, 1.25), (2.35, 0.95))
        arrow((1.7, 0.45), (2.35, 0.75))
        arrow((3.5, 0.85), (4.1, 0.85))
        arrow((5.4, 1.2), (6.5, 2.25))
        arrow((5.55, 0.75), (8.85, 0.3))
        arrow((7.4, 0.1), (8.8, 0.1))
        axes.text(1.0, 1.85, "all of one class", ha="center", fontsize="small", color=GREY)
    return figure
