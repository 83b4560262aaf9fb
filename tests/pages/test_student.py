"""Copies of the notebooks for students: no solutions, nothing of theirs lost, and they run."""

from __future__ import annotations

import os
import re
import shutil

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.output_widget import OutputWidget
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, ClearSolutions, LockCells

from course_lib.__main__ import main
from course_lib.pages.notebooks import list_notebooks
from course_lib.pages.student import start, without_solutions
from course_lib.support.files import COURSE, NOTEBOOKS
from course_lib.support.validation import CourseError

EXERCISE = '''def double(x):
    """Twice x."""
    if x:
        ### BEGIN SOLUTION
        return 2 * x
        ### END SOLUTION
    return 0'''
STUB = '''def double(x):
    """Twice x."""
    if x:
        # YOUR CODE HERE
        raise NotImplementedError()
    return 0'''
# For the notebooks' parameters: too small to learn anything, but everything is run.
TINY = """from course_lib.paper import PRESETS, Preset

PRESETS["quick"] = Preset(2, 30, side=32, last_epochs=1, readings=False)
live_steps, watched_images, seeds = 2, 60, [0, 1, 2]"""


def read(path):
    return nbformat.read(path, as_version=4)


def tags(cell):
    return set(cell.metadata.get("tags", []))


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code(source, *tags):
    output = nbformat.v4.new_output("stream", text="seen")
    metadata = {"tags": list(tags)}
    return new_code_cell(source, metadata=metadata, outputs=[output], execution_count=1)


@pytest.fixture
def source(tmp_path):
    """A course of two notebooks, in the layout of the course's."""
    folder = tmp_path / "course" / "notebooks"
    folder.mkdir(parents=True)
    for name in ("00_first", "01_second"):
        text = "See [the second](01_second.ipynb) and the [README](../README.md#glossary)."
        exercise, check = code(EXERCISE, "exercise"), code("assert double(2) == 4", "check")
        cells = [new_markdown_cell(text), code("1"), exercise, check]
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    return folder


def edit(path, add):
    """What a student does, or an author: one more line in the first code cell."""
    notebook = read(path)
    notebook.cells[1].source += f"\n{add}"
    nbformat.write(notebook, path)
    return path.read_bytes()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_solutions_become_stubs_and_outputs_go(source, tmp_path):
    start(tmp_path / "mine", source=source)
    _, plain, exercise, check = read(tmp_path / "mine" / "00_first.ipynb").cells
    assert exercise.source == STUB
    for cell in (plain, exercise, check):
        assert (cell.outputs, cell.execution_count) == ([], None)
    assert check.source == "assert double(2) == 4"


def test_instructors_keep_solutions_and_outputs(source, tmp_path):
    start(tmp_path / "mine", solutions=True, source=source)
    kept, given = (read(folder / "00_first.ipynb") for folder in (tmp_path / "mine", source))
    assert kept.cells[1:] == given.cells[1:]


def test_documents_are_copied_and_the_guide_goes_to_instructors_alone(source, tmp_path):
    for name in ("GLOSSARY.md", "INSTRUCTORS.md"):
        (source / name).write_text(f"# {name}")
    start(tmp_path / "mine", source=source)
    assert [name for name in names(tmp_path / "mine") if name.endswith("md")] == ["GLOSSARY.md"]
    start(tmp_path / "mine", solutions=True, source=source)
    assert (tmp_path / "mine" / "INSTRUCTORS.md").read_text() == "# INSTRUCTORS.md"


