"""Pictures of your own: a folder with two sub-folders, each with the pictures of one class."""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from course_lib.images import Examples, labelled
from course_lib.images.decoding import Unfit, decode_pictures
from course_lib.support.validation import CourseError

SIDE = 64
FEWEST = 10  # pictures per class: fewer cannot be split three ways with anything to measure
TEST_SHARE = 0.2


def class_folders(root: Path) -> list[Path]:
    """The folders of the two classes, by name; hidden ones are left out. CourseError if not two."""
    try:
        folders = [path for path in _visible(root) if path.is_dir()]
    except OSError as error:
        raise CourseError(f"task folder {str(root)!r} cannot be read: {error.strerror}") from error
    folders.sort(key=lambda path: path.name)  # on Windows, paths sort without their case
    if len(folders) != 2:
        names = ", ".join(path.name for path in folders[:5]) or "none"
        found = f"{len(folders)} sub-folders ({names})"
        wanted = "it must have two, each with the pictures of one class"
        raise CourseError(f"task folder {str(root)!r} has {found}: {wanted}")
    return folders


def load_folder(root: Path) -> tuple[Examples, Examples]:
    """Images to train and validate on, then test images: (N, 3, 64, 64) each, classes by name.

    Both classes give as many as the smaller one has. A fifth is held out by the images' digests: it
    is the same for all arms and seeds. CourseError for too few, or no still 8-bit pictures.
    """
    classes = []
    for folder in class_folders(root):
        try:
            files = sorted(_visible(folder))
            stamps = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        except OSError as error:
            raise CourseError(f"{folder} cannot be read: {error.strerror}") from error
        if len(files) < FEWEST:
            raise CourseError(f"{folder} has {len(files)} pictures: a class needs {FEWEST} or more")
        classes.append(_read(tuple(files), tuple(stamps)))
    count = min(map(len, classes))
    held_out = round(TEST_SHARE * count)
    pool = labelled([images[held_out:count] for images in classes])
    return pool, labelled([images[:held_out] for images in classes])


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


@lru_cache(maxsize=2)  # each seed asks again; the stamps change with the files
def _read(files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]) -> Tensor:
    """All pictures of one class in the order of their digests: (N, 3, 64, 64) uint8."""
    named = {str(path): path for path in files}
    pixels = decode_pictures(named, _square, "is no readable picture: {}")
    pixels.sort(key=lambda image: hashlib.sha256(image.tobytes()).digest())
    return torch.from_numpy(np.stack(pixels))


def _square(image: Image.Image) -> Image.Image:
    # A phone's MPO is a still picture followed by a preview.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise Unfit("is an animation or has pages: take one picture of it")
    image.draft(None, (2 * SIDE, 2 * SIDE))  # a large JPEG is read at a smaller size
    upright = ImageOps.exif_transpose(image).convert("RGB")
    return ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.BILINEAR)
