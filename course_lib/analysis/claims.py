"""The paper's claims about accuracy (§6, §7), each tested on many runs."""

import math
from collections.abc import Sequence

import pandas as pd

from course_lib.analysis.comparison import by_seed, versus
from course_lib.analysis.results import Result
from course_lib.analysis.statistics import holm
from course_lib.paper import CLAIMS, PAPER

COLUMNS = ("claim", "task", "paper says", "mean", "low", "high", "p", "seeds", "direction")


def claims(results: Sequence[Result], measure: str = "test") -> pd.DataFrame:
    """Test each of the paper's claims: a row for each of `paper.CLAIMS` whose arms share a seed.

    The verdict is about the images at hand: seeds answer for the luck of the run alone.
    """
    rows = []
    for claim in CLAIMS:
        found = versus(by_seed(results, claim.task, measure), claim.first, claim.second)
        if found:
            says = PAPER[claim.task, claim.first] - PAPER[claim.task, claim.second]
            rows.append({"claim": claim.text, **claim._asdict(), "paper says": says, **found})
    table = pd.DataFrame(rows, columns=COLUMNS)
    gains = table["mean"] * table.pop("direction")
    table["p, Holm"] = holm(table["p"].astype(float))
    table["verdict"] = list(map(verdict, gains, table["p, Holm"]))
    return table


def verdict(gain: float, p: float) -> str:
    """What a difference says of a claim that it is above 0; nothing, unless p is below .05."""
    if math.isnan(p) or p >= 0.05:
        return "inconclusive"
    return "holds" if gain > 0 else "the opposite holds"
