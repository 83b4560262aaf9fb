"""Ratios of traditional augmentation, measured in turns (A B A B …) in one run.

    pip install -e '.[bench]'    # Kornia: without it, that line is left out
    python tests/benchmarks/traditional.py [--rounds 5]

800 images of 64×64×3 with all transformations: `traditional` against a loop over the images with
the equivalent torchvision v2 transforms, and against Kornia with parameters for each image.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torchvision.transforms import v2

from course_lib.arms.traditional import PICTURES, traditional
from course_lib.images.tasks import load_task


def torchvision_loop(images: torch.Tensor) -> torch.Tensor:
    bilinear = v2.InterpolationMode.BILINEAR
    transform = v2.Compose([
        v2.RandomHorizontalFlip(PICTURES.flip),
        v2.RandomAffine(
            PICTURES.rotate, (PICTURES.shift,) * 2, (1 / (1 + PICTURES.zoom), 1 + PICTURES.zoom),
            (-PICTURES.shear, PICTURES.shear) * 2, interpolation=bilinear,
        ),
        v2.ElasticTransform(alpha=20.0, sigma=5.0, interpolation=bilinear),
        v2.ColorJitter(hue=PICTURES.hue),
    ])  # fmt: skip
    return torch.stack([transform(image) for image in images])


def kornia_batch() -> Callable[[torch.Tensor], torch.Tensor] | None:
    try:
        import kornia.augmentation as K
    except ImportError:
        return None
    transform = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=PICTURES.flip),
        K.RandomAffine(
            PICTURES.rotate, (PICTURES.shift,) * 2, (1 / (1 + PICTURES.zoom), 1 + PICTURES.zoom),
            (-PICTURES.shear, PICTURES.shear) * 2, p=1.0,
        ),
        K.RandomElasticTransform(kernel_size=(31, 31), sigma=(5.0, 5.0), alpha=(0.3, 0.3), p=1.0),
        K.ColorJitter(hue=PICTURES.hue, p=1.0),
        same_on_batch=False,
    )  # fmt: skip
    return lambda images: (transform(images.float() / 255) * 255).round().to(torch.uint8)


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    images = load_task("dogs-vs-goldfish").train.images
    generator = torch.Generator().manual_seed(0)
    rivals = {"torchvision v2, image by image": torchvision_loop, "Kornia": kornia_batch()}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, rival in rivals.items():
            if rival is None:
                print(f"{name}: not installed")
                continue
            rival(images[:100])
            traditional(images, PICTURES, generator)
            pairs = [
                (
                    seconds(lambda rival=rival: rival(images)),
                    seconds(lambda: traditional(images, PICTURES, generator)),
                )
                for _ in range(rounds)
            ]
            ratios = [theirs / ours for theirs, ours in pairs]
            print(
                f"{len(images)} images, {threads} thread(s): {name} "
                f"{statistics.median(theirs for theirs, _ in pairs):.2f} s, ours "
                f"{statistics.median(ours for _, ours in pairs):.3f} s, ratio "
                f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"
            )


if __name__ == "__main__":
    main()
