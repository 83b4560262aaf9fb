"""Whether a network is as often right as it says: its probabilities held against its answers."""

import pandas as pd
import torch
from torch import Tensor

from course_lib.support.validation import checks


@checks(scores="N 2 float")
def probability(scores: Tensor) -> Tensor:
    """Scores (N, 2) → the probability of class 1, (N,).

    Each score has a sigmoid of its own (§5): the mean of what the two say about class 1.
    """
    first, second = scores.float().sigmoid().unbind(dim=1)
    return (second + 1 - first) / 2


@checks(scores="N 2 float", labels="N labels", bins=1)
def reliability(scores: Tensor, labels: Tensor, bins: int = 10) -> pd.DataFrame:
    """A row for each bin of confidence, from ½ to 1, that holds images.

    Columns: images, confidence (their mean probability of the class that is chosen) and accuracy.
    """
    of_class_1 = probability(scores)
    table = pd.DataFrame({
        "confidence": torch.maximum(of_class_1, 1 - of_class_1).numpy(),
        "accuracy": (scores.argmax(dim=1) == labels).double().numpy(),
    })  # fmt: skip
    place = ((table["confidence"] - 0.5) * 2 * bins).astype(int).clip(0, bins - 1)
    found = table.groupby(place).mean()
    found.insert(0, "images", table.groupby(place).size())
    return found.reset_index(drop=True)


def calibration_error(table: pd.DataFrame) -> float:
    """The expected calibration error of a table of `reliability`: |accuracy − confidence|.

    It is the mean over images: a bin weighs as much as it holds.
    """
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["images"]).sum() / table["images"].sum())
