"""The study's tables, on studies made up so that every verdict is known, and on what is bundled."""

import html
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from course_lib.__main__ import main
from course_lib.analysis import claims
from course_lib.analysis.claims import (
    COMPARED,
    STRATA,
    averages_table,
    digits_table,
    finished,
    progress,
    study_results,
    study_table,
)
from course_lib.analysis.comparison import markdown
from course_lib.analysis.plan import COMPARISONS, PAIR_RUNS, PLAN, POSITIVE_CONTROL
from course_lib.analysis.replication import crossed_mean, nadeau_bengio
from course_lib.analysis.results import Result, write_result
from course_lib.analysis.statistics import holm
from course_lib.models import READINGS
from course_lib.pages.run import run_notebooks
from course_lib.paper import CATS, MNIST
from course_lib.support.files import COURSE, NOTEBOOKS, runs_folder
from course_lib.support.validation import CourseError

IMAGES = 1000
# What each arm adds: neural does harm of five points, traditional helps by as much, gan does nothing.
EFFECTS = {"neural": -0.05, "traditional": 0.05, "traditional-fresh": 0.08}


def made(task, arm, seed):
    """A run whose primary measure is .8, its arm's effect, and luck of half a point."""
    luck = np.random.default_rng([seed, sum(map(ord, task + arm))]).normal(0, 0.005)
    right = round(IMAGES * (0.8 + EFFECTS.get(arm, 0) + luck))
    counts = np.where(np.arange(IMAGES) < right, 10, 0).astype(np.uint8)
    # Where generated batches feed the averages, the other readings are ten points better.
    others = np.where(np.arange(IMAGES) < right + IMAGES // 10 * (arm == "neural"), 10, 0)
    empty = np.zeros(0, np.uint8)
    times = {f"{r} validation": others.astype(np.uint8) for r in READINGS}
    times |= {f"{r} test": empty for r in READINGS} | {"all validation": counts}
    settings = {"task": task, "arm": arm, "seed": seed, "source": "tiny-imagenet", "epochs": 40,
                "images_per_class": None, "transforms": {}, "device": "cpu", "last_epochs": 10,
                "running_statistics": "all"}  # fmt: skip
    bits = counts > 0
    return Result(
        settings=settings, key="made", best_epoch=0, seconds=1.0,
        curves={"validation_accuracy": [right / IMAGES + 0.02] * 40},
        correct={"validation_best": bits, "test_best": bits, "test_last": bits},
        environment={"date": "2026-01-01"}, times_right=times,
    )  # fmt: skip


@pytest.fixture(scope="module")
def study():
    return [made(*row) for row in PLAN]


@pytest.fixture(scope="module")
def table(study):
    return study_table(study).set_index(["task", "arms"])


def test_verdicts_of_a_finished_study(table):
    expected = {
        "neural − none": "the opposite holds",
        "traditional − none": "holds",
        "gan − none": "no difference of two points or more",
        "control − none": "no difference of two points or more",
        "neural − control": "the opposite holds",
        "neural − traditional": "the opposite holds",
        "traditional-fresh − none-matched": "holds",
        "neural-content − none": "",
        "neural-style − none": "",
    }
    for stratum in STRATA:
        assert table.loc[stratum, "verdict"].to_dict() == expected
    assert len(table) == len(STRATA) * len(COMPARED)
    assert table.loc["goldfish", "runs"].eq(18).all() and table.loc["pooled", "runs"].eq(36).all()
    assert table.loc[("goldfish", "neural − none"), "paper says"] == pytest.approx(0.06)


def test_numbers_are_those_of_the_plans_test(study, table):
    """`crossed_mean` of the paired differences; Holm over the six claims of a stratum alone."""
    runs = {(run.task, run.arm, run.seed): run for run in study}
    rows = []
    for pair in PAIR_RUNS:
        if pair.stratum == CATS:
            one, other = (runs[pair.task, arm, pair.seed] for arm in ("gan", "none"))
            difference = one.unseen_accuracy - other.unseen_accuracy
            rows.append((pair.dog, pair.other, pair.seed, difference))
    found = crossed_mean(pd.DataFrame(rows, columns=["dog", "other", "seed", "difference"]))
    row = table.loc["cats", "gan − none"]
    assert tuple(row[["mean", "low", "high", "p"]]) == pytest.approx(found[:4])
    part = table.loc["cats"].reset_index()
    family = part["claim"].isin([asked.text for asked in COMPARISONS])
    assert part.loc[family, "p, Holm"].tolist() == pytest.approx(holm(part.loc[family, "p"]))
    alone = part[part["claim"] == POSITIVE_CONTROL.text].iloc[0]
    assert alone["p, Holm"] == alone["p"]
    assert part.loc[~family, "p, Holm"].isna().sum() == 2, "no claim, no p of a family"


def test_the_papers_size_is_held_against_one_further_run(table):
    """+6.0 where we find −5, excluded; −1.5 where we find 0, with the luck of one run: not so."""
    row = table.loc["goldfish", "neural − none"]
    assert row["the paper's size"] == "excluded" and row["by best validation"] < -0.04
    low, high = row["further run, low"], row["further run, high"]
    assert high - low > row["high"] - row["low"], "one run varies more than a mean"
    assert table.loc[("cats", "control − none"), "the paper's size"] == "possible"
    pooled = table.loc["pooled"]
    assert pooled["paper says"].isna().all() and (pooled["the paper's size"] == "").all()


@pytest.mark.parametrize("lost", [("control", -1), ("traditional-fresh", 0)])
def test_no_verdict_before_the_last_run_of_the_first_priority(study, lost):
    arm, number = lost
    pair = PAIR_RUNS[number]
    part = [run for run in study if (run.task, run.arm, run.seed) != (pair.task, arm, pair.seed)]
    assert len(finished(part)) == 35
    assert progress(part) == "35 of 36 pair-runs are finished: preliminary means, no verdicts yet."
    table = study_table(part)
    assert not {"verdict", "p", "low", "the paper's size"} & set(table)
    assert sorted(set(table["runs"])) == [17, 18, 35]
    one = table[(table["task"] == pair.stratum.removeprefix("dogs-vs-"))].iloc[0]
    assert one["runs"] == 17 and one["standard error"] > 0


def test_an_incomplete_second_priority_waits_alone(study):
    part = [run for run in study if run.arm != "neural-style"]
    table = study_table(part).set_index(["task", "arms"])
    assert table.loc[("cats", "neural − none"), "verdict"] == "the opposite holds"
    row = table.loc["cats", "neural-style − none"]
    assert row["runs"] == 0 and row["verdict"] == "" and np.isnan(row["low"])
    assert "nan" not in markdown(table.reset_index())


def test_a_study_that_has_not_begun():
    for table in (study_table([]), averages_table([]), digits_table([])):
        assert "verdict" not in table and "nan" not in markdown(table)
    assert progress([]).startswith("0 of 36")


def test_readings_of_the_same_training(study):
    averages = averages_table(study).set_index(["task", "arms"])
    mean = averages.loc["pooled", "neural − none"]
    assert mean["all"] == pytest.approx(-0.05, abs=0.003)
    assert mean["real-only"] == mean["batch"] == pytest.approx(0.05, abs=0.003)
    assert averages.loc[("cats", "gan − none"), list(READINGS)].nunique() == 1


def test_digits(study):
    runs = {(run.arm, run.seed): run.unseen_accuracy for run in study if run.task == MNIST}
    seeds = range(140, 150)
    expected = nadeau_bengio([runs["neural", s] - runs["none", s] for s in seeds], 0.2)
    neural, content = digits_table(study).to_dict("records")
    assert (neural["mean"], neural["low"]) == pytest.approx((expected.mean, expected.low))
    assert neural["verdict"] == "the opposite holds" and content["verdict"] == ""
    assert (neural["paper says"], content["paper says"]) == pytest.approx((0.003, -0.004))
    part = digits_table([run for run in study if (run.arm, run.seed) != ("none", 149)])
    assert part["runs"].tolist() == [9, 9] and "low" not in part


def test_own_runs_fill_the_gaps_and_others_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "STUDY", tmp_path)
    first, second, third = (made(*row) for row in PLAN[:3])
    bundled = replace(first, environment={"date": "2020-01-01"})
    write_result(bundled, tmp_path)
    foreign = replace(third, settings=third.settings | {"device": "cuda"})
    unplanned = replace(first, settings=first.settings | {"seed": 99})
    stand_in = replace(third, settings=third.settings | {"source": "stand-in"}, key="drawn")
    for run in (first, second, foreign, unplanned, stand_in):
        write_result(run, runs_folder() / "plan")
    (runs_folder() / "plan" / "broken.json").write_text("{")
    runs, damaged = study_results()
    assert [run.arm for run in runs] == [first.arm, second.arm]
    assert runs[0].environment["date"] == "2020-01-01", "the bundled one counts"
    assert [path.name for path in damaged] == ["broken.json"]
    assert len(study_results(own=False)[0]) == 1
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(CourseError, match="x.json is damaged"):
        study_results()


