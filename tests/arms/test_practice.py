"""Arms of practice, from torchvision: own draws, right labels, no image of validation touched."""

import dataclasses
from itertools import islice

import pytest
import torch
from torch.nn import functional

from course_lib.arms import ARMS
from course_lib.arms.practice import AcrossClasses
from course_lib.images import Examples
from course_lib.losses import classification_loss
from course_lib.study import is_run
from course_lib.support.randomness import global_draws, stream
from course_lib.training import Recipe, fit, smoothed

POLICIES = ("flip-crop", "trivialaugment", "randaugment", "erasing")


def fresh(images, task, seed, name):
    return ARMS[name].fresh(images, task, Recipe(), seed)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def one_image_many_times(tiny_task):
    """48 times the same picture of 16×16, so that equal copies mean equal draws."""
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    image = torch.cat([ramp, ramp.flip(1), ramp.flip(2)])
    images = image.repeat(48, 1, 1, 1)
    return dataclasses.replace(tiny_task, train=Examples(images, tiny_task.train.labels))


@pytest.mark.parametrize("name", POLICIES)
def test_each_image_has_draws_of_its_own(one_image_many_times, name):
    """A draw that a batch shares would make 48 equal copies."""
    images = one_image_many_times.train.images
    first, second = islice(fresh(images, one_image_many_times, 3, name), 2)
    assert first.shape == images.shape and first.dtype == torch.uint8
    kinds = {copy.numpy().tobytes() for copy in first}
    assert len(kinds) > 15
    assert not torch.equal(first, second), "an epoch has draws of its own"
    again = next(fresh(images, one_image_many_times, 3, name))
    other = next(fresh(images, one_image_many_times, 4, name))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("name", POLICIES)
def test_copies_are_what_the_policy_makes_of_their_own_image(tiny_task, name):
    """Image by image, from the same draws: copies stay in the order of their images."""
    images = tiny_task.train.images
    made = next(fresh(images, tiny_task, 5, name))
    transform = ARMS[name].fresh.keywords["make"](images.shape[-1])
    with global_draws(stream(5, "policy")):
        slow = [transform(image) for image in images]
    assert torch.equal(made, torch.stack(slow))


def test_drawing_leaves_the_callers_random_numbers_alone(tiny_task):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    next(fresh(tiny_task.train.images, tiny_task, 3, "trivialaugment"))
    AcrossClasses("MixUp")(torch.zeros(8, 3, 8, 8), torch.arange(8) % 2, rng())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_shares_say_how_much_of_each_class_is_in_an_image(name):
    """Class 0 is black and class 1 white: an image's mean is the share of class 1."""
    labels = torch.arange(32) % 2
    images = labels.float().view(-1, 1, 1, 1).expand(32, 3, 16, 16)
    lambdas = set()
    for seed in range(20):
        mixed, shares, loss = AcrossClasses(name)(images, labels, rng(seed))
        assert loss is None and torch.allclose(shares.sum(dim=1), torch.ones(32))
        assert torch.allclose(mixed.mean(dim=(1, 2, 3)), shares[:, 1], atol=1e-5)
        lambdas.add(round(shares[0, 0].item(), 4))
    assert len(lambdas) > 10


def test_loss_of_shares_against_a_slow_loop():
    scores, shares = torch.randn(5, 2, generator=rng()).double(), torch.rand(5, 1, generator=rng(1))
    shares = torch.cat([shares, 1 - shares], dim=1).double()
    total = 0.0
    for row, part in zip(scores, shares, strict=True):
        for score, share in zip(row, part, strict=True):
            p = torch.sigmoid(score)
            total -= (share * p.log() + (1 - share) * (1 - p).log()).item()
    assert classification_loss(scores, shares).item() == pytest.approx(total / 10)
    labels = torch.tensor([0, 1, 1, 0, 1])
    for reading in ("sigmoid", "softmax", "softmax-of-sigmoids"):
        hard = classification_loss(scores, labels, reading)
        assert torch.isclose(
            hard, classification_loss(scores, functional.one_hot(labels).double(), reading)
        )


def test_smoothed_labels():
    assert torch.equal(smoothed(torch.tensor([0, 1]), 0.0), torch.tensor([0, 1]))
    expected = torch.tensor([[0.95, 0.05], [0.05, 0.95]])
    assert torch.allclose(smoothed(torch.tensor([0, 1]), 0.1), expected)


def test_rivals_change_training_and_nothing_else(tiny_task):
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=1e-3)
    plain, _ = fit(tiny_task, "none-matched", recipe)
    for arm in ("weight-decay", "label-smoothing"):
        rival, history = fit(tiny_task, arm, recipe)
        by_hand, _ = fit(tiny_task, "none-matched", dataclasses.replace(recipe, **ARMS[arm].recipe))
        assert torch.equal(rival[0].weight, by_hand[0].weight)
        assert not torch.equal(rival[0].weight, plain[0].weight)
    norms = [
        fit(tiny_task, "none", dataclasses.replace(recipe, weight_decay=decay))[0]
        for decay in (0.0, 5.0)
    ]
    assert norms[1][11].weight.norm() < 0.98 * norms[0][11].weight.norm()


def test_traditional_then_neural_pairs_transformed_images(tiny_task, monkeypatch):
    """AugNet gets pairs of copies of one class, new in each epoch; SmallNet the originals, too."""
    pools, real, made = [], [], []

    def watch(model, augmenter, optimiser, images, labels, recipe, draws, averages):
        generated, targets, _ = augmenter(images, labels, draws)
        pools.append(augmenter.images.clone())
        real.append(images)
        made.append((generated, targets, labels))
        return {}

    monkeypatch.setattr("course_lib.training.train_step", watch)
    fit(tiny_task, "traditional+neural", Recipe(epochs=2, batch_size=48), seed=2)
    expected = islice(
        ARMS["traditional-fresh"].fresh(tiny_task.train.images, tiny_task, Recipe(), 2), 2
    )
    for pool, copies in zip(pools, expected, strict=True):
        assert torch.equal(pool, tiny_task.normalise(copies))
    originals = tiny_task.normalise(tiny_task.train.images).sum(dim=(1, 2, 3)).sort().values
    for images, (generated, targets, labels) in zip(real, made, strict=True):
        assert torch.allclose(images.sum(dim=(1, 2, 3)).sort().values, originals, atol=1e-3)
        assert generated.shape == images.shape and torch.equal(targets, labels)


@pytest.mark.parametrize("arm", [name for name, arm in ARMS.items() if arm.whose == "practice"])
def test_validation_and_test_decide_nothing(tiny_task, arm):
    recipe = Recipe(epochs=1, batch_size=16, last_epochs=1, readings=False)
    model, _ = fit(tiny_task, arm, recipe)
    other = dataclasses.replace(
        tiny_task,
        validation=tiny_task.test,
        test=tiny_task.validation._replace(images=255 - tiny_task.validation.images),
    )
    assert torch.equal(fit(other, arm, recipe)[0][0].weight, model[0].weight)


def test_which_are_run_and_colour():
    assert is_run("dogs-vs-cats", "mixup") and not is_run("mnist-0-vs-8", "mixup")
    assert "colour" in ARMS["trivialaugment"].needs
