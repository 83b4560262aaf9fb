"""CycleGAN's two networks (Zhu, Park, Isola & Efros 2017): the generator and the PatchGAN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from course_lib.errors import whole_number


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
