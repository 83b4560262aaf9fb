"""Calibration: probabilities from two sigmoids, bins of confidence, and the expected error."""

import numpy as np
import pytest
import torch

from course_lib.analysis.calibration import calibration_error, probability, reliability
from course_lib.support.validation import CourseError


def scores_for(of_class_1):
    """Scores whose two sigmoids agree on these probabilities of class 1."""
    value = torch.logit(torch.tensor(of_class_1, dtype=torch.float64)).float()
    return torch.stack([-value, value], dim=1)


def test_probability_is_what_both_scores_say():
    expected = torch.tensor([0.1, 0.5, 0.9])
    assert torch.allclose(probability(scores_for([0.1, 0.5, 0.9])), expected)
    scores = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(probability(scores) + probability(scores.flip(1)), torch.ones(50))
    assert torch.equal(probability(scores) > 0.5, scores[:, 1] > scores[:, 0])
    both = probability(torch.tensor([[4.0, 4.0]])).item()
    assert both == pytest.approx(0.5), "certain of both is unsure"


def test_reliability_bins_by_the_confidence_of_the_answer():
    scores = scores_for([0.02, 0.97, 0.95, 0.62, 0.38])
    table = reliability(scores, torch.tensor([0, 1, 0, 1, 1]), bins=5)
    assert table["images"].tolist() == [2, 3], "empty bins are left out"
    assert table["confidence"].tolist() == pytest.approx([0.62, (0.98 + 0.97 + 0.95) / 3])
    assert table["accuracy"].tolist() == pytest.approx([1 / 2, 2 / 3])
    gaps = [abs(0.62 - 0.5), abs(0.98 + 0.97 + 0.95 - 2) / 3]
    assert calibration_error(table) == pytest.approx(np.average(gaps, weights=[2, 3]))


def test_a_certain_answer_falls_into_the_last_bin():
    scores = torch.tensor([[-60.0, 60.0], [60.0, -60.0]])
    table = reliability(scores, torch.tensor([1, 0]))
    assert table["images"].tolist() == [2] and calibration_error(table) == 0


def test_a_network_that_knows_its_chances_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    chances = torch.rand(20_000, generator=generator).clamp(0.01, 0.99)
    labels = (torch.rand(20_000, generator=generator) < chances).long()
    scores = scores_for(chances.tolist())
    assert calibration_error(reliability(scores, labels)) < 0.02
    assert calibration_error(reliability(3 * scores, labels)) > 0.08, "over-confident"


def test_bad_input():
    with pytest.raises(CourseError, match="labels"):
        reliability(torch.zeros(3, 2), torch.tensor([0, 1, 2]))
    with pytest.raises(CourseError, match="bins 0 must be"):
        reliability(torch.zeros(3, 2), torch.tensor([0, 1, 1]), bins=0)
