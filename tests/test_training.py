import dataclasses
import hashlib
import subprocess
import sys

import pytest
import torch

from course_lib.images import Examples
from course_lib.images.tasks import load_task
from course_lib.models import READINGS, SmallNet, interleaved
from course_lib.support.devices import find_device
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, evaluate, fit


def weights_digest(model):
    state = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    return hashlib.sha256(state).hexdigest()


def test_it_learns(tiny_task):
    _, history = fit(tiny_task, recipe=Recipe(epochs=12, batch_size=8, learning_rate=1e-3))
    assert history.curves["train_loss"][-1] < 0.3 < history.curves["train_loss"][0]
    assert history.curves["validation_accuracy"][-1] > 0.9


def test_history_is_whole(tiny_task):
    seen = []
    model, history = fit(
        tiny_task,
        recipe=Recipe(epochs=3),
        on_epoch=lambda h: seen.append(len(h.curves["train_loss"])),
    )
    assert seen == [1, 2, 3]
    assert {len(curve) for curve in history.curves.values()} == {3}
    assert history.best_epoch == history.curves["validation_accuracy"].index(
        max(history.curves["validation_accuracy"])
    )
    assert history.best_accuracy == history.correct["validation_best"].double().mean().item()
    assert {len(right) for right in history.correct.values()} == {20} and len(history.correct) == 4
    assert not model.training


def test_correctness_is_that_of_the_model(tiny_task):
    model, history = fit(tiny_task, recipe=Recipe(epochs=2))
    scores = model(tiny_task.normalise(tiny_task.test.images))
    assert torch.equal(scores.argmax(dim=1) == tiny_task.test.labels, history.correct["test_last"])


def test_measures_are_weighted_by_images(tiny_task):
    """48 images in batches of 32 and 16: a mean of batch means would count the second double."""
    task = dataclasses.replace(
        tiny_task, validation=tiny_task.train, mean=torch.zeros(3), std=torch.ones(3)
    )
    _, history = fit(task, recipe=Recipe(epochs=1, batch_size=32, learning_rate=1e-12))
    right = history.curves["train_accuracy"][0] * 48
    assert right == pytest.approx(round(right), abs=1e-9)
    model = SmallNet(3, 8)
    images = task.train.images.float()
    loss, _, correct = evaluate(model, (images, task.train.labels), "sigmoid")
    model.eval()
    one_by_one = [
        evaluate(model, (images[k : k + 1], task.train.labels[k : k + 1]), "sigmoid").loss
        for k in range(48)
    ]
    assert loss == pytest.approx(sum(one_by_one) / 48, rel=1e-5)
    assert len(correct) == 48


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_model_in_its_mode(tiny_task, training):
    model = SmallNet(3, 8).train(training)
    evaluate(model, (tiny_task.normalise(tiny_task.test.images), tiny_task.test.labels), "sigmoid")
    assert all(layer.training == training for layer in model.modules())


def test_same_seed_same_bits_in_one_process(tiny_task):
    torch.manual_seed(123)
    model, history = fit(tiny_task, recipe=Recipe(epochs=2), seed=3)
    torch.manual_seed(456)
    again, repeated = fit(tiny_task, recipe=Recipe(epochs=2), seed=3)
    assert weights_digest(model) == weights_digest(again)
    assert history.curves["train_loss"] == repeated.curves["train_loss"]
    assert weights_digest(fit(tiny_task, recipe=Recipe(epochs=2), seed=4)[0]) != weights_digest(
        model
    )


@pytest.mark.slow
def test_same_seed_same_bits_across_processes():
    program = (
        "import hashlib; from course_lib.images.tasks import load_task; from course_lib.training import Recipe, fit;"
        "task = load_task('mnist-0-vs-8', images_per_class=20); model, history = fit(task, recipe=Recipe(epochs=2));"
        "state = b''.join(value.numpy().tobytes() for value in model.state_dict().values());"
        "print(hashlib.sha256(state).hexdigest(), history.curves['train_loss'])"
    )
    model, history = fit(load_task("mnist-0-vs-8", images_per_class=20), recipe=Recipe(epochs=2))
    here = f"{weights_digest(model)} {history.curves['train_loss']}"
    there = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert {run.stdout.strip() for run in there} == {here}


def test_the_callers_random_state_and_threads_are_left_alone(tiny_task):
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    threads = torch.get_num_threads()
    fit(tiny_task, recipe=Recipe(epochs=1), threads=1)
    assert torch.equal(torch.rand(3), expected) and torch.get_num_threads() == threads


