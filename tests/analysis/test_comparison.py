"""Tables over many runs, on results made up so that every number is known."""

from __future__ import annotations

import html
import math
import shutil
import time
from itertools import product

import numpy as np
import pandas as pd
import pytest

from course_lib.__main__ import _seeds, main
from course_lib.analysis import comparison
from course_lib.analysis.comparison import (
    MEASURES,
    PILOT,
    by_seed,
    claims,
    complete,
    differences,
    markdown,
    mcnemar_by_seed,
    mean_interval,
    paper_table,
    reference_results,
    runs_by_seed,
    seed_names,
)
from course_lib.analysis.plan import COMPARISONS
from course_lib.analysis.results import Result, write_result
from course_lib.analysis.statistics import seeds_needed
from course_lib.arms import ARMS
from course_lib.images.tasks import TASKS
from course_lib.pages.run import run_notebooks
from course_lib.paper import EXPERIMENTS, PAPER
from course_lib.support.files import COURSE, NOTEBOOKS, runs_folder
from course_lib.support.validation import CourseError

OWN_ARMS = tuple(arm.name for arm in ARMS.values() if arm.whose == "ours")
PAPER_ARMS = tuple(arm.name for arm in ARMS.values() if arm.whose == "paper")
GOLDFISH = "dogs-vs-goldfish"


def made(arm, seed, test=80, task=GOLDFISH, date="2026-01-01", key="made", **settings):
    """A run of the paper's size that has `test` of 100 test images right, the first ones."""
    settings = {"task": task, "arm": arm, "seed": seed, "source": "tiny-imagenet", "epochs": 40,
                "images_per_class": None, "transforms": {}, **settings}  # fmt: skip
    validation = [0.5] * 39 + [0.6]
    validation[7] = 0.7
    bits = np.arange(100) < test
    return Result(
        settings=settings,
        key=key,
        curves={"validation_accuracy": validation, "train_accuracy": validation},
        best_epoch=7,
        correct={"validation_best": bits, "test_best": bits, "test_last": bits},
        environment={"date": date},
        seconds=1.0,
    )


def two_arms():
    return [
        *(made("none", seed, test) for seed, test in enumerate((80, 82, 84))),
        *(made("neural", seed, test) for seed, test in enumerate((83, 86, 86, 99))),
    ]


def test_by_seed():
    results = [*two_arms(), made("none", 0, 10, task="dogs-vs-cats")]
    arms = by_seed(results, GOLDFISH, "test")
    assert list(arms) == ["none", "neural"] and arms["none"] == {0: 0.80, 1: 0.82, 2: 0.84}
    assert by_seed(results, GOLDFISH, "best validation")["none"][0] == 0.7
    assert by_seed(results, GOLDFISH, "last validation")["none"][0] == 0.6
    with pytest.raises(CourseError, match="measure 'tets' is unknown .did you mean test"):
        by_seed(results, GOLDFISH, "tets")


def test_the_newest_of_two_results_counts():
    old, new = made("none", 0, 70, date="2026-01-01"), made("none", 0, 90, date="2026-02-01")
    for results in ([old, new], [new, old]):
        assert by_seed(results, GOLDFISH, "test") == {"none": {0: 0.9}}
        table = mcnemar_by_seed([*results, made("gan", 0, 85)], GOLDFISH, "none", "gan")
        assert table.loc[0, ["only none", "only gan"]].tolist() == [5, 0]


def test_mean_interval():
    # t(0.975, 2) = 4.3027; standard deviation .02; 4.3027 · .02 / √3 = .04968
    assert mean_interval([0.80, 0.82, 0.84]) == (
        pytest.approx(0.82),
        pytest.approx(0.04968, abs=1e-5),
    )
    for few in ([0.8], [0.7, 0.9]):
        mean, half = mean_interval(few)
        assert mean == pytest.approx(0.8) and math.isnan(half)


@pytest.mark.parametrize(
    ("seeds", "names"),
    [([], ""), ([3], "3"), ([2, 0, 1], "0-2"), ([0, 1, 17, 5, 6], "0-1,5-6,17")],
)
def test_seeds_are_named_as_the_study_command_takes_them(seeds, names):
    assert seed_names(seeds) == names
    assert not seeds or _seeds(names) == sorted(seeds)


