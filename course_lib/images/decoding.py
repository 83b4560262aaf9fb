"""Picture files → pixels: the one place that meets damaged, huge and odd files."""

import io
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
from PIL import Image

from course_lib.support.validation import CourseError

# What Pillow decodes by itself: it hands others, such as PostScript, to programs of the machine.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # a JPEG may turn out to be an MPO
MOST_PIXELS = 2**26  # of all pictures that are being decoded: 67 million


class Unfit(Exception):
    """Raised by a `prepare`: the end of a sentence that begins with the picture's name."""


class _Room:
    """Pixels that may still be decoded at once: large pictures wait for each other."""

    def __init__(self) -> None:
        self.free, self.changed = MOST_PIXELS, threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: pixels <= self.free)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()


def decode_pictures(
    files: Mapping[str, Path | bytes],
    prepare: Callable[[Image.Image], Image.Image],
    damaged: str,
    formats: tuple[str, ...] = FORMATS,
) -> list[np.ndarray]:
    """Decode and `prepare` files (name, for errors → path or content): uint8 RGB, (3, H, W)."""
    room = _Room()
    Image.init()  # here, not in several threads

    def decode(name: str, file: Path | bytes) -> np.ndarray:
        try:
            if isinstance(file, Path) and file.exists() and not file.is_file():
                raise Unfit("is no file")  # a pipe would be waited for
            content = io.BytesIO(file) if isinstance(file, bytes) else file
            with Image.open(content, formats=formats) as image:
                if (count := image.width * image.height) > MOST_PIXELS:
                    raise Unfit(f"has {count:,} pixels: {MOST_PIXELS:,} at most")
                if image.mode[0] in "IF":  # Pillow would cut these off at 255
                    raise Unfit("has more than 8 bits a channel: convert it to 8")
                with room.take(count):
                    pixels = np.asarray(prepare(image).convert("RGB"))
        except Unfit as error:
            raise CourseError(f"{name} {error}") from error
        except Exception as error:  # damaged files make Pillow's decoders raise almost anything
            raise CourseError(f"{name} {damaged.format(error)}") from error
        return np.array(pixels.transpose(2, 0, 1), order="C")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is lower
        threads = joblib.Parallel(n_jobs=-1, prefer="threads")
        return threads(joblib.delayed(decode)(name, file) for name, file in files.items())
