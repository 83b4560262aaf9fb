"""Pixels come in the order of the files, and a file that gives none is named."""

import io

import numpy as np
import pytest
from PIL import Image

from course_lib.images.decoding import Unfit, decode_pictures
from course_lib.support.validation import CourseError


def png(side, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (side, side + 1)).save(buffer, "PNG")
    return buffer.getvalue()


def test_paths_and_bytes_in_order(tmp_path):
    (tmp_path / "a.png").write_bytes(png(5))
    files = {f"{side}": png(side, "L") for side in range(1, 5)} | {"file": tmp_path / "a.png"}
    pixels = decode_pictures(files, lambda image: image, "{}")
    assert [image.shape for image in pixels] == [(3, side + 1, side) for side in range(1, 6)]
    assert all(image.dtype == np.uint8 and image.flags.writeable for image in pixels)


def unfit(image):
    raise Unfit("is too plain")


@pytest.mark.parametrize(
    ("content", "prepare", "message"),
    [
        (b"text", lambda image: image, "b is no picture: cannot identify image file"),
        (png(8)[:45], lambda image: image, "b is no picture: "),
        (png(8), unfit, "b is too plain$"),
    ],
)
def test_the_file_is_named(content, prepare, message):
    with pytest.raises(CourseError, match=message):
        decode_pictures({"a": png(8), "b": content} if prepare is not unfit else {"b": content},
                        prepare, "is no picture: {}")  # fmt: skip
