"""What a result's file keeps, and that it comes back as it was."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from course_lib.analysis import results
from course_lib.analysis.comparison import PILOT
from course_lib.analysis.results import read_result, read_results, write_result
from course_lib.images.tasks import image_ids, load_task
from course_lib.models import READINGS
from course_lib.study import run, settings_of
from course_lib.training import Recipe, fit

MNIST = {"task": "mnist-0-vs-8", "images_per_class": 20}


@pytest.fixture
def kept(tmp_path):
    result = run(settings_of(arm="neural", epochs=3, last_epochs=2, **MNIST), tmp_path)
    (path,) = tmp_path.glob("*.json")
    return result, path


def test_a_file_gives_back_what_was_written(kept):
    result, path = kept
    again = read_result(path)
    for name in ("correct", "scores", "times_right"):
        first, second = getattr(result, name), getattr(again, name)
        assert first.keys() == second.keys() and first
        for key, values in first.items():
            assert (
                np.array_equal(values, second[key]) and values.dtype.kind == second[key].dtype.kind
            )
    plain = {"settings", "key", "curves", "best_epoch", "environment", "seconds", "images"}
    plain.add("nuisances")
    assert all(getattr(result, name) == getattr(again, name) for name in plain)
    assert plain | {"correct", "scores", "times_right"} == asdict(result).keys()


def test_a_file_keeps_what_training_measured(kept):
    result, path = kept
    task = load_task(name=MNIST["task"], images_per_class=20)
    _, history = fit(task, "neural", Recipe(epochs=3, last_epochs=2))
    assert result.images["test"] == image_ids(task.test.images)
    assert result.images["validation"] == image_ids(task.validation.images)
    for name, scores in history.scores.items():
        assert torch.allclose(
            torch.from_numpy(result.scores[name].astype("f4")), scores, rtol=1e-3, atol=1e-4
        )
    assert result.times_right.keys() == {
        f"{reading} {part}" for reading in READINGS for part in ("validation", "test")
    }
    for reading, parts in history.times_right.items():
        right = sum(counts.sum().item() for counts in parts.values())
        assert result.accuracy_under(reading) == pytest.approx(right / (2 * 208))
    assert result.unseen_accuracy == result.accuracy_under("all")


def test_the_average_over_the_last_epochs_is_one_of_each_epochs_accuracy(tmp_path):
    """Validation accuracy of the curve, and the counts of right answers: one number."""
    result = run(settings_of(arm="none", epochs=5, last_epochs=3, **MNIST), tmp_path)
    counts = result.times_right["all validation"]
    mean = np.mean(result.curves["validation_accuracy"][-3:])
    assert counts.sum() / (3 * len(counts)) == pytest.approx(mean)


def test_files_stay_small(tmp_path, monkeypatch):
    """40 epochs of a learned arm at the paper's counts: 200 validation and 200 test images."""
    result = run(settings_of(arm="neural-content", epochs=2, **MNIST), tmp_path)
    rng = np.random.default_rng(0)
    large = {
        "curves": {name: [float(f"{x:.6g}") for x in rng.random(40)] for name in result.curves},
        "correct": {name: rng.random(200) < 0.8 for name in result.correct},
        "scores": {name: rng.normal(size=(200, 2)).astype("f2") for name in result.scores},
        "times_right": {name: rng.integers(0, 11, 200) for name in result.times_right},
        "images": {name: [f"{x:08x}" for x in range(200)] for name in result.images},
    }
    settings = result.settings | {"epochs": 40}
    path = write_result(results.Result(**asdict(result) | large | {"settings": settings}), tmp_path)
    assert path.stat().st_size < 16_000 and read_result(path) is not None


def test_of_large_parts_a_file_keeps_less(tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.study.SCORED", 100)  # the 200 test images are many then
    result = run(settings_of(arm="none", epochs=2, **MNIST), tmp_path)
    assert result.images.keys() == {"validation"} == {name.split("_")[0] for name in result.scores}
    assert set(result.times_right) == {f"{r} {p}" for r in READINGS for p in ("validation", "test")}
    assert len(result.correct["test_last"]) == 200 and result.unseen_accuracy > 0


def test_the_pilot_stays_readable():
    pilot, foreign = read_results(PILOT)
    assert len(pilot) > 100 and not foreign
    assert all(np.isnan(result.unseen_accuracy) and not result.images for result in pilot)


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record["correct"].update(test_last="9:00"),
        lambda record: record["correct"].update(test_last="8:0g"),
        lambda record: record["scores"].update(test_last="AAAA"),
        lambda record: record["scores"].update(test_last="!"),
        lambda record: record["times_right"].update({"all test": "12_"}),
        lambda record: record.update(times_right=3),
        lambda record: record.update(images={"test": 3}),
    ],
)
def test_damaged_parts_make_no_result(kept, damage):
    _, path = kept
    record = json.loads(path.read_text())
    damage(record)
    path.write_text(json.dumps(record))
    assert read_result(path) is None
