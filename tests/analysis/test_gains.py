import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from course_lib.analysis.claims import study_gains
from course_lib.analysis.gains import gains, gains_by_size, label, leads
from course_lib.analysis.plan import PAIR_RUNS
from course_lib.analysis.replication import crossed_mean
from course_lib.analysis.results import Result
from course_lib.analysis.statistics import paired_difference
from course_lib.show.gains import gain_plot, nuisance_plot, size_plot
from course_lib.support.validation import CourseError


def made(arm, seed, right, task="dogs-vs-cats", transforms=(), size=10):
    """A run with `right` of 100 validation and 100 test images right in its one last epoch."""
    settings = {
        "task": task, "arm": arm, "seed": seed, "source": "stand-in", "epochs": 2, "last_epochs": 1,
        "running_statistics": "all", "images_per_class": size, "transforms": dict.fromkeys(transforms, 1),
    }  # fmt: skip
    half = np.arange(100) < right / 2
    return Result(
        settings, "key", {"validation_accuracy": [0.5, 0.5]}, 0, {}, {"date": "2026"}, 1.0,
        times_right={"all validation": half.astype(int), "all test": half.astype(int)},
    )  # fmt: skip


RUNS = [
    *(made("none-matched", seed, 140 + 4 * seed) for seed in range(4)),
    *(made("none", seed, 134 + 4 * seed + 2 * (seed % 2)) for seed in range(4)),
    *(made("traditional-fresh", seed, 150 + 4 * seed, transforms=["flip"]) for seed in range(1, 4)),
    made("control", 9, 150),
]


def test_gains_are_paired_by_seed():
    table = gains(RUNS).set_index("arm")
    assert table.index.tolist() == ["none", "traditional-fresh: flip"]
    expected = paired_difference([0.67, 0.7, 0.71, 0.74], [0.7, 0.72, 0.74, 0.76])
    assert table.loc["none", ["mean", "low", "high"]].tolist() == pytest.approx(expected[:3])
    flip = table.loc["traditional-fresh: flip"]
    assert flip["mean"] == pytest.approx(0.05) and flip["seeds"] == 3
    to_none = gains(RUNS, to="none").set_index("arm")
    assert to_none.loc["none-matched", "mean"] == pytest.approx(-expected.mean)


def test_runs_of_different_strength_are_different_rows():
    def stronger(run, strength):
        return dataclasses.replace(run, settings=run.settings | {"strength": strength})

    one, several = (
        made("traditional-fresh", 0, 150, transforms=["hue"]),
        made("traditional", 0, 150),
    )
    assert label(stronger(several, 0.5)) == "traditional: ×0.5"
    assert [label(stronger(one, s)) for s in (1.0, 12.5)] == [
        label(one), "traditional-fresh: hue ×12.5",
    ]  # fmt: skip
    baseline = [made("none-matched", seed, 140) for seed in range(3)]
    runs = [
        stronger(made("traditional-fresh", seed, right), strength)
        for strength, right in ((1.0, 150), (2.0, 130))
        for seed in range(3)
    ]
    table = gains(baseline + runs).set_index("arm")["mean"]
    assert table.index.tolist() == ["traditional-fresh", "traditional-fresh: ×2"]
    others = gains(baseline + [one, stronger(one, 2), stronger(one, 0.5)])["arm"]
    assert [name.partition(": ")[2] for name in others] == ["hue", "hue ×2", "hue ×0.5"]
    assert table["traditional-fresh"] == pytest.approx(0.05)
    assert table["traditional-fresh: ×2"] == pytest.approx(-0.05)


def of_study(pairs):
    """Runs of three arms on pairs of the plan; the last pair lacks `neural`."""
    return [
        made(arm, pair.seed, right + number % 3 * 2, task=pair.task)
        for number, pair in enumerate(pairs)
        for arm, right in (("none-matched", 140), ("neural", 130 + number), ("none", 138))
        if arm != "neural" or pair is not pairs[-1]
    ]


def test_gains_of_the_study_are_preliminary_until_all_pairs_have_run():
    assert study_gains([]).empty
    some = study_gains(of_study(PAIR_RUNS[:6])).set_index(["task", "arm"])
    assert some["runs"].to_dict() == {
        ("dogs-vs-goldfish", "none"): 3, ("dogs-vs-goldfish", "neural"): 2,
        ("dogs-vs-cats", "none"): 3, ("dogs-vs-cats", "neural"): 3,
    }  # fmt: skip
    assert "low" not in some
    neural = some.loc[("dogs-vs-cats", "neural")]
    differences = np.array([-0.05, -0.04, -0.03])  # of pairs 0, 2 and 4
    assert neural["mean"] == pytest.approx(differences.mean())
    assert neural["standard error"] == pytest.approx(differences.std(ddof=1) / math.sqrt(3))

    whole = study_gains(of_study(PAIR_RUNS)).set_index(["task", "arm"])
    cats = [pair for pair in PAIR_RUNS if pair.stratum == "dogs-vs-cats"]
    expected = crossed_mean(pd.DataFrame(
        [(p.dog, p.other, p.seed, (PAIR_RUNS.index(p) - 10) / 200) for p in cats],
        columns=["dog", "other", "seed", "difference"],
    ))  # fmt: skip
    found = whole.loc[("dogs-vs-cats", "neural"), ["mean", "low", "high"]]
    assert found.tolist() == pytest.approx(expected[:3])
    goldfish = whole.loc[("dogs-vs-goldfish", "neural")]
    assert math.isnan(goldfish["low"]) and goldfish["runs"] == 17


