"""Images in rows and columns, and the paper's diagrams of its networks."""

import io
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from course_lib.arms.gan import apply_style, in_style
from course_lib.arms.generators import STYLES
from course_lib.arms.traditional import Transforms, traditional
from course_lib.images.tasks import Task
from course_lib.models import CycleGAN
from course_lib.show import GREY
from course_lib.support.validation import CourseError, checks, number
from course_lib.training import History

Names = Sequence[str]


@checks(images="N 1|3 H W uint8", columns=1)
def image_grid(images: Tensor, titles: Sequence[str] = (), columns: int = 10) -> Figure:
    """Draw uint8 images (N, C, H, W) row by row, with titles above the columns from the left."""
    return _mosaic(images, min(columns, len(images)), titles)


def labelled_rows(rows: Mapping[str, Tensor], above: Sequence[str] = ()) -> Figure:
    """Draw rows of uint8 images (N, C, H, W), named on the left; `above` names the columns."""
    count, *others = {len(images) for images in rows.values()}
    if others:
        raise CourseError(f"rows of {sorted([count, *others])} images must be of one length")
    return _mosaic(torch.cat(list(rows.values())), count, above, list(rows))


def class_sheets(task: Task, first: int = 0) -> Figure:
    """Draw 15 training images of each class side by side, from the `first` of the class on."""
    figure = plt.figure(figsize=(9.6, 3.4), layout="constrained")
    figure.suptitle(task.title)
    for label, name in enumerate(task.classes):
        images = task.train.images[task.train.labels == label][first : first + 15]
        _mosaic(images, 5, figure=figure)
        figure.axes[label].set_title(f"label {label}: {name}")
    return figure


def transform_sheet(images: Tensor, transforms: Transforms, seed: int = 0) -> Figure:
    """Draw Figure I: uint8 images (N, C, H, W), each transformation in use by itself, and all."""
    rows = {"original": images}
    for name in [*transforms.amounts(), "all"]:
        some = transforms if name == "all" else transforms.only(name)
        rows[name] = traditional(images, some, torch.Generator().manual_seed(seed))
    return labelled_rows(rows)


def style_sheet(images: Tensor) -> Figure:
    """Draw Figure II: uint8 images (N, 3, H, W) in the first row, then a row for each style."""
    return labelled_rows({"original": images} | {name: in_style(images, name) for name in STYLES})


def there_and_back(networks: CycleGAN, photos: Tensor) -> Figure:
    """Draw photographs x, uint8 (N, 3, H, W), their copies G(x), and the way back, F(G(x))."""
    styled = apply_style(networks.to_style, photos, photos.shape[2])
    back = apply_style(networks.to_photo, styled, photos.shape[2])
    return labelled_rows({"photo x": photos, "G(x)": styled, "F(G(x))": back})


def pair_rows(task: Task, history: History, epochs: Sequence[int]) -> Figure:
    """Draw Figures V–X: pairs of sources, and what an arm made of them after epochs (from 1)."""
    if history.sources is None:
        raise CourseError("history holds no generated images: its arm makes none while it trains")
    rows = {"source 1": history.sources[:, 0], "source 2": history.sources[:, 1]}
    for epoch in epochs:
        number("epoch", epoch, 1, len(history.generated))
        made = history.generated[epoch - 1]
        rows[f"epoch {epoch}"] = task.denormalise(made)
        rows[f"epoch {epoch}, stretched"] = stretched(made)  # as AugNet's images are pale
    return labelled_rows(rows)


def stretched(images: Tensor) -> Tensor:
    """Float images (N, C, H, W) as uint8: each image's mean ± 2.5 deviations fills the range."""
    spread, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True)
    return ((images - mean) / spread * 51 + 127.5).clamp(0, 255).to(torch.uint8)


def _mosaic(
    images: Tensor, columns: int, above: Names = (), left: Names = (), figure: Figure | None = None
) -> Figure:
    """All images as one picture (axes for each are slow), in a figure or the next half of one."""
    rows = -(-len(images) // columns)
    size = 0.92 * columns + 1.6 * bool(left), 0.93 * rows + 0.25 * bool(above)
    place = 121 + len(figure.axes) if figure else 111
    figure = figure or plt.figure(figsize=size, layout="constrained")
    axes = figure.add_subplot(place)
    gap = max(1, images.shape[3] // 20)
    high, wide = images.shape[2] + gap, images.shape[3] + gap
    grid = make_grid(images, nrow=columns, padding=gap, pad_value=255)
    axes.imshow(grid.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_xticks([wide * (column + 0.5) + gap / 2 for column in range(len(above))], above)
    axes.set_yticks([high * (row + 0.5) + gap / 2 for row in range(len(left))], left)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(False)
    return figure


def network_figure(training: bool) -> Figure:
    """Draw Figure III (training) or Figure IV (validation and test): what passes through what."""
    white, blue, orange, green = "#ffffff", "#cfe3f2", "#fbe3b6", "#cdeae0"
    source, result = ("training image", "$L_c$") if training else ("image", "class")
    boxes = [  # text, colour, place, and where an arrow leads
        (source, white, (1.0, 2.6), (6.1, 2.6)), ("SmallNet", blue, (6.9, 2.6), (8.5, 2.6)),
        (result, green if training else white, (9.2, 2.6), None),
    ]  # fmt: skip
    if training:
        boxes += [
            ("source 1", white, (1, 1.3), (2.3, 0.95)), ("source 2", white, (1, 0.4), (2.3, 0.75)),
            ("AugNet", orange, (2.9, 0.85), (4.1, 0.85)),
            ("generated\nimage", white, (4.8, 0.85), (6.45, 2.25)),
            ("generated\nimage", white, (4.8, 0.85), (8.85, 0.25)),
            ("target", white, (6.9, 0.1), (8.8, 0.1)), ("$L_a$", green, (9.2, 0.1), None),
        ]  # fmt: skip
    size, bottom = ((8.6, 2.9), -0.2) if training else ((8.6, 1.2), 1.9)
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set(xlim=(0, 10), ylim=(bottom, 3.2))
    axes.axis("off")
    arrow = {"arrowstyle": "->", "color": "#444444", "lw": 1.3}
    for text, colour, place, end in boxes:
        frame = {"boxstyle": "round,pad=0.5", "fc": colour, "ec": "#444444"}
        axes.annotate(text, end or place, place, ha="center", va="center", size="medium",
                      bbox=frame, arrowprops=arrow if end else None)  # fmt: skip
    if training:
        axes.text(1.0, 1.85, "all of one class", ha="center", fontsize="small", color=GREY)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; it is closed."""
    if figure.get_constrained_layout():
        figure.draw_without_rendering()  # labels beside a picture take two passes to find room
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)  # draws once, where savefig would draw twice
    plt.close(figure)
    return buffer.getvalue()
