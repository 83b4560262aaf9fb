"""The course's source stands below a link that leads to its file; pages show little of it."""

import ast
import importlib
import inspect
import operator
import re
from functools import reduce

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_lib.images import Examples
from course_lib.images.tasks import Task
from course_lib.losses import content_loss
from course_lib.models import SmallNet
from course_lib.pages.book import write_book
from course_lib.show.source import show_source
from course_lib.support.files import NOTEBOOKS
from course_lib.support.validation import CourseError
from course_lib.training import evaluate

LONGEST = 25  # lines that a page shows at once


def shown_on_pages():
    """(notebook, name) of everything that a notebook shows through show_source."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "show_source":
                    yield from ((path, ast.unparse(thing)) for thing in node.args)


def by_imports_of(notebook, name):
    """What a name such as `Task.normalise` means on a page, by its imports from the course."""
    root, *attributes = name.split(".")
    for cell in nbformat.read(notebook, as_version=4).cells:
        for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == root:
                        module = importlib.import_module(node.module)
                        return reduce(getattr, attributes, operator.attrgetter(alias.name)(module))
    raise NameError(f"{notebook.name} shows {name}, and imports no {root}")


SHOWN = list(shown_on_pages())
IDS = [f"{notebook.stem}-{name}" for notebook, name in SHOWN]


@pytest.mark.parametrize(("notebook", "name"), SHOWN, ids=IDS)
def test_what_a_page_shows_is_short(notebook, name):
    lines = len(inspect.getsourcelines(inspect.unwrap(by_imports_of(notebook, name)))[0])
    assert lines <= LONGEST, f"{notebook.name} shows {lines} lines of {name}, {LONGEST} at most"


@pytest.mark.parametrize(("notebook", "name"), SHOWN, ids=IDS)
def test_links_on_a_page_lead_to_the_file(notebook, name):
    thing = by_imports_of(notebook, name)
    text, target = re.match(
        r"\[`(.+?)`\]\((.+?)\)\n\n```python\n", show_source(thing).data
    ).groups()
    assert (NOTEBOOKS / target).samefile(inspect.getsourcefile(inspect.unwrap(thing)))
    assert text == f"{target.removeprefix('../')} · {name}"


@pytest.mark.parametrize(
    ("thing", "address", "begin"),
    [
        (content_loss, "course_lib/losses.py · content_loss", "@checks("),
        (SmallNet, "course_lib/models.py · SmallNet", "class SmallNet("),
        (Task.normalise, "course_lib/images/tasks.py · Task.normalise", "def normalise("),
        (Examples, "course_lib/images/__init__.py · Examples", "class Examples("),
        (
            evaluate,
            "course_lib/training/measure.py · evaluate",
            "@torch.inference_mode()\ndef evaluate(",
        ),
    ],
    ids=["function", "class", "method", "in a package", "decorated"],
)
def test_the_address_stands_above_the_code(thing, address, begin):
    link, _, code = show_source(thing).data.partition("\n\n")
    assert link == f"[`{address}`](../{address.split(' ')[0]})"
    assert code.startswith(f"```python\n{begin}") and code.endswith("\n```")


def test_several_things_stand_below_each_other():
    text = show_source(content_loss, SmallNet).data
    assert text == f"{show_source(content_loss).data}\n\n{show_source(SmallNet).data}"


@pytest.mark.parametrize(
    "thing",
    [torch.nn.Linear, "SmallNet", len, lambda: None],
    ids=["of a library", "text", "built in", "of a page"],
)
def test_what_is_not_of_the_course_is_refused_in_one_line(thing):
    with pytest.raises(CourseError, match="must be a class, function or method of the course$"):
        show_source(thing)


def test_on_an_html_page_the_link_is_a_name(tmp_path):
    """The page of a notebook lies elsewhere: a relative link would lead nowhere."""
    output = new_output("execute_result", {"text/markdown": show_source(content_loss).data})
    output.execution_count = 1
    cell = new_code_cell("show_source(content_loss)", outputs=[output], execution_count=1)
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    write_book([tmp_path / "a.ipynb"], tmp_path, tmp_path / "html", "quick")
    page = (tmp_path / "html" / "a.html").read_text(encoding="utf-8")
    assert "course_lib/losses.py · content_loss" in re.sub("<[^>]+>", "", page)
    assert "../course_lib" not in page
