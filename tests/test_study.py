import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace

import psutil
import pytest

from course_lib.analysis.results import (
    read_result,
    read_results,
    result_path,
    results_table,
    show_table,
    shown,
    write_result,
)
from course_lib.arms import ARMS
from course_lib.images.tasks import load_task
from course_lib.paper import EXPERIMENTS, PAPER
from course_lib.study import _key, _record, planned_study, run, settings_of, study
from course_lib.support.files import claimed, runs_folder
from course_lib.support.validation import CourseError
from course_lib.training import Recipe

MNIST = {"task": "mnist-0-vs-8", "arm": "none", "epochs": 2, "images_per_class": 20}
STUDY = {"tasks": ["mnist-0-vs-8"], "arms": ["none"], "epochs": 2, "images_per_class": 20}


def test_the_papers_seventeen_rows():
    assert len(EXPERIMENTS) == 17
    assert {row.arm for row in EXPERIMENTS} == {a.name for a in ARMS.values() if a.whose == "paper"}
    assert Counter(e.task for e in EXPERIMENTS) == {
        "dogs-vs-goldfish": 7, "dogs-vs-cats": 7, "mnist-0-vs-8": 3,
    }  # fmt: skip
    assert PAPER["dogs-vs-goldfish", "neural"] == 0.915 and PAPER["dogs-vs-cats", "none"] == 0.705


def test_a_run_is_written_and_never_done_twice(tmp_path):
    first = run(settings_of(**MNIST), tmp_path)
    (path,) = tmp_path.glob("*.json")
    stamp = path.stat().st_mtime_ns
    again = run(settings_of(**MNIST), tmp_path)
    assert path.stat().st_mtime_ns == stamp
    assert again.curves == first.curves and again.seconds == first.seconds
    assert (again.correct["test_last"] == first.correct["test_last"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {
                "arm": "traditional-fresh",
                "task": "dogs-vs-cats",
                "source": "stand-in",
                "strength": 20.0,
            },
            "strength 20.0 must be a number from 0 to 2",
        ),
        ({"imbalance": 16}, "imbalance 16 leaves 1 of 16"),
        ({"balance": True}, "both classes have 16 images: none is lacking"),
        ({"task": "n02099601-vs-n02099601"}, "names one class twice"),
    ],
)
def test_a_refused_run_leaves_nothing_behind(tmp_path, change, message):
    with pytest.raises(CourseError, match=message) as refused:
        run(settings_of(**MNIST | change), tmp_path)
    assert "\n" not in str(refused.value) and not list(tmp_path.glob("*.json"))


def test_bad_weights_leave_nothing_behind(tmp_path):
    (tmp_path / "cut.pth").write_bytes(b"cut")
    for name, message in (("cut.pth", "holds no weights of"), ("absent.pth", "cannot be read")):
        bad = settings_of(
            "dogs-vs-cats", "none", source="stand-in", epochs=1, images_per_class=5, side=32,
            network="vgg16", vgg_weights=str(tmp_path / name),
        )  # fmt: skip
        with pytest.raises(CourseError, match=message) as refused:
            run(bad, tmp_path)
        assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"epochs": 3}, {"batch_size": 8}, {"loss": "softmax"},
               {"learning_rate": 1e-3}, {"images_per_class": 25}],
)  # fmt: skip
def test_the_key_holds_everything_that_decides(tmp_path, change):
    keys = {run(settings_of(**{**MNIST, **c}), tmp_path).key for c in ({}, change)}
    assert len(keys) == 2 and len(list(tmp_path.glob("*.json"))) == 2


def test_a_damaged_result_is_done_again(tmp_path):
    first = run(settings_of(**MNIST), tmp_path)
    (path,) = tmp_path.glob("*.json")
    whole = path.read_text()
    record = json.loads(whole)
    broken = [whole[:200], "", "[]", json.dumps(record | {"key": "0" * 12})]
    record["correct"].pop("test_last")
    broken.append(json.dumps(record))
    for text in broken:
        path.write_text(text)
        assert read_result(path) is None
        assert read_results(tmp_path) == ([], [path])
        assert (
            run(settings_of(**MNIST), tmp_path).curves["train_loss"] == first.curves["train_loss"]
        )
        assert read_result(path) is not None


@pytest.mark.slow
def test_study_in_processes_gives_what_runs_give(tmp_path, capsys):
    results = study(seeds=[0, 1, 2], workers=2, folder=tmp_path / "study", **STUDY)
    alone = [run(settings_of(**MNIST, seed=seed), tmp_path / "alone") for seed in range(3)]
    for ours, theirs in zip(results, alone, strict=True):
        assert ours.key == theirs.key
        assert ours.curves["train_loss"] == theirs.curves["train_loss"]
        assert (ours.correct["test_best"] == theirs.correct["test_best"]).all()
    assert "mnist-0-vs-8: 32 training, 8 validation, 200 test images" in capsys.readouterr().out
    more = study(seeds=[0, 1, 2, 3], workers=1, folder=tmp_path / "study", **STUDY)
    assert [result.seconds for result in more[:3]] == [result.seconds for result in results]


