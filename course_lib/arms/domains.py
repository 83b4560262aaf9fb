"""Training one style from folders of pictures: what `python -m course_lib styles train` does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from course_lib.arms.cyclegan import CycleGAN, Recipe, train_cyclegan
from course_lib.arms.generators import save_generator
from course_lib.images.decoding import decode_pictures
from course_lib.images.standin import CLASSES, draw_scenes
from course_lib.images.tasks import WNIDS
from course_lib.images.tiny_imagenet import find_tiny_imagenet, load_tiny_imagenet
from course_lib.models import Generator
from course_lib.support.devices import keep_freed_memory
from course_lib.support.files import make_folder, runs_folder, write_whole
from course_lib.support.validation import CourseError, choose

# The recipe of the generators in data/styles/: small networks, quick to train on small pictures.
SMALL = Recipe(
    steps=2600, batch_size=2, side=48, width=16, blocks=3, critic_width=32, critic_halvings=2
)
OWN_PHOTOS = ("tiny-imagenet", "stand-in")  # the course's own pictures, by name
SCENES_EACH = 300
SHEET = 12  # pictures on a sheet of samples
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def train_style(
    name: str,
    domain: Path,
    photos: Sequence[str],
    changes: Sequence[str] = (),
    start: str | None = None,
) -> tuple[Path, dict[str, list[float]]]:
    """Train a style's generator; returns its file, `runs/styles/NAME.safetensors`, and the losses.

    domain: a folder of pictures of the style. photos: folders of photographs, or the names of
    OWN_PHOTOS. changes: of the recipe SMALL, each "name=value". start: a style trained
    before with this command, whose networks this one begins as. Beside the generator come its
    checkpoint, from which a stopped training goes on, and NAME.png: a sheet of photographs with
    their stylised versions below, drawn anew every 50 steps.

    Raises CourseError for a name that cannot be a file, a folder without pictures, photographs
    that are not on disk, and what a recipe refuses.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise CourseError(f"style name {name!r} must be small letters, digits and hyphens")
    recipe = changed(SMALL, changes)
    keep_freed_memory()
    styles = read_pictures(domain, recipe.side)
    sets = [photographs(source, recipe.side) for source in photos]
    if not sets:
        raise CourseError("photos () names none: choose a folder, tiny-imagenet or stand-in")
    folder = runs_folder() / "styles"
    make_folder(folder)
    turns = [(sets[k % len(sets)], k // len(sets)) for k in range(SHEET)]
    shown = [pictures[turn % len(pictures)] for pictures, turn in turns]

    def draw_sheet(networks: CycleGAN, _: dict) -> None:
        write_whole(folder / f"{name}.png", sheet(networks.to_style, shown).save)

    networks, curves = train_cyclegan(
        sets,
        styles,
        recipe,
        folder / f"{name}.checkpoint",
        start=folder / f"{start}.checkpoint" if start else None,
        on_report=draw_sheet,
    )
    last = ", ".join(f"{loss} {values[-1]:.3f}" for loss, values in curves.items())
    about = {"style": name, "recipe": str(recipe), "losses": last}
    save_generator(folder / f"{name}.safetensors", networks.to_style, about)
    return folder / f"{name}.safetensors", curves


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with some values changed, each "name=value"; CourseError for a bad one."""
    kinds = {field.name: type(getattr(recipe, field.name)) for field in fields(recipe)}
    values = {}
    for change in changes:
        name, _, text = change.partition("=")
        kind = kinds[choose("recipe value", name, kinds)]
        try:
            values[name] = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            raise CourseError(f"{change!r}: {text!r} is not a value for {name}") from error
    return replace(recipe, **values)


def photographs(source: str, side: int) -> list[Tensor]:
    """Photographs of a folder, or the course's own by name: uint8 (3, H, W) each."""
    if source == "stand-in":
        scenes = [draw_scenes(kind, SCENES_EACH, seed=1) for kind in CLASSES]
        return list(torch.from_numpy(np.stack(scenes, axis=1)).flatten(0, 1))
    if source == "tiny-imagenet":
        root = find_tiny_imagenet()
        if root is None:
            raise CourseError("photos 'tiny-imagenet' are not on disk: see data/README.md")
        examples, _ = load_tiny_imagenet(root, list(WNIDS.values()))
        in_turn = examples.labels.argsort(stable=True).view(len(WNIDS), -1).T.flatten()
        return list(examples.images[in_turn])
    return read_pictures(Path(source), side)


def read_pictures(folder: Path, side: int) -> list[Tensor]:
    """All pictures of a folder, by name: uint8 (3, H, W), the shorter side from side to 2·side.

    Larger pictures are shrunk to 2·side, smaller ones enlarged to side. Raises CourseError for a
    folder that is absent or holds no pictures, and for a picture that cannot be read.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise CourseError(f"{folder} holds no pictures: it needs files {', '.join(SUFFIXES)}")

    def resized(picture: Image.Image) -> Image.Image:
        shorter = min(picture.size)
        scale = min(max(shorter, side), 2 * side) / shorter
        size = [max(side, round(scale * length)) for length in picture.size]
        picture = picture.convert("RGB")
        return picture if scale == 1 else picture.resize(size, Image.Resampling.LANCZOS)

    files = {str(path): path for path in paths}
    pictures = decode_pictures(files, resized, "cannot be read as a picture")
    return [torch.from_numpy(picture) for picture in pictures]


@torch.inference_mode()
def sheet(generator: Generator, pictures: Sequence[Tensor]) -> Image.Image:
    """Pictures in a row, each above what the generator makes of it, at twice their size."""
    columns = []
    for picture in pictures:
        picture = picture[:, : 4 * (picture.shape[1] // 4), : 4 * (picture.shape[2] // 4)]
        side = min(64, *picture.shape[1:])
        before = picture[:, :side, :side].float() / 127.5 - 1
        after = generator(before.unsqueeze(0).to(next(generator.parameters()).device))[0].cpu()
        columns.append(torch.cat([before, after], dim=1))
    pixels = ((torch.cat(columns, dim=2) + 1) * 127.5).round().to(torch.uint8)
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)
