"""The notebook runner, with tiny notebooks and real kernels."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from conftest import write_notebook as write
from nbclient.output_widget import OutputWidget

from course_lib.pages.run import (
    NotebookFailed,
    parse_parameters,
    read_parameters,
    run_notebooks,
)
from course_lib.support.validation import CourseError


def printed(path):
    """What the cells of an executed notebook printed."""
    outputs = [out for cell in nbformat.read(path, 4).cells for out in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def kernels():
    """Kernels that this process has started and that still run."""
    running = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended, or is a zombie
            if "ipykernel_launcher" in " ".join(child.cmdline()):
                running.append(child)
    return running


@pytest.fixture(autouse=True)
def no_kernel_stays():
    yield
    assert not kernels()


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course of two notebooks."""
    folder = tmp_path_factory.mktemp("a course")
    write(
        folder / "00_first.ipynb",
        "# Does flipping help?",
        "import sys; open('order.txt', 'a').write('first '); print(sys.executable, rate, preset)",
        parameters="preset: str = 'quick'\nrate: float = 0.1  # of learning",
    )
    write(
        folder / "01_second.ipynb",
        "# And colour?",
        "open('order.txt', 'a').write('second'); print(preset, seeds)",
        parameters="preset: str = 'quick'\nseeds: list = [0]",
    )
    return folder


@pytest.fixture(scope="module")
def run(course, tmp_path_factory):
    """The folder of that course's run, on a machine whose own python3 kernel is another."""
    foreign = tmp_path_factory.mktemp("jupyter") / "kernels" / "python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["false"], "display_name": "Other", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    out = tmp_path_factory.mktemp("runs") / "paper"
    (out / "html").mkdir(parents=True)
    (out / "html" / "09_old.html").touch()
    values = parse_parameters(["rate=2", "seeds=[3, 4]"], course)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(foreign.parent.parent))
        table = "<table><tr><td>dogs-vs-cats</td><td>0.705</td></tr></table>"
        index = run_notebooks("paper", values, course, out=out, results=lambda: table)
    assert index == out / "html" / "index.html"
    return out


def test_parameters_reach_the_cells_of_a_kernel_of_this_python(run):
    assert printed(run / "notebooks" / "00_first.ipynb") == f"{sys.executable} 2.0 paper\n"
    assert printed(run / "notebooks" / "01_second.ipynb") == "paper [3, 4]\n"


def test_notebooks_run_in_order_and_sources_stay_as_they_were(course, run):
    assert (course / "order.txt").read_text() == "first second"
    assert not any(
        cell.get("outputs") for cell in nbformat.read(course / "00_first.ipynb", 4).cells
    )


def test_page_escapes_parameters_from_a_stranger(tmp_path):
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    write(tmp_path / "00_a.ipynb", "# A", "print(name)", "name", parameters="name: str = 'x'")
    index = run_notebooks("quick", {"name": attack}, tmp_path, out=tmp_path / "out")
    text = (index.parent / "00_a.html").read_text()
    assert "<script>alert" not in text and "<img src=x" not in text
    shown = re.sub("</?span[^>]*>", "", re.search(r"(?s)<article.*</article>", text)[0])
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;&lt;img") == 3  # set, printed, shown


def test_the_index_has_the_pages_and_results_of_this_run(run):
    text = (run / "html" / "index.html").read_text()
    assert re.findall(r'<h2><a[^>]+href="([^"]+)"', text) == ["00_first.html", "01_second.html"]
    assert ">paper</strong>" in text
    assert "<td>0.705</td>" in (run / "html" / "results.html").read_text()
    assert not (run / "html" / "09_old.html").exists()
    assert "tag_injected-parameters" in (run / "html" / "00_first.html").read_text()


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=3", "parameter 'epoch' is unknown (did you mean epochs?)"),
        ("epochs", "'epochs' must read name=value"),
        ("=3", "'=3' must read name=value"),
        ("preset=paper", "set the preset with --preset"),
        ("epochs=many", "epochs 'many' must be a whole number like its default 3"),
        ("epochs=2.5", "epochs '2.5' must be a whole number"),
        ("epochs=True", "epochs 'True' must be a whole number"),
        ("epochs=__import__('os').getpid()", "must be a whole number"),
        ("rate=fast", "rate 'fast' must be a number like its default 0.1"),
        ("show=1", "show '1' must be True or False"),
        ("seeds=3", "seeds '3' must be a list like its default [0, 1]"),
        ("seeds=['a']", "must be a list like its default [0, 1]"),
    ],
)
def test_bad_parameter_is_refused_in_one_line(tmp_path, assignment, message):
    write(tmp_path / "00_a.ipynb", parameters=DECLARED)
    with pytest.raises(CourseError, match=re.escape(message)) as error:
        parse_parameters([assignment], tmp_path)
    assert "\n" not in str(error.value)


DECLARED = """preset: str = "quick"  # size of the runs
epochs: int = 3
rate: float = 0.1
show: bool = True
task: str = "dogs-vs-cats"
seeds: list = [0, 1]"""


def test_good_parameters_have_the_declared_types(tmp_path):
    path = write(tmp_path / "00_a.ipynb", parameters=DECLARED)
    assignments = ["epochs=7", "rate=1", "show=False", "task=3=x", "seeds=[]"]
    values = parse_parameters(assignments, tmp_path)
    assert values == {"epochs": 7, "rate": 1.0, "show": False, "task": "3=x", "seeds": []}
    assert isinstance(values["rate"], float)
    assert read_parameters(path)["preset"] == "quick"