def test_paper_table():
    own = [made("none", 5, 50), made("none", 6, 60), made("none", 7, 1, epochs=6),
           made("none", 8, 1, source="stand-in")]  # fmt: skip
    table = paper_table(two_arms(), own, GOLDFISH).set_index("arm")
    assert list(table.index) == [row.arm for row in EXPERIMENTS if row.task == GOLDFISH]
    none = table.loc["none"]
    assert (none["paper"], none["seeds"], none["own seeds"]) == (0.855, "0-2", "5-6")
    assert none["test"] == pytest.approx(0.82) and none["own test"] == pytest.approx(0.55)
    assert none["best validation"] == pytest.approx(0.7)
    assert table.loc["gan", "seeds"] == "" and math.isnan(table.loc["gan", "test"])
    text = markdown(table.reset_index())
    assert "0.820 ± 0.050" in text and "| none " in text and "| – " in text
    assert "own" not in markdown(paper_table(two_arms(), [], GOLDFISH))
    assert len(complete(own)) == 2


def test_differences_are_paired_by_seed():
    table = differences(two_arms(), GOLDFISH)
    assert list(table["arm"]) == ["neural"] and table["seeds"].tolist() == ["0-2"]
    assert table["mean"].tolist() == [pytest.approx(0.03)]  # .03, .04, .02: seed 3 has no partner
    with pytest.raises(CourseError, match="arm 'control' is unknown"):
        differences(two_arms(), GOLDFISH, to="control")


def test_a_difference_that_rounds_to_zero_has_no_minus():
    assert "+0.000" in markdown(pd.DataFrame({"mean": [-1e-17]}))


def test_differences_pay_for_the_number_of_arms():
    control = [made("control", seed, test) for seed, test in enumerate((70, 80, 90))]
    table = differences([*two_arms(), *control], GOLDFISH).set_index("arm")
    small, large = table["p"]
    assert small < 0.05 < large
    assert table["p, Holm"].tolist() == [pytest.approx(2 * small), pytest.approx(large)]


def test_mcnemar_by_seed():
    table = mcnemar_by_seed(two_arms(), GOLDFISH, "neural", "none")
    assert table["seed"].tolist() == [0, 1, 2]
    assert table["only neural"].tolist() == [3, 4, 2] and table["only none"].tolist() == [0, 0, 0]
    assert table["p"].tolist() == pytest.approx([0.25, 0.125, 0.5])


def test_claims_are_the_plans_comparisons_on_both_tasks():
    few = claims([made("none", 0, 80), made("neural", 0, 99)])
    assert few["p"].isna().all(), "one seed tells nothing"
    assert few["paper says"].tolist() == [pytest.approx(0.06)]
    runs = [
        made(arm, seed, right + seed % 3, task=task)
        for task, seed in product(TASKS[:2], range(4))
        for arm, right in (("none", 80), ("control", 90 - seed % 2))
    ]
    table = claims(runs)
    assert table[["claim", "task"]].to_numpy().tolist() == [
        ["the control is worse than none", task] for task in (GOLDFISH, "dogs-vs-cats")
    ]
    assert table["mean"].tolist() == pytest.approx([0.095, 0.095]), "first minus second"
    assert table["p, Holm"].tolist() == pytest.approx([2 * p for p in table["p"]])
    assert claims(runs, "best validation")["mean"].tolist() == [0, 0], "all are .7 there"


def test_claims_say_what_the_papers_numbers_say():
    wrong = [
        (task, asked.first, asked.second)
        for task, asked in product(TASKS[:2], COMPARISONS)
        if (PAPER[task, asked.first] - PAPER[task, asked.second]) * asked.direction <= 0
    ]
    # §6: "Only the control … does worse than no augmentation"; Table II has .710 against .705.
    assert wrong == [
        ("dogs-vs-cats", "control", "none"), ("dogs-vs-cats", "neural", "traditional"),
    ]  # fmt: skip


