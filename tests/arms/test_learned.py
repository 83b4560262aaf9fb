import dataclasses

import pytest
import torch
from torch import nn

from course_lib.arms import ARMS
from course_lib.arms.pairs import Augmenter, SameClassSampler
from course_lib.images import Examples
from course_lib.losses import classification_loss
from course_lib.models import AugNet, SmallNet
from course_lib.support.randomness import stream, stream_seed
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, fit

# Arms that make images of pairs of a class; the others of each batch are in test_practice.
LEARNED = [
    arm.name
    for arm in ARMS.values()
    if arm.made == "each batch" and arm.whose != "practice" and arm.fresh is None
]
WITH_AUGNET = [arm for arm in LEARNED if not arm.startswith("pair")]


def augmenter_of(arm, images, labels):
    return ARMS[arm].augmenter(images, labels, Recipe())


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_augnet_is_the_papers():
    shapes = [
        tuple(layer.weight.shape) for layer in AugNet(3).layers if isinstance(layer, nn.Conv2d)
    ]
    assert shapes == [(16, 6, 3, 3), *[(16, 16, 3, 3)] * 3, (3, 16, 3, 3)]
    assert isinstance(AugNet(3).layers[-1], nn.Conv2d), "no activation at the end"
    for channels, height, width in [(3, 64, 64), (1, 28, 28), (3, 17, 40)]:
        images = torch.randn(2, channels, height, width)
        assert AugNet(channels)(images, images).shape == images.shape


@pytest.mark.parametrize("sizes", [(2, 2), (3, 2), (3, 3), (5, 40)])
def test_partners_are_of_the_class_and_different(sizes):
    labels = torch.tensor([0] * sizes[0] + [1] * sizes[1])[
        torch.randperm(sum(sizes), generator=rng())
    ]
    wanted = torch.tensor([0, 1] * 300)
    drawn = SameClassSampler(labels).draw(wanted, rng())
    assert drawn.shape == (600, 3)
    assert (labels[drawn] == wanted.unsqueeze(1)).all()
    assert (drawn[:, 0] != drawn[:, 1]).all()
    for label, size in enumerate(sizes):
        triples = drawn[wanted == label]
        assert len(triples.unique()) == size, "every image is drawn"
        if size > 2:
            assert (triples[:, 2:] != triples[:, :2]).all()


def test_partners_are_drawn_evenly():
    drawn = SameClassSampler(
        torch.zeros(5, dtype=torch.int64).index_fill(0, torch.tensor([3, 4]), 1)
    )
    triples = drawn.draw(torch.zeros(60_000, dtype=torch.int64), rng())
    for place in range(3):
        counts = torch.bincount(triples[:, place], minlength=3)[:3]
        assert (counts - 20_000).abs().max() < 500
    orders = torch.unique(triples, dim=0, return_counts=True)[1]
    assert len(orders) == 6 and (orders - 10_000).abs().max() < 400


def test_too_few_images_to_pair(tiny_task):
    few = Examples(tiny_task.train.images[:5], torch.tensor([0, 0, 0, 0, 1]))
    for arm in LEARNED:
        with pytest.raises(CourseError, match="class 1 has 1 training images: a pair takes 2"):
            fit(dataclasses.replace(tiny_task, train=few), arm, Recipe(epochs=1))


def test_the_control_feeds_the_image_itself_twice(tiny_task):
    images = tiny_task.normalise(tiny_task.train.images)
    control = augmenter_of("control", images, tiny_task.train.labels)
    seen = []
    control.augnet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    control(images[:9], tiny_task.train.labels[:9], rng())
    ((first, second),) = seen
    assert torch.equal(first, images[:9]) and torch.equal(second, images[:9])


@pytest.mark.parametrize(
    "arm", ["neural", "neural-content", "neural-style", "pair-mean", "pair-mixup"]
)
def test_sources_and_targets_are_training_images_of_the_class(tiny_task, arm, monkeypatch):
    """Each image of each class is a constant of its own, so that every use can be recognised."""
    labels = tiny_task.train.labels
    values = torch.arange(48) + 100 * labels
    images = values.float().view(48, 1, 1, 1).expand(48, 3, 4, 4)
    augmenter = augmenter_of(arm, images, labels)
    used = []

    def watch(first, second, generator):
        used.extend([first, second])
        return first

    monkeypatch.setattr(augmenter, "mix", watch)
    if augmenter.loss is not None:
        augmenter.loss = lambda made, target: used.append(target) or made.sum()
    augmenter(images[:30], labels[:30], rng())
    assert len(used) == (3 if arm in ("neural-content", "neural-style") else 2)
    for batch in used:
        values_used = batch[:, 0, 0, 0].long()
        assert torch.isin(values_used, values).all()
        assert torch.equal((values_used >= 100).long(), labels[:30])


