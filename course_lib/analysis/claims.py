"""The paper's claims about accuracy (§6, §7), each tested on many runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from course_lib.analysis.comparison import by_seed, seed_names
from course_lib.analysis.results import Result
from course_lib.analysis.statistics import holm, paired_difference
from course_lib.paper import CLAIMS, PAPER

COLUMNS = ("mean", "low", "high", "p")  # of a Difference


def claims(results: Sequence[Result], measure: str = "test") -> pd.DataFrame:
    """Test each of the paper's claims: a row for each of `paper.CLAIMS` whose arms share a seed.

    A verdict is about the images at hand: seeds answer for the luck of the run alone.

    Args:
        results: runs of several seeds.
        measure: of `comparison.MEASURES`; nothing was chosen by the images of "test".

    Returns:
        The claim and its task; "paper says", the difference of the paper's two numbers; our mean
        difference over seeds with Student's interval and p; the seeds; p after Holm's correction
        for all rows; and a verdict from that at .05.
    """
    rows, directions = [], []
    for claim in CLAIMS:
        arms = by_seed(results, claim.task, measure)
        one, other = arms.get(claim.first, {}), arms.get(claim.second, {})
        shared = sorted(one.keys() & other.keys())
        if shared:
            says = PAPER[claim.task, claim.first] - PAPER[claim.task, claim.second]
            found = paired_difference([one[s] for s in shared], [other[s] for s in shared])
            ours = {name: getattr(found, name) for name in COLUMNS}
            names = {"claim": claim.text, "task": claim.task, "paper says": says}
            rows.append({**names, **ours, "seeds": seed_names(shared)})
            directions.append(claim.direction)
    table = pd.DataFrame(rows, columns=["claim", "task", "paper says", *COLUMNS, "seeds"])
    table["p, Holm"] = holm(table["p"])
    table["verdict"] = [
        verdict(mean * direction, p)
        for mean, p, direction in zip(table["mean"], table["p, Holm"], directions, strict=True)
    ]
    return table


def verdict(gain: float, p: float) -> str:
    """What a difference says of a claim that it is above 0; nothing, unless p is below .05."""
    if math.isnan(p) or p >= 0.05:
        return "inconclusive"
    return "holds" if gain > 0 else "the opposite holds"
