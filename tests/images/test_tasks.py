import hashlib
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import WNIDS, official_files, write_official

from course_lib.images.tasks import BREEDS, POOLED, TASKS, image_ids, load_task
from course_lib.support.files import data_folder
from course_lib.support.validation import CourseError

CUSTOM = "-vs-".join(WNIDS)


@pytest.fixture(scope="module", params=TASKS)
def task(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DATA", str(tmp_path_factory.mktemp("empty")))
        patch.setenv("COURSE_STAND_INS", "1")
        return load_task(request.param)


def parts(task):
    return task.train, task.validation, task.test


def test_sizes_and_types(task):
    train, validation, test = (len(part.labels) for part in parts(task))
    if task.source == "stand-in":
        assert (train, validation, test) == (800, 200, 2000)
    else:
        assert (train, validation, test) == (1350, 338, 200)
    for images, labels in parts(task):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        assert len(images) == len(labels) and images.shape[1:] == task.train.images.shape[1:]


def test_split_is_stratified_and_disjoint(task):
    for _, labels in parts(task):
        assert labels.sum() * 2 == len(labels)
    seen = [image.numpy().tobytes() for part in parts(task) for image in part.images]
    assert len(set(seen)) >= len(seen) - 3, "an image stands in two parts"


def test_training_images_are_normalised_by_their_own_statistics(task):
    pixels = task.normalise(task.train.images).double()
    assert pixels.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (pixels.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-4
    assert task.normalise(task.validation.images).mean().abs() > 1e-5
    assert torch.equal(task.denormalise(task.normalise(task.test.images)), task.test.images)


def test_seed_decides_the_split(task):
    again, other = load_task(task.name, seed=0), load_task(task.name, seed=1)
    assert task.digest == again.digest != other.digest
    assert torch.equal(task.test.images, other.test.images), "the test set has no seed"


def test_source_is_told(task):
    assert task.source in task.title
    assert ("stand-in" in str(task)) == (task.source == "stand-in")


@pytest.mark.parametrize("size", [{}, {"images_per_class": 23}])
def test_five_seeds_validate_every_image_once(size):
    """Seeds 0–4 and 5–9: five disjoint fifths each, and what is not validated is trained on."""
    for block in (0, 1):
        tasks = [load_task("mnist-0-vs-8", seed=5 * block + fold, **size) for fold in range(5)]
        held_out = [image_ids(task.validation.images) for task in tasks]
        images = sorted(image_ids(tasks[0].train.images) + held_out[0])
        assert sorted(sum(held_out, [])) == images
        for task, ids in zip(tasks, held_out, strict=True):
            assert sorted(image_ids(task.train.images) + ids) == images
            assert abs(task.validation.labels.sum() - len(ids) / 2) <= 1
    first, other = (load_task("mnist-0-vs-8", seed=seed, images_per_class=50) for seed in (0, 5))
    assert image_ids(first.validation.images) != image_ids(other.validation.images)


def test_image_ids_follow_the_pixels():
    images = torch.arange(3 * 48, dtype=torch.uint8).view(3, 3, 4, 4)
    slow = [hashlib.sha256(bytes(image.flatten().tolist())).hexdigest()[:8] for image in images]
    assert image_ids(images) == slow and len(set(slow)) == 3


def test_pooled_tasks(real_images):
    for name, kinds in POOLED.items():
        first, other = (load_task(name, seed=seed) for seed in (0, 1))
        assert (len(first.train.labels), len(first.validation.labels)) == (800, 200)
        pool = {*image_ids(first.train.images), *image_ids(first.validation.images)}
        assert pool == {*image_ids(other.train.images), *image_ids(other.validation.images)}
        assert len(pool) > 990 and not pool & set(image_ids(first.test.images))
        for label, kind in enumerate(kinds):
            breeds = len(BREEDS[kind])
            assert (first.test.labels == label).sum() == 500 * breeds - 500 + 50 * breeds
        two = load_task("n02085620-vs-n02123045")
        if name == "all-dogs-vs-all-cats":
            shares = set(image_ids(two.train.images)) & pool
            assert 0 < len(shares) < 400, "some of each breed"


def test_a_smaller_side_is_the_mean_of_pixels():
    whole, small = (load_task("dogs-vs-cats", "stand-in", 0, 10, side) for side in (None, 32))
    assert small.train.images.shape == (16, 3, 32, 32) and small.test.images.shape[-1] == 32
    blocks = whole.train.images.double().view(16, 3, 32, 2, 32, 2).mean(dim=(3, 5))
    assert (small.train.images.double() - blocks).abs().max() <= 0.5
    digits = load_task("mnist-0-vs-8", images_per_class=10, side=32)
    assert digits.train.images.shape[-1] == 28, "they are smaller already"
    with pytest.raises(CourseError, match="side 48 must divide 64"):
        load_task("dogs-vs-cats", "stand-in", side=48)
    with pytest.raises(CourseError, match="side 'big' must be"):
        load_task("dogs-vs-cats", "stand-in", side="big")


@pytest.mark.slow
def test_more_stand_ins_are_drawn_where_more_are_asked_for():
    few, many = (load_task("dogs-vs-goldfish", "stand-in", 0, count) for count in (500, 800))
    assert len(few.train.labels) == 800 and len(many.train.labels) == 1280
    assert torch.equal(few.test.images, many.test.images) and len(few.test.labels) == 2000
    pool = {*image_ids(many.train.images), *image_ids(many.validation.images)}
    assert {*image_ids(few.train.images)} < pool and not pool & {*image_ids(many.test.images)}
    with pytest.raises(CourseError, match="images_per_class 1001 is more than there are stand-ins"):
        load_task("dogs-vs-goldfish", "stand-in", 0, 1001)


def test_imbalance():
    """One in ten training images of class 1; validation and test images stay as they are."""
    whole, rare = (load_task("mnist-0-vs-8", images_per_class=100, imbalance=i) for i in (1, 10))
    assert torch.bincount(rare.train.labels).tolist() == [80, 8]
    assert torch.equal(rare.validation.images, whole.validation.images)
    assert set(image_ids(rare.train.images)) < set(image_ids(whole.train.images))
    more = rare.lacking()
    assert more.train.labels.unique().tolist() == [1] and len(more.train.labels) == 72
    eights = set(image_ids(rare.train.images[rare.train.labels == 1]))
    counts = Counter(image_ids(more.train.images))
    assert counts.keys() == eights and set(counts.values()) == {9}
    with pytest.raises(CourseError, match="both classes have 80 images: none is lacking"):
        whole.lacking()
    assert len(load_task("mnist-0-vs-8", images_per_class=100, imbalance=50).train.labels) == 82
    for bad, message in ((80, "leaves 1 of 80"), (0, "imbalance 0 must be")):
        with pytest.raises(CourseError, match=message):
            load_task("mnist-0-vs-8", images_per_class=100, imbalance=bad)


def test_fewer_images():
    task = load_task("mnist-0-vs-8", images_per_class=50)
    assert len(task.train.labels) == 80 and len(task.validation.labels) == 20
    assert len(task.test.labels) == 200


@pytest.mark.parametrize("as_zip", [False, True])
def test_any_two_wnids(as_zip):
    write_official(data_folder(), official_files(), as_zip)
    task = load_task(CUSTOM)
    assert task.source == "tiny-imagenet" and task.classes == WNIDS
    assert (len(task.train.labels), len(task.validation.labels), len(task.test.labels)) == (
        20,
        4,
        6,
    )


def test_auto_prefers_the_papers_images(real_images):
    task = load_task("dogs-vs-cats")
    assert task.source == "tiny-imagenet" and len(task.train.labels) == 800
    assert load_task("dogs-vs-cats", source="stand-in").source == "stand-in"


def test_full_mnist_is_taken_when_it_is_there():
    raw = data_folder() / "MNIST" / "raw"
    raw.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part, count in (("train", 4000), ("t10k", 300)):
        labels = (np.arange(count) % 3 * 4).astype(np.uint8)  # 0, 4 and 8
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in images.shape)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = bytes([0, 0, 8, 1]) + count.to_bytes(4, "big")
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    task = load_task("mnist-0-vs-8")
    assert (len(task.train.labels), len(task.validation.labels), len(task.test.labels)) == (
        1600,
        400,
        200,
    )
    (raw / "train-images-idx3-ubyte").write_bytes(b"cut")
    with pytest.raises(CourseError, match="MNIST/raw cannot be read"):
        load_task("mnist-0-vs-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "dogs-vs-cat"}, "task 'dogs-vs-cat' is unknown .*dogs-vs-cats"),
        ({"name": None}, "task None is unknown"),
        ({"name": "n00000001-vs-n00000001"}, "names one class twice"),
        ({"name": CUSTOM}, "not on disk"),
        ({"name": "dogs-vs-cats", "source": "imagenet"}, "source of dogs-vs-cats 'imagenet' is unknown"),
        ({"name": "dogs-vs-cats", "source": "tiny-imagenet"}, "not on disk: put tiny-imagenet-200.zip"),
        ({"name": "mnist-0-vs-8", "source": "stand-in"}, "choose one of auto, mnist"),
        ({"name": CUSTOM, "source": "stand-in"}, "choose one of auto, tiny-imagenet"),
        ({"name": "mnist-0-vs-8", "seed": 1.5}, "seed 1.5 must be a whole number"),
        ({"name": "mnist-0-vs-8", "seed": -1}, "seed -1 must be"),
        ({"name": "mnist-0-vs-8", "images_per_class": 4}, "images_per_class 4 must be .* 5 or more"),
        ({"name": "mnist-0-vs-8", "images_per_class": 5000}, "5000 is more than the 844"),
    ],
)  # fmt: skip
def test_bad_input(arguments, message):
    with pytest.raises(CourseError, match=message) as caught:
        load_task(**arguments)
    assert "\n" not in str(caught.value)


def test_copies_must_fit(tiny_task):
    assert tiny_task.with_copies(tiny_task.train.images).copies is not None
    for wrong in (tiny_task.train.images[:3], tiny_task.train.images.float()):
        with pytest.raises(CourseError, match="copies .* must be a tensor .48, 3, 8, 8. of uint8"):
            tiny_task.with_copies(wrong)
