"""Exercises and checks give marks: nbgrader's defaults find those that a submission deserves."""

from __future__ import annotations

import copy
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.nbgraderformat import MetadataValidator

from course_lib.__main__ import main
from course_lib.pages.marks import write_marks
from course_lib.pages.notebooks import list_notebooks
from course_lib.support.files import COURSE, NOTEBOOKS
from course_lib.support.validation import CourseError

GUIDE = (NOTEBOOKS / "INSTRUCTORS.md").read_text(encoding="utf-8")


def read(path):
    return nbformat.read(path, as_version=4)


def course(folder: Path, *kinds: str) -> Path:
    """A course of one notebook whose code cells have these tags."""
    cells = [new_markdown_cell("# Why?")]
    cells += [new_code_cell("1", metadata={"tags": [kind, "other"]}) for kind in kinds]
    nbformat.write(new_notebook(cells=cells), folder / "00_first.ipynb")
    return folder


def test_exercises_are_solutions_and_checks_have_points(tmp_path):
    folder = course(tmp_path, "plain", "exercise", "check", "exercise", "check")
    assert write_marks(folder) == ["00_first: 2 points"]
    notebook = read(folder / "00_first.ipynb")
    MetadataValidator().validate_nb(notebook)
    marks = [cell.metadata.get("nbgrader") for cell in notebook.cells]
    assert marks[:2] == [None, None]
    ids = [mark["grade_id"] for mark in marks[2:]]
    assert len(set(ids)) == 4 and ids[0] == "00_first-exercise-1"
    for exercise, check in ((marks[2], marks[3]), (marks[4], marks[5])):
        assert exercise["solution"] and not exercise["grade"] and not exercise["locked"]
        assert check["grade"] and check["locked"] and not check["solution"] and check["points"] == 1


def test_nothing_else_in_a_notebook_changes_and_a_second_time_nothing_at_all(tmp_path):
    folder = course(tmp_path, "plain", "exercise", "check")
    before, path = read(folder / "00_first.ipynb"), folder / "00_first.ipynb"
    write_marks(folder)
    after, written = read(path), path.stat().st_mtime_ns
    for cell in after.cells:
        cell.metadata.pop("nbgrader", None)
    assert after == before
    write_marks(folder)
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("kinds", [["exercise"], ["check", "exercise"], ["exercise", "exercise"]])
def test_an_exercise_without_its_check_is_refused(tmp_path, kinds):
    with pytest.raises(CourseError, match="00_first: each exercise needs one check below it"):
        write_marks(course(tmp_path, *kinds))


def test_the_notebooks_carry_what_the_tool_writes(tmp_path):
    for path in list_notebooks():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_marks(tmp_path)
    for path in list_notebooks():
        assert read(tmp_path / path.name) == read(path), "python -m course_lib marks"


def commands() -> tuple[list[str], list[str]]:
    """The guide's commands before and after students hand in."""
    block = re.search(r"(?m)(^    .+start --solutions marking.*(?:\n    .+)+)", GUIDE)[1]
    lines = [line.strip().partition("   #")[0].strip() for line in block.splitlines()]
    middle = next(number for number, line in enumerate(lines) if line.startswith("#"))
    return lines[:middle], lines[middle + 1 :]


def execute(lines: list[str], folder: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(COURSE),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
    }
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines)],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def sources(notebook, kind):
    return [cell for cell in notebook.cells if kind in cell.metadata.get("tags", [])]


@pytest.mark.slow
def test_nbgrader_hands_out_the_pages_that_start_makes(tmp_path):
    assert main(["start", str(tmp_path / "work")]) == 0
    assert main(["start", "--solutions", str(tmp_path / "source" / "course")]) == 0
    execute(["nbgrader generate_assignment course"], tmp_path)
    for path in list_notebooks():
        ours, theirs = (
            read(tmp_path / folder / path.name) for folder in ("work", "release/course")
        )
        assert [shown(cell) for cell in ours.cells] == [shown(cell) for cell in theirs.cells]


def shown(cell):
    """A cell without nbgrader's check sum and locks."""
    metadata = {key: cell.metadata[key] for key in cell.metadata.keys() - {"deletable", "editable"}}
    if "nbgrader" in metadata:
        skip = {"checksum", "cell_type"}
        metadata["nbgrader"] = {k: v for k, v in metadata["nbgrader"].items() if k not in skip}
    return {**cell, "metadata": metadata}


@pytest.mark.slow
def test_three_submissions_get_the_marks_that_they_deserve(tmp_path):
    """By the guide's commands, with nbgrader's defaults; handed in: what `start` has given."""
    before, after = commands()
    assert main(["start", str(tmp_path / "work")]) == 0
    execute(before, tmp_path)
    page = read(tmp_path / "work" / "00_start.ipynb")
    solved = sources(read(NOTEBOOKS / "00_start.ipynb"), "exercise")
    right, wrong, half = (copy.deepcopy(page) for _ in range(3))
    for cell, solution in zip(sources(right, "exercise"), solved, strict=True):
        cell.source = solution.source
    for cell in sources(wrong, "exercise"):
        cell.source = cell.source.replace("raise NotImplementedError()", "return images, images")
    sources(wrong, "check")[0].source = "pass"  # it is put back
    sources(half, "exercise")[0].source = solved[0].source
    half.cells.remove(sources(half, "check")[1])
    for name, notebook in {"ann": right, "ben": wrong, "cai": half}.items():
        target = tmp_path / "marking" / "submitted" / name / "00_start" / "00_start.ipynb"
        target.parent.mkdir(parents=True)
        nbformat.write(notebook, target)
    execute([before[-2], *after], tmp_path)  # the first of them changes to the folder
    with (tmp_path / "marking" / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    assert {name: float(row["score"]) for name, row in rows.items()} == {
        "ann": 2,
        "ben": 0,
        "cai": 1,
    }
    assert {float(row["max_score"]) for row in rows.values()} == {2}
    for name in rows:
        feedback = tmp_path / "marking" / "feedback" / name / "00_start" / "00_start.html"
        assert "00_start-check-1" in feedback.read_text()
