"""Windows and macOS, in their likeness: names, paths, encodings, processes and memory.

The workflow runs this file on both, too; elsewhere it imitates what is different there.
"""

import ast
import inspect
import multiprocessing
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path, PureWindowsPath

import pytest
import torch
import yaml
from conftest import WNIDS, official_files, write_official
from PIL import Image

from course_lib.analysis.results import result_path
from course_lib.arms import ARMS
from course_lib.arms.domains import read_pictures
from course_lib.images import own_pictures, tiny_imagenet
from course_lib.images.mirrors import fetch_tiny_imagenet
from course_lib.images.own_pictures import class_folders
from course_lib.images.tasks import POOLED, TASKS, load_task
from course_lib.images.tiny_imagenet import load_tiny_imagenet
from course_lib.losses import gram_matrix
from course_lib.show import source
from course_lib.study import _key, _record, _train, settings_of
from course_lib.support import devices
from course_lib.support.files import COURSE, claimed, data_folder
from course_lib.support.progress import Steps
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, fit

MODULES = sorted((COURSE / "course_lib").rglob("*.py"))
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')  # in the name of a file on Windows
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{k}" for port in ("com", "lpt") for k in range(10)),
}
POSIX_ONLY = {
    "fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty",
    "chown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid",
    "getuid", "killpg", "mkfifo", "nice", "setsid", "sysconf", "uname",
    "SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2",
}  # fmt: skip


def nodes():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.name}:{getattr(node, 'lineno', 0)}", node


def test_the_library_uses_nothing_that_windows_lacks():
    used = {}
    for place, node in nodes():
        if isinstance(node, ast.Import):
            names = {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {node.module, *(name.name for name in node.names)}
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in ("os", "signal"):
            names = {node.attr}
        else:
            continue
        used |= dict.fromkeys(names & POSIX_ONLY, place)
    assert not used


def test_text_has_a_stated_encoding():
    """Windows reads and writes text as cp1252 unless it is told."""
    calls = [(place, node) for place, node in nodes() if isinstance(node, ast.Call)]
    checked = []
    for place, node in calls:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("read_text", "write_text"):
            assert "encoding" in {keyword.arg for keyword in node.keywords}, place
        elif name == "open" and getattr(getattr(node.func, "value", None), "id", "") != "Image":
            parts = [part for given in node.args for part in ast.walk(given)]
            assert any("b" in str(getattr(part, "value", "")) for part in parts), place
        else:
            continue
        checked.append(place)
    assert len(checked) > 9


def test_the_commands_work_where_text_is_not_utf_8(tmp_path):
    """ASCII is less than any code page of Windows has."""
    program = (
        "import locale, sys; from course_lib.__main__ import main\n"
        "if sys.platform == 'linux':\n"
        "    assert locale.getpreferredencoding(False).lower() in ('ascii', 'ansi_x3.4-1968')\n"
        "one = ['--tasks', 'mnist-0-vs-8', '--arms', 'none', '--epochs', '1', '--preset', 'quick']\n"
        "for command in (['study', *one, '--workers', '1'], ['start', 'work']):\n"
        "    assert main(command) == 0, command\n"
    )
    narrow = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **narrow, "PYTHONPATH": str(COURSE)},
        cwd=tmp_path, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = [path.name for path in (tmp_path / "work").glob("*.ipynb")]
    assert len(pages) == 9 and b"mnist-0-vs-8" in done.stdout


# Names of files.


def is_a_windows_name(name):
    return not FORBIDDEN.search(name) and name.split(".")[0].lower() not in DEVICES


@pytest.mark.parametrize("arm", ARMS)
def test_a_results_name_is_one_on_windows(arm):
    for task in (*TASKS, *POOLED, "n02099601-vs-n02085620", "folder-Cups-vs-Mugs"):
        settings = {"task": task, "arm": arm, "seed": 10**6}
        path = result_path(PureWindowsPath(r"C:\course\runs\paper"), settings, "0123456789ab")
        assert path.parent == PureWindowsPath("C:/course/runs/paper")
        assert is_a_windows_name(path.name) and len(path.name) < 100


def test_results_that_differ_in_case_alone_have_two_files(tiny_task, tmp_path):
    """As of folders Cups and cups: a digest of the name, too, tells them apart."""
    paths = []
    for name in ("folder-Cups-vs-Mugs", "folder-cups-vs-mugs"):
        record = _record(settings_of("dogs-vs-cats", "none"), replace(tiny_task, name=name))
        paths.append(result_path(tmp_path, record, _key(record)))
    assert len({path.name.lower() for path in paths}) == 2
    locks = [claimed(path) for path in paths]
    assert all(locks), "one would wait for the other for ever"
    assert len({Path(lock.lock_file).name.lower() for lock in locks}) == 2
    for lock in locks:
        lock.release()


def test_the_courses_own_files_can_be_checked_out():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=COURSE, capture_output=True)
    if done.returncode:
        pytest.skip("no git checkout")
    names = [name for name in done.stdout.decode("utf-8").split("\0") if name]
    assert len({name.lower() for name in names}) == len(names), "two differ in case alone"
    for name in names:
        assert all(map(is_a_windows_name, name.split("/"))) and len(name) < 150, name


# Folders whose names have no case.


@pytest.fixture
def listed_in_capitals(monkeypatch):
    """A disk that lists a class's folder in capitals, as it was made, and finds it by any case."""
    listing = Path.glob

    def in_capitals(self, pattern):
        found = listing(self, pattern.replace("[nN]", "n"))
        return (path.with_name(path.name.upper()) if path.is_dir() else path for path in found)

    monkeypatch.setattr(tiny_imagenet.Path, "glob", in_capitals)


