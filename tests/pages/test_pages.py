"""The notebooks as pages: one skeleton, stored outputs that compare, checks that can fail."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course_lib.support.files import COURSE, NOTEBOOKS

PAGES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTION = re.compile(r"### BEGIN SOLUTION.*?### END SOLUTION", re.S)
CHOICE = r"<details><summary>(.+)</summary><p><strong>(Right\.|No\.)</strong> (.+)</p></details>"


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request):
    return nbformat.read(request.param, as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def code_cells(page):
    """All but the one for Colab, which is skipped wherever a program runs the notebook."""
    cells = [cell for cell in page.cells if cell.cell_type == "code"]
    return [cell for cell in cells if "colab" not in tags(cell)]


def text(page):
    return "\n\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")


def test_there_are_pages():
    assert len({path.stem[:2] for path in PAGES}) == len(PAGES) >= 9


def test_skeleton(page):
    opening = page.cells[0].source
    title = opening.splitlines()[0]
    assert title.startswith("# ") and title.endswith("?"), "the title is a question"
    assert re.search(r"\*\*You will learn\*\*\n\n(- .+\n){3}\n", opening), "three bullets"
    assert "**Paper:** §" in opening and "**Time:** " in opening
    headings = re.findall(r"^## (.+)$", text(page), re.M)
    assert headings[0] == "Set-up" and headings[-1] == "What you learned"
    assert headings[-5:-1] == ["Explore", "Exercises", "Quiz", "Your predictions"]
    assert "redict" in text(page), "a prediction before a result"
    assert re.search(r"(- .+\n){2}- ", page.cells[-1].source), "the three bullets again"
    assert page.metadata.kernelspec.name == "python3"


def colab_cell(page):
    (cell,) = [cell for cell in page.cells if "colab" in tags(cell)]
    return cell


def test_the_cell_for_colab_is_skipped_and_out_of_sight(page):
    cell = colab_cell(page)
    assert page.cells[1] == cell and cell.source == colab_cell(nbformat.read(PAGES[0], 4)).source
    assert {"remove-cell", "skip-execution"} <= set(
        tags(cell)
    ) and cell.metadata.jupyter.source_hidden
    assert cell.execution_count is None and cell.outputs == []


@pytest.mark.parametrize("colab", [True, False], ids=["there", "elsewhere"])
def test_the_cell_for_colab_fetches_the_course_there_and_does_nothing_elsewhere(tmp_path, colab):
    """Run twice: the second time, as after a restart, the course is there."""
    if not (COURSE / ".git").exists():
        pytest.skip("no git checkout")
    code = colab_cell(nbformat.read(PAGES[0], 4)).source + (
        "\nimport importlib.util\nprint(importlib.util.find_spec('course_lib').origin)"
    )
    hidden = {"PYTHONPATH", "COLAB_RELEASE_TAG"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"COLAB_RELEASE_TAG": "1"} if colab else {"PYTHONPATH": str(COURSE)}
    for answer in (f"{COURSE}\n", ""):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, input=answer,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = Path(done.stdout.split(": ")[-1].strip())
        assert found.is_relative_to(tmp_path / "course" if colab else COURSE)
    assert (tmp_path / "course" / "notebooks").exists() == colab


def test_the_pages_on_results_are_short():
    """Before the quiz: from there on a reader answers, with most of the replies folded."""
    for path in PAGES[6:8]:
        lesson = text(nbformat.read(path, as_version=4)).partition("\n## Quiz\n")[0]
        unfolded = re.sub("(?s)<details>.*?</details>", "", lesson)
        assert len(unfolded.split()) < 2000, path.stem


def test_a_quiz_has_three_questions_with_a_reply_to_each_choice(page):
    (quiz,) = [cell.source for cell in page.cells if cell.source.startswith("## Quiz\n")]
    _, *questions = re.split(r"(?m)^\*\*\d\.\*\* ", quiz)
    assert len(questions) == 3
    replies = []
    for question in questions:
        _, *blocks = question.strip().split("\n\n")
        choices = [re.fullmatch(CHOICE, block) for block in blocks]
        assert 3 <= len(choices) <= 4 and all(choices), "each choice is a block of its own"
        assert len({choice[1] for choice in choices}) == len(choices)
        assert [choice[2] for choice in choices].count("Right.") == 1
        replies += [choice[3] for choice in choices]
    assert len(set(replies)) == len(replies)
    places = [re.findall(r"<strong>(\w+)", question).index("Right") for question in questions]
    assert len(set(places)) > 1, "the right answer is not always in one place"


def test_the_predictions_are_taken_up(page):
    (closing,) = [cell.source for cell in page.cells if cell.source.startswith("## Your predict")]
    assert re.findall(r"(?m)^- \*\*(.+?)\*\*", closing) == [
        "You predicted", "You saw", "What would change your mind?",
    ]  # fmt: skip


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


def test_a_figure_says_what_is_seen(page):
    for cell in code_cells(page):
        kinds = [output.data for output in cell.outputs if "data" in output]
        if any("image/png" in data for data in kinds):
            book = cell.metadata.get("mystnb", {})
            assert len(book.get("image", {}).get("alt", "").split()) > 5, cell.source
            if not any("widget-view" in kind for data in kinds for kind in data):
                assert book.get("figure", {}).get("caption"), cell.source


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
