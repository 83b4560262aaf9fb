"""What a style does to pictures, measured: used by the tests and by the card of the generators.

Images are uint8 (N, 3, H, W); copies are the stylised images in the same order.
"""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from course_lib.arms.generators import STYLES

# Pictures of each folder of domains that the generators have seen: the first ones by name. The
# others are for judging. Of each class of other animals: the first 160 of 200.
SEEN = {
    "cezanne": 170, "enhance": 300, "monet": 300, "ukiyoe": 300, "vangogh": 289, "winter": 160,
    "photo": 300, "enhance_source": 300, "summer": 198,
}  # fmt: skip
ANIMALS_SEEN = 160
FOLDERS = {style: style.replace("-", "") for style in STYLES}
KINDS = (*STYLES, "photographs")


def detail(copies: Tensor, images: Tensor) -> float:
    """Mean absolute Laplacian of the copies over that of the images: 1 keeps all fine detail."""
    return (_laplacian(copies) / _laplacian(images)).item()


def _laplacian(images: Tensor) -> Tensor:
    x = images.float()
    around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (around - 4 * x[..., 1:-1, 1:-1]).abs().mean()


def change(copies: Tensor, images: Tensor) -> float:
    """Mean absolute difference, as a share of the range."""
    return ((copies.float() - images.float()).abs().mean() / 255).item()


def grid(copies: Tensor, images: Tensor) -> float:
    """Spectral peaks at the periods of the upsampling, 2 and 4 pixels, of copies over images."""
    return _peaks(copies) / _peaks(images)


def _peaks(images: Tensor) -> float:
    """Mean power at a period of 2 or 4 pixels along an axis, over that of its neighbours."""
    grey = images.float().mean(1)
    window = torch.hann_window(grey.shape[-1])
    power = torch.fft.fft2(grey * window * window[:, None]).abs().square().mean(0)
    side = len(power)
    peaks = []
    for line in (power, power.T):
        for place in (side // 4, side // 2):
            near = [line[place + step] for step in (-5, -4, -3, 3, 4, 5)]
            # Along the line of that frequency, apart from the lowest of the other axis.
            peaks.append((line[place, 3:-3] / torch.stack(near)[:, 3:-3].mean(0)).mean())
    return torch.stack(peaks).mean().item()


def grey(images: Tensor) -> Tensor:
    """The images without colour, a yardstick: three equal channels."""
    return images.float().mean(1, keepdim=True).round().to(torch.uint8).expand(-1, 3, -1, -1)


def judged_pictures(root) -> tuple[Tensor, Tensor]:
    """Pictures that no generator saw, 64×64, with the kinds (N,) that they are of.

    root: a folder with styles/ and photographs/. Pictures of the domains are compressed as Tiny
    ImageNet's are, so that no judge can tell kinds apart by that.
    """
    pictures, kinds = [], []
    for folder, seen in SEEN.items():
        kind = next((style for style, name in FOLDERS.items() if name == folder), "photographs")
        for path in sorted((root / "styles" / folder).glob("*.jpg"))[seen:]:
            pictures.append(_small(path))
            kinds.append(KINDS.index(kind))
    for folder in sorted((root / "photographs").glob("n*")):
        for path in sorted(folder.iterdir())[ANIMALS_SEEN:][:10]:
            pictures.append(_small(path))
            kinds.append(KINDS.index("photographs"))
    return torch.stack(pictures), torch.tensor(kinds)


def _small(path) -> Tensor:
    with Image.open(path) as file:
        picture = file.convert("RGB").resize((64, 64), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=75)
    with Image.open(buffer) as file:
        return (
            torch.frombuffer(bytearray(file.convert("RGB").tobytes()), dtype=torch.uint8)
            .view(64, 64, 3)
            .permute(2, 0, 1)
        )


class Judge(nn.Sequential):
    """Tells the six styles' domains and photographs apart by what is all over a picture."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for size_in, size_out in ((3, 32), (32, 64), (64, 96)):
            layers += [
                nn.Conv2d(size_in, size_out, 3, padding=1), nn.BatchNorm2d(size_out), nn.ReLU(),
                nn.MaxPool2d(2),
            ]  # fmt: skip
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3),
                         nn.Linear(96, len(KINDS)))  # fmt: skip

    def shares(self, images: Tensor) -> dict[str, float]:
        """Which share of some images it takes for each kind."""
        self.eval()
        with torch.inference_mode():
            parts = (self(_scaled(part)).argmax(1) for part in images.split(200))
            counts = torch.bincount(torch.cat(list(parts)), minlength=len(KINDS))
        return dict(zip(KINDS, (counts / len(images)).tolist(), strict=True))


def train_judge(images: Tensor, kinds: Tensor, epochs: int = 40, seed: int = 0) -> Judge:
    """Train a judge on random crops, mirrored or not; every kind counts the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        judge = Judge()
        optimiser = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.02)
        weights = 1 / torch.bincount(kinds, minlength=len(KINDS)).float()
        steps = epochs * (len(images) // 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        judge.train()
        for _ in range(steps):
            batch = torch.multinomial(weights[kinds], 64, replacement=True)
            top, left = torch.randint(0, 13, (2,)).tolist()
            part = _scaled(images[batch])[..., top : top + 52, left : left + 52]
            part = part.flip(3) if torch.rand(()) < 0.5 else part
            loss = functional.cross_entropy(judge(part), kinds[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return judge


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1
