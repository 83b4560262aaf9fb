"""`course check`: each fault is found, named, and answered with what to type."""

import shutil

import pytest
from conftest import official_files, write_official

from course_lib.__main__ import main
from course_lib.analysis import comparison
from course_lib.pages import checks
from course_lib.support.files import BUNDLED, data_folder, runs_folder


def report(capsys):
    """(exit code, the report's lines)."""
    code = main(["check"])
    return code, capsys.readouterr().out.splitlines()


@pytest.fixture
def no_kernel(monkeypatch):
    """The kernel takes seconds: where it is not what is tested, it is not started."""
    monkeypatch.setattr(checks, "_kernel", lambda: checks.Finding(True, "not started"))


def test_every_bundled_file_of_numbers_has_its_digest():
    lines = (BUNDLED / "bundled.sha256").read_text(encoding="ascii").splitlines()
    folders = (BUNDLED, BUNDLED / "styles", BUNDLED / "augnet")
    there = [path for folder in folders for path in folder.iterdir()]
    kinds = (".npz", ".safetensors", ".pt")
    assert {line.split()[1] for line in lines} == {
        path.relative_to(BUNDLED).as_posix() for path in there if path.suffix in kinds
    }


def test_a_healthy_course(capsys):
    code, lines = report(capsys)
    assert code == 0 and len(lines) == 11
    assert not [line for line in lines if line.startswith("WRONG")]
    text = "\n".join(lines)
    for word in (
        "Python 3",
        "torch",
        "device",
        "kernel starts",
        "GB are free",
        "MNIST",
        "generators load",
    ):
        assert word in text
    assert "draws stand-ins\n       → to fetch it: make data" in text


def wrong(lines):
    """The findings that are wrong, each with its advice."""
    return [
        (line, advice.strip())
        for line, advice in zip(lines, [*lines[1:], ""], strict=True)
        if line.startswith("WRONG")
    ]


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A copy of the bundled files, to do damage to."""
    copy = tmp_path / "bundled"
    shutil.copytree(BUNDLED, copy, ignore=shutil.ignore_patterns("MNIST", "cyclegan", "tiny-*"))
    monkeypatch.setattr(checks, "BUNDLED", copy)
    monkeypatch.setattr(comparison, "PILOT", copy / "reference" / "pilot")
    return copy


def test_damaged_bundled_files(bundled, no_kernel, capsys):
    path = bundled / "styles" / "monet.safetensors"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    next((bundled / "reference" / "pilot").iterdir()).write_text("{")
    code, lines = report(capsys)
    assert code == 1
    (first, advice), (second, other) = wrong(lines)
    assert (
        "monet.safetensors is damaged" in first
        and advice == "→ git checkout -- data/styles/monet.safetensors"
    )
    assert "is damaged" in second and other == "→ git checkout -- data/reference"
    path.unlink()
    assert "monet.safetensors is missing" in "\n".join(report(capsys)[1])


def test_a_damaged_result_and_a_folder_in_the_way(no_kernel, capsys, tmp_path, monkeypatch):
    (runs_folder() / "quick").mkdir(parents=True)
    (runs_folder() / "quick" / "x.json").write_text("{")
    code, lines = report(capsys)
    assert code == 1 and "x.json is not a result" in wrong(lines)[0][0]
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "file"))
    code, lines = report(capsys)
    assert code == 1 and "cannot write" in wrong(lines)[0][0]


def test_no_room(no_kernel, capsys, monkeypatch):
    monkeypatch.setattr(checks, "NEEDED", 2**60)
    assert "set COURSE_RUNS" in wrong(report(capsys)[1])[0][1]


def test_a_missing_package(no_kernel, capsys, monkeypatch):
    monkeypatch.setattr(
        checks.importlib.metadata,
        "requires",
        lambda name: ["torch>=99", "nosuch>=1", "x; extra == 'test'"],
    )
    ((line, advice),) = wrong(report(capsys)[1])
    assert "instead of >=99" in line and "nosuch none" in line and "; x" not in line
    assert advice == "→ python -m pip install -e ."


def test_a_kernel_that_does_not_start(capsys, monkeypatch, tmp_path):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["no-such-python"], "display_name": "x", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    ((line, advice),) = wrong(report(capsys)[1])
    assert "no kernel for the notebooks" in line and "no-such-python" in line
    assert "pip install" in advice


def test_other_pictures_than_the_papers(no_kernel, capsys):
    write_official(data_folder(), official_files(), as_zip=True)
    ((line, advice),) = wrong(report(capsys)[1])
    assert "n02099601" in line and "move" in advice and "course_lib data" in advice


def test_the_papers_pictures(no_kernel, capsys, real_images):
    assert "the paper's data, byte for byte" in "\n".join(report(capsys)[1])
