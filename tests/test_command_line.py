"""Bad input from the command line: one line on stderr, exit code 2, nothing written."""

import subprocess
import sys

import pytest
from conftest import official_files, write_official

from course_lib.__main__ import main
from course_lib.folders import data_folder, runs_folder

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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["studdy"], ["studdy", "study"]),
        (["study", "--speed", "9"], ["--speed"]),
        (["study", "--tasks", "dogs"], ["'dogs'", "dogs-vs-cats"]),
        (["study", "--arms", "gans", *SMALL], ["'gans'", "gan"]),
        (["study", "--arms", "gan", "--tasks", "mnist-0-vs-8"], ["gan", "mnist-0-vs-8"]),
        (["study", "--preset", "big"], ["'big'", "quick, paper"]),
        (["study", "--device", "cuda:7", *SMALL], ["'cuda:7'", "cpu"]),
        (["study", "--seeds", "one", *SMALL], ["'one'", "0-4"]),
        (["study", "--seeds", "4-0", *SMALL], ["'4-0'"]),
        (["study", "--seeds", "-1", *SMALL], ["'-1'"]),
        (["study", "--epochs", "0", "--tasks", "mnist-0-vs-8"], ["epochs 0", "1 or more"]),
        (["study", "--epochs", "many"], ["many", "integer"]),
        (["study", "--batch-size", "-4", *SMALL], ["batch_size -4", "1 or more"]),
        (["study", "--workers", "some", *SMALL], ["'some'", "auto"]),
        (["study", "--source", "web", "--tasks", "dogs-vs-cats"], ["'web'", "stand-in"]),
        (["study", "--source", "tiny-imagenet", "--tasks", "dogs-vs-cats"], ["not on disk"]),
        (["study", "--tasks", "n1-vs-n2"], ["'n1-vs-n2'", "WNID-vs-WNID"]),
        (["run", "--preset", "huge"], ["'huge'", "quick, paper"]),
        (["run", "--timeout", "0"], ["timeout 0"]),
        (["run", "-p", "sed=1"], ["'sed'", "seed"]),
        (["run", "-p", "seed"], ["seed", "name=value"]),
        (["run", "-p", "seed=one"], ["'one'", "whole number"]),
    ],
)
def test_refused(course, arguments, words):
    is_refused(course(*arguments), *words)


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


def test_from_a_shell():
    """Without a traceback, and with the exit code, as a shell sees it."""
    command = [sys.executable, "-m", "course_lib"]
    done = subprocess.run([*command, "study", "--tasks", "dogs"], capture_output=True, text=True)
    is_refused((done.returncode, done.stderr), "'dogs'")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "study" in done.stdout
