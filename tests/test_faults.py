"""The course, killed in every way and called again: it goes on, and ends as if nothing had been."""

import datetime
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import write_notebook as write

from course_lib.analysis.results import read_results, results_table
from course_lib.images.tasks import load_task
from course_lib.study import study
from course_lib.support import devices
from course_lib.support.files import runs_folder
from course_lib.support.validation import CourseError

pytestmark = pytest.mark.slow

PAGE = """from course_lib.images.tasks import load_task
from course_lib.study import study
study(["mnist-0-vs-8"], ["none", "neural"], {seeds}, preset="quick", epochs=1, images_per_class=60,
      workers=2)"""
COURSE = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal's foreground
from course_lib.pages.run import NotebookFailed, run_notebooks
folder = Path(sys.argv[1])
try:
    run_notebooks("quick", {}, folder)
except NotebookFailed as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit("stopped")
"""


SHORT = {"epochs": 1, "images_per_class": 20, "workers": 1}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Two notebooks, as a course: each runs experiments in two worker processes."""
    folder = tmp_path_factory.mktemp("course")
    write(folder / "00_first.ipynb", "# First", PAGE.format(seeds=[0, 1, 2]))
    write(folder / "01_second.ipynb", "# Second", PAGE.format(seeds=[2, 3, 4]))
    return folder


def begin(course):
    return subprocess.Popen(
        [sys.executable, "-c", COURSE, course],
        stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "JUPYTER_RUNTIME_DIR": str(course / "runtime")},
    )  # fmt: skip


def family(runner):
    """The runner, its kernel and the kernel's workers."""
    try:
        return [psutil.Process(runner.pid), *psutil.Process(runner.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kernels(processes):
    return [process for process in processes if "ipykernel_launcher" in " ".join(process.cmdline())]


def kill_runner(runner, processes):
    runner.kill()


def kill_kernel(runner, processes):
    for kernel in kernels(processes):
        kernel.kill()


def control_c(runner, processes):
    os.killpg(runner.pid, signal.SIGINT)  # a terminal sends it to the whole group


def finished():
    return {path: path.stat().st_mtime_ns for path in (runs_folder() / "quick").glob("*.json")}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_killed_at_random_moments_the_course_goes_on(course, tmp_path, monkeypatch):
    moments = random.Random(7)
    hits = 0
    for fault in (kill_runner, kill_kernel, control_c, kill_runner, kill_kernel):
        runner = begin(course)
        until(lambda runner=runner: kernels(family(runner)) or runner.poll() is not None)
        time.sleep(moments.uniform(0.5, 6))
        before, processes = finished(), family(runner)
        fault(runner, processes)
        hits += runner.poll() is None or runner.wait() != 0
        runner.communicate(timeout=60)
        until(lambda processes=processes: not [p for p in processes if alive(p)])
        after = finished()
        assert before.items() <= after.items(), "none lost, none done again"
    assert hits >= 3, "the faults fell into the course"
    runner = begin(course)
    _, errors = runner.communicate(timeout=400)
    assert runner.returncode == 0, errors.decode()
    assert before.items() <= finished().items()
    assert not list(runs_folder().rglob(".part-*.json"))

    results, foreign = read_results(runs_folder() / "quick")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "peace"))
    peace = study(["mnist-0-vs-8"], ["none", "neural"], range(5), preset="quick", epochs=1,
                  images_per_class=60, workers=1)  # fmt: skip
    assert not foreign and len(results) == 10
    tables = [results_table(part).drop(columns="seconds") for part in (results, peace)]
    tables = [table.sort_values(["arm", "seed"], ignore_index=True) for table in tables]
    assert tables[0].equals(tables[1])


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def until(condition):
    """Wait for `condition`, for a while."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_clock_that_jumps_back(tmp_path, monkeypatch):
    """Durations do not come from the clock on the wall, and a result from the future stays."""

    class Jumping(datetime.datetime):
        years = iter((2030, 1999))

        @classmethod
        def now(cls, zone):
            return cls(next(cls.years), 1, 1, tzinfo=zone)

    monkeypatch.setattr(devices.datetime, "datetime", Jumping)
    monkeypatch.setattr(time, "time", iter(range(10**9, 0, -1000)).__next__)
    call = {**SHORT, "folder": tmp_path}
    first, second = study(["mnist-0-vs-8"], ["none"], [0, 1], **call)
    assert first.environment["date"] > second.environment["date"]
    assert 0 < first.seconds < 60 and 0 < second.seconds < 60
    assert study(["mnist-0-vs-8"], ["none"], [0, 1], **call)[0].environment == first.environment


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_disk_that_takes_no_more(tmp_path):
    """Files may grow to 1,000 bytes here, as on a disk that fills up while a file is written."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(CourseError, match="cannot write .*: File too large") as caught:
            study(["mnist-0-vs-8"], ["none"], folder=tmp_path / "runs", **SHORT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".claims"]


@contextmanager
def as_nobody():
    """Root may read and write anywhere: it acts as a user who may not."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_folder_that_may_only_be_read(tmp_path, monkeypatch):
    # Not in pytest's own folder, into which nobody else may look.
    monkeypatch.setenv("COURSE_DATA", tempfile.mkdtemp())
    folder = Path(os.environ["COURSE_DATA"])
    folder.chmod(0o755)
    shut = folder / "shut"
    shut.mkdir(mode=0o555)
    load_task("mnist-0-vs-8")  # nobody may not import what this imports on its first call
    with as_nobody(), pytest.raises(CourseError, match="cannot write .*shut.*: Permission denied"):
        study(["mnist-0-vs-8"], ["none"], folder=shut / "runs", **SHORT)
    assert not list(shut.iterdir())
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_data_folder_that_may_not_be_read(tmp_path, monkeypatch):
    shut = tmp_path / "data"
    shut.mkdir(mode=0o000)
    monkeypatch.setenv("COURSE_DATA", str(shut))
    with as_nobody(), pytest.raises(CourseError, match="data cannot be read: Permission denied"):
        study(["mnist-0-vs-8"], ["none"], folder=tmp_path / "runs", **SHORT)