@pytest.mark.slow
def test_a_killed_study_goes_on(tmp_path):
    command = [
        sys.executable, "-m", "course_lib", "study", "--tasks", "mnist-0-vs-8", "--preset", "quick",
        "--arms", "none", "--epochs", "2", "--seeds", "0-5", "--workers", "2",
    ]  # fmt: skip
    folder = runs_folder() / "quick"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(folder.glob("*.json")) and process.poll() is None:
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert workers and not psutil.wait_procs(workers, timeout=10)[1], "workers stay behind"
    kept, foreign = read_results(folder)
    assert 0 < len(kept) < 6 and not foreign
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("mnist-0-vs-8 ") >= 6
    assert len(read_results(folder)[0]) == 6
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


KILLED_AND_CALLED_AGAIN = """
import os, random, signal, sys, time
from pathlib import Path
from course_lib.study import study
from course_lib.images.tasks import load_task

folder = Path(sys.argv[1])
call = {"tasks": ["mnist-0-vs-8"], "arms": ["none"], "seeds": range(10), "epochs": 2,
        "images_per_class": 20, "workers": 1, "folder": folder}
study(**call | {"seeds": [99], "folder": folder.parent / "warm"})
random.seed(5)
counts = []
for _ in range(20):
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    child = os.fork()
    if child == 0:
        study(**call)
        os._exit(0)
    time.sleep(random.uniform(0.02, 1.0))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for path, stamp in before.items():
        assert path.stat().st_mtime_ns == stamp, f"lost or done again: {path}"
    counts.append(len(before))
study(**call)
print(*counts)
"""


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path):
    """kill -9 at random moments, each time called again: the results of a study in peace."""
    folder = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AND_CALLED_AGAIN, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # more do not survive a fork
        capture_output=True, text=True, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    finished = [int(word) for word in done.stdout.splitlines()[-1].split()]
    assert finished == sorted(finished) and len(set(finished)) > 3, "kills fell into the study"
    results, foreign = read_results(folder)
    peace = study(seeds=range(10), workers=1, folder=tmp_path / "peace", **STUDY)
    assert not foreign and len(results) == len(peace) == 10
    tables = [results_table(part).drop(columns="seconds") for part in (results, peace)]
    assert tables[0].equals(tables[1])


@pytest.mark.slow
def test_two_studies_at_once_share_the_work(tmp_path):
    """Twelve runs, two studies started together: each run is trained once."""
    program = (
        "import sys; from pathlib import Path; from course_lib import study;"
        "train = study._train;"
        "study._train = lambda index, *rest: (print('trained', index, flush=True), train(index, *rest))[1];"
        "study.parallel = __import__('contextlib').contextmanager(lambda *_: (yield lambda jobs: (f(*a) for f, a, _ in jobs)));"
        "study.study(['mnist-0-vs-8'], ['none'], range(12), epochs=2, images_per_class=20, folder=Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    trained = [
        line
        for process in both
        for line in process.communicate(timeout=120)[0].splitlines()
        if line.startswith("trained")
    ]
    assert [process.returncode for process in both] == [0, 0]
    assert len(trained) == len(set(trained)) == 12 == len(read_results(tmp_path)[0])


def test_a_run_that_another_study_was_stopped_at_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.study.WAIT_SECONDS", 0.01)
    (path,) = [
        result_path(tmp_path, result.settings, result.key)
        for result in study(folder=tmp_path / "before", **STUDY)
    ]
    claim = claimed(path)
    assert claimed(path) is None
    threading.Timer(0.3, claim.release).start()
    start = time.monotonic()
    study(folder=tmp_path, **STUDY)
    assert path.is_file() and time.monotonic() - start > 0.3
    study(folder=tmp_path, **STUDY)  # its claim was given back: this one does not wait


def test_a_failing_run_gives_its_claim_back(tmp_path, monkeypatch):
    def fails(*_):
        raise CourseError("no more")

    with monkeypatch.context() as patch:
        patch.setattr("course_lib.study.write_result", fails)
        with pytest.raises(CourseError, match="no more"):
            study(folder=tmp_path, **STUDY)
    assert len(study(folder=tmp_path, **STUDY)) == 1


def test_a_choice_that_is_added_later_changes_no_key(monkeypatch, tmp_path):
    """A recipe's defaults are not in the key, so that finished runs stay finished."""
    settings = settings_of(**MNIST)
    record = _record(settings, load_task("mnist-0-vs-8", images_per_class=20))
    key = _key(record)

    @dataclass(frozen=True)
    class LaterRecipe(Recipe):
        colour: str = "blue"

    monkeypatch.setattr("course_lib.study.Recipe", LaterRecipe)
    assert _key(record | {"colour": "blue"}) == key
    assert _key(record | {"colour": "red"}) != key
    assert _key(record | {"epochs": 3}) != key and _key(record | {"epochs": 40}) != key


