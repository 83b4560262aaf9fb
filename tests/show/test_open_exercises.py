"""An exercise that is still open ends a page with a line that says what to do."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_lib.pages.notebooks import SOLUTION, STUB
from course_lib.show import exercises

SOLVED = """def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION"""
OPEN = SOLUTION.sub(STUB, SOLVED)


@pytest.fixture
def page(monkeypatch, capsys):
    """Run cells as a notebook does; return the last error and what they print."""
    shell = InteractiveShell()
    monkeypatch.setattr(exercises, "get_ipython", lambda: shell)
    exercises.explain_open_exercises()

    def run(*cells):
        *_, last = [shell.run_cell(cell, store_history=True) for cell in cells]
        return last.error_in_exec, capsys.readouterr().out

    return run


def test_a_check_names_its_exercise_and_what_to_replace(page):
    error, shown = page(OPEN, 'assert double(2) == 4\nprint("✓ Exercise 3")')
    assert type(error) is NotImplementedError  # for whoever runs the page: papermill, nbgrader
    assert (
        shown.startswith("Exercise 3 is yours. Write double: ")
        and "“raise NotImplementedError()”" in shown
    )
    assert "Traceback" not in shown and shown.count("\n") == 1


def test_elsewhere_the_function_is_named(page):
    assert page(OPEN, "double(2)")[1].startswith("double is yours. ")


def test_whatever_else_is_not_implemented_has_its_traceback(page):
    shown = page("def double(x):\n    raise NotImplementedError('on this device')", "double(2)")[1]
    assert "Traceback" in shown and "on this device" in shown and "yours" not in shown


def test_a_finished_exercise_is_not_mentioned(page):
    error, shown = page(SOLVED, "double(2)")
    assert error is None and "yours" not in shown


def test_outside_a_notebook_nothing_happens():
    exercises.explain_open_exercises()
