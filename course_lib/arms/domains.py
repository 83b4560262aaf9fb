"""Training one style from folders of pictures: what `python -m course_lib styles train` does."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from course_lib.arms.cyclegan import Curves, CycleGANRecipe, train_cyclegan
from course_lib.arms.gan import apply_style
from course_lib.arms.generators import Kind, save_generator
from course_lib.images.decoding import decode_pictures
from course_lib.images.standin import CLASSES, draw_scenes
from course_lib.models import CycleGAN, Generator
from course_lib.support.devices import keep_freed_memory
from course_lib.support.files import make_folder, named_path, runs_folder, write_whole
from course_lib.support.validation import CourseError, choose

# How the generators in data/styles/ were trained, for pictures of 64×64 stylised at twice that
# size. Critics this small learn more slowly than generators: they start earlier, and see more.
SMALL = CycleGANRecipe(
    steps=3500, side=80, enlarge=2, width=24, blocks=4, upsampling="resize", residual=True,
    critic_width=32, critic_halvings=2, critic_batch=6, critic_first=300, critic_rate=2.0,
    identity=1.0, distance="squared",
)  # fmt: skip
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def train_style(
    name: str,
    domain: Path,
    photos: Sequence[str],
    changes: Sequence[str] = (),
    start: str | None = None,
) -> tuple[Path, Curves]:
    """Train a style's generator: `runs/styles/NAME.safetensors`, and the curves of the losses.

    Beside it come NAME.checkpoint, from which a stopped training resumes, and NAME.png, a sheet of
    stylised photographs. `domain` and `photos` are folders ("stand-in": the course's drawn scenes);
    `changes` to `SMALL` are "name=value"; `start` a trained style, whose networks this begins as.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise CourseError(f"style name {name!r} must be small letters, digits and hyphens")
    recipe = changed(SMALL, changes)
    side = recipe.side // recipe.enlarge
    keep_freed_memory()
    styles = read_pictures(domain, side)
    sets = [photographs(source, side) for source in photos]
    if not sets:
        raise CourseError("photos () names none: choose a folder or stand-in")
    folder = runs_folder() / "styles"
    make_folder(folder)
    turns = ((sets[k % len(sets)], k // len(sets)) for k in range(12))
    shown = [pictures[turn % len(pictures)] for pictures, turn in turns]

    def draw_sheet(networks: CycleGAN, _: Curves) -> None:
        write_whole(folder / f"{name}.png", sheet(networks.to_style, shown, recipe.enlarge).save)

    begin = folder / f"{start}.checkpoint" if start else None
    path, kept = folder / f"{name}.safetensors", folder / f"{name}.checkpoint"
    networks, curves = train_cyclegan(sets, styles, recipe, kept, start=begin, on_report=draw_sheet)
    size = 64 * recipe.enlarge
    kind = Kind(recipe.width, recipe.blocks, recipe.upsampling, recipe.residual, size)
    last = ", ".join(f"{loss} {values[-1]:.3f}" for loss, values in curves.items())
    about = {"style": name, "recipe": str(recipe), "losses": last}
    if recipe.residual:
        networks.to_style.load_state_dict({"strength": torch.tensor(recipe.strength)}, strict=False)
    save_generator(path, networks.to_style, kind, about)
    return path, curves


def changed(recipe: CycleGANRecipe, changes: Sequence[str]) -> CycleGANRecipe:
    """The recipe with some values changed, each "name=value"; CourseError for a bad one."""
    kinds = {field.name: type(getattr(recipe, field.name)) for field in fields(recipe)}
    values: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        kind = kinds[choose("recipe value", name, kinds)]
        try:
            values[name] = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            raise CourseError(f"{change!r}: {text!r} is not a value for {name}") from error
    return replace(recipe, **values)


def photographs(source: str, side: int) -> list[Tensor]:
    """Photographs of a folder, or the course's drawn scenes: uint8 (3, H, W) each."""
    if source == "stand-in":
        scenes = [draw_scenes(kind, 300, seed=1) for kind in CLASSES]
        return list(torch.from_numpy(np.stack(scenes, axis=1)).flatten(0, 1))
    return read_pictures(named_path("photos", source), side)


def read_pictures(folder: Path, side: int) -> list[Tensor]:
    """A folder's pictures, by name, uint8 (3, H, W): scaled to a shorter side of side to 2·side."""
    paths = [path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES]
    paths.sort(key=lambda path: path.name)  # on Windows, paths sort without their case
    if not paths:
        raise CourseError(f"{folder} holds no pictures: it needs files {', '.join(SUFFIXES)}")

    def resized(picture: Image.Image) -> Image.Image:
        shorter = min(picture.size)
        scale = min(max(shorter, side), 2 * side) / shorter
        size = [max(side, round(scale * length)) for length in picture.size]
        return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)

    files = {str(path): path for path in paths}
    return [*map(torch.from_numpy, decode_pictures(files, resized, "cannot be read as a picture"))]


def sheet(generator: Generator, pictures: Sequence[Tensor], enlarge: int) -> Image.Image:
    """Pictures in a row, each above what the generator makes of it, at twice their size."""
    columns = []
    for picture in pictures:
        side = min(64, *picture.shape[1:]) // 4 * 4
        before = picture[None, :, :side, :side]
        columns.append(torch.cat([before, apply_style(generator, before, enlarge * side)], dim=2))
    pixels = torch.cat(columns, dim=3)[0].repeat_interleave(2, 1).repeat_interleave(2, 2)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
