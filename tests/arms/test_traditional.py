import math
from itertools import islice

import numpy as np
import pytest
import torch

from course_lib.arms.traditional import (
    BOUNDS,
    DIGITS,
    NUISANCES,
    PICTURES,
    Transforms,
    affine_matrices,
    copies,
    facts,
    fresh,
    hue_matrices,
    nuisances,
    one_of_them,
    traditional,
    transforms_for,
)
from course_lib.support.randomness import stream
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, fit

OFF = dict.fromkeys(BOUNDS, 0.0)
NAMES = list(BOUNDS)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def only(**ranges):
    return Transforms(**{**OFF, **ranges})


@pytest.fixture
def images():
    """Smooth colour images, so that sampling between pixels changes little."""
    coarse = torch.rand(12, 3, 5, 5, generator=rng()) * 255
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear").to(torch.uint8)


def slow_sample(image, matrix):
    """Bilinear sampling of one image (C, H, W) through one matrix, from the definition, in loops."""
    channels, height, width = image.shape
    source = image.double().numpy()
    out = np.zeros((channels, height, width))

    def mirrored(index, size):
        index = index % (2 * size)
        return index if index < size else 2 * size - 1 - index

    for row in range(height):
        for column in range(width):
            point = np.array([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1.0])
            x, y = matrix.double().numpy() @ point
            x, y = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
            left, top = math.floor(x), math.floor(y)
            for r, share_r in ((top, 1 - (y - top)), (top + 1, y - top)):
                for c, share_c in ((left, 1 - (x - left)), (left + 1, x - left)):
                    pixel = source[:, mirrored(r, height), mirrored(c, width)]
                    out[:, row, column] += share_r * share_c * pixel
    return out


def test_geometry_against_a_slow_loop(images):
    transforms = only(shift=0.2, zoom=0.3, rotate=30, shear=10, flip=0.5)
    fast = traditional(images[:3, :, :16, :16], transforms, rng(5)).double().numpy()
    matrices = affine_matrices(transforms, 3, rng(5))
    for image, matrix, ours in zip(images[:3, :, :16, :16], matrices, fast, strict=True):
        assert np.abs(slow_sample(image, matrix) - ours).max() <= 0.51


def test_all_off_changes_nothing(images):
    assert torch.equal(traditional(images, only(), rng()), images)


@pytest.mark.parametrize("name", NAMES)
def test_each_transform_changes_images_and_can_be_switched_off(images, name):
    on = traditional(images, PICTURES.only(name), rng())
    assert (on != images).any(dim=(1, 2, 3)).sum() >= 3
    assert on.shape == images.shape and on.dtype == torch.uint8
    assert getattr(PICTURES.only(name), name) == getattr(PICTURES, name)
    assert sum(vars(PICTURES.only(name)).values()) == getattr(PICTURES, name)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_draws_its_own_amount(images, name):
    """One image many times over: a batch-wide amount would give one result."""
    same = images[:1].expand(12, -1, -1, -1)
    results = {copy.numpy().tobytes() for copy in traditional(same, PICTURES.only(name), rng())}
    assert len(results) == (2 if name == "flip" else 12)


def test_flip_is_a_mirror_image(images):
    flipped = traditional(images, only(flip=1.0), rng())
    assert (flipped.int() - images.flip(3).int()).abs().max() <= 1


