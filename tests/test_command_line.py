"""Bad input from a shell and on a disk: exit code 2, nothing written. More in test_bad_input."""

import subprocess
import sys

import pytest
from conftest import official_files, write_official

from course_lib.__main__ import main
from course_lib.support.files import data_folder, runs_folder

SMALL = ["--tasks", "mnist-0-vs-8", "--epochs", "1"]


@pytest.fixture
def course(capsys):
    """The command in this process, which is quicker: (exit code, what it printed on stderr)."""

    def call(*arguments):
        code = main(list(arguments))
        return code, capsys.readouterr().err

    return call


def is_refused(done, *words):
    code, message = done
    assert code == 2, message
    assert message.count("\n") == 1 and message.startswith("course: "), message
    for word in words:
        assert word in message
    assert not list(runs_folder().rglob("*.json")) and not list(runs_folder().rglob(".part-*"))


def test_unknown_wnid_and_broken_zip(course):
    root = write_official(data_folder(), official_files(), as_zip=True)
    is_refused(course("study", "--tasks", "n00000001-vs-n00000009"), "n00000009", "n00000002")
    root.write_bytes(root.read_bytes()[:4000])
    is_refused(course("study", "--tasks", "n00000001-vs-n00000002"), root.name, "no complete zip")


def test_unwritable_runs(course, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "file"))
    is_refused(course("study", *SMALL), "cannot write", "Not a directory")
    is_refused(course("run"), "cannot write", "Not a directory")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_plan_decides_all_of_its_runs(course):
    is_refused(course("study", "--plan", "studies"), "plan 'studies' is unknown", "study, readings")
    is_refused(course("study", "--plan", "study", "--epochs", "3"), "--epochs 3", "--plan decides")
    is_refused(course("study", "--plan", "study", "--workers", "0"), "workers 0 must be")


def test_from_a_shell():
    """Without a traceback, and with the exit code, as a shell sees it."""
    command = [sys.executable, "-m", "course_lib"]
    done = subprocess.run([*command, "study", "--tasks", "dogs"], capture_output=True, text=True)
    is_refused((done.returncode, done.stderr), "'dogs'")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "study" in done.stdout