def test_class_folders_in_capitals_are_found_where_case_does_not_count(
    listed_in_capitals, monkeypatch
):
    monkeypatch.setattr("course_lib.images.mirrors.COUNTS", (12, 3))
    root = write_official(data_folder(), official_files(), as_zip=False)
    assert len(load_tiny_imagenet(root, WNIDS)[0].labels) == 24
    assert fetch_tiny_imagenet(WNIDS) == root


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="its disks find them by any case")
@pytest.mark.parametrize(
    "call", [load_tiny_imagenet, lambda root, wnids: fetch_tiny_imagenet(wnids)]
)
def test_class_folders_in_capitals_are_missing_elsewhere(call):
    root = write_official(data_folder(), official_files(), as_zip=False)
    folder = root / "train" / WNIDS[0]
    folder.rename(folder.with_name(WNIDS[0].upper()))
    with pytest.raises(
        CourseError, match=f"wnid '{WNIDS[0]}' has no images|lacks {WNIDS[0]}"
    ) as caught:
        call(root, WNIDS)
    assert "\n" not in str(caught.value) and f"holds {WNIDS[0]}" not in str(caught.value)


@pytest.mark.parametrize("name", ["N02099601-vs-n02085620", "n02099601-vs-N02099601"])
def test_a_class_is_named_in_small_letters(name):
    with pytest.raises(CourseError, match="WNID-vs-WNID"):
        load_task(name)


class AnyCase(type(Path())):
    """Compares as paths do on Windows."""

    def __lt__(self, other):
        return str(self).lower() < str(other).lower()


def test_classes_have_one_order_everywhere(tmp_path, monkeypatch):
    for name in ("a", "B"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(
        own_pictures, "_visible", lambda root: [AnyCase(path) for path in root.iterdir()]
    )
    assert [path.name for path in class_folders(tmp_path)] == ["B", "a"]


def test_a_styles_pictures_have_one_order_everywhere(tmp_path):
    for value, name in ((10, "a.png"), (20, "B.png")):
        Image.new("RGB", (64, 64), (value,) * 3).save(tmp_path / name)
    assert sorted([AnyCase("B"), AnyCase("a")])[0].name == "a"
    assert [int(picture.max()) for picture in read_pictures(AnyCase(tmp_path), 32)] == [20, 10]


# Paths with backslashes.


class WindowsPath(PureWindowsPath):
    """As much of one as the course asks for."""

    def resolve(self):
        return self

    def glob(self, pattern):
        return [self / "n00000001_0.JPEG"]


def test_links_to_the_source_have_slashes(monkeypatch):
    monkeypatch.setattr(source, "Path", WindowsPath)
    monkeypatch.setattr(source, "COURSE", WindowsPath(r"C:\course"))
    monkeypatch.setattr(inspect, "getfile", lambda thing: r"C:\course\course_lib\sub\losses.py")
    shown = source.show_source(gram_matrix).data
    assert "](../course_lib/sub/losses.py)" in shown and "`course_lib/sub/losses.py" in shown


def test_official_names_have_slashes():
    folder = tiny_imagenet._Folder(WindowsPath(r"D:\data\tiny-imagenet-200"))
    assert folder.names("val/images") == ["val/images/n00000001_0.JPEG"]


@pytest.mark.parametrize("path", [r"C:\my files\pictures", "D:/my/pictures"])
def test_a_folder_with_a_drive_is_named_whole(path):
    with pytest.raises(CourseError) as caught:
        load_task(f"folder:{path}")
    assert path in str(caught.value).replace("\\\\", "\\") and "\n" not in str(caught.value)


# Processes that are spawned, and memory without glibc.


def test_a_run_in_a_spawned_process_is_the_same(tmp_path):
    """Nothing that a worker needs is inherited: all of it is sent, or imported anew."""
    settings = settings_of("mnist-0-vs-8", "neural", epochs=1, images_per_class=20, device="cpu")
    task = load_task("mnist-0-vs-8", images_per_class=20)
    steps = Steps(tmp_path)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        index, there = pool.submit(_train, 3, settings, task, steps).result(timeout=120)
    torch.set_num_threads(1)
    here = _train(3, settings, task, steps)[1]
    assert index == 3 and steps.count(3) == 2
    assert there.key == here.key and there.curves["train_loss"] == here.curves["train_loss"]


@pytest.mark.parametrize("libc", [("", ""), ("musl", "1.2.5")], ids=["Windows or macOS", "musl"])
def test_training_without_mallopt(libc, tiny_task, monkeypatch):
    def none(name):
        raise TypeError("Windows opens no library without a name")

    monkeypatch.setattr(devices.platform, "libc_ver", lambda: libc)
    monkeypatch.setattr(devices.ctypes, "CDLL", none)
    devices.keep_freed_memory.cache_clear()
    try:
        assert fit(tiny_task, recipe=Recipe(epochs=1))[1].best_epoch >= 0
    finally:
        devices.keep_freed_memory.cache_clear()


# What runs there for real.


def test_the_workflow_runs_the_course_on_three_systems():
    workflow = yaml.safe_load((COURSE / ".github/workflows/course.yml").read_text(encoding="utf-8"))
    systems = set()
    for job in workflow["jobs"].values():
        matrix = job["strategy"]["matrix"]
        on = matrix.get("system", [job["runs-on"]])
        commands = " ".join(step.get("run", "") for step in job["steps"])
        assert ".ci/run" in commands or "-m course_lib run --preset quick" in commands
        systems |= {name.split("-")[0] for name in on}
    assert systems == {"ubuntu", "windows", "macos"}
