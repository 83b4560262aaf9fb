"""The paper's GAN arm (§3.2, Figure II): each image gets a copy in one of six styles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from course_lib.arms.generators import (
    KINDS,
    STYLES,
    choose_kind,
    generators_digest,
    load_generator,
)
from course_lib.models import Generator
from course_lib.support.devices import find_device, keep_freed_memory, thread_count
from course_lib.support.files import cached_arrays
from course_lib.support.progress import progress_bar
from course_lib.support.randomness import stream
from course_lib.support.validation import CourseError, choose, tensor

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
    tensor("images", images, "N 3 H W", "uint8")
    if not styles:
        raise CourseError("styles () names none: choose some of " + ", ".join(STYLES))
    styles = tuple(choose("style", style, STYLES) for style in styles)
    kind = choose_kind(generators)
    draws = torch.randint(len(styles), (len(images),), generator=stream(seed, "styles"))
    digest = generators_digest(kind, styles)
    state = hashlib.sha256(repr((tuple(images.shape), styles, digest, seed)).encode())
    state.update(images.cpu().numpy().tobytes())

    def make() -> dict[str, np.ndarray]:
        copies = torch.empty_like(images, device="cpu")
        with progress_bar(len(images), f"styles, {kind}") as bar:
            for index, style in enumerate(styles):
                mine = draws == index
                if mine.any():
                    copies[mine] = in_style(images[mine], style, kind, device, threads, bar.update)
        return {"images": copies.numpy()}

    cache = f"styles-{state.hexdigest()[:16]}"
    copies = torch.from_numpy(cached_arrays(cache, make, {"images": tuple(images.shape)})["images"])
    names = tuple(styles[draw] for draw in draws.tolist())
    return Stylised(copies.to(images.device), names, kind, digest)


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
    tensor("images", images, "N 3 H W", "uint8")
    keep_freed_memory()
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
    """Images through one generator: uint8 (N, 3, H, W) → the same, on the CPU.

    side: of the pictures that the generator was made for, 64 or 256. Images of another size are
    enlarged to side × side, and the result is averaged down to their size.
    """
    on = next(generator.parameters()).device
    height, width = images.shape[2:]
    out = torch.empty_like(images, device="cpu")
    for part in torch.arange(len(images)).split(max(1, PASS_PIXELS // side**2)):
        pixels = images[part].to(on).float() / 127.5 - 1  # 0…255 → −1…1
        if (height, width) != (side, side):
            pixels = functional.interpolate(pixels, (side, side), mode="bicubic").clamp(-1, 1)
        pixels = generator(pixels)
        if (height, width) != (side, side):
            pixels = functional.interpolate(pixels, (height, width), mode="area")
        out[part] = ((pixels + 1) * 127.5).round().to("cpu", torch.uint8)
        if on_batch is not None:
            on_batch(len(part))
    return out
