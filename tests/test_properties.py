"""What holds of tasks, augmentations and losses for whatever input fits their signature."""

from functools import lru_cache

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.arms import ARMS
from course_lib.arms.gan import stylise
from course_lib.arms.generators import STYLES
from course_lib.arms.pairs import SameClassSampler
from course_lib.arms.traditional import BOUNDS, Transforms, traditional
from course_lib.images.tasks import TASKS, load_task
from course_lib.losses import (
    CLASSIFICATION_LOSSES,
    classification_loss,
    combined_loss,
    content_loss,
    gram_matrix,
    style_loss,
)
from course_lib.training import Recipe

# A processor that others use too would fail a deadline; one folder serves all examples of a test.
settings.register_profile(
    "course",
    deadline=None,
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("course")

seeds = st.integers(0, 2**63 - 1)
sides = st.integers(4, 20)


@st.composite
def pictures(draw, channels=(1, 3)):
    """uint8 images (N, C, H, W) of any small size."""
    shape = draw(st.integers(1, 6)), draw(st.sampled_from(channels)), draw(sides), draw(sides)
    return torch.randint(256, shape, generator=rng(draw(seeds)), dtype=torch.uint8)


@st.composite
def batches(draw, channels=(1, 3)):
    """Two batches of normalised images of one shape."""
    shape = draw(st.integers(1, 4)), draw(st.sampled_from(channels)), draw(sides), draw(sides)
    scale = draw(st.sampled_from([1e-3, 1.0, 1e3]))
    return scale * torch.randn(2, *shape, generator=rng(draw(seeds)), dtype=torch.float64)


@st.composite
def ranges(draw, colour=True):
    """Any transformations, each within its bounds."""
    amounts = {name: draw(st.floats(0, most)) for name, most in BOUNDS.items()}
    return Transforms(**amounts if colour else amounts | {"hue": 0.0})


def rng(seed):
    return torch.Generator().manual_seed(seed)


# Tasks


@lru_cache
def labels_of(name):
    """Each image of a task and its label, whatever the split."""
    task = load_task(name)
    return {
        image.numpy().tobytes(): label
        for part in (task.train, task.validation)
        for image, label in zip(part.images, part.labels.tolist(), strict=True)
    }


@settings(max_examples=12)
@given(st.sampled_from(TASKS), st.integers(5, 20), seeds)
def test_a_task(name, count, seed):
    task, again = (load_task(name, "auto", seed, count) for _ in range(2))
    assert task.digest == again.digest
    cut = round(0.8 * count)
    for part, each in ((task.train, cut), (task.validation, count - cut), (task.test, None)):
        assert part.images.dtype == torch.uint8 and part.labels.dtype == torch.int64
        assert len(part.images) == len(part.labels) and part.images.ndim == 4
        zeros, ones = torch.bincount(part.labels, minlength=2).tolist()
        assert zeros == ones and (each is None or zeros == each)
    by_label = labels_of(name)
    for part in (task.train, task.validation):
        for image, label in zip(part.images, part.labels.tolist(), strict=True):
            assert by_label[image.numpy().tobytes()] == label


@settings(max_examples=6)
@given(st.sampled_from(TASKS), seeds)
def test_normalising_and_back(name, seed):
    task = load_task(name, seed=seed, images_per_class=5)
    before = task.test.images.clone()
    pixels = task.normalise(task.test.images)
    assert pixels.dtype == torch.float32 and pixels.isfinite().all()
    assert torch.equal(task.denormalise(pixels), before)
    assert torch.equal(task.test.images, before)


# Augmentations


@given(st.data(), seeds)
def test_traditional(data, seed):
    images = data.draw(pictures())
    transforms = data.draw(ranges(colour=images.shape[1] == 3))
    before = images.clone()
    copies = traditional(images, transforms, rng(seed))
    assert copies.dtype == torch.uint8 and copies.shape == images.shape
    assert torch.equal(images, before) and copies.data_ptr() != images.data_ptr()
    assert torch.equal(copies, traditional(images, transforms, rng(seed)))


@given(pictures(), seeds)
def test_traditional_switched_off(images, seed):
    off = Transforms(**dict.fromkeys(BOUNDS, 0.0))
    assert torch.equal(traditional(images, off, rng(seed)), images)


@settings(max_examples=5)
@given(
    pictures(channels=(3,)),
    st.lists(st.sampled_from(list(STYLES)), min_size=1, max_size=3, unique=True),
    seeds,
)
def test_stylise(images, styles, seed):
    before = images.clone()
    with pytest.MonkeyPatch.context() as patch:
        made = stylise(images, styles, seed=seed)
        patch.setattr("course_lib.support.files.read_arrays", lambda path: None)
        again = stylise(images, styles, seed=seed)
    assert made.images.dtype == torch.uint8 and made.images.shape == images.shape
    assert torch.equal(images, before) and set(made.styles) <= set(styles)
    assert made.styles == again.styles and torch.equal(made.images, again.images)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 30), seeds)
