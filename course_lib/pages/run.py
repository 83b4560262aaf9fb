"""Run the course's notebooks in order at a preset."""

import ast
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError
from nbclient.output_widget import OutputWidget
from tqdm import tqdm
from traitlets import default

from course_lib.pages.book import write_book
from course_lib.pages.notebooks import list_notebooks, read_notebook, shorten
from course_lib.support.files import NOTEBOOKS, make_folder, not_written, runs_folder
from course_lib.support.validation import CourseError, choose, number

KINDS = {bool: "True or False", int: "a whole number", float: "a number", list: "a list"}


class NotebookFailed(Exception):
    """A notebook did not finish: three lines that say which, where, and what is kept."""


def read_parameters(notebook: Path) -> dict[str, object]:
    """Return the parameters that `notebook` declares, with their default values (literals)."""
    read_notebook(notebook)
    parameters = {}
    for name, line in papermill.inspect_notebook(notebook).items():
        try:
            parameters[name] = ast.literal_eval(line["default"])
        except (ValueError, SyntaxError):
            message = f"is not a plain literal: {line['default']}"
            raise CourseError(f"parameter {name} of {notebook.name} {message}") from None
    return parameters


def parse_parameters(assignments: Sequence[str], folder: Path = NOTEBOOKS) -> dict[str, object]:
    """Return the values of assignments "name=value": text, or literals of the default's type."""
    defaults: dict[str, object] = {}
    for notebook in list_notebooks(folder):
        defaults.update(read_parameters(notebook))
    values = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not (equals and name):
            raise CourseError(f"parameter {assignment!r} must read name=value, as in epochs=3")
        if name == "preset":
            raise CourseError(f"parameter {assignment!r}: set the preset with --preset instead")
        choose("parameter", name, sorted(defaults.keys() - {"preset"}))
        values[name] = _parse(name, text, defaults[name])
    return values


def _parse(name: str, text: str, default: Any) -> object:
    kind = type(default)
    try:
        value = text if kind is str else ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        value = None
    if kind is float and type(value) is int:
        value = float(value)
    fits = type(value) is kind
    if fits and isinstance(value, list) and default:
        fits = set(map(type, value)) <= set(map(type, default))
    if not fits:
        wanted = f"{KINDS.get(kind, kind.__name__)} like its default {default!r}"
        raise CourseError(f"parameter {name} {text!r} must be {wanted}")
    if kind in (int, float) and default >= 0:
        # Counts must be at least 1; other numbers, such as seeds and weights, at least 0.
        number(f"parameter {name}", value, 1 if kind is int and default else 0)
    return value


def run_notebooks(
    preset: str,
    parameters: Mapping[str, object],
    folder: Path = NOTEBOOKS,
    timeout: float = 1800,
    out: Path | None = None,
    results: Callable[[], str] | None = None,
) -> Path:
    """Execute all notebooks of `folder` in order; return the first page of the book made from them.

    `parameters` go to each notebook that has the name; `timeout`: seconds per notebook; `out`, by
    default `runs/<preset>`, gets `notebooks/` and `html/`; `results` makes a table for the book.
    """
    given, values, cells = {**parameters, "preset": preset}, {}, 0
    for path in list_notebooks(folder):
        values[path] = {name: given[name] for name in read_parameters(path) if name in given}
        cells += bool(values[path])  # papermill puts them into a cell of their own
        cells += sum(cell.cell_type == "code" for cell in read_notebook(path).cells)
    out = (out or runs_folder() / preset).resolve()
    make_folder(out / "html")
    make_folder(out / "notebooks")
    for old in (out / "notebooks").glob("*.ipynb"):
        old.unlink()

    executed: list[Path] = []
    # nbclient answers output widgets from two sides and can wait for ever (issue 312): send none.
    with (
        tqdm(total=cells, unit="cell", file=sys.stderr, disable=None, leave=False) as bar,
        patch.object(OutputWidget, "send", lambda *args, **kwargs: None),
    ):
        for path in values:
            bar.set_description(path.stem)
            start = time.monotonic()
            target = out / "notebooks" / path.name
            try:
                _execute(path, target, values[path], timeout, bar)
            except (NotebookFailed, CourseError):
                with suppress(CourseError):  # the first error is the one to tell
                    write_book(executed, folder, out / "html", preset)
                raise
            executed.append(target)
            tqdm.write(f"{path.stem}: done in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return write_book(executed, folder, out / "html", preset, results() if results else "")


class _ThisPython(AsyncKernelManager):
    @default("kernel_spec_manager")  # the running Python, whatever kernels the reader has installed
    def _no_installed_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[], parent=self)


def _execute(path: Path, target: Path, values: dict, timeout: float, bar: tqdm) -> None:
    """Execute a notebook into `target`, which gets its name when papermill has written it whole."""
    part = target.with_name(f".part-{target.name}")  # papermill writes it anew after each cell
    start, begun = time.monotonic(), []  # begun: the cells so far; the last one is running
    try:
        notebook = papermill.execute_notebook(
            path,
            part,
            values,
            cwd=path.parent,
            progress_bar=False,
            kernel_name="python3",
            kernel_manager_class=_ThisPython,
            extra_arguments=["--log-level=ERROR"],  # no warnings about unencrypted connections
            # Papermill limits cells, not notebooks: each cell gets what is left for the notebook.
            timeout_func=lambda cell: max(start + timeout - time.monotonic(), 0.1),
            iopub_timeout=60,  # for the outputs of a finished cell, on a busy machine
            on_cell_execute=lambda cell, cell_index: begun.append(cell),
            on_cell_executed=lambda cell, cell_index, execute_reply: bar.update(),
        )
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        # Papermill takes `sys.exit()` for success, although the cells after it have not run.
        errors = [output for output in outputs if output.output_type == "error"]
        if not errors:
            return
        what, why = "failed", f"{errors[0].ename}: {errors[0].evalue}"
    except papermill.PapermillExecutionError as error:
        if error.ename == CourseError.__name__:  # a value that the library refused: one line
            raise CourseError(f"{path.stem}: {error.evalue}") from error
        what, why = "failed", f"{error.ename}: {error.evalue}"
    except CellTimeoutError:
        what, why = f"exceeded its limit of {timeout:g} s and was stopped", "not finished"
    except RuntimeError as error:
        what, why = "failed because its kernel died", f"{error} (out of memory?)"
    except OSError as error:
        if error.filename is not None and Path(error.filename) != part:  # a kernel's file, say
            wrong = f"{error.filename}: {error.strerror or error}"
            raise CourseError(f"{path.stem} cannot be run: {wrong}") from error
        raise not_written(target, part, error) from error
    finally:
        with suppress(CourseError, OSError):
            read_notebook(part)
            part.replace(target)
        part.unlink(missing_ok=True)
    where = "before its first cell"
    if begun:
        code = re.search(r"^ *[^\s#].*", begun[-1].source, re.M)
        where = f"cell [{len(begun)}] {shorten(code[0] if code else '', 60)!r}"
    summary = f"{path.stem} {what} after {time.monotonic() - start:.0f} s\n{where}"
    raise NotebookFailed(f"{summary}: {shorten(why, 200)}\npartly executed notebook: {target}")
