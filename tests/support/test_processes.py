"""A study on a Dask cluster: a real scheduler and two real workers on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from course_lib.analysis.results import read_results
from course_lib.study import study
from course_lib.support.files import runs_folder
from course_lib.support.validation import CourseError

SMALL = {"preset": "quick", "source": "stand-in", "images_per_class": 10}
ARMS = ["none", "control", "pair-mean"]


def start(*arguments, folder):
    """A process of Dask's command line, with its output in a file."""
    with (folder / f"{arguments[0]}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
            stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip


@pytest.fixture
def cluster(tmp_path):
    """(address, worker processes) of a scheduler with two workers of one thread each."""
    file = tmp_path / "scheduler.json"
    quiet = ("--no-dashboard", "--host", "127.0.0.1")
    scheduler = start("scheduler", "--scheduler-file", str(file), "--port", "0", *quiet,
                      folder=tmp_path)  # fmt: skip
    workers = []
    try:
        wait_for(file.exists)
        for _ in range(2):
            workers.append(
                start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny",
                      *quiet, folder=tmp_path)
            )  # fmt: skip
        from distributed import Client

        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_every_result_once(cluster):
    address, workers = cluster
    folder = runs_folder() / "cluster"

    def kill_one():
        wait_for(lambda: any(folder.glob("*.json")))
        os.kill(workers[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    results = study(["dogs-vs-cats"], ARMS, range(4), folder=folder, scheduler=address, **SMALL,
                    epochs=3)  # fmt: skip
    killer.join()
    assert workers[0].wait() == -signal.SIGKILL
    wanted = [(seed, arm) for seed in range(4) for arm in ARMS]
    assert [(r.settings["seed"], r.settings["arm"]) for r in results] == wanted
    written, foreign = read_results(folder)
    assert len(written) == len(wanted) and not foreign
    local = study(["dogs-vs-cats"], ARMS, [2], folder=runs_folder() / "here", workers=1, **SMALL,
                  epochs=3)  # fmt: skip
    for here, there in zip(local, results[6:9], strict=True):
        assert here.key == there.key
        assert here.curves["train_loss"] == pytest.approx(there.curves["train_loss"], abs=1e-4)


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr("course_lib.support.processes.CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        with pytest.raises(CourseError, match=f"scheduler '{address}' does not answer"):
            study(["dogs-vs-cats"], ["none"], scheduler=address, epochs=1, **SMALL)