def test_no_notebook_broken_notebook_and_unwritable_folder_are_one_line_errors(tmp_path):
    with pytest.raises(CourseError, match="no notebook named"):
        run_notebooks("quick", {}, tmp_path, out=tmp_path / "out")
    for text in ("<<<<<<< HEAD", "{}", "[]", '{"nbformat": 4, "nbformat_minor": 5, "cells": 3}'):
        (tmp_path / "00_a.ipynb").write_text(text)
        with pytest.raises(CourseError, match=r"00_a.ipynb is not a notebook"):
            run_notebooks("quick", {}, tmp_path, out=tmp_path / "out")
    write(tmp_path / "00_a.ipynb", "1")
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match="cannot write"):
        run_notebooks("quick", {}, tmp_path, out=tmp_path / "file")


def fail(tmp_path, *sources, **options):
    """The three lines of a course whose second notebook fails, and the course's folder."""
    write(tmp_path / "00_good.ipynb", "# Good", "1")
    write(tmp_path / "01_bad.ipynb", "# Bad", *sources)
    write(tmp_path / "02_late.ipynb", "# Late", "open('late', 'w')")
    with pytest.raises(NotebookFailed) as error:
        run_notebooks("quick", {}, tmp_path, out=tmp_path / "out", **options)
    kept = tmp_path / "out" / "notebooks" / "01_bad.ipynb"
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert lines[2] == f"partly executed notebook: {kept}"
    assert "reached" in printed(kept)
    assert not (tmp_path / "late").exists()
    pages = {path.stem for path in (tmp_path / "out" / "html").glob("*.html")}
    assert {"00_good", "index"} <= pages and not pages & {"01_bad", "02_late"}
    return lines


def test_failing_cell_stops_the_course_with_three_lines(tmp_path):
    lines = fail(tmp_path, "print('reached')", "#why\n\nraise ValueError('bad\\nluck')", "1")
    assert re.fullmatch(r"01_bad failed after \d+ s", lines[0])
    assert lines[1] == "cell [2] \"raise ValueError('bad\\\\nluck')\": ValueError: bad luck"


def test_exit_from_a_cell_is_a_failure(tmp_path):
    lines = fail(tmp_path, "print('reached')", "import sys; sys.exit()", "1")
    assert lines[1] == "cell [2] 'import sys; sys.exit()': SystemExit:"


def test_dead_kernel_is_told_as_such(tmp_path):
    lines = fail(tmp_path, "print('reached')", "import os; os._exit(1)")
    assert re.fullmatch(r"01_bad failed because its kernel died after \d+ s", lines[0])
    assert lines[1].startswith("cell [2] 'import os; os._exit(1)': Kernel died")


def test_kernel_that_does_not_start_is_told_as_such(tmp_path):
    write(tmp_path / "00_a.ipynb", "1")
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit(3)")
    with pytest.raises(
        NotebookFailed, match="(?s)its kernel died.*before its first cell: Kernel died"
    ):
        run_notebooks("quick", {}, tmp_path, out=tmp_path / "out")


@pytest.mark.slow
def test_limit_holds_for_the_notebook_as_a_whole(tmp_path):
    start = time.monotonic()
    lines = fail(tmp_path, *["import time; print('reached'); time.sleep(2)"] * 5, timeout=6)
    assert re.fullmatch(r"01_bad exceeded its limit of 6 s and was stopped after \d+ s", lines[0])
    assert re.match(r"cell \[[1-4]\] .*: not finished", lines[1])
    assert time.monotonic() - start < 20


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_interrupt_leaves_no_kernel_behind(tmp_path):
    sleep = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(100)"
    write(tmp_path / "00_a.ipynb", sleep)
    program = (
        # A shell that starts the tests in the background has made them, and so us, deaf to it.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys, pathlib; from course_lib.pages.run import run_notebooks;"
        "folder = pathlib.Path(sys.argv[1]); run_notebooks('quick', {}, folder, out=folder / 'out')"
    )
    runner = subprocess.Popen([sys.executable, "-c", program, tmp_path], stderr=subprocess.PIPE)
    try:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        kernel = int((tmp_path / "pid").read_text())
        runner.send_signal(signal.SIGINT)
        runner.communicate(timeout=20)
    finally:
        runner.kill()
    until(lambda: not psutil.pid_exists(kernel))


def until(condition):
    """Wait for `condition`, for a while."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_log_gets_one_line_a_notebook(tmp_path, capfd):
    write(tmp_path / "00_a.ipynb", *["1"] * 9)
    run_notebooks("quick", {}, tmp_path, out=tmp_path / "out")
    captured = capfd.readouterr()
    assert re.fullmatch(r"00_a: done in \d+ s\n", captured.err)
    assert captured.out == ""


def test_nbclient_still_answers_widgets_through_the_method_that_is_silenced():
    """If this fails, look again at how `run_notebooks` keeps nbclient from hanging."""
    widget = OutputWidget("id", {"outputs": []}, None, None)
    sent = []
    widget.send = sent.append
    widget.clear_output([], {"parent_header": {}, "content": {}}, 0)
    stream = {"name": "stdout", "text": "x"}
    message = {"parent_header": {}, "header": {"msg_type": "stream"}, "content": stream}
    widget.output([], {**message, "msg_type": "stream"}, None, 0)
    assert len(sent) == 2