def test_the_command_prints_the_study(study, capsys):
    for run in study:
        write_result(run, runs_folder() / "plan")
    (runs_folder() / "plan" / "broken.json").write_text("{")
    assert main(["results"]) == 0
    shown = capsys.readouterr()
    assert "All 36 pair-runs are finished: the verdicts are final." in shown.out
    assert "no difference of two points or more" in shown.out
    assert "| real-only" in shown.out and "| mnist-0-vs-8" in shown.out
    assert "broken.json" in shown.err


def test_documents_show_the_study_once_it_is_finished():
    """Until then they give no number of it: see what `course results` prints."""
    runs, _ = study_results(own=False)
    page = (NOTEBOOKS / "REPLICATION.md").read_text(encoding="utf-8")
    readme = (COURSE / "README.md").read_text(encoding="utf-8")
    if len(finished(runs)) < len(PAIR_RUNS):
        assert "has not finished" in page and "has not finished" in readme
        return
    table = study_table(runs)
    shown = table[["claim", "task", "paper says", "mean", "low", "high", "p, Holm", "verdict"]]
    assert markdown(shown) in page, f"paste into REPLICATION.md:\n{markdown(shown)}"
    short = table[table["claim"].isin([asked.text for asked in COMPARISONS])]
    short = short.pivot(index="claim", columns="task", values="verdict")[list(STRATA)].reset_index()
    assert markdown(short) in readme, f"paste into README.md:\n{markdown(short)}"
    assert "has not finished" not in page + readme


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 20, len(PLAN)], ids=["nothing", "a start", "everything"])
def test_page_07_is_true_of_any_state_of_the_study(study, tmp_path, count):
    for run in study[:count]:
        write_result(run, runs_folder() / "plan")
    page = tmp_path / "page" / "07_claims.ipynb"
    page.parent.mkdir()
    shutil.copy(NOTEBOOKS / page.name, page)
    run_notebooks("quick", {}, page.parent, out=tmp_path / "out")
    text = html.unescape((tmp_path / "out" / "html" / "07_claims.html").read_text("utf-8"))
    assert progress([*study[:count], *study_results(own=False)[0]]) in text
    assert ("the opposite holds</td>" in text) == (count == len(PLAN))