def test_pairs_without_augnet(tiny_task):
    images = tiny_task.normalise(tiny_task.train.images)
    zero, one = torch.zeros(500, 3, 4, 4), torch.ones(500, 3, 4, 4)
    for arm in ("pair-mean", "pair-mixup"):
        augmenter = augmenter_of(arm, images, tiny_task.train.labels)
        assert not list(augmenter.parameters())
        blended = augmenter.mix(zero, one, rng())
        assert (blended == blended[:, :1, :1, :1]).all(), "one proportion per image"
        shares = blended[:, 0, 0, 0]
        if arm == "pair-mean":
            assert (shares == 0.5).all()
        else:
            assert (
                0 <= shares.min() < 0.02
                and 0.98 < shares.max() <= 1
                and abs(shares.mean() - 0.5) < 0.05
            )


@pytest.mark.parametrize("arm", ["neural", "neural-content", "neural-style"])
def test_with_beta_0_gradients_are_those_of_the_classification_loss_alone(
    tiny_task, arm, monkeypatch
):
    """The gradients of the generated step, against those written out by hand."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in `fit`: other last bits flip a maximum here and there
    steps = []
    monkeypatch.setattr(
        "course_lib.training._descend", lambda optimiser, loss: steps.append((optimiser, loss))
    )
    fit(tiny_task, arm, Recipe(beta=0.0, epochs=1, batch_size=48), seed=5)
    optimiser, loss = steps[1]  # the second step of the only batch: nothing has been updated yet
    weights = optimiser.param_groups[0]["params"]
    ours = torch.autograd.grad(loss, weights)

    torch.manual_seed(stream_seed(5, "initial weights"))
    model = SmallNet(3, 8).to(memory_format=torch.channels_last)
    torch.manual_seed(stream_seed(5, "AugNet's initial weights"))
    augnet = AugNet(3).to(memory_format=torch.channels_last)
    torch.manual_seed(stream_seed(5, "dropout"))
    images = tiny_task.normalise(tiny_task.train.images)
    images = images.contiguous(memory_format=torch.channels_last)
    order = torch.randperm(48, generator=stream(5, "batch order"))
    labels = tiny_task.train.labels[order]
    model(images[order])  # the real batch: moves running statistics and the dropout stream
    first, second, _ = SameClassSampler(tiny_task.train.labels).draw(labels, stream(5, "pairs")).T
    loss = classification_loss(model(augnet(images[first], images[second])), labels)
    theirs = torch.autograd.grad(loss, [*model.parameters(), *augnet.parameters()])
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-8)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("arm", LEARNED)
def test_history_shows_what_is_generated(tiny_task, arm):
    _, history = fit(tiny_task, arm, Recipe(epochs=3, batch_size=16))
    assert {len(curve) for curve in history.curves.values()} == {3}
    assert ("augmentation_loss" in history.curves) == (arm in ("neural-content", "neural-style"))
    assert history.sources.shape == (4, 2, 3, 8, 8) and len(history.generated) == 3
    assert all(made.shape == (4, 3, 8, 8) for made in history.generated)
    assert len(history.augnets) == (3 if arm in WITH_AUGNET else 0)
    if arm in WITH_AUGNET:
        first, second = task_pairs(tiny_task, history, same=arm == "control")
        assert torch.allclose(history.augnets[1](first, second), history.generated[1], atol=1e-4)
        assert not torch.equal(history.generated[0], history.generated[2]), "AugNet learns"


def task_pairs(task, history, same):
    first, second = (task.normalise(history.sources[:, side]) for side in (0, 1))
    return first, first if same else second


@pytest.mark.parametrize("arm", LEARNED)
def test_augnet_has_no_part_in_validation_and_test(tiny_task, arm, monkeypatch):
    calls = []
    real = Augmenter.forward

    def watch(self, images, labels, generator):
        calls.append(len(images))
        return real(self, images, labels, generator)

    monkeypatch.setattr(Augmenter, "forward", watch)
    model, history = fit(tiny_task, arm, Recipe(epochs=2, batch_size=16))
    assert calls == [16] * 6, "the 48 training images an epoch, and no others"
    assert not any(isinstance(module, AugNet) for module in model.modules())
    scores = model(tiny_task.normalise(tiny_task.test.images))
    assert torch.equal(scores.argmax(dim=1) == tiny_task.test.labels, history.correct["test_last"])


@pytest.mark.parametrize("arm", LEARNED)
def test_same_seed_same_bits(tiny_task, arm):
    curves = [
        fit(tiny_task, arm, Recipe(epochs=2), seed=seed)[1].curves["generated_accuracy"]
        for seed in (1, 1)
    ]
    losses = [
        fit(tiny_task, arm, Recipe(epochs=2), seed=seed)[1].curves["train_loss"]
        for seed in (1, 1, 2)
    ]
    assert curves[0] == curves[1]
    assert losses[0] == losses[1] != losses[2]


def test_arms_share_initial_weights_and_batches(tiny_task):
    """The first step of the first epoch sees the same network and images in every arm."""
    first = {
        arm: fit(tiny_task, arm, Recipe(epochs=1, batch_size=48))[1].curves["train_loss"][0]
        for arm in ("none", *LEARNED)
    }
    assert len(set(first.values())) == 1


def test_joint_update_takes_one_step_a_batch(tiny_task, monkeypatch):
    steps = []
    monkeypatch.setattr("course_lib.training._descend", lambda _, loss: steps.append(loss.item()))
    fit(tiny_task, "neural-content", Recipe(epochs=1, batch_size=48, update="joint"))
    assert len(steps) == 1
    fit(tiny_task, "neural-content", Recipe(epochs=1, batch_size=48))
    real, generated = steps[1:]
    assert steps[0] == pytest.approx(real + generated, rel=1e-5)


def test_alpha_weighs_generated_images_in_a_joint_update_of_every_arm(tiny_task, monkeypatch):
    """Without an augmentation loss, too: beside the training images' loss α does more than scale."""
    steps = []
    monkeypatch.setattr("course_lib.training._descend", lambda _, loss: steps.append(loss.item()))
    for arm in ("neural", "neural-content", "pair-mean"):
        steps.clear()
        for alpha in (0.25, 0.75):
            recipe = Recipe(alpha=alpha, epochs=1, batch_size=48, update="joint")
            fit(tiny_task, arm, recipe)
        fit(tiny_task, arm, Recipe(beta=0.0, epochs=1, batch_size=48))
        low, high, _, generated = steps
        assert high - low == pytest.approx(0.5 * generated, rel=1e-4), arm