def test_arms_share_initial_weights_and_order_of_originals(tiny_task, monkeypatch):
    """With and without copies, the originals reach the network in one order."""
    drawn, initial = [], []

    def watch(model, augmenter, optimiser, images, labels, *_):
        initial.append(weights_digest(model))
        drawn.append(images.sum(dim=(1, 2, 3)))
        return {}

    monkeypatch.setattr("course_lib.training.train_step", watch)
    recipe = Recipe(epochs=2, batch_size=96)
    fit(tiny_task, recipe=recipe)
    fit(tiny_task.with_copies(255 - tiny_task.train.images), recipe=recipe)
    assert len(set(initial)) == 1
    originals = set(drawn[0].tolist())
    for plain, doubled in (drawn[::2], drawn[1::2]):
        assert len(plain) == 48 and len(doubled) == 96
        assert [value for value in doubled.tolist() if value in originals] == plain.tolist()
    assert not torch.equal(drawn[0], drawn[1]), "each epoch has an order of its own"


@pytest.mark.parametrize("arm", ["none", "neural"])
def test_readings_of_the_running_averages(tiny_task, arm):
    """Each reading against averages that are kept or computed the long way."""
    recipe = Recipe(epochs=3, batch_size=16, last_epochs=2, learning_rate=1e-3)
    _, history = fit(tiny_task, arm, recipe)
    images = tiny_task.normalise(tiny_task.train.images)
    unseen = {
        name: (tiny_task.normalise(part.images), part.labels)
        for name, part in (("validation", tiny_task.validation), ("test", tiny_task.test))
    }
    assert history.times_right.keys() == set(READINGS)
    for reading in READINGS:
        # A training under this reading alone: the same weights, other averages.
        model, alone = fit(
            tiny_task, arm, dataclasses.replace(recipe, running_statistics=reading, readings=False)
        )
        assert alone.times_right.keys() == {reading}
        for name, counts in alone.times_right[reading].items():
            assert torch.equal(counts, history.times_right[reading][name]), (reading, name)
            assert counts.max() == 2 and counts.dtype == torch.uint8
        for name, examples in unseen.items():
            assert torch.equal(
                evaluate(model, examples, "sigmoid").correct, alone.correct[f"{name}_last"]
            )
        if reading == "recalibrated":  # 48 images are one batch
            first = torch.relu(model[0](images))
            assert torch.allclose(model[2].running_mean, first.mean(dim=(0, 2, 3)), atol=1e-5)
            assert torch.allclose(model[2].running_var, first.var(dim=(0, 2, 3)), rtol=1e-3)
        if reading == "batch":
            assert model[2].running_mean is None and not model.training


def test_scores_and_correctness_are_of_the_same_images(tiny_task):
    _, history = fit(tiny_task, "neural", Recipe(epochs=3, batch_size=16))
    assert history.scores.keys() == history.correct.keys()
    for name, scores in history.scores.items():
        labels = (tiny_task.test if "test" in name else tiny_task.validation).labels
        assert torch.equal(scores.argmax(dim=1) == labels, history.correct[name])


def first_weights(task, arm="none", **choices):
    """SmallNet before any step, and AugNet's weights: a learning rate of nearly 0."""
    model, history = fit(task, arm, Recipe(epochs=1, learning_rate=1e-30, **choices))
    return model, history.augnets[0] if history.augnets else None


def test_open_choices_of_the_networks(tiny_task):
    plain, _ = first_weights(tiny_task)
    for layer in (0, 4, 6, 11, 14):
        glorot = first_weights(tiny_task, smallnet_initialisation="glorot")[0][layer]
        fan = glorot.weight[0].numel() + glorot.weight[:, 0].numel()
        bound = (6 / fan) ** 0.5  # Glorot and Bengio 2010, with their uniform distribution
        assert 0.9 * bound < glorot.weight.abs().max() <= bound
        assert glorot.bias.abs().max() < 1e-6 < plain[layer].bias.abs().max()
    assert first_weights(tiny_task, dropout=0.25)[0][13].p == 0.25 and plain[13].p == 0.5
    _, augnet = first_weights(tiny_task, "neural")
    _, larger = first_weights(tiny_task, "neural", augnet_gain=3.0)
    for one, three in zip(augnet.parameters(), larger.parameters(), strict=True):
        assert torch.allclose(3 * one, three, atol=1e-6)


def test_momentum_of_the_running_averages(tiny_task):
    """One batch of all 48 images: average = (1 − m)·0 + m·mean."""
    recipe = {"epochs": 1, "batch_size": 48, "learning_rate": 1e-30}
    tenth, hundredth = (
        fit(tiny_task, recipe=Recipe(momentum=share, **recipe))[0][2].running_mean
        for share in (0.1, 0.01)
    )
    assert torch.allclose(tenth, 10 * hundredth, rtol=1e-4) and tenth.abs().max() > 0


