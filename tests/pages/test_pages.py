"""The notebooks as pages: one skeleton, stored outputs that compare, checks that can fail."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest

from course_lib.support.files import NOTEBOOKS

PAGES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SOLUTION = re.compile(r"### BEGIN SOLUTION.*?### END SOLUTION", re.S)
# For each exercise's function: an answer that is wrong, which the check cell must refuse.
WRONG_ANSWERS = {
    "channel_statistics": "images.float().mean(dim=(0, 2, 3)), images.float().std(dim=(0, 2, 3)) * 0",
    "split": "torch.arange(int(share * len(labels))), torch.arange(int(share * len(labels)), len(labels))",
    "wilson": "right / count - 0.05, right / count + 0.05",
    "smallnet_weights": "8_406_114",
    "best_of": "accuracy",
    "brightness": "(images.float() * (0.5 + torch.rand(1))).clamp(0, 255).to(torch.uint8)",
    "rotation": "torch.eye(2)",
    "steps": "images * epochs // batch_size",
    "same_class_pairs": "torch.stack([torch.arange(len(labels)), torch.arange(len(labels))], 1)",
    "gram_loss": "((generated - target) ** 2).mean()",
    "best_guess": "images.median(dim=0, keepdim=True).values",
    "is_control": "torch.equal(first, second)",
    "mixup": "first + torch.rand(1, generator=generator) * (second - first)",
    "cycle_loss": "2 * (F(G(x)) - x).abs().mean()",
    "critic": "((real - 1).square().mean() + made.square().mean())",
    "colour_kept": "(images.float() - copies.float()).abs().mean().item()",
    "exact_p": "2 * 0.5 ** (only_first + only_second)",
    "corrected": "[min(1.0, len(p_values) * p) for p in p_values]",
    "paired_t": "(np.mean(first) - np.mean(second)) / np.hypot(np.std(first), np.std(second))",
    "images_apart": "abs(one - other) * count",
    "decide": "'holds' if wide[0] > 0 else 'the opposite holds' if wide[1] < 0 else 'no difference'",
    "further_run": "mean - factor * error, mean + factor * error",
    "calibration_gap": "abs(np.mean(confidence) - np.mean(right))",
    "split_by_source": "torch.rand(len(sources), generator=generator) < share",
}


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
    assert len({path.stem[:2] for path in PAGES}) == len(PAGES) >= 9


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
        assert len(text(nbformat.read(path, as_version=4)).split()) < 2000, path.stem


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


def exercises(page):
    """(exercise cell, check cell) pairs."""
    cells = code_cells(page)
    return [
        (cell, following)
        for cell, following in zip(cells, cells[1:], strict=False)
        if "exercise" in tags(cell)
    ]


def test_exercises_have_solutions_and_checks(page):
    assert 2 <= len(exercises(page)) == text(page).count("### Exercise ")
    for cell, check in exercises(page):
        assert cell.source.count("### BEGIN SOLUTION") == cell.source.count("### END SOLUTION") == 1
        assert "check" in tags(check) and "assert " in check.source


def test_checks_pass_with_the_solution_and_fail_with_a_wrong_answer(page):
    imports = code_cells(page)[0].source
    for cell, check in exercises(page):
        names: dict = {}
        exec(imports, names)
        exec(cell.source, names)
        exec(check.source, names)
        (name,) = [node.name for node in ast.parse(cell.source).body if hasattr(node, "name")]
        wrong = SOLUTION.sub(f"return {WRONG_ANSWERS[name]}", cell.source)
        exec(wrong, names)
        with pytest.raises(AssertionError):
            exec(check.source, names)
        exec(SOLUTION.sub("raise NotImplementedError()", cell.source), names)
        with pytest.raises(NotImplementedError):
            exec(check.source, names)
