"""Copies of the notebooks to work in: without solutions, and never written over a reader's work."""

import copy
import hashlib
import json
import re
import shutil
from functools import partial
from pathlib import Path

import nbformat

from course_lib.pages.notebooks import SOLUTION, STUB, list_notebooks, read_notebook
from course_lib.support.files import NOTEBOOKS, make_folder, write_whole
from course_lib.support.validation import CourseError

OUTWARD_LINK = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
DIGEST = "course_copy"  # in a copy's metadata: the digest of what was written


def start(folder: Path, solutions: bool = False, source: Path = NOTEBOOKS) -> dict[str, Path]:
    """Copy the notebooks and documents of `source` into `folder`; return the copies that are new.

    A copy that its owner has changed or run stays: a new version is written as NAME.2.ipynb.
    `solutions` keeps the solutions, all outputs, and INSTRUCTORS.md.
    """
    make_folder(folder)
    if folder.samefile(source):
        raise CourseError(f"folder '{folder}' holds the course's own notebooks: choose another")
    copies = {path.name: _copy(path, folder, solutions) for path in list_notebooks(source)}
    places = {name: _place(folder / name, notebook) for name, notebook in copies.items()}
    written = {name: path for name, path in places.items() if path is not None}
    for name, target in written.items():
        write_whole(target, partial(nbformat.write, copies[name]))
    for document in source.glob("*.md"):
        if solutions or document.stem != "INSTRUCTORS":
            write_whole(folder / document.name, partial(shutil.copyfile, document))
    return written


def without_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy with stubs for solutions and without outputs: these answer predictions."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = SOLUTION.sub(STUB, cell.source)
            if re.search("(BEGIN|END) SOLUTION", cell.source):
                raise CourseError(f"cell {cell.id!r}: ### BEGIN and ### END SOLUTION must pair")
            cell.outputs, cell.execution_count = [], None
    return notebook


def _copy(path: Path, folder: Path, solutions: bool) -> nbformat.NotebookNode:
    notebook = read_notebook(path)
    if not solutions:
        notebook = without_solutions(notebook)
    if folder.resolve().parent != path.parent.parent:  # links to ../README.md would lead nowhere
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = OUTWARD_LINK.sub(r"\1", cell.source)
    notebook.metadata[DIGEST] = _digest(notebook)
    return notebook


def _place(path: Path, notebook: nbformat.NotebookNode) -> Path | None:
    """Where to write a copy: `path` or the next name beside it; None if it is already there."""
    target, number = path, 1
    while target.exists():
        try:
            there = read_notebook(target)
        except CourseError:  # not a copy, but the reader's own file
            there = nbformat.v4.new_notebook()
        digest = there.metadata.get(DIGEST)
        if digest == notebook.metadata[DIGEST]:
            return None
        if digest == _digest(there):  # nobody has changed it
            return target
        number += 1
        target = path.with_suffix(f".{number}.ipynb")
    return target


def _digest(notebook: nbformat.NotebookNode) -> str:
    """Of everything in a notebook except the digest itself, however the file is laid out."""
    metadata = {key: value for key, value in notebook.metadata.items() if key != DIGEST}
    content = json.dumps({**notebook, "metadata": metadata}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