def test_the_plan_is_trained_in_its_order_and_what_is_bundled_is_read(tmp_path, monkeypatch):
    plan = [("mnist-0-vs-8", arm, seed) for seed in (140, 141) for arm in ("none", "neural")]
    monkeypatch.setattr("course_lib.study.PLAN", plan)
    small = {"epochs": 1, "images_per_class": 20}
    make = settings_of
    monkeypatch.setattr("course_lib.study.settings_of", lambda *words: make(*words, **small))
    bundled = tmp_path / "bundled"
    monkeypatch.setattr("course_lib.study.STUDY", bundled)
    run(make(*plan[1], **small), bundled)
    results = planned_study(workers=1)
    assert [(r.task, r.arm, r.seed) for r in results] == plan
    written = sorted(
        (runs_folder() / "plan").glob("*.json"), key=lambda path: path.stat().st_mtime_ns
    )
    assert [path.name.split("--")[1:3] for path in written] == [
        ["none", "seed-140"], ["none", "seed-141"], ["neural", "seed-141"],
    ]  # fmt: skip


def test_nuisances_are_measured_where_they_are_asked_for(tmp_path):
    small = {"images_per_class": 10, "epochs": 1, "source": "stand-in", "side": 32}
    settings = settings_of(
        "dogs-vs-cats", "traditional-fresh", transforms="hue", nuisances=True, **small
    )
    result = run(settings, tmp_path)
    assert result.nuisances.keys() == {"plain", "shift", "rotate", "zoom", "hue"}
    assert result.nuisances["plain"] == pytest.approx(result.correct["test_last"].mean())
    plain = run(replace(settings, nuisances=False), tmp_path)
    assert not plain.nuisances and plain.key != result.key
    assert plain.curves["train_loss"] == result.curves["train_loss"]


def test_table(tmp_path):
    results = study(folder=tmp_path, **STUDY)
    table = results_table(results)
    assert (
        table.loc[0, "paper"] == 0.972
        and table.loc[0, "best validation"] == results[0].best_accuracy
    )
    assert table.loc[0, "images per class"] == 20 and table.loc[0, "arm"] == "none"
    assert "0.972" in show_table(table) and "mnist" in show_table(table)
    unknown = replace(results[0], settings=results[0].settings | {"arm": "of-my-own"})
    without = show_table(results_table([unknown]))
    assert "–" in without and "NaN" not in without and "nan" not in without


def test_a_page_shows_what_varies_and_what_was_measured(tmp_path):
    table = results_table(study(folder=tmp_path, **STUDY | {"seeds": [0, 1]}))
    page = shown(table, "task", "seed")
    assert list(page.columns) == ["best validation", "last validation", "test", "seconds"]
    assert page.index.names == [None, None] and page.index[1][1] == 1
    assert all("." not in text for text in page["seconds"])
    assert page["test"].iloc[0] == f"{table['test'][0]:.3f}"
    table.loc[1, "paper"] = math.nan
    assert shown(table, "seed")["paper"].tolist() == ["0.972", "–"]
    assert "source" in shown(table[:1], "task"), "of one run, nobody knows what varies"


def test_a_single_transformation_is_named_in_the_table(tmp_path):
    settings = settings_of(
        "dogs-vs-cats", "traditional", transforms="flip", epochs=1, images_per_class=10
    )
    result = run(settings, tmp_path)
    assert result.settings["transforms"] == {"flip": 0.5}
    assert result.single_transform == "flip"
    row = results_table([result]).loc[0]
    assert row["arm"] == "traditional: flip" and math.isnan(row["paper"])
    with pytest.raises(CourseError, match="transforms 'flop' is unknown .*did you mean flip"):
        run(replace(settings, recipe=Recipe(transforms="flop")), tmp_path)


def test_real_images_pass_through(real_images, tmp_path):
    (result,) = study(["dogs-vs-cats"], ["none"], epochs=1, images_per_class=20, folder=tmp_path)
    assert result.source == "tiny-imagenet"


def test_an_unwritable_folder_is_told(tmp_path):
    result = run(settings_of(**MNIST), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot write .*file/deeper/mnist.*: Not a directory"):
        write_result(result, tmp_path / "file" / "deeper")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "cats"}, "task 'cats' is unknown"),
        ({"arm": "mixin"}, "arm 'mixin' is unknown .*choose one of none, traditional"),
        ({"arm": "traditional"}, "not run on mnist-0-vs-8: the paper has no such row"),
        ({"preset": "fast"}, "preset 'fast' is unknown: choose one of quick, paper"),
        ({"epochs": 0}, "epochs 0 must be"),
        ({"batch_size": 0}, "batch_size 0 must be"),
        ({"device": "gpu"}, "device 'gpu' is unknown"),
        ({"seed": "x"}, "seed 'x' must be"),
        ({"drop": 0.1}, "setting 'drop' is unknown"),
    ],
)
def test_bad_settings(tmp_path, changes, message):
    with pytest.raises(CourseError, match=message):
        run(settings_of(**{**MNIST, **changes}), tmp_path)
    assert not list(tmp_path.glob("*.json"))


def test_bad_study():
    with pytest.raises(CourseError, match="no experiment has task"):
        study(["mnist-0-vs-8"], ["traditional"])
    with pytest.raises(CourseError, match="workers 0 must be"):
        study(workers=0, **STUDY)
