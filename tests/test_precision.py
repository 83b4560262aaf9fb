"""Training in bfloat16: where it is allowed, what it changes, and what it must not."""

import pytest
import torch

from course_lib.__main__ import main
from course_lib.analysis.plan import STUDY as STUDY_FILES
from course_lib.analysis.results import read_results
from course_lib.study import _key, _record, settings_of, study
from course_lib.support.devices import find_device, precision
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, fit

SMALL = {"epochs": 2, "images_per_class": 20, "workers": 1, "preset": "quick"}
HALF = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "precision": "bfloat16"}


@pytest.fixture
def processor(monkeypatch):
    """Says what the processor can."""

    def can(**capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return can


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx512_bf16": False, "avx512_f": True}, False),
        ({"architecture": "aarch64", "bf16": True}, False),  # torch there has no kernels for it
        ({}, False),
    ],
)
def test_the_processor_is_asked(processor, capabilities, native):
    processor(**capabilities)
    assert (precision("cpu") == torch.bfloat16) is native
    assert find_device("cpu", "float32") == torch.device("cpu")
    if native:
        assert find_device("cpu", "bfloat16") == torch.device("cpu")
    else:
        with pytest.raises(CourseError, match="'bfloat16' is only emulated by this cpu: choose f"):
            find_device("cpu", "bfloat16")


def test_an_older_torch_cannot_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert precision("cpu") == torch.float32


@pytest.mark.parametrize(("native", "found"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_card_is_asked_without_its_emulation(native, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked = {}
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: asked.update(how) or native)
    assert precision("cuda") == found and asked == {"including_emulation": False}


def test_where_it_is_emulated_nothing_trains(processor, tiny_task, capsys, tmp_path):
    processor(avx512_f=True)
    with pytest.raises(CourseError, match="only emulated"):
        fit(tiny_task, recipe=Recipe(**HALF), device="cpu")
    with pytest.raises(CourseError, match="only emulated"):
        study(
            ["mnist-0-vs-8"], ["none"], folder=tmp_path, device="cpu", **SMALL, precision="bfloat16"
        )
    assert not list(tmp_path.glob("*.json"))
    capsys.readouterr()
    assert main(["run", "-p", "precision=bfloat16", "-p", "device=cpu"]) == 2
    message = capsys.readouterr().err
    assert message == "course: precision 'bfloat16' is only emulated by this cpu: choose float32\n"


@pytest.mark.parametrize("name", ["half", "float16", "bf16", 16, None])
def test_a_precision_of_no_name(name):
    with pytest.raises(CourseError, match="choose one of float32, bfloat16"):
        Recipe(precision=name)


def test_the_keys_of_finished_runs_stay():
    finished = read_results(STUDY_FILES)[0]
    assert finished and all(_key(run.settings) == run.key for run in finished)


@pytest.mark.parametrize("arm", ["none", "gan", "neural-style"])
def test_each_precision_has_a_key(arm, tiny_task):
    plain, default, half = (
        _record(settings_of("dogs-vs-cats", arm, **change), tiny_task)
        for change in ({}, {"precision": "float32"}, {"precision": "bfloat16"})
    )
    assert _key(plain) == _key(default) != _key(half)
    assert half["precision"].startswith("bfloat16")
    if arm == "gan":  # whose styles have a precision of their own, in every record
        assert plain["precision"] in half["precision"]


@pytest.fixture
def native(monkeypatch):
    """As if this processor had it: emulated, it takes longer, and rounds all the same."""
    monkeypatch.setattr("course_lib.support.devices.precision", lambda device: torch.bfloat16)


def test_a_run_in_bfloat16_says_so(native, tmp_path):
    (run,) = study(["mnist-0-vs-8"], ["none"], folder=tmp_path, precision="bfloat16", **SMALL)
    (other,) = study(["mnist-0-vs-8"], ["none"], folder=tmp_path, **SMALL)
    assert run.settings["precision"] == "bfloat16" and other.settings["precision"] == "float32"
    assert run.curves["train_loss"] != other.curves["train_loss"]
    assert [again.settings["precision"] for again in read_results(tmp_path)[0]].count(
        "bfloat16"
    ) == 1


@pytest.mark.parametrize("update", ["alternate", "joint"])
@pytest.mark.parametrize("arm", ["none", "neural-content", "neural-style", "mixup", "pair-mean"])
def test_it_rounds_products_and_nothing_else(native, tiny_task, arm, update):
    full, half = (
        fit(tiny_task, arm, Recipe(**{**HALF, "epochs": 1, "precision": kind, "update": update}))
        for kind in ("float32", "bfloat16")
    )
    for name in ("train_loss", "augmentation_loss", "validation_loss"):
        if name in full[1].curves:
            assert half[1].curves[name] == pytest.approx(full[1].curves[name], rel=0.05)
    assert half[1].curves["train_loss"] != full[1].curves["train_loss"]
    state = half[0].state_dict()
    assert all(value.dtype in (torch.float32, torch.int64) for value in state.values())
    assert all(scores.dtype == torch.float32 for scores in half[1].scores.values())
    images = [*half[1].generated, *half[1].scores.values()]
    assert all(value.isfinite().all() for value in images)
    # What is scored is the float32 model: 8 bits of a score would tie many images.
    assert any(len(scores.unique()) == scores.numel() for scores in half[1].scores.values())


def test_losses_see_float32(native, tiny_task, monkeypatch):
    """A Gram matrix of bfloat16 would be rounded to 8 bits."""
    from course_lib import losses

    seen = []
    mse = losses.functional.mse_loss

    def watched(one, other):
        seen.extend([one.dtype, other.dtype, torch.is_autocast_enabled("cpu")])
        return mse(one, other)

    monkeypatch.setattr(losses.functional, "mse_loss", watched)
    fit(tiny_task, "neural-style", Recipe(**HALF))
    assert set(seen) == {torch.float32, False}


def test_training_in_bfloat16_repeats_to_the_bit(native, tiny_task):
    one, other = (fit(tiny_task, "neural", Recipe(**HALF))[1] for _ in range(2))
    assert one.curves["train_loss"] == other.curves["train_loss"]


def test_the_pages_that_train_pass_it_on():
    from course_lib.pages.notebooks import list_notebooks, read_notebook
    from course_lib.pages.run import read_parameters

    for path in list_notebooks():
        parameters = read_parameters(path)
        code = "\n".join(cell.source for cell in read_notebook(path).cells)
        if "device" in parameters:
            assert parameters["precision"] == "float32", path.name
            assert '"precision": precision' in code, path.name
