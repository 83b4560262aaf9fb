"""The networks: SmallNet and AugNet (§5), CycleGAN's generator and discriminator (§3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib.support.validation import CourseError, choose, whole_number


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


class ResidualBlock(nn.Module):
    """y = x + conv_block(x), with no ReLU after the sum: (N, C, H, W) → the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        return images + self.conv_block(images)


class Generator(nn.Module):
    """One image in, the same picture in another style out ("resnet_9blocks" by default).

    Input and output: (N, 3, H, W) in −1…1, H and W multiples of 4, 16 or more. width: channels
    after the first convolution; blocks: residual blocks. The published size, 64 and 9, has 48
    tensors with 11,378,179 parameters under the published names. Instance normalisation has no
    weights and no running statistics here, so an image's output depends on nothing else in its
    batch.
    """

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        whole_number("width", width, at_least=1)
        whole_number("blocks", blocks, at_least=0)
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, kernel_size=7),
            nn.InstanceNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        for channels in (width, 2 * width):  # side: 1 → 1/2 → 1/4
            layers += [
                nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1),
                nn.InstanceNorm2d(2 * channels),
                nn.ReLU(inplace=True),
            ]
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):  # side: 1/4 → 1/2 → 1
            layers += [
                nn.ConvTranspose2d(
                    channels, channels // 2, kernel_size=3, stride=2, padding=1, output_padding=1
                ),
                nn.InstanceNorm2d(channels // 2),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, kernel_size=7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class Discriminator(nn.Module):
    """PatchGAN: a score for each overlapping patch, near 1 if the patch looks real, near 0 if not.

    (N, 3, H, W) in −1…1 → (N, 1, h, w), linear. halvings: convolutions of stride 2. With 3, the
    published size, a score sees a patch of 70×70 pixels; with 2 it sees 34×34, which is as much of
    a 64×64 picture as 70×70 is of a 128×128 one. noise: standard deviation of the noise that is
    added to what it sees in training.
    """

    def __init__(self, width: int = 64, halvings: int = 3, noise: float = 0.0) -> None:
        super().__init__()
        whole_number("width", width, at_least=1)
        whole_number("halvings", halvings, at_least=1)
        self.noise = noise
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for step in range(1, halvings + 1):
            layers += [
                nn.Conv2d(width, 2 * width, 4, stride=2 if step < halvings else 1, padding=1),
                nn.InstanceNorm2d(2 * width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            width = 2 * width
        layers += [nn.Conv2d(width, 1, kernel_size=4, stride=1, padding=1)]
        self.model = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.noise:
            images = images + self.noise * torch.randn_like(images)
        return self.model(images)


def _initialise(layer: nn.Module) -> None:
    """Weights from N(0, 0.02²), biases 0."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        nn.init.zeros_(layer.bias)