def test_gains_need_their_baseline():
    with pytest.raises(CourseError, match="arm 'pair-mean' has no run on dogs-vs-cats"):
        gains(RUNS, to="pair-mean")
    with pytest.raises(CourseError, match="arm 'nothing' is unknown"):
        gains(RUNS, to="nothing")
    with pytest.raises(CourseError, match="table has no rows"):
        gain_plot(gains([]))


def test_two_seeds_make_no_interval():
    (row,) = gains(
        [run for run in RUNS if run.seed < 2 and run.arm != "traditional-fresh"]
    ).itertuples()
    assert row.seeds == 2 and math.isnan(row.low)


def test_gain_plot_shows_means_and_intervals_in_points():
    other = [
        dataclasses.replace(run, settings=run.settings | {"task": "dogs-vs-goldfish"})
        for run in RUNS
    ]
    table = gains(RUNS + other)
    figure = gain_plot(table)
    assert [place.get_title() for place in figure.axes] == ["dogs-vs-cats", "dogs-vs-goldfish"]
    for place, task in zip(figure.axes, dict.fromkeys(table["task"]), strict=True):
        part = table[table["task"] == task]
        (intervals,) = place.collections
        drawn = np.array([segment[:, 0] for segment in intervals.get_segments()])
        assert drawn == pytest.approx(100 * part[["low", "high"]].to_numpy())
        (band,) = place.patches
        assert (band.get_x(), band.get_width()) == (-2, 4)
        labels = [text.get_text() for text in place.get_yticklabels()]
        assert labels == ["none", "traditional-fresh: flip"]
    assert figure.get_suptitle() == "Accuracy minus that of none-matched"
    plt.close(figure)


def test_nuisance_plot_shows_means_and_frames_the_best():
    runs = [
        dataclasses.replace(
            made("traditional-fresh", seed, 150, transforms=[name]), nuisances=values
        )
        for seed, extra in ((0, 0.0), (1, 0.1))
        for name, values in (
            ("shift", {"plain": 0.6, "shift": 0.7 + extra}),
            ("hue", {"plain": 0.5, "shift": 0.4 + extra}),
        )
    ]
    (place,) = nuisance_plot(runs).axes
    texts = {text.get_text(): text.get_bbox_patch() is not None for text in place.texts}
    assert texts == {"60.0": True, "75.0": True, "50.0": False, "45.0": False}
    assert [text.get_text() for text in place.get_yticklabels()] == ["shift", "hue"]
    plt.close("all")
    with pytest.raises(CourseError, match="results hold no nuisances"):
        nuisance_plot(RUNS)


def test_gains_by_size_and_what_they_are_worth_in_images():
    """Plain accuracy is .5, .6, .7 at 10, 40, 160; the arm's .6, .65, .7: 4, 2 and 1 times."""
    runs = [
        made(arm, seed, right + 2 * seed, size=size)
        for size, plain, fresh in ((10, 98, 118), (40, 118, 128), (160, 138, 138))
        for arm, right in (("none-matched", plain), ("traditional-fresh", fresh))
        for seed in range(3)
    ]
    table = gains_by_size(runs)
    assert table.index.tolist() == [10, 40, 160]
    assert table["none-matched"].tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert table["mean"].tolist() == pytest.approx([0.1, 0.05, 0])
    assert table["worth"].tolist() == pytest.approx([4, 2, 1])
    left, right = size_plot(table).axes
    assert left.lines[1].get_ydata().tolist() == pytest.approx([60, 65, 70])
    assert right.lines[1].get_ydata().tolist() == pytest.approx([10, 5, 0])
    plt.close("all")
    one_arm = [run for run in runs if run.arm == "none-matched"]
    all_images = [*runs, made("none-matched", 0, 90, size=None)]
    two_tasks = [*runs, made("none-matched", 0, 90, task="dogs-vs-goldfish")]
    for wrong in (one_arm, all_images, two_tasks):
        with pytest.raises(CourseError, match="one task and two arms, with numbers of images"):
            gains_by_size(wrong)


def test_the_lead_of_a_transformation_on_its_own_nuisance():
    """On `shift`, training with it has 80, 84, 82 %; the next best row is none-matched, with 70."""
    accuracies = {
        "shift": [{"plain": 0.9, "shift": right} for right in (0.80, 0.84, 0.82)],
        "hue": [{"plain": 0.9, "shift": 0.6}] * 3,
        "none-matched": [{"plain": 0.9, "shift": 0.7}] * 3,
    }
    runs = []
    for row, tests in accuracies.items():
        of = ("none-matched", ()) if row == "none-matched" else ("traditional-fresh", [row])
        for seed, nuisances in enumerate(tests):
            run = made(of[0], seed, 100, transforms=of[1])
            runs.append(dataclasses.replace(run, nuisances=nuisances))
    table = leads(runs)
    assert table.index.tolist() == ["shift"] and table.loc["shift", "next"] == "none-matched"
    expected = paired_difference([0.8, 0.84, 0.82], [0.7] * 3)
    found = table.loc["shift", ["mean", "low", "high"]].tolist()
    assert found == pytest.approx([expected.mean, expected.low, expected.high])
    with pytest.raises(CourseError, match="the same seeds in every row"):
        leads(runs[:-1])
