import math

import pytest
import torch

from course_lib.losses import (
    CLASSIFICATION_LOSSES,
    classification_loss,
    combined_loss,
    content_loss,
    gram_matrix,
    style_loss,
)
from course_lib.support.validation import CourseError

SCORES = torch.randn(7, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])


def test_sigmoid_reading_against_a_slow_loop():
    total = 0.0
    for scores, label in zip(SCORES.tolist(), LABELS.tolist(), strict=True):
        for k, score in enumerate(scores):
            sigmoid = 1 / (1 + math.exp(-score))
            total -= math.log(sigmoid) if k == label else math.log(1 - sigmoid)
    assert classification_loss(SCORES, LABELS).item() == pytest.approx(total / 14, rel=1e-12)


def test_softmax_reading_against_a_slow_loop():
    total = 0.0
    for scores, label in zip(SCORES.tolist(), LABELS.tolist(), strict=True):
        total -= math.log(math.exp(scores[label]) / sum(math.exp(score) for score in scores))
    assert classification_loss(SCORES, LABELS, "softmax").item() == pytest.approx(total / 7)


def test_softmax_of_sigmoids_against_a_slow_loop():
    """Even of perfect scores it stays above log(1 + 1/e), .313."""
    total = 0.0
    for scores, label in zip(SCORES.tolist(), LABELS.tolist(), strict=True):
        sigmoids = [1 / (1 + math.exp(-score)) for score in scores]
        total -= math.log(math.exp(sigmoids[label]) / sum(map(math.exp, sigmoids)))
    reading = "softmax-of-sigmoids"
    assert classification_loss(SCORES, LABELS, reading).item() == pytest.approx(total / 7)
    perfect = torch.tensor([[99.0, -99.0]])
    floor = classification_loss(perfect, torch.tensor([0]), reading).item()
    assert floor == pytest.approx(math.log(1 + math.exp(-1)))


def test_large_scores_stay_finite():
    scores = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0]])
    assert classification_loss(scores, torch.tensor([0, 1])).item() == 0
    assert classification_loss(scores, torch.tensor([1, 0])).item() == 1000


@pytest.mark.parametrize("reading", CLASSIFICATION_LOSSES)
def test_gradients(reading):
    scores = SCORES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: classification_loss(s, LABELS, reading), scores)


def test_unknown_reading():
    with pytest.raises(CourseError, match="'sigmoids' is unknown .*did you mean sigmoid"):
        classification_loss(SCORES, LABELS, "sigmoids")


IMAGES, TARGETS = torch.randn(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(1)).double()


def slow_gram(image):
    """Gram matrix of one image (C, H, W) from the definition, in loops."""
    channels, height, width = image.shape
    gram = [[0.0] * channels for _ in range(channels)]
    for i in range(channels):
        for j in range(channels):
            for row in range(height):
                for column in range(width):
                    gram[i][j] += image[i, row, column].item() * image[j, row, column].item()
            gram[i][j] /= height * width
    return gram


def test_content_loss_against_a_slow_loop():
    total = 0.0
    for image, target in zip(IMAGES, TARGETS, strict=True):
        pairs = zip(image.flatten().tolist(), target.flatten().tolist(), strict=True)
        total += sum((a - t) ** 2 for a, t in pairs) / image.numel()
    assert content_loss(IMAGES, TARGETS).item() == pytest.approx(total / 4, rel=1e-12)


def test_gram_matrix_against_a_slow_loop():
    for gram, image in zip(gram_matrix(IMAGES), IMAGES, strict=True):
        assert torch.allclose(gram, torch.tensor(slow_gram(image), dtype=torch.float64))


def test_style_loss_against_a_slow_loop():
    total = 0.0
    for image, target in zip(IMAGES, TARGETS, strict=True):
        made, wanted = slow_gram(image), slow_gram(target)
        total += sum((made[i][j] - wanted[i][j]) ** 2 for i in range(3) for j in range(3)) / 3**2
    assert style_loss(IMAGES, TARGETS).item() == pytest.approx(total / 4, rel=1e-12)


@pytest.mark.parametrize("loss", [content_loss, style_loss])
def test_augmentation_loss_gradients(loss):
    assert torch.autograd.gradcheck(loss, (IMAGES.clone().requires_grad_(), TARGETS))
    assert loss(IMAGES, IMAGES).item() == 0


def test_gram_matrix_gradients():
    assert torch.autograd.gradcheck(gram_matrix, IMAGES.clone().requires_grad_())


def test_style_knows_no_places():
    shuffled = IMAGES.flatten(2)[:, :, torch.randperm(30)].view_as(IMAGES)
    assert style_loss(IMAGES, shuffled).item() == pytest.approx(0, abs=1e-25)
    assert content_loss(IMAGES, shuffled).item() > 0.5


def test_combined_loss():
    classification, augmentation = torch.tensor(0.6), torch.tensor(2.0)
    assert combined_loss(classification, augmentation, 0.75, 0.25).item() == pytest.approx(0.95)
    assert combined_loss(classification, augmentation, 0.75, 0) is classification
    assert combined_loss(classification, None, 0.75, 0.25) is classification
    assert combined_loss(classification, augmentation, 0, 1).item() == 2


def test_style_of_grey_images():
    with pytest.raises(CourseError, match=r"must be a tensor \(N, 3, H, W\)"):
        style_loss(IMAGES[:, :1], TARGETS[:, :1])