def test_pairs(zeros, ones, count, seed):
    labels = torch.tensor([0] * zeros + [1] * ones)[
        torch.randperm(zeros + ones, generator=rng(seed))
    ]
    wanted = torch.randint(2, (count,), generator=rng(seed))
    drawn = SameClassSampler(labels).draw(wanted, rng(seed))
    assert drawn.shape == (count, 3) and drawn.dtype == torch.int64
    assert (labels[drawn] == wanted.unsqueeze(1)).all()
    assert (drawn[:, 0] != drawn[:, 1]).all()
    assert torch.equal(drawn, SameClassSampler(labels).draw(wanted, rng(seed)))


@given(st.sampled_from([arm.name for arm in ARMS.values() if arm.augmenter]), st.data(), seeds)
def test_generated_images(arm, data, seed):
    channels = (3,) if arm == "neural-style" else (1, 3)
    first, second = data.draw(batches(channels)).float()
    images = torch.cat([first, second, first, second])
    labels = (torch.arange(len(images)) >= len(images) // 2).long()
    before = images.clone()
    augmenter = ARMS[arm].augmenter(images, labels, Recipe())
    made, targets, loss = augmenter(images, labels, rng(seed))
    assert torch.equal(targets, labels)
    assert made.shape == images.shape and made.dtype == torch.float32 and made.isfinite().all()
    assert torch.equal(made, augmenter(images, labels, rng(seed))[0])
    assert torch.equal(images, before)
    assert (loss is not None) == (arm in ("neural-content", "neural-style"))
    if arm.startswith("pair"):
        assert made.min() >= images.min() - 1e-3 and made.max() <= images.max() + 1e-3


# Losses


@given(st.integers(1, 20), st.floats(0, 1e4), st.sampled_from(CLASSIFICATION_LOSSES), seeds)
def test_classification(count, scale, reading, seed):
    scores = scale * torch.randn(count, 2, generator=rng(seed))
    labels = torch.randint(2, (count,), generator=rng(seed))
    before = scores.clone()
    loss = classification_loss(scores, labels, reading)
    assert loss.shape == () and loss.dtype == torch.float32 and 0 <= loss < float("inf")
    assert torch.equal(scores, before)
    assert torch.equal(loss, classification_loss(scores, labels, reading))
    turned = classification_loss(scores.flip(1), 1 - labels, reading)
    assert torch.allclose(loss, turned), "the classes change places with their names"
    order = torch.randperm(count, generator=rng(seed))
    assert torch.allclose(loss, classification_loss(scores[order], labels[order], reading))


@given(batches(channels=(3,)))
def test_augmentation_losses(pair):
    one, other = pair
    before = pair.clone()
    for loss in (content_loss, style_loss):
        value = loss(one, other)
        assert value.shape == () and value.dtype == one.dtype and 0 <= value < float("inf")
        assert torch.equal(value, loss(other, one)) and loss(one, one) == 0
    assert torch.equal(pair, before)


@given(batches())
def test_gram_matrices(pair):
    images = pair[0]
    gram = gram_matrix(images)
    assert gram.shape == (len(images), images.shape[1], images.shape[1])
    assert torch.allclose(gram, gram.transpose(1, 2))
    assert (torch.linalg.eigvalsh(gram) >= -1e-9 * gram.abs().max()).all()
    assert torch.allclose(gram, gram_matrix(images.flip(2).flip(3))), "the place does not count"


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 10), st.floats(0, 10))
def test_combined(classification, augmentation, alpha, beta):
    one, other = (torch.tensor(v, dtype=torch.float64) for v in (classification, augmentation))
    total = combined_loss(one, other, alpha, beta)
    assert total.shape == () and total >= 0
    assert (
        combined_loss(one, None, alpha, beta) is one and combined_loss(one, other, alpha, 0) is one
    )
