"""The networks: SmallNet and AugNet (§5), CycleGAN's generators and critics (§3.2).

Our choices where §5 leaves it open: SmallNet's "same" padding, ReLU after the first fully connected
layer, dropout of 0.5 and one batch normalisation after the second and third convolution together.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.support.validation import CourseError

INITIALISATIONS = ("glorot", "torch")
UPSAMPLINGS = ("transposed", "resize")
EVALUATION_BATCH = 200
# What batch normalisation scores unseen images with: running averages of every batch, generated
# ones too; of batches of training images alone; of the training images under the weights as they
# are; or the statistics of the batch itself. None enters a gradient: one training has them all.
READINGS = ("all", "real-only", "recalibrated", "batch")


class SmallNet(nn.Sequential):
    """The paper's classifier (§5): normalised images (N, C, H, W) → scores (N, 2), before sigmoid.

    C = `channels`, 1 or 3; H = W = `side`, a multiple of 4. 8,406,114 parameters at 64×64×3.
    """

    def __init__(self, channels: int = 3, side: int = 64, dropout: float = 0.5) -> None:
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
            nn.Dropout(dropout),
            nn.Linear(1024, 2),  # (N, 2)
        )


def interleaved(count: int) -> list[slice]:
    """Batches to score, each with images of every class, though images are sorted by class."""
    parts = -(-count // EVALUATION_BATCH)
    return [slice(first, None, parts) for first in range(parts)]


class RunningAverages:
    """Batch normalisation's running averages of one training, under each of READINGS."""

    def __init__(self, model: nn.Module, momentum: float) -> None:
        self.model = model
        parts = list(model.modules())
        self.layers: list[Any] = [part for part in parts if isinstance(part, nn.BatchNorm2d)]
        for layer in self.layers:
            layer.momentum = momentum
        self.added = [torch.zeros_like(average) for average in self._averages()]

    def _averages(self) -> list[Tensor]:
        """Mean and variance of each layer, (2, C)."""
        return [torch.stack([layer.running_mean, layer.running_var]) for layer in self.layers]

    @contextmanager
    def of_generated(self) -> Iterator[None]:
        """Around the scoring of a generated batch: `added` is what such batches did to averages."""
        before = self._averages()
        yield
        for layer, added, old, new in zip(
            self.layers, self.added, before, self._averages(), strict=True
        ):
            # The batch of training images before this one made earlier ones count less.
            added.mul_(1 - layer.momentum).add_(new - old)

    @contextmanager
    def reading(self, name: str, images: Tensor) -> Iterator[None]:
        """While it lasts, the model scores under a reading; images: normalised training images."""
        kept = [(layer.running_mean, layer.running_var) for layer in self.layers]
        self.settle(name, images)
        try:
            yield
        finally:
            for layer, (mean, variance) in zip(self.layers, kept, strict=True):
                layer.running_mean, layer.running_var = mean, variance

    def settle(self, name: str, images: Tensor) -> None:
        """Let the model score under a reading from now on."""
        if name == "real-only":
            pairs = zip(self._averages(), self.added, strict=True)
            self._set([average - added for average, added in pairs])
        elif name == "recalibrated":
            self._recalibrate(images)
        elif name == "batch":
            for layer in self.layers:  # one without averages takes its batch's
                layer.running_mean = layer.running_var = None

    def _set(self, averages: list[Tensor]) -> None:
        for layer, (mean, variance) in zip(self.layers, averages, strict=True):
            layer.running_mean, layer.running_var = mean, variance

    @torch.no_grad()
    def _recalibrate(self, images: Tensor) -> None:
        self._set([torch.zeros_like(average) for average in self.added])
        training, momenta = self.model.training, [layer.momentum for layer in self.layers]
        self.model.eval()
        parts = interleaved(len(images))
        for count, part in enumerate(parts, 1):
            for layer in self.layers:
                layer.train()
                layer.momentum = 1 / count  # so that each batch counts alike
            self.model(images[part])
        self.model.train(training)
        for layer, momentum in zip(self.layers, momenta, strict=True):
            layer.momentum = momentum
            layer.num_batches_tracked -= len(parts)


class VGG16(nn.Sequential):
    """VGG16 with batch normalisation (§6's proposal): (N, C, H, W) → scores (N, 2).

    Torchvision's convolutions, from scratch; its fully connected layers are for 224×224, so that
    here the last feature maps are averaged and two smaller ones follow. H and W: 32 or more.
    """

    def __init__(self, channels: int = 3, side: int = 64, dropout: float = 0.5) -> None:
        from torchvision.models import vgg16_bn  # only here: importing it costs seconds

        if side < 32:
            raise CourseError(f"side {side} must be 32 or more: VGG16 halves it five times")
        with torch.device("meta"):  # without room for 120 million weights that are not used
            features = vgg16_bn(init_weights=False).features
        features = features.to_empty(device="cpu")
        features[0] = nn.Conv2d(channels, 64, 3, padding=1)
        for layer in features:
            if isinstance(layer, nn.Conv2d):  # as torchvision starts it
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
        super().__init__(
            features,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # (N, 512)
            nn.Linear(512, 512),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(512, 2),
        )


NETWORKS: dict[str, Callable[[int, int, float], nn.Sequential]] = {
    "smallnet": SmallNet,
    "vgg16": VGG16,
}


