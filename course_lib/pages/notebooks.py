"""The notebooks of the course as files: which there are, in which order, and what they hold."""

import re
from pathlib import Path

import nbformat

from course_lib.support.files import NOTEBOOKS
from course_lib.support.validation import CourseError

# As nbgrader has them, so that both make the same student page.
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?### END SOLUTION$", re.M | re.S)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"


def list_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """Return the notebooks of `folder` in the order in which they run; CourseError if none."""
    notebooks = sorted(folder.resolve().glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise CourseError(f"no notebook named NN_name.ipynb in {folder}")
    return notebooks


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Return the notebook in the file `path`; CourseError if it is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat passes on whatever its parts raise
        raise CourseError(f"{path} is not a notebook: {shorten(str(error), 100)}") from error
    return notebook


def shorten(text: str, length: int) -> str:
    """Return `text` on one line of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
