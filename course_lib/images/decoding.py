"""Picture files → pixels: the one place that meets damaged, huge and odd files."""

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from course_lib.support.validation import CourseError


class Unfit(Exception):
    """Raised by a `prepare`: the end of a sentence that begins with the picture's name."""


def decode_pictures(
    files: Mapping[str, Path | bytes], prepare: Callable[[Image.Image], Image.Image], damaged: str
) -> list[np.ndarray]:
    """Decode and `prepare` files (name, for errors → path or content): uint8 RGB, (3, H, W)."""

    def decode(name: str, file: Path | bytes) -> np.ndarray:
        try:
            with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
                pixels = np.asarray(prepare(image).convert("RGB"))
        except Unfit as error:
            raise CourseError(f"{name} {error}") from error
        except Exception as error:  # damaged files make Pillow's decoders raise almost anything
            raise CourseError(f"{name} {damaged.format(error)}") from error
        return np.array(pixels.transpose(2, 0, 1), order="C")

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        threads = joblib.Parallel(n_jobs=-1, prefer="threads")
        return threads(joblib.delayed(decode)(name, file) for name, file in files.items())
