"""The instructors' guide and the glossary say what is in the files and the notebooks."""

import re

import nbformat
import numpy as np
import pytest

from course_lib.analysis.comparison import mcnemar_by_seed, reference_results
from course_lib.analysis.statistics import best_of_bias, images_needed, wilson_interval
from course_lib.study import ARMS, PAPER
from course_lib.support.files import NOTEBOOKS

GUIDE = (NOTEBOOKS / "INSTRUCTORS.md").read_text(encoding="utf-8")
GLOSSARY = (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"(?ms)^- (\*\*.+?)(?=^- |^#|\Z)", GLOSSARY)


@pytest.fixture(scope="module")
def minutes():
    """(arm, task) → what the guide's table says."""
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.–]+) \| ([\d.–]+) \| ([\d.–]+) \|$", GUIDE, re.M)
    return {
        (arm, task): float(value)
        for arm, *values in rows
        for task, value in zip(("dogs-vs-goldfish", "dogs-vs-cats", "mnist-0-vs-8"), values, strict=True)
        if value != "–"
    }  # fmt: skip


def test_minutes_are_those_of_the_replication(minutes):
    measured = {}
    for result in reference_results():
        row = result.settings["arm"], result.settings["task"]
        measured.setdefault(row, []).append(result.seconds / 60)
    assert minutes.keys() == measured.keys() and {arm for arm, _ in minutes} == set(ARMS)
    for row, value in minutes.items():
        assert value == pytest.approx(np.median(measured[row]), abs=0.051), row


def test_totals_are_those_of_the_table(minutes):
    paper = sum(value for (arm, task), value in minutes.items() if (task, arm) in PAPER)
    assert f"{paper:.0f} minutes of one core for the paper's 17" in GUIDE
    assert f"17 experiments, {sum(minutes.values()):.0f} with our three controls" in GUIDE


def test_answers_agree_with_the_statistics():
    assert f"shows {100 * best_of_bias(0.85, 200, 40):.1f} points more" in GUIDE
    assert f"images: {images_needed(0.03, 0.15):,}, with" in GUIDE
    networks = mcnemar_by_seed(reference_results(), "dogs-vs-goldfish", "neural", "none")
    assert {0.07, 1.0} <= set(
        networks["p"].round(2)
    ) and "McNemar says .07 for one seed and 1" in GUIDE
    gain = PAPER["dogs-vs-goldfish", "neural"] - PAPER["dogs-vs-goldfish", "none"]
    assert f"{round(200 * gain)} images of 200" in GUIDE
    assert wilson_interval(171, 200)[1] > wilson_interval(183, 200)[0], "the two overlap"
    low, high = (
        100 * (bounds[1] - bounds[0]) / 2
        for bounds in (wilson_interval(85, 100), wilson_interval(70, 100))
    )
    assert f"±{low:.0f} to ±{high:.0f} points" in GUIDE
    spans = [wilson_interval(right, 40) for right in (20, 24, 28)]
    assert all(26 < 100 * (high - low) < 32 for low, high in spans)


def test_every_notebook_is_in_the_guide():
    for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        assert f"]({path.name})" in GUIDE


@pytest.mark.parametrize("name", ["INSTRUCTORS.md", "GLOSSARY.md"])
def test_links_lead_somewhere(name):
    text = (NOTEBOOKS / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]*)(?:#[\w-]*)?\)", text):
        assert (NOTEBOOKS / link).exists(), link
    headings = re.findall(r"^## (.+)$", text, re.M)
    anchors = {heading.lower().replace(" ", "-").replace(",", "") for heading in headings}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


@pytest.fixture(scope="module")
def words():
    """Notebook → its text and parameters, in small letters."""
    notebooks = {
        path.name: nbformat.read(path, as_version=4).cells for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    }  # fmt: skip
    return {
        name: "\n".join(
            cell.source.lower()
            for cell in cells
            if cell.cell_type == "markdown" or "parameters" in cell.metadata.get("tags", [])
        )
        for name, cells in notebooks.items()
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.split("**")[1])
def test_a_term_comes_first_where_the_glossary_says(entry, words):
    """Terms are in bold, and one notebook stands for all of an entry."""
    (notebook,) = re.findall(r"\(\[\d\d\]\((\d\d_\w+\.ipynb)\)\)", entry)
    for term in re.findall(r"\*\*(.+?)\*\*", entry):
        first = next((name for name, text in words.items() if term.lower() in text), None)
        assert first == notebook, term


def test_the_glossary_was_read():
    assert len(ENTRIES) == GLOSSARY.count("\n- ") > 40
