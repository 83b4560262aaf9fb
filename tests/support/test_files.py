"""What is cached is made once, and again when the file is not what it should be."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from course_lib.support.files import cached_arrays, runs_folder


@pytest.fixture
def made():
    return []


def cached(made, shape=(2, 3), shapes=None):
    def make():
        made.append(shape)
        return {"images": np.full(shape, len(made), np.uint8)}

    return cached_arrays("things-1", make, shapes)["images"]


def test_made_once(made):
    assert (cached(made) == 1).all() and (cached(made) == 1).all() and len(made) == 1
    assert [path.name for path in (runs_folder() / "cache").glob("*.npz")] == ["things-1.npz"]


def test_made_once_by_those_who_ask_at_once(made):
    started = Barrier(3)

    def ask(_):
        started.wait()
        return cached(made)

    with ThreadPoolExecutor(3) as pool:
        assert all((images == 1).all() for images in pool.map(ask, range(3)))
    assert len(made) == 1


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_a_damaged_file_is_made_again(made, content):
    cached(made)
    (runs_folder() / "cache" / "things-1.npz").write_bytes(content)
    assert (cached(made) == 2).all() and (cached(made) == 2).all()


@pytest.mark.parametrize(
    "other",
    [
        {"images": np.zeros((2, 4), np.uint8)},
        {"images": np.zeros((2, 3), np.float32)},
        {"pictures": np.zeros((2, 3), np.uint8)},
    ],
)
def test_other_arrays_are_made_again(made, other):
    shapes = {"images": (2, 3)}
    assert (cached(made, shapes=shapes) == 1).all()
    np.savez(runs_folder() / "cache" / "things-1.npz", **other)
    assert (cached(made, shapes=shapes) == 2).all() and (cached(made, shapes=shapes) == 2).all()
