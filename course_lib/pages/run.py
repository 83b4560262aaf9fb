"""Run the course's notebooks in order at a preset."""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError
from nbclient.output_widget import OutputWidget
from tqdm import tqdm
from traitlets import default

from course_lib.pages.html import read_notebook, shorten, write_pages
from course_lib.support.files import NOTEBOOKS, runs_folder
from course_lib.support.validation import CourseError, choose, number


class NotebookFailed(Exception):
    """A notebook did not run to its end: three lines that say which, where and what is kept."""


@dataclass(frozen=True)
class Parameter:
    """One line `name: type = default  # help` of a notebook's parameters cell."""

    name: str
    type: type
    default: object
    help: str


def list_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks of `folder` in the order in which they run; CourseError if there are none."""
    notebooks = sorted(folder.resolve().glob("[0-9][0-9]_*.ipynb"))
    if not notebooks:
        raise CourseError(f"no notebook named NN_name.ipynb in {folder}")
    return notebooks


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """Parameters that `notebook` declares, by name; CourseError if it cannot be read."""
    read_notebook(notebook)
    parameters = {}
    for name, line in papermill.inspect_notebook(notebook).items():
        try:
            value = ast.literal_eval(line["default"])
        except (ValueError, SyntaxError):
            message = f"parameter {name} of {notebook.name} is no plain literal: {line['default']}"
            raise CourseError(message) from None
        parameters[name] = Parameter(name, type(value), value, line["help"])
    return parameters


def parse_parameters(
    assignments: Sequence[str], notebooks: Sequence[Path] | None = None
) -> dict[str, object]:
    """Values of the assignments "name=value", checked against the notebooks' declarations.

    Nothing is evaluated: a value is plain text for a str parameter, else a Python literal.
    Raises CourseError for a malformed assignment, for a name that no notebook has, for a value of
    another type than the declared default's, and for a negative number or none of what is counted.
    """
    declared: dict[str, list[Parameter]] = {}
    for notebook in list_notebooks() if notebooks is None else notebooks:
        for parameter in read_parameters(notebook).values():
            declared.setdefault(parameter.name, []).append(parameter)

    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not (equals and name):
            raise CourseError(f"parameter {assignment!r} must read name=value, as in epochs=3")
        if name == "preset":
            raise CourseError(f"parameter {assignment!r}: set the preset with --preset instead")
        for parameter in declared[choose("parameter", name, sorted(declared.keys() - {"preset"}))]:
            values[name] = _parse_value(parameter, text.strip())
    return values


def _parse_value(parameter: Parameter, text: str) -> object:
    """`text` as a value of the parameter's type."""
    if parameter.type is str:
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = None
    if parameter.type is float and type(value) is int:
        value = float(value)
    fits = type(value) is parameter.type
    if fits and parameter.type is list and parameter.default:
        fits = {type(item) for item in value} <= {type(item) for item in parameter.default}
    if parameter.type in (int, float) and fits and parameter.default >= 0:
        # What is counted stays 1 or more; other numbers, as seeds and weights, 0 or more.
        low = 1 if parameter.type is int and parameter.default else 0
        number(f"parameter {parameter.name}", value, low)
    if not fits:
        kinds = {bool: "True or False", int: "a whole number", float: "a number", list: "a list"}
        kind = kinds.get(parameter.type, f"a {parameter.type.__name__}")
        message = f"must be {kind} like its default {parameter.default!r}"
        raise CourseError(f"parameter {parameter.name} {text!r} {message}")
    return value


