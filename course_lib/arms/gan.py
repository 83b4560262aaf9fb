"""The paper's GAN arm (§3.2, Figure II): each image gets a copy in one of six styles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from course_lib.arms.arm import Choices
from course_lib.arms.cyclegan import enlarged
from course_lib.arms.generators import (
    KINDS,
    STYLES,
    choose_kind,
    generators_digest,
    load_generator,
)
from course_lib.images.tasks import Task
from course_lib.models import Generator
from course_lib.support.devices import find_device, thread_count
from course_lib.support.files import read_arrays, runs_folder, write_whole
from course_lib.support.progress import progress_bar
from course_lib.support.randomness import stream
from course_lib.support.validation import CourseError, checks, choose

PASS_PIXELS = 2**18  # of the images that pass a generator together: 64 small ones or 4 large ones


class Stylised(NamedTuple):
    """What `stylise` made.

    images: uint8 (N, 3, H, W), one for each image that went in, in the same order. styles: (N,)
    names. generators: "bundled" or "published". digest: of the weights that made them.
    """

    images: Tensor
    styles: tuple[str, ...]
    generators: str
    digest: str


@checks(images="N 3 H W uint8")
def stylise(
    images: Tensor,
    styles: Sequence[str] = tuple(STYLES),
    *,
    seed: int = 0,
    generators: str = "auto",
    device: str = "auto",
    threads: int = 1,
) -> Stylised:
    """A copy of each image in one of the styles, drawn at random with equal chances (§3.2).

    images: uint8 (N, 3, H, W). seed: decides the draw. generators: "bundled", "published" or
    "auto", which takes the published ones if all six are on disk. device, threads: as for `fit`.

    The copies are kept in one file under `runs/cache/`, named after a digest of the images, the
    styles, the weights and the seed: a second call reads them.

    Raises CourseError for images of another type, a style that does not exist, and weights that
    are absent or damaged.
    """
    if not styles:
        raise CourseError("styles () names none: choose some of " + ", ".join(STYLES))
    styles = tuple(choose("style", style, STYLES) for style in styles)
    kind = choose_kind(generators)
    draws = torch.randint(len(styles), (len(images),), generator=stream(seed, "styles"))
    digest = generators_digest(kind, styles)
    state = hashlib.sha256(repr((tuple(images.shape), styles, digest, seed)).encode())
    state.update(images.cpu().numpy().tobytes())
    cache = runs_folder() / "cache" / f"styles-{state.hexdigest()[:16]}.npz"
    kept = (read_arrays(cache) or {}).get("images")
    if kept is not None and kept.shape == images.shape and kept.dtype == np.uint8:
        copies = torch.from_numpy(kept)
    else:
        copies = torch.empty_like(images, device="cpu")
        with progress_bar(len(images), f"styles, {kind}") as bar:
            for index, style in enumerate(styles):
                mine = draws == index
                if not mine.any():
                    continue
                copies[mine] = in_style(images[mine], style, kind, device, threads, bar.update)
        write_whole(cache, lambda path: np.savez(path, images=copies.numpy()))
    names = tuple(styles[draw] for draw in draws.tolist())
    return Stylised(copies.to(images.device), names, kind, digest)


@checks(images="N 3 H W uint8")
def in_style(
    images: Tensor,
    style: str,
    generators: str = "auto",
    device: str = "auto",
    threads: int = 1,
    on_batch: Callable[[int], object] | None = None,
) -> Tensor:
    """Images in one style: uint8 (N, 3, H, W) → the same, on the CPU (§3.2, Figure II).

    generators, device, threads: as for `stylise`. on_batch: called with the size of each batch that
    is done. Raises CourseError for images of another type, an unknown style, and weights that are
    absent or damaged.
    """
    kind = choose_kind(generators)
    generator = load_generator(style, kind).to(find_device(device))
    with thread_count(threads):
        return apply_style(generator, images, KINDS[kind].side, on_batch)


@torch.inference_mode()
def apply_style(
    generator: Generator,
    images: Tensor,
    side: int,
    on_batch: Callable[[int], object] | None = None,
) -> Tensor:
    """Enlarge images, pass them through a generator, and average the result down to their size.

    Args:
        generator: of one style.
        images: uint8 (N, 3, H, W).
        side: of the pictures that the generator was made for, as they are enlarged.
        on_batch: called with the size of each batch that is done.

    Returns:
        uint8 (N, 3, H, W), on the CPU.
    """
    on = next(generator.parameters()).device
    out = torch.empty_like(images, device="cpu")
    for part in torch.arange(len(images)).split(max(1, PASS_PIXELS // side**2)):
        pixels = enlarged(images[part].to(on).float() / 127.5 - 1, side)  # 0…255 → −1…1
        pixels = functional.interpolate(generator(pixels), images.shape[2:], mode="area")
        out[part] = ((pixels + 1) * 127.5).round().to("cpu", torch.uint8)
        if on_batch is not None:
            on_batch(len(part))
    return out


def copies(task: Task, choices: Choices, seed: int, device: str) -> Tensor:
    """The arm `gan`: a copy of each training image in a style of its own, made once."""
    images = task.train.images
    return stylise(images, seed=seed, generators=choices.generators, device=device).images


def facts(task: Task, choices: Choices) -> dict[str, object]:
    """Which generators made the copies, for a result's record."""
    kind = choose_kind(choices.generators)
    return {"generators": kind, "weights": generators_digest(kind)}