def start_vgg16_from(path: str, model: nn.Sequential) -> None:
    """Give a VGG16 the convolutions in a file of torchvision's vgg16_bn; freeze all but the last.

    §5: "fine-tuning on the fully connected and last convolution layers". CourseError for a file
    that is not whole, not of this network, or not of finite numbers.
    """
    features = model[0]
    assert isinstance(features, nn.Sequential)
    wanted = features.state_dict()
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        known = {name: found[f"features.{name}"] for name in wanted}
        fits = all(known[name].shape == wanted[name].shape for name in wanted)
        fits = fits and all(bool(value.isfinite().all()) for value in known.values())
    except Exception as error:  # bytes that are no such file can raise nearly anything
        raise CourseError(f"{path} holds no weights of torchvision's vgg16_bn") from error
    if not fits:
        raise CourseError(f"{path} does not hold finite weights of torchvision's vgg16_bn")
    features.load_state_dict(known)
    last = max(index for index, part in enumerate(features) if isinstance(part, nn.Conv2d))
    for layer in features[:last]:
        layer.requires_grad_(False)


class AugNet(nn.Module):
    """The paper's augmentation network (§5, Figure III): two images of a class in, a new one out.

    All are normalised images (N, C, H, W); the output is linear. 8,275 parameters for C = 3.
    """

    def __init__(
        self, channels: int = 3, initialisation: str = "glorot", gain: float = 1.0
    ) -> None:
        super().__init__()
        sizes = (2 * channels, 16, 16, 16, 16, channels)
        layers: list[nn.Module] = []
        for size_in, size_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Conv2d(size_in, size_out, 3, padding="same"), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])
        if initialisation == "glorot":
            initialise_glorot(self, gain)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Both images side by side, as 2·C channels, through five convolutions."""
        return self.layers(torch.cat([first, second], dim=1))


class Generator(nn.Module):
    """Pictures (N, 3, H, W) in −1…1, in another style (§3.2); H and W: multiples of 4 from 16."""

    def __init__(
        self, width: int = 64, blocks: int = 9, upsampling: str = "transposed",
        residual: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        layers = [nn.ReflectionPad2d(3), *_block(nn.Conv2d(3, width, 7))]
        for size in (width, 2 * width):  # side: 1 → 1/2 → 1/4
            layers += _block(nn.Conv2d(size, 2 * size, 3, stride=2, padding=1))
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for size in (4 * width, 2 * width):  # side: 1/4 → 1/2 → 1
            layers += _upsampling(size, size // 2, upsampling)
        self.residual, last = residual, nn.Conv2d(width, 3, 7)
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), last, nn.Tanh())
        self.apply(_initialise)
        if residual:  # it adds to its input, at first nothing
            nn.init.zeros_(last.weight)
            self.register_buffer("strength", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        """An image's output depends on nothing else in its batch (see `_block`)."""
        made = self.model(images)
        return (images + self.strength * made).clamp(-1, 1) if self.residual else made


class ResidualBlock(nn.Module):
    """y = x + conv_block(x), without a ReLU after the sum: (N, C, H, W) → the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.ReflectionPad2d(1), *_block(nn.Conv2d(channels, channels, 3))]
        self.conv_block = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """The sum of the images and what the block makes of them."""
        return images + self.conv_block(images)


class Discriminator(nn.Module):
    """CycleGAN's critic, a PatchGAN: (N, 3, H, W) in −1…1 → (N, 1, h, w), near 1 if it looks real.

    A score sees a patch of 70×70 pixels with the published 3 `halvings`, one of 34×34 with 2.
    """

    def __init__(self, width: int = 64, halvings: int = 3) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for step in range(halvings):
            convolution = nn.Conv2d(width, 2 * width, 4, 2 if step < halvings - 1 else 1, padding=1)
            width = 2 * width
            layers += [convolution, nn.InstanceNorm2d(width), nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, stride=1, padding=1))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of pictures."""
        return self.model(images)


class CycleGAN(nn.Module):
    """CycleGAN's networks: `to_style` is G, x → y; `to_photo` is F, y → x; a critic for each."""

    def __init__(self, make: Callable[[], Generator], critic: Callable[[], Discriminator]) -> None:
        super().__init__()
        self.to_style, self.to_photo = make(), make()
        self.style_critic, self.photo_critic = critic(), critic()

    @property
    def generators(self) -> nn.ModuleList:
        """G and F."""
        return nn.ModuleList([self.to_style, self.to_photo])

    @property
    def critics(self) -> nn.ModuleList:
        """D_Y and D_X."""
        return nn.ModuleList([self.style_critic, self.photo_critic])


def initialise_glorot(model: nn.Module, gain: float = 1.0) -> None:
    """Weights as in the paper's TensorFlow: uniform, biases 0; batch normalisation's stay."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight, gain)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _block(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    """A convolution, instance normalisation without weights or running averages, and a ReLU."""
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]


def _initialise(layer: nn.Module) -> None:
    """Weights from N(0, 0.02²), biases 0."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


def _upsampling(size_in: int, size_out: int, kind: str) -> list[nn.Module]:
    """Twice the side: "transposed" as published, or "resize", without its grid (Odena 2016)."""
    if kind == "transposed":
        return _block(nn.ConvTranspose2d(size_in, size_out, 3, 2, padding=1, output_padding=1))
    block = _block(nn.Conv2d(size_in, size_out, 3))
    return [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), *block]
