"""The notebooks as pages: one skeleton, stored outputs that compare, checks that can fail."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest

from course_lib.support.files import NOTEBOOKS

PAGES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTION = re.compile(r"### BEGIN SOLUTION.*?### END SOLUTION", re.S)


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return nbformat.read(request.param, as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def code_cells(page):
    return [cell for cell in page.cells if cell.cell_type == "code"]


def text(page):
    return "\n\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")


def test_there_are_pages():
    assert len({path.stem[:2] for path in PAGES}) == len(PAGES) >= 8


def test_skeleton(page):
    opening = page.cells[0].source
    title = opening.splitlines()[0]
    assert title.startswith("# ") and title.endswith("?"), "the title is a question"
    assert re.search(r"\*\*You will learn\*\*\n\n(- .+\n){3}\n", opening), "three bullets"
    assert "**Paper:** §" in opening and "**Time:** " in opening
    headings = re.findall(r"^## (.+)$", text(page), re.M)
    assert headings[0] == "Set-up" and headings[-1] == "What you learned"
    assert headings[-3:-1] == ["Explore", "Exercises"]
    assert "redict" in text(page), "a prediction before a result"
    assert re.search(r"(- .+\n){2}- ", page.cells[-1].source), "the three bullets again"
    assert page.metadata.kernelspec.name == "python3"


def test_the_pages_on_results_are_short():
    for path in PAGES[6:8]:
        unfolded = re.sub("(?s)<details>.*?</details>", "", text(nbformat.read(path, as_version=4)))
        assert len(unfolded.split()) < 2000, path.stem


def test_parameters_are_plain_literals_with_help(page):
    (cell,) = [cell for cell in page.cells if "parameters" in tags(cell)]
    for line in cell.source.splitlines():
        match = re.fullmatch(r"(\w+): (int|float|bool|str|list) = (.+?)  # \S.*", line)
        assert match, line
        value = ast.literal_eval(match[3])
        assert type(value).__name__ == match[2]
    if "preset" in cell.source:
        assert 'preset: str = "quick"' in cell.source


def test_no_magics_paths_or_network(page):
    for cell in code_cells(page):
        ast.parse(cell.source)  # a magic is no Python
        assert not re.search(
            r"(?m)^\s*[!%]|(?<![\w.])/\w+/\w+/|[A-Z]:\\\\|https?://|requests|urllib", cell.source
        )


def test_plot_cells_end_in_show(page):
    for cell in code_cells(page):
        if re.search(
            r"(?m)^(?!def |from |import )\s*.*(plt\.subplots|_sheets\(|_plot\(|_curves\(|image_grid\()",
            cell.source,
        ):
            assert cell.source.rstrip().endswith("plt.show()") or "def " in cell.source, cell.source


def test_prose_stands_between_code(page):
    for above, below in zip(page.cells, page.cells[1:], strict=False):
        assert "code" not in (above.cell_type,) or below.cell_type == "markdown", below.source


def test_code_cells_are_short(page):
    for cell in code_cells(page):
        assert len(SOLUTION.sub("", cell.source).splitlines()) <= 30


def test_cells_with_a_progress_bar_are_not_compared(page):
    """Whether a bar is seen depends on what the cache holds, and so does nbval's comparison."""
    for cell in code_cells(page):
        if re.search(r"\b(fit|study|stylise|train_cyclegan)\(", SOLUTION.sub("", cell.source)):
            assert "nbval-ignore-output" in tags(cell), cell.source


def test_outputs_are_stored_and_clean(page):
    """nbval passes a cell without an execution count unseen: each must have run, without error."""
    counts = [cell.execution_count for cell in code_cells(page)]
    assert counts == list(range(1, len(counts) + 1)), "store the outputs: make store"
    for cell in code_cells(page):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert "application/vnd.jupyter.widget-state+json" not in output.get("data", {})
    assert "widgets" not in page.metadata


def test_a_cell_that_is_not_compared_is_followed_by_one_that_asserts(page):
    cells = code_cells(page)
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if "nbval-ignore-output" in tags(cell):
            assert following is not None and "assert " in following.source, cell.source
        assert not set(tags(cell)) & {"nbval-skip", "raises-exception", "skip-execution"}


def test_most_cells_are_compared(page):
    ignored = sum("nbval-ignore-output" in tags(cell) for cell in code_cells(page))
    compared = sum(
        bool(cell.outputs) and "nbval-ignore-output" not in tags(cell) for cell in code_cells(page)
    )
    assert compared >= ignored and compared >= 4


def test_exercises_have_solutions_and_checks(page):
    cells = code_cells(page)
    asked = [cell for cell in cells if "exercise" in tags(cell)]
    assert 2 <= len(asked) == text(page).count("### Exercise ")
    for cell in asked:
        assert cell.source.count("### BEGIN SOLUTION") == cell.source.count("### END SOLUTION") == 1
        assert "check" in tags(cells[cells.index(cell) + 1])


def is_hidden(cell):
    return "remove-cell" in tags(cell)


def names(cells, *kinds):
    """Names that cells read, or bind; those of loops and comprehensions count as neither."""
    nodes = [node for cell in cells for node in ast.walk(ast.parse(cell.source))]
    loops = [node.target for node in nodes if isinstance(node, (ast.For, ast.comprehension))]
    passing = {node for target in loops for node in ast.walk(target)}
    found = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, kinds)}
    return found - {node.id for node in passing if isinstance(node, ast.Name)}


def test_what_only_asserts_is_hidden_from_the_reader(page):
    """It shows nothing, and no cell that is seen needs it; nbval runs it all the same."""
    cells = code_cells(page)
    seen = [cell for cell in cells if not is_hidden(cell)]
    hidden = names(filter(is_hidden, cells), ast.Store) - names(seen, ast.Store)
    assert not hidden & names(seen, ast.Load)
    for place, cell in enumerate(seen):
        if "assert " in cell.source and not set(tags(cell)) & {"exercise", "check"}:
            needed = names([cell], ast.Store) & names(seen[place + 1 :], ast.Load)
            assert cell.outputs or needed, cell.source


def test_hidden_cells_are_hidden_in_jupyterlab_and_in_the_book(page):
    for cell in code_cells(page):
        assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == is_hidden(cell)
        assert not (is_hidden(cell) and cell.outputs)


def test_text_before_a_hidden_cell_announces_nothing(page):
    for above, below in zip(page.cells, page.cells[1:], strict=False):
        if is_hidden(below):
            assert not re.search(r":$|[Tt]he next cell", above.source), above.source


def test_open_exercises_are_explained(page):
    heading = [cell.source.partition("\n")[0] for cell in page.cells].index("## Exercises")
    assert page.cells[heading + 1].source.endswith("explain_open_exercises()")
    assert page.cells[heading + 2].source.startswith("### Exercise 1")