def test_no_copy_answers_its_questions(tmp_path):
    for name, path in start(tmp_path / "mine").items():
        for cell in code_cells(read(path)):
            assert "SOLUTION" not in cell.source
            assert (cell.outputs, cell.execution_count) == ([], None)
        answer = {"02_traditional.ipynb": r"\b77\b", "05_control.ipynb": "not the originals"}
        assert not re.search(answer.get(name, "(?!)"), path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", list_notebooks(), ids=lambda path: path.stem)
def test_nbgrader_makes_the_same_page_by_its_defaults(page):
    theirs, resources = read(page), {}
    for preprocessor in (LockCells, ClearSolutions, ClearOutput, CheckCellMetadata):
        theirs, resources = preprocessor().preprocess(theirs, resources)
    ours = without_solutions(read(page))
    assert [stripped(cell) for cell in ours.cells] == [stripped(cell) for cell in theirs.cells]
    stubs = sum("# YOUR CODE HERE" in cell.source for cell in ours.cells)
    assert stubs == sum("exercise" in tags(cell) for cell in ours.cells) > 0


def stripped(cell):
    """A cell without nbgrader's locks, which are JupyterLab's business."""
    metadata = {key: cell.metadata[key] for key in cell.metadata.keys() - {"deletable", "editable"}}
    return {**cell, "metadata": metadata}


@pytest.mark.parametrize(
    "markers", [("### BEGIN SOLUTION", "### END"), ("# BEGIN SOLUTION", "### END SOLUTION")]
)
def test_markers_without_partner_are_refused_before_anything_is_copied(source, tmp_path, markers):
    notebook = read(source / "01_second.ipynb")
    for right, wrong in zip(("### BEGIN SOLUTION", "### END SOLUTION"), markers, strict=True):
        notebook.cells[2].source = notebook.cells[2].source.replace(right, wrong)
    nbformat.write(notebook, source / "01_second.ipynb")
    with pytest.raises(CourseError, match=f"{notebook.cells[2].id}.*must pair"):
        start(tmp_path / "mine", source=source)
    assert not names(tmp_path / "mine")


def test_work_stays_as_it_is_while_the_course_does(source, tmp_path):
    folder = tmp_path / "mine"
    assert len(start(folder, source=source)) == 2
    mine = edit(folder / "00_first.ipynb", "my = 1")
    assert start(folder, source=source) == {}
    assert (folder / "00_first.ipynb").read_bytes() == mine
    assert names(folder) == ["00_first.ipynb", "01_second.ipynb"]


def test_new_versions_come_beside_work_and_in_the_place_of_untouched_copies(source, tmp_path):
    folder = tmp_path / "mine"
    start(folder, source=source)
    mine = edit(folder / "00_first.ipynb", "my = 1")
    for version in ("new = 2", "newer = 3"):
        for path in source.iterdir():
            edit(path, version)
        assert start(folder, source=source) == {
            "00_first.ipynb": folder / "00_first.2.ipynb",
            "01_second.ipynb": folder / "01_second.ipynb",
        }
        assert start(folder, source=source) == {}
        for name in ("00_first.2.ipynb", "01_second.ipynb"):
            assert version in read(folder / name).cells[1].source
    more = edit(folder / "00_first.2.ipynb", "more = 4")
    edit(source / "00_first.ipynb", "newest = 5")
    assert list(start(folder, source=source).values()) == [folder / "00_first.3.ipynb"]
    assert (folder / "00_first.ipynb").read_bytes() == mine
    assert (folder / "00_first.2.ipynb").read_bytes() == more


def test_a_notebook_that_was_run_is_work(source, tmp_path):
    folder = tmp_path / "mine"
    start(folder, source=source)
    notebook = read(folder / "00_first.ipynb")
    notebook.cells[1].execution_count = 7
    nbformat.write(notebook, folder / "00_first.ipynb")
    edit(source / "00_first.ipynb", "new = 2")
    assert list(start(folder, source=source).values()) == [folder / "00_first.2.ipynb"]


@pytest.mark.parametrize("content", ["{half a notebook", None])
def test_what_start_did_not_write_is_not_overwritten(source, tmp_path, content):
    path = tmp_path / "mine" / "00_first.ipynb"
    path.parent.mkdir()
    path.write_text(content or nbformat.writes(new_notebook()))
    before = path.read_bytes()
    assert path.with_suffix(".2.ipynb") in start(path.parent, source=source).values()
    assert path.read_bytes() == before


def test_the_command_tells_what_it_left(tmp_path, capsys):
    folder = str(tmp_path / "mine")
    assert main(["start", folder]) == 0
    assert capsys.readouterr().out == f"Notebooks: {folder}\n"
    path = tmp_path / "mine" / "00_start.ipynb"
    copy = read(path)
    copy.metadata["course_copy"] = "of an older version, and changed since"
    nbformat.write(copy, path)
    assert main(["start", folder]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("00_start.ipynb") and first.endswith("version is 00_start.2.ipynb")
    assert "BEGIN SOLUTION" not in path.read_text()
    assert main(["start", "--solutions", folder]) == 0
    assert "BEGIN SOLUTION" in (tmp_path / "mine" / "01_baseline.ipynb").read_text()


def test_bad_folders_are_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for folder, words in {
        tmp_path / "file": "cannot write",
        tmp_path / "file" / "inside": "cannot write",
        NOTEBOOKS: "the course's own notebooks",
        COURSE / "course_lib" / ".." / "notebooks": "the course's own notebooks",
    }.items():
        before = names(NOTEBOOKS)
        assert main(["start", str(folder)]) == 2
        message = capsys.readouterr().err
        assert words in message and message.count("\n") == 1 and message.startswith("course: ")
        assert names(NOTEBOOKS) == before
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_without_permission_is_refused(tmp_path, capsys):
    (tmp_path / "shut").mkdir(mode=0o555)
    assert main(["start", str(tmp_path / "shut")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["course/work", "elsewhere"])
def test_links_lead_to_files(tmp_path, place):
    """Links to the README lead to it from work/; elsewhere there is only its name."""
    (tmp_path / "course").mkdir()
    shutil.copytree(NOTEBOOKS, tmp_path / "course" / "notebooks")
    shutil.copy(COURSE / "README.md", tmp_path / "course")
    start(tmp_path / place, source=tmp_path / "course" / "notebooks")
    found = 0
    for path in (tmp_path / place).glob("*.ipynb"):
        text = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
        assert "(GLOSSARY.md)" in text
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (path.parent / target).is_file(), target
            found += target == "../README.md"
    assert bool(found) == (place == "course/work")


@pytest.mark.slow
def test_every_copy_runs_and_only_checks_stop(tmp_path, monkeypatch):
    """One after the other in one kernel, which then draws the pictures once."""
    monkeypatch.setattr(OutputWidget, "send", lambda *args, **kwargs: None)  # nbclient issue 312
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # no worker processes
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two threads are slower on a busy machine
    cells = []
    for path in start(tmp_path / "mine").values():
        cells.append(new_code_cell("%reset -f"))
        for cell in read(path).cells:
            cells.append(cell)
            if "parameters" in tags(cell):
                cells.append(new_code_cell(TINY))
    notebook = new_notebook(cells=cells)
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=300, allow_error_names=["NotImplementedError"]
    )
    client.execute(cwd=str(tmp_path / "mine"))
    errors = {
        cell.id: output.traceback
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error"
    }
    checks = [cell.id for cell in code_cells(notebook) if "check" in tags(cell)]
    assert list(errors) == checks and len(checks) >= 14
    for lines in errors.values():
        assert len(lines) == 1 and re.match(r"Exercise \d is yours\. Write \w+: ", lines[0])


def test_make_lab_opens_a_copy_that_git_ignores():
    recipe = (COURSE / "Makefile").read_text().partition("\nlab: ")[2].partition("\n\n")[0]
    assert "-m course_lib start work\n" in recipe
    assert "--ip=127.0.0.1" in recipe and recipe.endswith(" work/00_start.ipynb")
    assert "token" not in recipe
    assert "work/" in (COURSE / ".gitignore").read_text().splitlines()