def test_real_only_running_statistics(tiny_task, monkeypatch):
    """Blank generated images would drag the running mean to theirs."""
    monkeypatch.setattr(AugNet, "forward", lambda self, first, *_: first * 0 + 50)
    means = {}
    for mode in ("all", "real-only"):
        model, _ = fit(
            tiny_task, "neural", Recipe(epochs=1, batch_size=48, running_statistics=mode)
        )
        means[mode] = model[2].running_mean
        assert model[2].momentum == 0.1
    plain, _ = fit(tiny_task, recipe=Recipe(epochs=1, batch_size=48))
    assert torch.allclose(means["real-only"], plain[2].running_mean)
    assert not torch.allclose(means["all"], plain[2].running_mean, atol=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arm": "neural-gan"}, "arm 'neural-gan' is unknown"),
        ({"alpha": -0.1}, "alpha -0.1 must be a number of 0 or more"),
        ({"beta": float("inf")}, "beta inf must be"),
        ({"alpha": 0, "beta": 0}, "alpha and beta are both 0"),
        ({"update": "both"}, "update 'both' is unknown: choose one of alternate, joint"),
        ({"running_statistics": "none"}, "running_statistics 'none' is unknown"),
    ],
)
def test_bad_input(tiny_task, changes, message):
    with pytest.raises(CourseError, match=message):
        fit(tiny_task, changes.pop("arm", "neural"), Recipe(**changes))


def test_grey_images_have_no_style(tiny_task):
    grey = dataclasses.replace(
        tiny_task,
        **{
            part: Examples(getattr(tiny_task, part).images[:, :1], getattr(tiny_task, part).labels)
            for part in ("train", "validation", "test")
        },
        mean=tiny_task.mean[:1],
        std=tiny_task.std[:1],
    )
    with pytest.raises(CourseError, match="'neural-style' needs colour"):
        fit(grey, "neural-style")
    assert fit(grey, "neural-content", Recipe(epochs=1))[1].curves["augmentation_loss"]


def test_a_side_that_is_no_multiple_of_4(tiny_task):
    odd = tiny_task.train._replace(images=tiny_task.train.images[:, :, :6, :6])
    with pytest.raises(CourseError, match="side 6 must be a multiple of 4"):
        dataclasses.replace(tiny_task, train=odd)
