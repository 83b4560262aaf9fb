import dataclasses
import hashlib
import subprocess
import sys

import pytest
import torch

from course_lib.images.tasks import load_task
from course_lib.models import SmallNet
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
    assert history.best_accuracy == history.validation_correct_best.double().mean().item()
    assert len(history.test_correct_best) == len(history.test_correct_last) == 20
    assert not model.training


def test_correctness_is_that_of_the_model(tiny_task):
    model, history = fit(tiny_task, recipe=Recipe(epochs=2))
    scores = model(tiny_task.normalise(tiny_task.test.images))
    assert torch.equal(scores.argmax(dim=1) == tiny_task.test.labels, history.test_correct_last)


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
    loss, correct = evaluate(model, (images, task.train.labels), "sigmoid")
    model.eval()
    one_by_one = [
        evaluate(model, (images[k : k + 1], task.train.labels[k : k + 1]), "sigmoid")[0]
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
