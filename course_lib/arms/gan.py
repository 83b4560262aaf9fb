"""The paper's GAN arm (§3.2, Figure II): each image gets a copy in one of six styles.

Pictures are enlarged, stylised and averaged down: brush strokes are small then, the grid is gone.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from course_lib.arms.arm import Choices
from course_lib.arms.cyclegan import enlarged
from course_lib.arms.generators import KINDS, STYLES, choose_kind, generators_digest, load_generator
from course_lib.images.tasks import Task
from course_lib.models import Generator
from course_lib.support.devices import find_device, keep_freed_memory, precision, thread_count
from course_lib.support.files import cached_arrays
from course_lib.support.progress import progress_bar
from course_lib.support.randomness import stream
from course_lib.support.validation import CourseError, checks, choose

PASS_PIXELS = 2**18  # of the images that pass a generator together: 64 small ones or 4 large ones


class Stylised(NamedTuple):
    """Copies, uint8 (N, 3, H, W), and the style of each."""

    images: Tensor
    styles: tuple[str, ...]


@checks(images="N 3 H W uint8", threads=1)
def stylise(
    images: Tensor,
    styles: Sequence[str] = tuple(STYLES),
    *,
    seed: int = 0,
    generators: str = "auto",
    device: str = "auto",
    threads: int = 1,
) -> Stylised:
    """Copy each image, uint8 (N, 3, H, W), in one of the styles, drawn with equal chances (§3.2).

    Generators are "bundled", "published", or "auto": the published ones if all six are on disk. The
    copies are kept under `runs/cache/`, and read by a second call.
    """
    if not styles:
        raise CourseError("styles () names none: choose some of " + ", ".join(STYLES))
    styles = tuple(choose("style", style, STYLES) for style in styles)
    kind = choose_kind(generators)
    draws = torch.randint(len(styles), (len(images),), generator=stream(seed, "styles"))
    weights, shape = generators_digest(kind, styles), tuple(images.shape)
    decides = (shape, styles, weights, seed, str(precision(device)))
    state = hashlib.sha256(repr(decides).encode() + images.cpu().numpy().tobytes())

    def make() -> dict[str, np.ndarray]:
        copies = torch.empty_like(images, device="cpu")
        with progress_bar(len(images), f"styles, {kind}") as bar:
            for index in draws.unique().tolist():
                mine, style = draws == index, styles[index]
                copies[mine] = in_style(images[mine], style, kind, device, threads, bar.update)
        return {"images": copies.numpy()}

    cache = f"styles-{state.hexdigest()[:16]}"
    copies = torch.from_numpy(cached_arrays(cache, make, {"images": shape})["images"])
    return Stylised(copies.to(images.device), tuple(styles[draw] for draw in draws.tolist()))


@checks(images="N 3 H W uint8")
def in_style(
    images: Tensor,
    style: str,
    generators: str = "auto",
    device: str = "auto",
    threads: int = 1,
    on_batch: Callable[[int], object] | None = None,
) -> Tensor:
    """Images in one style, on the CPU (§3.2, Figure II); arguments as for `stylise`."""
    keep_freed_memory()
    kind, on, numbers = choose_kind(generators), find_device(device), precision(device)
    generator = load_generator(style, kind).to(on)
    with thread_count(threads), torch.autocast(on.type, numbers, numbers != torch.float32):
        return apply_style(generator, images, KINDS[kind].side, on_batch)


@torch.inference_mode()
def apply_style(
    generator: Generator, images: Tensor, side: int, on_batch: Callable[[int], object] | None = None
) -> Tensor:
    """Images, uint8 (N, 3, H, W), enlarged to a side, through a generator, and averaged down again.

    `on_batch` is called with the size of each finished batch. The result is on the CPU.
    """
    on = next(generator.parameters()).device
    out = torch.empty_like(images, device="cpu")
    for part in torch.arange(len(images)).split(max(1, PASS_PIXELS // side**2)):
        pixels = enlarged(images[part].to(on).float() / 127.5 - 1, side)  # 0…255 → −1…1
        pixels = functional.interpolate(generator(pixels).float(), images.shape[2:], mode="area")
        out[part] = ((pixels + 1) * 127.5).round().to("cpu", torch.uint8)
        if on_batch is not None:
            on_batch(len(part))
    return out


def copies(task: Task, choices: Choices, seed: int, device: str) -> Tensor:
    """The arm `gan`: a copy of each training image in a style of its own, made once."""
    kind = choices.generators
    return stylise(task.train.images, seed=seed, generators=kind, device=device).images


def fresh(images: Tensor, task: Task, choices: Choices, seed: int) -> Iterator[Tensor]:
    """The arm `gan-fresh`: each image in a style of its own, drawn anew for each epoch.

    All six styles of all images are made first, and kept under `runs/cache/`: those that this run
    validates by, too, and in an order of their own, since other seeds split the same images anew.
    """
    kind, device, pool = choices.generators, images.device.type, [*images.cpu()]
    pool += task.validation.images
    order = sorted(range(len(pool)), key=lambda place: pool[place].numpy().tobytes())
    back = torch.tensor(order).argsort()[: len(images)]
    pictures = torch.stack(pool)[order]
    styles = [stylise(pictures, (one,), generators=kind, device=device).images for one in STYLES]
    every = torch.stack(styles)[:, back].to(images.device)
    draws, places = stream(seed, "styles"), torch.arange(len(images))
    while True:
        yield every[torch.randint(len(STYLES), (len(images),), generator=draws), places]


def facts(task: Task, choices: Choices, device: str) -> dict[str, object]:
    """Which generators made the copies, for a result's record."""
    kind, numbers = choose_kind(choices.generators), str(precision(device))
    return {"generators": kind, "weights": generators_digest(kind), "precision": numbers}
