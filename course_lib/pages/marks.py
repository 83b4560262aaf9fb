"""What nbgrader reads in the notebooks: exercises, checks, and their points."""

from functools import partial
from pathlib import Path

import nbformat

from course_lib.pages.notebooks import list_notebooks, read_notebook
from course_lib.support.files import NOTEBOOKS, write_whole
from course_lib.support.validation import CourseError

POINTS = 1  # for each exercise


def write_marks(folder: Path = NOTEBOOKS) -> list[str]:
    """Mark the notebooks of `folder`; return a line for each that says how many points it gives.

    An exercise becomes a solution that students change, the check below it a test with `POINTS`
    points that they cannot change. Nothing else in a notebook changes; CourseError if an exercise
    has no check.
    """
    lines = []
    for path in list_notebooks(folder):
        notebook = read_notebook(path)
        before = nbformat.writes(notebook)
        points = _mark(notebook, path.stem)
        if nbformat.writes(notebook) != before:
            write_whole(path, partial(nbformat.write, notebook))
        lines.append(f"{path.stem}: {points} points")
    return lines


def _mark(notebook: nbformat.NotebookNode, name: str) -> int:
    """Mark the cells of one notebook; return its points."""
    kinds = []
    for cell in notebook.cells:
        cell.metadata.pop("nbgrader", None)
        tags = set(cell.metadata.get("tags", []))
        for kind in ("exercise", "check"):
            if kind in tags:
                kinds.append(kind)
                cell.metadata["nbgrader"] = _metadata(kind, f"{name}-{kind}-{kinds.count(kind)}")
    if kinds != ["exercise", "check"] * (len(kinds) // 2):
        raise CourseError(f"{name}: each exercise needs one check below it, found {kinds}")
    return POINTS * (len(kinds) // 2)


def _metadata(kind: str, grade_id: str) -> dict[str, object]:
    check = kind == "check"
    points = {"points": POINTS} if check else {}
    return {
        "grade": check, "grade_id": grade_id, "locked": check, **points,
        "schema_version": 3, "solution": not check, "task": False,
    }  # fmt: skip
