"""What notebooks/REPEATABILITY.md promises, measured on short runs."""

import json

import pytest
import torch

from course_lib.analysis.plan import STUDY
from course_lib.analysis.results import read_results
from course_lib.arms import ARMS
from course_lib.images.tasks import load_task
from course_lib.study import study
from course_lib.training import Recipe, fit

TIMES = ("seconds", "images_per_second")  # curves of how long it took
# Between one thread and two, in short runs (as in REPEATABILITY.md).
LOSS_TOLERANCE = 1e-3
WEIGHT_TOLERANCE = 1e-2


def without_times(path):
    record = json.loads(path.read_text())
    del record["seconds"], record["environment"]["date"]
    for name in TIMES:
        del record["curves"][name]
    return record


@pytest.mark.slow
def test_a_study_done_twice_gives_the_same_files(tmp_path):
    """Every arm of the pictures, and one of the digits, in two processes and in one."""
    for folder, workers in (("first", 1), ("again", 2)):
        size = {"epochs": 2, "images_per_class": 5, "workers": workers}
        study(["dogs-vs-cats"], preset="quick", folder=tmp_path / folder, **size)
        study(["mnist-0-vs-8"], ["neural"], preset="quick", folder=tmp_path / folder, **size)
    run_by_default = sum(arm.whose != "practice" for arm in ARMS.values())
    first, again = (sorted((tmp_path / folder).glob("*.json")) for folder in ("first", "again"))
    assert [path.name for path in first] == [path.name for path in again] and len(
        first
    ) == run_by_default + 1
    for one, other in zip(first, again, strict=True):
        assert without_times(one) == without_times(other), one.name
    assert not read_results(tmp_path / "again")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("mnist-0-vs-8", "none"),
        ("mnist-0-vs-8", "neural-content"),
        ("dogs-vs-cats", "neural-style"),
    ],
)
def test_two_threads_differ_from_one_by_rounding(name, arm):
    task = load_task(name, images_per_class=10)
    (model, one), (other_model, two) = (
        fit(task, arm, Recipe(epochs=2, batch_size=8), threads=threads) for threads in (1, 2)
    )
    for curve in one.curves.keys() - set(TIMES):
        tolerance = LOSS_TOLERANCE if "loss" in curve else 0
        assert two.curves[curve] == pytest.approx(one.curves[curve], abs=tolerance), curve
    for ours, theirs in zip(model.parameters(), other_model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=WEIGHT_TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["none", "traditional-fresh", "gan", "neural"])
def test_todays_code_gives_what_the_studys_files_hold(real_images, arm):
    """A study of many days is one study: its first epochs come out the same, to six digits."""
    study_runs, _ = read_results(STUDY)
    stored = next(run for run in study_runs if run.arm == arm)
    here = torch.backends.cpu.get_cpu_capability(), torch.__version__
    if here != (stored.environment["processor"], stored.settings["torch"]):
        pytest.skip(f"the study ran on {stored.environment['processor']}, with its own torch")
    task = load_task(stored.task, seed=stored.seed)
    assert task.digest[:16] == stored.settings["data"]
    _, history = fit(task, arm, Recipe(epochs=1), seed=stored.seed)
    for name in history.curves.keys() - set(TIMES):
        assert float(f"{history.curves[name][0]:.6g}") == stored.curves[name][0], name
