"""Pictures of one's own: a folder with two sub-folders, each with the pictures of one class."""

from __future__ import annotations

import hashlib
import warnings
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
import torch
from PIL import Image, ImageOps

from course_lib.images import Examples
from course_lib.support.validation import CourseError

SIDE = 64
FEWEST = 10  # pictures a class: fewer cannot be split three ways with anything to measure
TEST_SHARE = 0.2


def class_folders(root: Path) -> list[Path]:
    """The two classes' folders, by name; hidden ones do not count. CourseError if not just two."""
    try:
        folders = sorted(path for path in _visible(root) if path.is_dir())
    except OSError as error:
        raise CourseError(f"task folder {str(root)!r} cannot be read: {error.strerror}") from error
    if len(folders) != 2:
        names = ", ".join(path.name for path in folders[:5]) or "none"
        raise CourseError(
            f"task folder {str(root)!r} has {len(folders)} sub-folders ({names}): it must have "
            "two, each with the pictures of one class"
        )
    return folders


def load_folder(root: Path) -> tuple[Examples, Examples]:
    """Images for training and validation, and held-out test images; (N, 3, 64, 64) each.

    Label 0 is the first class by name. Pictures are turned upright (EXIF), made RGB, cut to their
    central square and resized with a filter that averages what falls into a pixel. Both classes
    give as many images as the smaller one has; of these a fifth is held out. The images' own
    digests decide which and in what order, so that the test set is one for all arms and seeds,
    and neither the files' names nor their place matter.

    Raises CourseError, naming the folder or file, for anything but two sub-folders, for one with
    fewer than 10 pictures, and for a file in them that is no readable, still picture of 8 bits a
    channel, or a huge one. Files whose names begin with a dot are left out.
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
        classes.append(_decode(tuple(files), tuple(stamps)))
    count = min(map(len, classes))
    held_out = round(TEST_SHARE * count)

    def examples(parts: list[np.ndarray]) -> Examples:
        labels = [torch.full((len(part),), label) for label, part in enumerate(parts)]
        return Examples(torch.from_numpy(np.concatenate(parts)), torch.cat(labels))

    pool = examples([images[held_out:count] for images in classes])
    return pool, examples([images[:held_out] for images in classes])


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


@lru_cache(maxsize=2)  # every seed asks again; the stamps tell when a file has changed
def _decode(files: tuple[Path, ...], stamps: tuple) -> np.ndarray:
    """All pictures of one class in the order of their digests: (N, 3, 64, 64) uint8."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        pixels = joblib.Parallel(n_jobs=-1, prefer="threads")(map(joblib.delayed(_read), files))
    return np.stack(sorted(pixels, key=lambda image: hashlib.sha256(image.tobytes()).digest()))


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            # A telephone's MPO is a still picture with a preview behind it.
            if getattr(image, "is_animated", False) and image.format != "MPO":
                raise CourseError(f"{path} is an animation or has pages: take one picture of it")
            if image.mode[0] in "IF":  # Pillow would cut these off at 255
                raise CourseError(f"{path} has more than 8 bits a channel: convert it to 8")
            image.draft(None, (2 * SIDE, 2 * SIDE))  # a large JPEG is read at a smaller size
            upright = ImageOps.exif_transpose(image).convert("RGB")
        square = ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.BILINEAR)
    except CourseError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise almost anything
        raise CourseError(f"{path} is no readable picture: {error}") from error
    return np.asarray(square).transpose(2, 0, 1)
