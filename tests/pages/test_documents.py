"""The documents agree with the files, the notebooks and the tests that they describe."""

import re

import nbformat
import numpy as np
import pytest

from course_lib.analysis.comparison import mcnemar_by_seed, reference_results
from course_lib.analysis.statistics import best_of_bias, images_needed, wilson_interval
from course_lib.arms import ARMS
from course_lib.paper import PAPER, PRESETS
from course_lib.support.files import COURSE, NOTEBOOKS

DOCUMENTS = [
    *sorted(NOTEBOOKS.glob("*.md")), COURSE / "README.md", COURSE / "data" / "README.md",
    COURSE / ".github" / "CONTRIBUTING.md",
]  # fmt: skip


def read(path):
    return path.read_text(encoding="utf-8")


GUIDE = read(NOTEBOOKS / "INSTRUCTORS.md")
GLOSSARY = read(NOTEBOOKS / "GLOSSARY.md")
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
        row = result.arm, result.task
        measured.setdefault(row, []).append(result.seconds / 60)
    assert minutes.keys() == measured.keys() and {arm for arm, _ in minutes} <= set(ARMS)
    for row, value in minutes.items():
        assert value == pytest.approx(np.median(measured[row]), abs=0.051), row


def test_totals_are_those_of_the_table(minutes):
    paper = sum(value for (arm, task), value in minutes.items() if (task, arm) in PAPER)
    assert f"on one core: {paper:.0f} minutes for the paper's 17 experiments" in GUIDE
    assert f"and {sum(minutes.values()):.0f} with our three controls" in GUIDE


def test_answers_agree_with_the_statistics():
    guide = " ".join(GUIDE.split())
    assert f"shows {100 * best_of_bias(0.85, 200, 40):.1f} points more" in guide
    assert f"images: {images_needed(0.03, 0.15):,}, with" in guide
    networks = mcnemar_by_seed(reference_results(), "dogs-vs-goldfish", "neural", "none")
    assert {0.07, 1.0} <= set(
        networks["p"].round(2)
    ) and "McNemar says .07 for one seed and 1" in guide
    gain = PAPER["dogs-vs-goldfish", "neural"] - PAPER["dogs-vs-goldfish", "none"]
    assert f"{round(200 * gain)} images of 200" in guide
    assert wilson_interval(171, 200)[1] > wilson_interval(183, 200)[0], "the two overlap"
    low, high = (
        100 * (bounds[1] - bounds[0]) / 2
        for bounds in (wilson_interval(85, 100), wilson_interval(70, 100))
    )
    assert f"±{low:.0f} to ±{high:.0f} points" in guide
    spans = [wilson_interval(right, 40) for right in (20, 24, 28)]
    assert all(26 < 100 * (high - low) < 32 for low, high in spans)


def test_every_notebook_is_in_the_guide():
    for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        assert f"]({path.name})" in GUIDE


def anchors(text):
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([\w-]*)\)", read(document)):
        target = document.parent / link if link else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(read(target)), anchor


def test_the_readme_is_short_and_names_every_page():
    text = read(COURSE / "README.md")
    assert len(text.splitlines()) <= 160
    for path in [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("*.md")]:
        assert f"](notebooks/{path.name})" in text


def test_the_tests_of_the_promises_exist():
    there = {path.name for path in (COURSE / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(test_\w+\.py)`", read(NOTEBOOKS / "PROMISES.md")))
    assert named and named <= there, named - there


def test_the_presets_are_those_of_the_code():
    quick = PRESETS["quick"]
    size = f"{quick.epochs} epochs and {quick.images_per_class} images per class"
    assert f"The quick preset has {size}" in GUIDE
    brief = f"`quick` ({size.replace(' and', ',')}, side {quick.side})"
    assert brief in " ".join(GLOSSARY.split())
    row = f"| `quick` | {quick.epochs} | {quick.images_per_class} | {quick.side} | {quick.learning_rate} |"
    assert row in read(NOTEBOOKS / "STUDIES.md")


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
