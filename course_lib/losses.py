"""The losses of the paper (§5), each beside its equation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from course_lib.support.validation import CourseError, check_labels, choose, number, tensor

CLASSIFICATION_LOSSES = ("sigmoid", "softmax")


def classification_loss(scores: Tensor, labels: Tensor, reading: str = "sigmoid") -> Tensor:
    """Classification loss L_c (§3.3, §5): the mean over the images of a batch, a scalar.

    scores: (N, 2), any real number. labels: (N,) int64, 0 or 1.

    The paper says "cross entropy loss on the sigmoids of the scores of classes", which can be
    read in two ways. With s = scores and y = one-hot labels, both (N, 2):

    "sigmoid" (our default, the words taken literally): each score is its own yes-or-no question,
        L_c = −mean over n and k of  y·log σ(s) + (1 − y)·log(1 − σ(s))

    "softmax" (the usual cross entropy between classes, no sigmoid):
        L_c = −mean over n of  log( exp s[n, label] / Σ_k exp s[n, k] )

    Raises CourseError for another reading, and scores and labels of another kind.
    """
    tensor("scores", scores, "N 2", "float")
    check_labels("labels", labels, str(len(scores)))
    if choose("classification loss", reading, CLASSIFICATION_LOSSES) == "softmax":
        return functional.cross_entropy(scores, labels)
    one_hot = functional.one_hot(labels, scores.shape[1]).to(scores.dtype)
    return functional.binary_cross_entropy_with_logits(scores, one_hot)


def content_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Content loss (§5): the mean squared difference of two batches of images, a scalar.

    generated, target: (N, C, H, W), normalised. With A the generated image, T the target and D the
    number of values of an image (and the mean over the batch):
        L_a = 1/D · Σ_i (A_i − T_i)²

    Raises CourseError for batches that are not alike.
    """
    _check_batches(generated, target)
    return functional.mse_loss(generated, target)


def gram_matrix(images: Tensor) -> Tensor:
    """Gram matrix of the raw images (§5): (N, C, H, W) → (N, C, C).

    How much each pair of channels lights up together, wherever in the image:
        G_ij = 1/(H·W) · Σ_k F_ik F_jk      with F the image as C rows of H·W values
    The paper does not scale it; dividing by the number of pixels makes it independent of size.
    Raises CourseError for anything but a batch of float images.
    """
    tensor("images", images, "N C H W", "float")
    features = images.flatten(2)
    return features @ features.transpose(1, 2) / features.shape[2]


def style_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Style loss (§5): the squared difference of two Gram matrices, a scalar.

    generated, target: (N, C, H, W), normalised, C = 3. With G^A and G^T their Gram matrices, C the
    number of channels (and the mean over the batch):
        L_a = 1/C² · Σ_ij (G^A_ij − G^T_ij)²

    Raises CourseError for batches that are not alike, and for grey images: "the gram matrix
    wouldn't produce any meaning" (§6).
    """
    _check_batches(generated, target)
    if generated.shape[1] == 1:
        raise CourseError(
            "the style loss needs colour images: 1 channel has no Gram matrix to speak of"
        )
    return functional.mse_loss(gram_matrix(generated), gram_matrix(target))


def combined_loss(
    classification: Tensor, augmentation: Tensor | None, alpha: float, beta: float
) -> Tensor:
    """The loss of a generated batch (§5): α·L_c + β·L_a, the paper's α = .75 and β = .25.

    Without an augmentation loss, or with β = 0, it is L_c alone: the paper calls the two
    "equivalent", and α would only scale it.
    """
    if augmentation is None or beta == 0:
        return classification
    return alpha * classification + beta * augmentation


def check_weights(alpha: float, beta: float) -> None:
    """Raise CourseError unless alpha and beta are finite, not negative, and not both 0."""
    number("alpha", alpha, 0)
    number("beta", beta, 0)
    if alpha == beta == 0:
        raise CourseError("alpha and beta are both 0: nothing would be learned")


def _check_batches(generated: Tensor, target: Tensor) -> None:
    """Raise CourseError unless both are float images of one shape: others would be broadcast."""
    tensor("generated", generated, "N C H W", "float")
    tensor("target", target, " ".join(map(str, generated.shape)), "float")
