"""Traditional transformations (§3.1, Figure I): each image draws its own.

Torchvision's draw one set of amounts for a whole batch; here all are drawn and sampled at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.arms.arm import Choices
from course_lib.images.tasks import Task
from course_lib.support.randomness import stream
from course_lib.support.validation import CourseError, checks, choose, number

CHUNK = 50  # images sampled together: what they need stays in a processor's cache
WARP_CELLS = 4  # the elastic field is drawn on a coarse grid and smoothly enlarged
BOUNDS = {"shift": 0.5, "zoom": 1, "rotate": 180, "shear": 45, "flip": 1, "warp": 0.1, "hue": 0.5}


@dataclass(frozen=True)
class Transforms:
    """How far each transformation may go; 0 switches it off. Each image draws its own amount."""

    shift: float = 0.1  # share of the side, each way, in both directions (0–0.5)
    zoom: float = 0.2  # z (0–1): the factor is log-uniform between 1/(1+z) and 1+z
    rotate: float = 15.0  # degrees, each way (0–180)
    shear: float = 8.0  # degrees, each way, along both axes (0–45)
    flip: float = 0.5  # probability of a left-right mirror image (0–1)
    warp: float = 0.015  # typical displacement of an elastic field, share of the side (0–0.1)
    hue: float = 0.04  # turns of the colour circle, each way (0–0.5); colour images only

    def __post_init__(self) -> None:
        for name, most in BOUNDS.items():
            number(name, getattr(self, name), 0, most)

    def only(self, name: str) -> Transforms:
        """The same range for one transformation, all others switched off."""
        choose("transforms", name, BOUNDS)
        return Transforms(**{**dict.fromkeys(BOUNDS, 0.0), name: getattr(self, name)})

    def times(self, strength: float) -> Transforms:
        """Every range times `strength`, 0 for nothing; CourseError beyond a bound."""
        most = min((BOUNDS[name] / amount for name, amount in self.amounts().items()), default=1.0)
        number("strength", strength, 0, most)
        return Transforms(**{name: strength * amount for name, amount in vars(self).items()})

    def amounts(self) -> dict[str, float]:
        """Name → range of each transformation that is switched on."""
        return {name: amount for name, amount in vars(self).items() if amount}


# Transformations far beyond the course's, to test on: what training has not met.
NUISANCES = {"shift": 0.3, "rotate": 60.0, "zoom": 0.5, "hue": 0.25}
# Which transformations keep the label, decided for each kind of task, with the reason.
PICTURES = Transforms()
DIGITS = Transforms(rotate=10.0, flip=0.0, hue=0.0)
REASONS = {
    "shift": ("yes", "yes", "an animal may stand anywhere; digits are centred, but not exactly"),
    "zoom": ("yes", "yes", "an animal may be near or far; digits are of one size, but not exactly"),
    "rotate": ("±15°", "±10°", "cameras tilt a little; digits lean a little"),
    "shear": ("yes", "yes", "a slight change of viewpoint; handwriting slants"),
    "flip": ("yes", "no", "a dog faces left or right; most mirrored digits are no digits, though "
             "0 and 8 are"),
    "warp": ("yes", "yes", "bodies bend; no two people draw one curve"),
    "hue": ("±0.04 turns", "no", "light changes colours a little; a large turn makes a goldfish "
            "green or violet, and colour is a sign of its class; digits have no hue"),
}  # fmt: skip


def transforms_for(task: Task) -> Transforms:
    """The course's choice of transformations for a task's images (see REASONS)."""
    return DIGITS if task.train.images.shape[1] == 1 else PICTURES


def chosen(task: Task, choices: Choices) -> Transforms:
    """The task's transformations, or the one of them that the choices name, at their strength."""
    every, name = transforms_for(task), choices.transforms
    return (every if name in ("all", "one") else every.only(name)).times(choices.strength)


def copies(task: Task, choices: Choices, seed: int, device: str) -> Tensor:
    """The arm `traditional`: one transformed copy of each training image, made once."""
    return next(fresh(task.train.images, task, choices, seed))


def fresh(images: Tensor, task: Task, choices: Choices, seed: int) -> Iterator[Tensor]:
    """The arm `traditional-fresh`: a new copy of each image for each epoch, on their device."""
    transforms, draws = chosen(task, choices), stream(seed, "traditional")
    while True:
        if choices.transforms == "one":
            yield one_of_them(images, transforms, draws)
        else:
            yield traditional(images, transforms, draws)


