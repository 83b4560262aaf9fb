import hashlib

import numpy as np
import pytest

from course_lib.images.standin import CHUNK, CLASSES, draw_scenes
from course_lib.support.validation import CourseError

DIGESTS = {
    "goldfish": "c0f2eb169bd72e9d9e3ac68070e21441d1149b4e83d2bdb1ab34f055a3ea322d",
    "dog": "c83370797d0f4e4602f9100877ab760f98d4a3346e0c2804514aa8112a69dd47",
    "cat": "f885a0a649d08c35d1142c0284d3cf8268925d7218746e9ec073c270b5cd57f9",
}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_bytes_are_the_same_on_every_platform(kind):
    assert hashlib.sha256(draw_scenes(kind, 12, 3).tobytes()).hexdigest() == DIGESTS[kind]


@pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 1])
def test_shape_type_and_prefix(count):
    scenes = draw_scenes("cat", count, 5)
    assert scenes.shape == (count, 3, 64, 64)
    assert scenes.dtype == np.uint8
    np.testing.assert_array_equal(scenes, draw_scenes("cat", 3 * CHUNK, 5)[:count])


def test_seeds_classes_and_images_differ():
    scenes = [draw_scenes(kind, CHUNK + 2, seed) for kind in CLASSES for seed in (0, 1)]
    pictures = np.concatenate(scenes)
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == len(pictures)


@pytest.mark.parametrize("kind", CLASSES)
def test_pictures_have_contrast_and_are_not_clipped(kind):
    scenes = draw_scenes(kind, 200, 1)
    assert scenes.std((1, 2, 3)).min() > 10
    assert 60 < scenes.mean() < 180
    assert np.isin(scenes, (0, 255)).mean() < 0.1


def test_goldfish_are_the_most_orange_class_on_average_but_not_in_every_picture():
    warmth = {}
    for kind in CLASSES:
        middle = draw_scenes(kind, 200, 2)[:, :, 20:44, 20:44].mean((2, 3))
        warmth[kind] = middle[:, 0] - middle[:, 2]
    assert warmth["goldfish"].mean() > warmth["cat"].mean()
    assert np.quantile(warmth["dog"], 0.75) > np.quantile(warmth["goldfish"], 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hamster", 1, 0), "scene 'hamster' is unknown.*goldfish, dog, cat"),
        (("dog", -1, 0), "count -1"),
        (("dog", 1, -1), "seed -1"),
    ],
)
def test_bad_arguments_name_the_value(arguments, message):
    with pytest.raises(CourseError, match=message):
        draw_scenes(*arguments)
