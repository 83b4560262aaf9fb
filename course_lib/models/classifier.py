"""SmallNet, the paper's classifier (§5, "the layers of the network")."""

from __future__ import annotations

from torch import nn

from course_lib.errors import CourseError, whole_number


class SmallNet(nn.Sequential):
    """The paper's three-convolution classifier (§5): images in, one score per class out.

    Input: normalised images (N, C, H, W) with C = 1 or 3 and H = W = `side`, a multiple of 4.
    Output: scores (N, 2), any real number, before any sigmoid. 8,406,114 parameters at 64×64×3.

    The paper leaves open the padding ('same' here, so that only pooling shrinks the image), the
    activation after the first fully connected layer (ReLU) and the dropout rate (0.5). It names
    one batch normalisation after the second and third convolution together; so it is here.

    Raises CourseError for another number of channels or a side that is no multiple of 4.
    """

    def __init__(self, channels: int = 3, side: int = 64) -> None:
        if whole_number("channels", channels, at_least=1) not in (1, 3):
            raise CourseError(f"channels {channels!r} must be 1 (grey) or 3 (RGB)")
        if whole_number("side", side, at_least=4) % 4:
            raise CourseError(f"side {side!r} must be a multiple of 4: two poolings halve it twice")
        super().__init__(
            nn.Conv2d(channels, 16, kernel_size=3, padding="same"),  # (N, 16, H, W)
            nn.ReLU(),
            nn.BatchNorm2d(16),
            nn.MaxPool2d(2),  # (N, 16, H/2, W/2)
            nn.Conv2d(16, 32, kernel_size=3, padding="same"),  # (N, 32, H/2, W/2)
            nn.ReLU(),
            nn.Conv2d(32, 32, kernel_size=3, padding="same"),
            nn.ReLU(),
            nn.BatchNorm2d(32),
            nn.MaxPool2d(2),  # (N, 32, H/4, W/4)
            nn.Flatten(),  # (N, 2·H·W)
            nn.Linear(2 * side * side, 1024),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(1024, 2),  # (N, 2)
        )


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values in a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
