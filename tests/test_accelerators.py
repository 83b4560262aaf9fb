"""On a GPU: every arm, near the CPU's numbers, repeatable, without waits inside an epoch."""

import gc

import pytest
import torch

from course_lib.arms import ARMS
from course_lib.images.tasks import load_task
from course_lib.study import study
from course_lib.training import Recipe, fit

DEVICES = [
    name
    for name, there in (
        ("cuda", torch.cuda.is_available()),
        ("mps", torch.backends.mps.is_available()),
    )
    if there
]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not DEVICES, reason="this machine has neither CUDA nor MPS"),
]
# Of a loss after one epoch: a GPU sums in another order, and convolutions in TF32 are off.
LOSS_TOLERANCE = 5e-3


@pytest.fixture(scope="module")
def task():
    return load_task("dogs-vs-cats", "stand-in", images_per_class=50, side=32)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_gives_the_cpus_losses(task, arm):
    recipe = Recipe(epochs=1, batch_size=40)
    losses = {
        device: fit(task, arm, recipe, device=device)[1].curves["train_loss"][0]
        for device in ("cpu", *DEVICES)
    }
    for device in DEVICES:
        assert losses[device] == pytest.approx(losses["cpu"], abs=LOSS_TOLERANCE), device


@pytest.mark.parametrize("device", DEVICES or ["none"])
@pytest.mark.parametrize("arm", ["none", "traditional-fresh", "neural-content"])
def test_two_runs_of_a_seed_are_equal(task, device, arm):
    """Losses to the last bit; where a kernel of the device sums in no fixed order, this fails."""
    one, other = (fit(task, arm, Recipe(epochs=2), device=device)[1] for _ in range(2))
    assert one.curves["train_loss"] == other.curves["train_loss"]


@pytest.mark.skipif("cuda" not in DEVICES, reason="only CUDA counts its synchronisations")
@pytest.mark.parametrize("arm", ["none", "traditional-fresh", "neural-content", "mixup"])
def test_no_waiting_inside_an_epoch(task, arm, monkeypatch):
    """From the first batch to the last nothing asks the device for a value."""
    from course_lib import training

    step = training.train_step

    def watched(*arguments):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(training, "train_step", watched)
    fit(task, arm, Recipe(epochs=2), device="cuda")


@pytest.mark.skipif("cuda" not in DEVICES, reason="only CUDA tells its memory")
def test_memory_is_freed_between_runs(task):
    used = []
    for _ in range(3):
        fit(task, "neural", Recipe(epochs=1), device="cuda")
        gc.collect()
        used.append(torch.cuda.memory_allocated())
    assert used[1] == used[2]


def test_several_processes_share_a_gpu(tmp_path):
    results = study(
        ["dogs-vs-cats"], ["none"], range(4), "quick", workers=2, folder=tmp_path,
        source="stand-in", epochs=2, device=DEVICES[0],
    )  # fmt: skip
    assert len(results) == 4 and all(run.settings["device"] == DEVICES[0] for run in results)
