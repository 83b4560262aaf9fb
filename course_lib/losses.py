"""Every loss of the course beside its equation: the paper's (§3.3, §5) and CycleGAN's (§3.2).

Images are normalised floats (N, C, H, W), for CycleGAN in −1…1; every loss is a scalar.
"""

from torch import Tensor
from torch.nn import functional

from course_lib.support.validation import checks

CLASSIFICATION_LOSSES = ("sigmoid", "softmax", "softmax-of-sigmoids")
DISTANCES = {"absolute": functional.l1_loss, "squared": functional.mse_loss}  # for CycleGAN


@checks(scores="N 2 float", labels="N labels|shares", reading=CLASSIFICATION_LOSSES)
def classification_loss(scores: Tensor, labels: Tensor, reading: str = "sigmoid") -> Tensor:
    """L_c (§5): "cross entropy loss on the sigmoids of the scores of classes", in three readings.

    sigmoid:  L_c = −mean over n, k of  y·log σ(s) + (1 − y)·log(1 − σ(s)),   y = one-hot labels
    softmax:  L_c = −mean over n of  log( exp s[n, label] / Σ_k exp s[n, k] )
    softmax-of-sigmoids: the same with σ(s) for s; it cannot fall below log(1 + 1/e) = 0.313
    Instead of labels (N,), y may be each class's share in an image, (N, 2).
    """
    y = functional.one_hot(labels, 2) if labels.ndim == 1 else labels
    y = y.to(scores.dtype)
    if reading == "sigmoid":
        return functional.binary_cross_entropy_with_logits(scores, y)
    return functional.cross_entropy(scores if reading == "softmax" else scores.sigmoid(), y)


@checks(generated="N C H W float", target="N C H W float")
def content_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Content loss L_a (§5): 1/D · Σ_i (A_i − T_i)² over an image's D values, mean of a batch."""
    return functional.mse_loss(generated, target)


@checks(images="N C H W float")
def gram_matrix(images: Tensor) -> Tensor:
    """Gram matrix of the raw images (§5): G_ij = 1/(H·W) · Σ_k F_ik F_jk, (N, C, H, W) → (N, C, C).

    F is the image as C rows of H·W values. The paper does not scale G; 1/(H·W) makes it independent
    of the image's size.
    """
    rows = images.flatten(2)
    return rows @ rows.transpose(1, 2) / rows.shape[2]


@checks(generated="N 3 H W float", target="N 3 H W float")
def style_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Style loss L_a (§5): 1/C² · Σ_ij (G^A_ij − G^T_ij)² of Gram matrices, mean of a batch.

    Images need colour: of grey ones "the gram matrix wouldn't produce any meaning" (§6).
    """
    return functional.mse_loss(gram_matrix(generated), gram_matrix(target))


def combined_loss(
    classification: Tensor, augmentation: Tensor | None, alpha: float, beta: float
) -> Tensor:
    """Loss of a generated batch (§5): α·L_c + β·L_a, the paper's α = .75 and β = .25.

    Without L_a, or with β = 0, it is L_c alone: in a step of its own, α would only scale it.
    """
    if augmentation is None or beta == 0:
        return classification
    return alpha * classification + beta * augmentation


def adversarial_loss(scores: Tensor) -> Tensor:
    """CycleGAN's adversarial loss: (D(G(x)) − 1)², the mean over the scores of generated images."""
    return (scores.float() - 1).square().mean()


@checks(distance=tuple(DISTANCES))
def cycle_loss(back: Tensor, original: Tensor, distance: str = "absolute") -> Tensor:
    """CycleGAN's cycle loss: |F(G(x)) − x|, there and back again, the mean over all values."""
    return DISTANCES[distance](back, original)


@checks(distance=tuple(DISTANCES))
def identity_loss(same: Tensor, original: Tensor, distance: str = "absolute") -> Tensor:
    """CycleGAN's identity loss: |G(y) − y|, the mean: what has the style already stays as it is."""
    return DISTANCES[distance](same, original)


def critic_loss(real: Tensor, generated: Tensor) -> Tensor:
    """A critic's loss: ½ ((D(y) − 1)² + D(G(x))²), means over scores of real and generated."""
    return ((real.float() - 1).square().mean() + generated.float().square().mean()) / 2
