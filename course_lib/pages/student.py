"""Copies of the notebooks to work in: without the solutions, and never over work that is there."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shutil
from pathlib import Path

import nbformat

from course_lib.pages.html import GLOSSARY, read_notebook
from course_lib.pages.run import list_notebooks
from course_lib.support.files import NOTEBOOKS, make_folder, write_whole
from course_lib.support.validation import CourseError

# nbgrader's own markers and stub, so that either tool makes the same student page.
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?### END SOLUTION$", re.M | re.S)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"
OUTWARD_LINK = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
WRITTEN = "course_copy"  # in a copy's metadata: the digest of what was written


def start(folder: Path, solutions: bool = False, source: Path = NOTEBOOKS) -> dict[str, Path]:
    """Copy notebooks and glossary of `source` into `folder`, which is made; return what was new.

    A copy that its owner has changed or run is never written over. If the course's notebook has
    changed since, its new version is written beside, as NAME.2.ipynb; a copy that is as it was
    written is replaced.

    Args:
        folder: of the copies; not `source`.
        solutions: keep the solutions, and the outputs of exercises and their checks.
        source: where the course's notebooks lie.

    Returns:
        For the name of each notebook that was new: the path that it was written to.

    Raises:
        CourseError: `folder` cannot be written or is `source`, or a notebook of the course is
            broken; none is written then.
    """
    make_folder(folder)
    if folder.samefile(source):
        raise CourseError(f"folder '{folder}' holds the course's own notebooks: name another")
    copies = {path.name: _copy(path, folder, solutions) for path in list_notebooks(source)}
    written = {}
    for name, notebook in copies.items():
        target = _place(folder / name, notebook)
        if target is not None:
            write_whole(target, lambda path, notebook=notebook: nbformat.write(notebook, path))
            written[name] = target
    if (source / GLOSSARY).exists():
        write_whole(folder / GLOSSARY, lambda path: shutil.copyfile(source / GLOSSARY, path))
    return written


def without_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The student's page: stubs for solutions, no outputs of exercises and of their checks.

    Raises CourseError for a solution whose markers do not pair.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = SOLUTION.sub(STUB, cell.source)
            if re.search("(BEGIN|END) SOLUTION", cell.source):
                raise CourseError(f"cell {cell.id!r}: ### BEGIN and ### END SOLUTION must pair")
            if {"exercise", "check"} & set(cell.metadata.get("tags", [])):
                cell.outputs, cell.execution_count = [], None
    return notebook


def _copy(path: Path, folder: Path, solutions: bool) -> nbformat.NotebookNode:
    """The notebook `path` as it is written to `folder`, with its digest in its metadata."""
    notebook = read_notebook(path)
    if not solutions:
        notebook = without_solutions(notebook)
    # Beside the course's notebooks, as in work/, links to the README lead where they should.
    if folder.resolve().parent != path.parent.parent:
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = OUTWARD_LINK.sub(r"\1", cell.source)
    notebook.metadata[WRITTEN] = _digest(notebook)
    return notebook


def _place(path: Path, notebook: nbformat.NotebookNode) -> Path | None:
    """Where to write a copy: `path` or the next name beside it; None if it is there already."""
    target, number = path, 1
    while target.exists():
        digest, intact = _written(target)
        if digest == notebook.metadata[WRITTEN]:
            return None
        if intact:
            return target
        number += 1
        target = path.with_suffix(f".{number}.ipynb")
    return target


def _written(path: Path) -> tuple[str | None, bool]:
    """The digest of what was written to `path`, if it is a copy, and whether it still is that."""
    try:
        notebook = read_notebook(path)
    except CourseError:
        return None, False
    digest = notebook.metadata.get(WRITTEN)
    return digest, digest == _digest(notebook)


def _digest(notebook: nbformat.NotebookNode) -> str:
    """Of everything in a notebook but the digest itself, however the file is laid out."""
    metadata = {key: value for key, value in notebook.metadata.items() if key != WRITTEN}
    content = json.dumps({**notebook, "metadata": metadata}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