def test_shift_moves_by_whole_pixels_where_it_should():
    images = torch.zeros(40, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = 255
    moved = traditional(images, only(shift=0.3), rng())
    weights = moved.double() / moved.double().sum(dim=(2, 3), keepdim=True)
    centre = (weights * torch.arange(9.0).view(9, 1)).sum(dim=(1, 2, 3)) - 4
    assert (
        centre.abs().max() <= 0.3 * 9 + 0.01 and centre.abs().max() > 2 and abs(centre.mean()) < 1
    )


def test_zoom_stays_within_its_range():
    scales = affine_matrices(only(zoom=0.5), 500, rng())[:, 0, 0]
    assert 1 / 1.5 <= scales.min() < 0.7 and 1.45 < scales.max() <= 1.5


def test_hue_turns_colours_and_keeps_grey():
    third = hue_matrices(torch.tensor([1 / 3]))[0]
    red = torch.tensor([200.0, 10, 10])
    assert torch.allclose(third @ red, torch.tensor([10.0, 200, 10]), atol=1e-3)
    grey = torch.full((4, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(traditional(grey, only(hue=0.5), rng()), grey)


def test_the_generator_decides(images):
    global_state = torch.get_rng_state()
    first = traditional(images, PICTURES, rng(1))
    assert torch.equal(first, traditional(images, PICTURES, rng(1)))
    assert not torch.equal(first, traditional(images, PICTURES, rng(2)))
    assert torch.equal(torch.get_rng_state(), global_state)


def test_an_image_does_not_depend_on_how_many_are_sampled_together(images, monkeypatch):
    whole = traditional(images, PICTURES, rng())
    monkeypatch.setattr("course_lib.arms.traditional.CHUNK", 5)
    assert torch.equal(whole, traditional(images, PICTURES, rng()))


def test_choice_for_a_task(tiny_task):
    assert transforms_for(tiny_task) == PICTURES
    assert DIGITS.flip == DIGITS.hue == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [-0.1, 181, float("nan"), "1"])
def test_ranges_out_of_bounds(name, wrong):
    with pytest.raises(CourseError, match=f"{name} {wrong!r} must be a number from 0 to"):
        only(**{name: wrong})


def test_bad_images(images):
    with pytest.raises(CourseError, match="must be a tensor .* of uint8"):
        traditional(images.float(), PICTURES, rng())
    with pytest.raises(CourseError, match="must be a tensor .* of uint8"):
        traditional(images[0], PICTURES, rng())
    with pytest.raises(CourseError, match="hue 0.04 must be 0 for grey images"):
        traditional(images[:, :1], PICTURES, rng())


def test_fresh_copies_differ_from_epoch_to_epoch_and_start_with_the_frozen_ones(tiny_task):
    images, recipe = tiny_task.train.images, Recipe()
    epochs = list(islice(fresh(images, tiny_task, recipe, seed=3), 3))
    assert torch.equal(epochs[0], copies(tiny_task, recipe, 3, "cpu"))
    for one, other in ((0, 1), (1, 2), (0, 2)):
        same = (epochs[one] == epochs[other]).flatten(1).all(dim=1)
        assert same.sum() < 3, "nearly every image is transformed anew"


def test_an_epoch_of_fresh_copies_holds_each_image_and_its_own_copy(tiny_task, monkeypatch):
    """Labels, originals in every epoch, and copies that come from the image with that label."""
    seen = []

    def watch(model, augmenter, optimiser, images, labels, *_):
        seen.append((tiny_task.denormalise(images), labels))
        return {}

    monkeypatch.setattr("course_lib.training.train_step", watch)
    fit(tiny_task, "traditional-fresh", Recipe(epochs=2, batch_size=96, transforms="flip"), seed=1)
    known = {
        image.numpy().tobytes(): label.item()
        for image, label in zip(tiny_task.train.images, tiny_task.train.labels, strict=True)
    }
    held_out = {image.numpy().tobytes() for image in tiny_task.validation.images}
    flipped = []
    for images, labels in seen:
        plain = [image.numpy().tobytes() for image in images]
        mirrored = [image.flip(-1).contiguous().numpy().tobytes() for image in images]
        assert set(known) <= set(plain), "every original is there"
        for straight, turned, label in zip(plain, mirrored, labels.tolist(), strict=True):
            assert known.get(straight, known.get(turned)) == label
        assert not held_out & {*plain, *mirrored}
        pairs = zip(plain, mirrored, strict=True)
        flipped.append({turned for straight, turned in pairs if straight not in known})
    assert len(seen) == 2 and flipped[0] != flipped[1]
    assert all(12 < len(images) < 36 for images in flipped), "half of 48 copies are mirrored"


def test_nuisances_go_far_and_each_does_one_thing(images):
    found = nuisances(images)
    assert found.keys() == {"plain", *NUISANCES} and torch.equal(found["plain"], images)
    for name, most in NUISANCES.items():
        one = only(**{name: most})
        expected = traditional(images, one, stream(0, f"test {name}"))
        assert torch.equal(found[name], expected)
        assert most > getattr(PICTURES, name), "farther than the course trains with"
    assert not torch.equal(nuisances(images, seed=1)["shift"], found["shift"])
    assert "hue" not in nuisances(images[:, :1])


def test_one_transformation_for_each_image(tiny_task):
    """ "or" in §3.1: each copy is what one of the seven makes of its image; all seven occur."""
    images, draws = tiny_task.train.images.repeat(5, 1, 1, 1), rng(1)
    copied = one_of_them(images, PICTURES, draws)
    names = list(PICTURES.amounts())
    again = rng(1)
    drawn = torch.randint(7, (len(images),), generator=again)
    assert set(drawn.tolist()) == set(range(7))
    for index, name in enumerate(names):
        mine = drawn == index
        assert torch.equal(copied[mine], traditional(images[mine], PICTURES.only(name), again))
    flips = drawn == names.index("flip")
    assert all(
        torch.equal(copy, image) or torch.equal(copy, image.flip(-1))
        for copy, image in zip(copied[flips], images[flips], strict=True)
    )
    recipe = Recipe(transforms="one", epochs=1)
    assert facts(tiny_task, recipe, "cpu")["transforms"] == PICTURES.amounts() | {"one": True}
    assert torch.equal(
        copies(tiny_task, recipe, 3, "cpu"),
        next(fresh(tiny_task.train.images, tiny_task, recipe, 3)),
    )


def test_strength_scales_every_range_and_one_changes_nothing():
    assert PICTURES.times(1.0) == PICTURES
    assert PICTURES.times(0).amounts() == {}
    twice = PICTURES.times(2.0)
    assert {name: 2 * most for name, most in PICTURES.amounts().items()} == twice.amounts()
    assert PICTURES.only("rotate").times(12).rotate == BOUNDS["rotate"]


def test_strength_reaches_the_copies_and_the_record(tiny_task):
    def first(strength):
        recipe = Recipe(transforms="rotate", strength=strength)
        return copies(tiny_task, recipe, 0, "cpu"), facts(tiny_task, recipe, "cpu")["transforms"]

    nothing, weak, course = first(0.0), first(0.5), first(1.0)
    assert torch.equal(nothing[0], tiny_task.train.images)
    assert not torch.equal(weak[0], course[0])
    assert (nothing[1], weak[1], course[1]) == ({}, {"rotate": 7.5}, {"rotate": 15.0})


def test_strength_out_of_range(tiny_task):
    with pytest.raises(CourseError, match="strength -1 must be"):
        Recipe(strength=-1)
    with pytest.raises(CourseError, match="strength 0 leaves no"):
        Recipe(transforms="one", strength=0)
    with pytest.raises(CourseError, match="strength 2.5 must be"):  # flip's bound is reached at 2
        fit(tiny_task, "traditional-fresh", Recipe(strength=2.5))
