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
from course_lib.analysis.claims import claims, verdict
from course_lib.analysis.comparison import (
    MEASURES,
    PILOT,
    by_seed,
    complete,
    differences,
    markdown,
    mcnemar_by_seed,
    mean_interval,
    pairwise,
    paper_table,
    reference_results,
    seed_names,
)
from course_lib.analysis.results import Result, write_result
from course_lib.analysis.statistics import seeds_needed
from course_lib.arms import ARMS
from course_lib.images.tasks import TASKS
from course_lib.pages.run import run_notebooks
from course_lib.paper import CLAIMS, EXPERIMENTS, PAPER
from course_lib.support.files import NOTEBOOKS, runs_folder
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
    matrix = pairwise(two_arms(), GOLDFISH)
    assert matrix.loc["neural", "none"] == pytest.approx(0.03) == -matrix.loc["none", "neural"]


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


def test_claims_and_verdicts():
    assert [verdict(0.1, 0.01), verdict(-0.1, 0.01)] == ["holds", "the opposite holds"]
    assert [verdict(0.1, 0.05), verdict(0.1, math.nan)] == ["inconclusive"] * 2
    few = claims([made("none", 0, 80), made("neural", 0, 99)])
    assert few["verdict"].tolist() == ["inconclusive"], "one seed tells nothing"
    assert few["paper says"].tolist() == [pytest.approx(0.06)]
    many = [made("none", seed, 80 + seed % 3) for seed in range(12)]
    many += [made("control", seed, 85 + seed % 2) for seed in range(12)]
    (row,) = claims(many).itertuples()
    assert row.verdict == "the opposite holds", "the control is better here, said to be worse"
    assert row.seeds == "0-11"
    (row,) = claims(many, "best validation").itertuples()
    assert row.verdict == "inconclusive", "all are .7 there"


def test_claims_say_what_the_papers_numbers_say():
    wrong = [
        (task, first, second)
        for _, task, first, second, direction in CLAIMS
        if (PAPER[task, first] - PAPER[task, second]) * direction <= 0
    ]
    # §6: "Only the control … does worse than no augmentation"; Table II has .710 against .705.
    assert wrong == [("dogs-vs-cats", "control", "none")]


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


def test_the_page_shows_the_replication():
    page = replication_page()
    results = reference_results()
    for task in TASKS:
        assert markdown(paper_table(results, [], task)) in page, f"`course results`: {task}"
    verdicts = claims(results)[["claim", "task", "paper says", "mean", "p, Holm", "verdict"]]
    assert markdown(verdicts) in page
    assert f"seeds ({seed_names({result.settings['seed'] for result in results})})" in page


def test_the_pages_words_are_those_of_the_replication():
    page = " ".join(replication_page().split())
    results = reference_results()
    decided = {measure: claims(results, measure) for measure in ("test", "best validation")}
    decided = {name: table[table["verdict"] != "inconclusive"] for name, table in decided.items()}
    assert decided["test"].empty and "all twelve verdicts are inconclusive" in page
    assert len(claims(results)) == 12
    assert list(decided["best validation"]["verdict"]) == ["holds", "holds"]
    assert "measure, two claims hold" in page
    for _, row in decided["best validation"].iterrows():
        assert f"({row['mean']:+.3f}, p {row['p, Holm']:.3f})" in page, row["claim"]
    for task, measure in product(TASKS[:2], MEASURES):
        table = differences(results, task, measure)
        assert table.loc[table["arm"].str.startswith("neural"), "mean"].max() < 0.01
    four = claims([result for result in results if result.seed < 4])
    (row,) = four[four["verdict"] == "the opposite holds"].itertuples()
    assert row.claim.startswith("GAN") and row.task == GOLDFISH
    assert f"with four seeds (p {four.loc[row.Index, 'p, Holm']:.3f})" in page
    accuracies = [pd.DataFrame(by_seed(results, task, "test")) for task in TASKS[:2]]
    apart = [table.drop(columns="none").sub(table["none"], axis=0) for table in accuracies]
    spread = pd.concat([table.std() for table in apart]).median()
    assert seeds_needed(0.05, spread, significance=0.05 / len(CLAIMS)) == 8
    assert "an 80 % chance of detecting a difference of five points, a study needs eight" in page


def test_the_words_of_page_06_are_those_of_the_replication():
    """What the page says in words alone; what it prints is compared when the page is executed."""
    results = reference_results()
    by_validation, by_test = claims(results, "best validation"), claims(results)
    told = by_validation[by_validation["verdict"] != "inconclusive"]
    assert told[["claim", "task", "verdict"]].to_numpy().tolist() == [
        ["traditional beats none (§7)", GOLDFISH, "holds"],
        ["traditional beats neural (Table II)", "dogs-vs-cats", "holds"],
    ]
    first = told.iloc[0]
    assert first["mean"] < first["paper says"] / 2, "less than half of the paper's gain"
    assert set(by_test["verdict"]) == {"inconclusive"}
    gan = by_test["claim"] == "GAN styles beat none (Table I)"
    smaller, larger = (table.loc[gan, "mean"].abs().item() for table in (by_validation, by_test))
    assert smaller < larger / 5, "less than a fifth of that"
    for task in TASKS[:2]:
        best = pd.DataFrame(by_seed(results, task, "best validation"))[list(PAPER_ARMS)]
        gains = best.mean() - best["none"].mean()
        assert 0.05 < (best.max() - best.min()).median() < 0.10
        assert gains.idxmax() == "traditional" and gains.rank(ascending=False)["neural"] >= 5


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