def facts(task: Task, choices: Choices, device: str) -> dict[str, object]:
    """How far each transformation went, for a result's record."""
    amounts = chosen(task, choices).amounts()
    return {"transforms": amounts | ({"one": True} if choices.transforms == "one" else {})}


@checks(images="N 1|3 H W uint8", transforms=Transforms, generator=torch.Generator)
def traditional(images: Tensor, transforms: Transforms, generator: torch.Generator) -> Tensor:
    """One transformed copy of each image (§3.1): uint8 (N, C, H, W) → the same; a CPU draws."""
    if transforms.hue and images.shape[1] == 1:
        raise CourseError(f"hue {transforms.hue!r} must be 0 for grey images")
    affine = affine_matrices(transforms, len(images), generator)
    warp = torch.randn(len(images), 2, WARP_CELLS, WARP_CELLS, generator=generator)
    hue = hue_matrices(_uniform(transforms.hue, len(images), generator))
    amounts = [drawn.to(images.device) for drawn in (affine, transforms.warp * warp, hue)]
    parts = [tensor.split(CHUNK) for tensor in (images, *amounts)]
    return torch.cat([transformed(*part) for part in zip(*parts, strict=True)])


def one_of_them(images: Tensor, transforms: Transforms, generator: torch.Generator) -> Tensor:
    """A copy of each image by one transformation, drawn for it: "shift, zoom … or" (§3.1)."""
    names = list(transforms.amounts())
    draws = torch.randint(len(names), (len(images),), generator=generator).to(images.device)
    copies = torch.empty_like(images)
    for index, name in enumerate(names):
        mine = draws == index
        if mine.any():
            copies[mine] = traditional(images[mine], transforms.only(name), generator)
    return copies


def nuisances(images: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Test images, uint8 (N, C, H, W), as they are ("plain") and under each of NUISANCES."""
    none = dict.fromkeys(BOUNDS, 0.0)
    moved = {
        name: traditional(images, Transforms(**none | {name: most}), stream(seed, f"test {name}"))
        for name, most in NUISANCES.items()
        if name != "hue" or images.shape[1] == 3
    }
    return {"plain": images, **moved}


def transformed(images: Tensor, affine: Tensor, warp: Tensor, hue: Tensor) -> Tensor:
    """Images (N, C, H, W), each moved by its matrix and elastic field, then turned in hue.

    Beyond its edges an image is its mirror image: no black corners tell a copy from an original.
    """
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    field = functional.interpolate(2 * warp, images.shape[2:], mode="bicubic", align_corners=True)
    grid = grid + field.permute(0, 2, 3, 1)  # in half sides, hence the 2
    pixels = functional.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    if images.shape[1] == 3:
        pixels = (hue @ pixels.flatten(2)).view_as(pixels)
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def affine_matrices(transforms: Transforms, count: int, generator: torch.Generator) -> Tensor:
    """(N, 2, 3) matrices from a point of the new image to the old one's, in half-sides.

    Sampling once through the product of all blurs less than sampling after each step.
    """
    shift = 2 * _uniform(transforms.shift, 2 * count, generator).view(count, 2)
    scale = torch.exp(_uniform(math.log1p(transforms.zoom), count, generator))
    angle = torch.deg2rad(_uniform(transforms.rotate, count, generator))
    shear = torch.tan(torch.deg2rad(_uniform(transforms.shear, 2 * count, generator)))
    mirror = 1 - 2 * (torch.rand(count, generator=generator) < transforms.flip).float()
    cosine, sine = torch.cos(angle), torch.sin(angle)
    rotation = torch.stack([cosine, -sine, sine, cosine], dim=1).view(count, 2, 2)
    one = torch.ones(count)
    slant = torch.stack([one, shear[:count], shear[count:], one], dim=1).view(count, 2, 2)
    stretch = torch.diag_embed(torch.stack([scale * mirror, scale], dim=1))
    return torch.cat([rotation @ slant @ stretch, shift.unsqueeze(2)], dim=2)


def hue_matrices(turns: Tensor) -> Tensor:
    """(N, 3, 3) matrices that turn RGB about the grey axis by (N,) turns (Rodrigues' rotation)."""
    angle = 2 * math.pi * turns.view(-1, 1, 1)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    along = torch.full((3, 3), 1 / 3)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return cosine * torch.eye(3) + (1 - cosine) * along + sine * across


def _uniform(most: float, count: int, generator: torch.Generator) -> Tensor:
    """(count,) amounts, uniform between −most and most."""
    return most * (2 * torch.rand(count, generator=generator) - 1)
