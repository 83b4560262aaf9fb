"""What nbgrader reads in the notebooks: exercises, checks, and their points."""

from functools import partial
from pathlib import Path

import nbformat

from course_lib.pages.notebooks import list_notebooks, read_notebook
from course_lib.support.files import NOTEBOOKS, write_whole
from course_lib.support.validation import CourseError


def write_marks(folder: Path = NOTEBOOKS) -> list[str]:
    """Mark the notebooks of `folder`; return a line for each that says how many points it gives.

    An exercise becomes a solution, the check below it a locked test with one point. Nothing else
    changes; CourseError if an exercise has no check.
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
    kinds: list[str] = []
    for cell in notebook.cells:
        cell.metadata.pop("nbgrader", None)
        for kind in {"exercise", "check"}.intersection(cell.metadata.get("tags", [])):
            kinds.append(kind)
            check = kind == "check"
            cell.metadata["nbgrader"] = {
                "grade": check, "grade_id": f"{name}-{kind}-{kinds.count(kind)}", "locked": check,
                "schema_version": 3, "solution": not check, "task": False,
                **({"points": 1} if check else {}),
            }  # fmt: skip
    if kinds != ["exercise", "check"] * (len(kinds) // 2):
        raise CourseError(f"{name}: each exercise needs one check below it, found {kinds}")
    return len(kinds) // 2