def run_notebooks(
    preset: str,
    parameters: Mapping[str, object],
    folder: Path = NOTEBOOKS,
    timeout: float = 1800,
    out: Path | None = None,
    results: Callable[[], str] | None = None,
) -> Path:
    """Execute all notebooks of `folder` in order; return the index of the pages made from them.

    Args:
        preset: value for the parameter `preset`, and name of the folder under `runs/`.
        parameters: further values (see `parse_parameters`), for each notebook that has the name.
        folder: where the notebooks lie; each runs in this folder, as it does in JupyterLab.
        timeout: seconds that each notebook as a whole may take.
        out: folder of `notebooks/` and `html/`, by default `runs/<preset>`.
        results: called once the notebooks have run: an HTML table for the index page.

    Raises:
        NotebookFailed: a notebook failed, died or took too long. It stops the course; the partly
            executed notebook is kept, and those before it have their pages.
        CourseError: no notebooks, a value that a notebook's code refused, or `out` cannot be
            written.
    """
    notebooks = list_notebooks(folder)
    out = (out or runs_folder() / preset).resolve()
    values = {
        path: {
            name: value
            for name, value in {**parameters, "preset": preset}.items()
            if name in read_parameters(path)
        }
        for path in notebooks
    }
    # Papermill puts the values into a cell of their own.
    total = sum(len(_code_cells(read_notebook(path))) + bool(values[path]) for path in notebooks)
    _clear(out)

    executed: list[Path] = []
    # Without a terminal there is no bar, only the line that each finished notebook writes.
    # nbclient answers the kernel's output widgets from two sides at once, and can wait for ever
    # (nbclient issue 312). Its answers matter to no one here: not sending them ends the wait.
    with (
        tqdm(total=total, unit="cell", file=sys.stderr, disable=None, leave=False) as bar,
        patch.object(OutputWidget, "send", lambda *args, **kwargs: None),
    ):
        for path in notebooks:
            bar.set_description(path.stem)
            start = time.monotonic()
            target = out / "notebooks" / path.name
            try:
                _execute(path, target, values[path], timeout, bar)
            except (NotebookFailed, CourseError):
                write_pages(executed, folder, out / "html", preset)
                raise
            executed.append(target)
            tqdm.write(f"{path.stem}: done in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return write_pages(executed, folder, out / "html", preset, results() if results else "")


class _ThisPython(AsyncKernelManager):
    """Starts the kernel with the Python that runs, whatever kernels the reader has installed."""

    @default("kernel_spec_manager")
    def _no_installed_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[], parent=self)


def _execute(path: Path, target: Path, values: dict, timeout: float, bar: tqdm) -> None:
    """Execute the notebook `path` to `target`; NotebookFailed if it does not reach its end."""
    start = time.monotonic()
    begun = []  # the cells so far, the last of them running
    try:
        notebook = papermill.execute_notebook(
            path,
            target,
            values,
            kernel_name="python3",
            kernel_manager_class=_ThisPython,
            # Its warnings, of local connections without encryption, would go to the terminal.
            extra_arguments=["--log-level=ERROR"],
            cwd=path.parent,
            progress_bar=False,
            # Papermill limits cells, not notebooks: each cell gets what is left for the notebook.
            timeout_func=lambda cell: max(start + timeout - time.monotonic(), 0.1),
            iopub_timeout=60,  # for the outputs of a cell that has ended, on a busy machine
            on_cell_execute=lambda cell, cell_index: begun.append(cell),
            on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(),
        )
        # Papermill takes `sys.exit()` for success, with the cells after it not run.
        errors = [
            f"{output.ename}: {output.evalue}"
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if output.output_type == "error"
        ]
        if not errors:
            return
        what, why = "failed", errors[0]
    except papermill.PapermillExecutionError as error:
        if error.ename == CourseError.__name__:  # a value that the library refused: one line
            raise CourseError(f"{path.stem}: {error.evalue}") from error
        what, why = "failed", f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        what, why = f"was stopped: it may take {timeout:g} s", "not finished when time ran out"
    except RuntimeError as error:
        what, why = "died: its kernel ended by itself", f"{error} (out of memory?)"
    except OSError as error:
        raise CourseError(f"cannot write {target}: {error.strerror or error}") from error

    where = "before its first cell"
    if begun:
        code = [line for line in begun[-1].source.splitlines() if re.match(r"\s*[^\s#]", line)]
        where = f"cell [{len(begun)}] {shorten(code[0] if code else '', 60)!r}"
    raise NotebookFailed(
        f"{path.stem} {what} after {time.monotonic() - start:.0f} s\n"
        f"{where}: {shorten(why, 200)}\n"
        f"partly executed notebook: {target}"
    )


def _clear(out: Path) -> None:
    """Make the folders of a run, without the files of the run before."""
    try:
        for folder, suffix in (("notebooks", ".ipynb"), ("html", ".html")):
            (out / folder).mkdir(parents=True, exist_ok=True)
            for old in (out / folder).glob(f"*{suffix}"):
                old.unlink()
    except OSError as error:
        raise CourseError(f"cannot write {out}: {error.strerror or error}") from error


def _code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that a kernel runs."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