def test_augnet_has_a_learning_rate_of_its_own(tiny_task):
    models, augnets = [], []
    for rate in (None, 1e-4, 1e-2):
        model, history = fit(
            tiny_task, "neural", Recipe(epochs=1, batch_size=48, augnet_learning_rate=rate)
        )
        models.append(model)
        augnets.append(
            torch.cat([weights.flatten() for weights in history.augnets[0].parameters()])
        )
    assert torch.equal(augnets[0], augnets[1]), "None is the same rate"
    assert (augnets[2] - augnets[0]).abs().max() > 5e-3
    first = [model[0].weight for model in models]
    assert torch.allclose(first[0], first[2], atol=3e-4), "SmallNet's is left alone"


def test_evaluation_batches_mix_the_classes():
    """Batch statistics of one class alone would tell which class it is."""
    labels = torch.arange(1001) // 501
    parts = interleaved(len(labels))
    assert len(parts) == 6 and all(len(labels[part]) <= 200 for part in parts)
    assert all(0.48 < labels[part].float().mean() < 0.52 for part in parts)
    assert sorted(torch.cat([torch.arange(1001)[part] for part in parts]).tolist()) == [
        *range(1001)
    ]


@pytest.mark.parametrize("arm", ["none-matched", "traditional", "traditional-fresh"])
def test_only_the_rare_class_is_copied_to_balance(tiny_task, arm, monkeypatch):
    few = tiny_task.train.images[:31], tiny_task.train.labels[:31].clone()
    few[1][:], few[1][::5] = 0, 1
    task = dataclasses.replace(tiny_task, train=Examples(*few))
    seen = []

    def watch(model, augmenter, optimiser, images, labels, *_):
        seen.append((task.denormalise(images), labels))
        return {}

    monkeypatch.setattr("course_lib.training.train_step", watch)
    fit(task, arm, Recipe(epochs=2, batch_size=96, balance=True))
    for images, labels in seen:
        assert torch.bincount(labels).tolist() == [24, 24]
        common = {image.numpy().tobytes() for image in images[labels == 0]}
        assert common == {image.numpy().tobytes() for image in few[0][few[1] == 0]}


def test_copies_are_trained_on(tiny_task):
    _, plain = fit(tiny_task, recipe=Recipe(epochs=2))
    _, doubled = fit(tiny_task.with_copies(255 - tiny_task.train.images), recipe=Recipe(epochs=2))
    assert plain.curves["train_loss"] != doubled.curves["train_loss"]


def test_validation_and_test_decide_nothing(tiny_task):
    model, _ = fit(tiny_task, recipe=Recipe(epochs=2))
    other = dataclasses.replace(
        tiny_task,
        validation=tiny_task.test,
        test=tiny_task.validation._replace(images=255 - tiny_task.validation.images),
    )
    assert weights_digest(fit(other, recipe=Recipe(epochs=2))[0]) == weights_digest(model)


def test_find_device():
    assert find_device("cpu").type == "cpu"
    for name in ("cuda", "mps"):
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[name]
        if there:
            assert find_device(name).type == name
        else:
            with pytest.raises(
                CourseError, match=f"device '{name}' is not on this machine: choose"
            ):
                find_device(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs 0 must be"),
        ({"epochs": 2.0}, "epochs 2.0 must be"),
        ({"batch_size": -3}, "batch_size -3 must be"),
        ({"learning_rate": 0}, "learning_rate 0 must be"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be"),
        ({"loss": "hinge"}, "loss 'hinge' is unknown"),
        ({"last_epochs": 0}, "last_epochs 0 must be"),
        ({"augnet_learning_rate": 0}, "augnet_learning_rate 0 must be"),
        ({"network": "resnet"}, "network 'resnet' is unknown"),
        ({"vgg_weights": "a.pth"}, "vgg_weights 'a.pth' need network 'vgg16'"),
        ({"weight_decay": -1}, "weight_decay -1 must be"),
        ({"label_smoothing": 2}, "label_smoothing 2 must be"),
        ({"balance": True}, "both classes have 24 images: none is lacking"),
        ({"augnet_gain": -1}, "augnet_gain -1 must be"),
        ({"dropout": 1.0}, "dropout 1.0 must be"),
        ({"momentum": 2}, "momentum 2 must be"),
        ({"smallnet_initialisation": "zeros"}, "smallnet_initialisation 'zeros' is unknown"),
        ({"last_epochs": 36}, "last_epochs 36 must be a whole number .*35"),
        ({"seed": "1"}, "seed '1' must be"),
        ({"device": "tpu"}, "device 'tpu' is unknown .*choose one of auto, cpu, cuda, mps"),
        ({"threads": 0}, "threads 0 must be"),
    ],
)
def test_bad_input(tiny_task, changes, message):
    with pytest.raises(CourseError, match=message):
        outside = {
            name: changes.pop(name) for name in ("seed", "device", "threads") if name in changes
        }
        fit(tiny_task, recipe=Recipe(**changes), **outside)
