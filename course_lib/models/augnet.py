"""AugNet, the paper's learned augmentation (§5, "Augmentation Network", Figure III)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib.errors import choose, whole_number

INITIALISATIONS = ("glorot", "torch")


class AugNet(nn.Module):
    """Two images of one class in, one new image out (§5): five 3×3 convolutions.

    Input: two batches of normalised images (N, C, H, W), any H and W, side by side as 2·C channels.
    Output: (N, C, H, W), linear: any real number, in the normalised pixel space of the inputs.
    8,275 parameters for C = 3. Padding is 'same', so that height and width stay.

    initialisation: "glorot" (uniform, biases 0; the default of the paper's TensorFlow) or "torch"
    (PyTorch's default). No normalisation follows a layer, so the choice sets the contrast of the
    first images: with "torch" it is a hundredth of the inputs'.

    Raises CourseError for another initialisation, and channels that are no whole number.
    """

    def __init__(self, channels: int = 3, initialisation: str = "glorot") -> None:
        super().__init__()
        whole_number("channels", channels, at_least=1)
        choose("initialisation", initialisation, INITIALISATIONS)
        self.layers = nn.Sequential(
            nn.Conv2d(2 * channels, 16, kernel_size=3, padding="same"),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 16, kernel_size=3, padding="same"),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 16, kernel_size=3, padding="same"),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 16, kernel_size=3, padding="same"),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, channels, kernel_size=3, padding="same"),
        )

        if initialisation == "glorot":
            for layer in self.layers[::2]:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.layers(torch.cat([first, second], dim=1))