def test_loading_2000_results_and_all_tables_is_quick(capsys):
    folder = runs_folder() / "paper"
    rows = [(row.task, row.arm) for row in EXPERIMENTS]
    for number in range(2000):
        task, arm = rows[number % len(rows)]
        write_result(made(arm, number // len(rows), 70 + number % 20, task=task), folder)
    (folder / "foreign.json").write_text('{"no": "result"}')
    broken = next(folder.glob("*seed-3*"))
    broken.write_bytes(broken.read_bytes()[:100])
    start = time.monotonic()
    assert main(["results"]) == 0
    seconds = time.monotonic() - start
    shown = capsys.readouterr()
    assert f"skipped, no result: {broken}" in shown.err and "foreign.json" in shown.err
    assert "## Table III" in shown.out and "| own test " in shown.out
    assert seconds < 20, "5 s on a quiet machine"


def test_results_command(capsys):
    assert main(["results", "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("task,arm,paper,seeds,best validation,± best validation")
    in_the_pilot = {result.arm for result in reference_results()} & set(OWN_ARMS)
    assert len(lines) == 1 + len(EXPERIMENTS) + 2 * len(in_the_pilot)
    assert main(["results", "--format", "pdf"]) == 2
    assert "format 'pdf' is unknown" in capsys.readouterr().err


# The replication that is part of the course


def test_the_replication_is_whole_and_small():
    results = reference_results()
    assert sum(path.stat().st_size for path in PILOT.iterdir()) < 5_000_000
    assert len(complete(results)) == len(results) >= len(PAPER)
    assert {result.settings["source"] for result in results} == {"tiny-imagenet", "mnist"}
    for task in TASKS:
        arms = by_seed(results, task, "test")
        assert {arm for name, arm in PAPER if name == task} <= set(arms)
    for result in results:
        assert len(result.correct["test_best"]) == (200 if "mnist" in result.task else 100)


def test_a_damaged_replication_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text("{")
    monkeypatch.setattr(comparison, "PILOT", tmp_path)
    with pytest.raises(CourseError, match="x.json is damaged"):
        reference_results()


def test_a_seed_that_is_not_whole_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "PILOT", tmp_path)
    assert reference_results() == []
    for arm, seed in (("none", 0), ("gan", 0), ("none", 1), ("gan", 1), ("none", 2)):
        write_result(made(arm, seed), tmp_path)
    write_result(made("none", 2, key="again"), tmp_path)  # one run more, but no arm more
    found = {(result.arm, result.seed) for result in reference_results()}
    assert found == {("none", 0), ("gan", 0), ("none", 1), ("gan", 1)}


def replication_page():
    return (NOTEBOOKS / "REPLICATION.md").read_text(encoding="utf-8")


def test_the_page_shows_the_pilot():
    page = replication_page()
    results = reference_results()
    for task in TASKS:
        assert markdown(paper_table(results, [], task)) in page, f"`course results`: {task}"
    shown = claims(results)[["claim", "task", "paper says", "mean", "low", "high", "p, Holm"]]
    assert markdown(shown) in page
    assert f"seeds ({seed_names({result.settings['seed'] for result in results})})" in page


def test_the_pages_words_are_those_of_the_pilot():
    page = " ".join(replication_page().split())
    results = reference_results()
    assert (claims(results)["p, Holm"] > 0.05).all() and "all twelve comparisons are inc" in page
    found = claims(results, "best validation")
    found = found[found["p, Holm"] < 0.05].set_index(["claim", "task"])
    assert list(found.index) == [
        ("traditional transformations beat none", GOLDFISH),
        ("neural beats traditional", "dogs-vs-cats"),
    ]
    assert "by best validation, the paper's own measure, two differences are det" in page.lower()
    for row in found.itertuples():
        assert f"({row.mean:+.3f}, p {found.loc[row.Index, 'p, Holm']:.3f})" in page
    gain = found.iloc[0]
    assert 0 < gain["mean"] < gain["paper says"] / 2 and "by less than half of the paper's" in page
    assert found.iloc[1]["mean"] < 0 and "Neural augmentation is worse than traditional" in page
    for task, measure in product(TASKS[:2], MEASURES):
        table = differences(results, task, measure)
        assert table.loc[table["arm"].str.startswith("neural"), "mean"].max() < 0.01
    four = claims([result for result in results if result.seed < 4])
    (row,) = four[four["p, Holm"] < 0.05].itertuples()
    assert row.claim.startswith("GAN") and row.task == GOLDFISH and row.mean < 0
    assert f"with four seeds (p {four.loc[row.Index, 'p, Holm']:.3f})" in page
    runs = runs_by_seed(results, GOLDFISH)
    test, validation = (
        np.mean([right(runs["gan"][seed]) - right(runs["none"][seed]) for seed in range(5)])
        for right in (lambda run: run.correct["test_last"].mean(), lambda run: run.last_accuracy)
    )
    assert f"is {test:.3f} on the test images and {validation:.3f} on the validation" in page
    assert abs(validation) < abs(test) / 3, "page 06: less than a third"


def test_the_seeds_that_five_points_take():
    """From the spread of the twelve differences themselves, not of every arm's to none."""
    accuracies = [pd.DataFrame(by_seed(reference_results(), task, "test")) for task in TASKS[:2]]
    spread = np.median([(table[asked.first] - table[asked.second]).std()
                        for table in accuracies for asked in COMPARISONS])  # fmt: skip
    page = " ".join(replication_page().split())
    assert f"spread of these differences ({spread:.3f})" in page
    count = seeds_needed(0.05, spread, significance=0.05 / 12)
    assert f"a study needs {count} seeds to have an 80 % chance of detecting five points" in page
    assert seeds_needed(0.1, spread, significance=0.05 / 12) > 5, "page 06: too few for ten points"


def test_the_readme_shows_the_pilot():
    readme = " ".join((COURSE / "README.md").read_text(encoding="utf-8").split())
    table = (
        100
        * claims(reference_results(), "best validation").set_index(["claim", "task"])[
            ["paper says", "mean", "low", "high"]
        ]
    )
    for asked in COMPARISONS:
        (says, *found), (again, *others) = (table.loc[(asked.text, task)] for task in TASKS[:2])
        cells = [f"{says:+.1f}", "{:+.1f} ({:+.1f} to {:+.1f})".format(*found)]
        cells += [f"{again:+.1f}", "{:+.1f} ({:+.1f} to {:+.1f})".format(*others)]
        assert f"| {asked.text} | {' | '.join(cells)} |" in readme


def test_the_words_of_pages_06_and_07_are_those_of_the_pilot():
    """What the pages say in words alone; what they print is compared when they are executed."""
    results = reference_results()
    for task in TASKS[:2]:
        best = pd.DataFrame(by_seed(results, task, "best validation"))[list(PAPER_ARMS)]
        gains = best.mean() - best["none"].mean()
        assert 0.05 < (best.max() - best.min()).median() < 0.10
        assert gains.idxmax() == "traditional" and gains.rank(ascending=False)["neural"] >= 5
        high = {first: differences(results, task, to="traditional").set_index("arm")
                .loc[first, "high"] for first in ("gan", "neural")}  # fmt: skip
        assert high["gan"] < 0.02 and (high["neural"] < 0.02) == (task == GOLDFISH)
        assert high["neural"] < 0.025, "just above the margin"
        for arm in ("neural-content", "neural-style"):
            row = differences(results, task, to="neural").set_index("arm").loc[arm]
            assert row["low"] < -0.02 and row["high"] > 0.02, "inconclusive"
        runs = runs_by_seed(results, task)
        for other, apart in (("none", 0.001 if task == GOLDFISH else 0.0035), ("none-matched", 0)):
            early = np.array([
                np.subtract(*(runs[arm][seed].curves["train_accuracy"][:20]
                              for arm in ("neural", other))).mean() for seed in range(5)
            ])  # fmt: skip
            assert (early > 0).sum() == (other == "none"), "one seed of five has the other sign"
            assert other != "none" or early.mean() == pytest.approx(-apart, abs=3e-4)
            late = [np.mean([runs[arm][seed].curves["validation_accuracy"][20:]
                             for seed in range(5)]) for arm in ("neural", other)]  # fmt: skip
            assert late[0] < late[1], "neural's mean lies below both"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "own", "told"),
    [
        ("quick", [], "0 runs of your own at preset 'quick'"),
        ("quick", [made("none", 0, images_per_class=100)], "1 runs of your own"),
        ("paper", [made("none", 17, 85), made("gan", 18, 80)], "2 runs of your own"),
    ],
    ids=["nothing", "the first page alone", "the paper's size"],
)
def test_page_06_reads_whatever_has_been_run(tmp_path, preset, own, told):
    for result in own:
        write_result(result, runs_folder() / preset)
    (runs_folder() / preset).mkdir(parents=True, exist_ok=True)
    (runs_folder() / preset / "foreign.json").write_text("{")
    page = tmp_path / "page" / "06_results.ipynb"
    page.parent.mkdir()
    shutil.copy(NOTEBOOKS / page.name, page)
    run_notebooks(preset, {}, page.parent, out=tmp_path / "out")
    text = (tmp_path / "out" / "html" / "06_results.html").read_text(encoding="utf-8")
    assert told in html.unescape(text) and "foreign.json" in text
    assert ("own seeds" in text) == (preset == "paper")
