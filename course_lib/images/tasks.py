"""The course's two-class tasks (§4): images, labels, split and normalisation."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.images import Examples, labelled, standin
from course_lib.images.mnist import load_zeros_and_eights
from course_lib.images.own_pictures import class_folders, load_folder
from course_lib.images.standin import draw_scenes
from course_lib.images.tiny_imagenet import NAME, find_tiny_imagenet, load_tiny_imagenet
from course_lib.support.files import cached_arrays, data_folder, named_path
from course_lib.support.randomness import stream
from course_lib.support.validation import CourseError, check_labels, choose, tensor, whole_number

WNIDS = {"dogs": "n02099601", "cats": "n02123394", "goldfish": "n01443537"}
# Tiny ImageNet's classes of each kind, all of them.
BREEDS = {
    "dogs": ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799"),
    "cats": ("n02123045", "n02123394", "n02124075"),
    "goldfish": ("n01443537",),
}
POOLED = {
    "all-dogs-vs-all-cats": ("dogs", "cats"),
    "all-dogs-vs-goldfish": ("dogs", "goldfish"),
}  # one class of all breeds: "500 images from dogs" (§4) may mean it
POOLED_COUNT = 500  # images per class to train and validate on
FOLDS = 5  # "divided by a 80:20 split between training and validation" (§4)
SCENES = {"dogs": "dog", "cats": "cat", "goldfish": "goldfish"}
TASKS = ("dogs-vs-goldfish", "dogs-vs-cats", "mnist-0-vs-8")
FOLDER = "folder:"  # begins the name of a task of your own, before its folder's path
SOURCES = {
    "tiny-imagenet": "the paper's images (Tiny ImageNet)",
    "mnist": "real MNIST digits",
    "stand-in": "drawn stand-ins (the paper's images are not on this disk)",
    "folder": "pictures of your own",
}
# Scenes per class to train and validate on, and held out: they are drawn, so that many can be.
STAND_IN_COUNTS = (500, 1000)


@dataclass(frozen=True)
class Task:
    """A two-class problem, ready to train on; CourseError for a part of the wrong type or empty."""

    name: str  # as `load_task` takes it, without the path of a folder
    source: str  # one of SOURCES
    classes: tuple[str, str]  # the names of class 0 and class 1
    train: Examples
    validation: Examples
    test: Examples
    mean: Tensor  # (C,), in units of the 0–255 range, of the training images alone
    std: Tensor
    copies: Tensor | None = None  # augmented training images in the same order: (N, C, H, W)

    def __post_init__(self) -> None:
        for name, (images, labels) in zip(("train", "validation", "test"), self.parts, strict=True):
            tensor(f"{name} images", images, "N 1|3 S S", "uint8")
            check_labels(f"{name} labels", labels, str(len(images)))
            if (side := images.shape[2]) % 4:
                raise CourseError(f"{name} images' side {side} must be a multiple of 4")

    def __str__(self) -> str:
        train, validation, test = (len(part.labels) for part in self.parts)
        sizes = f"{train} training, {validation} validation, {test} test images"
        return f"{self.name}: {sizes}, {SOURCES[self.source]}"

    @property
    def title(self) -> str:
        """Name and source, for figures and tables, which must say where their images come from."""
        return f"{self.name} ({self.source})"

    @property
    def parts(self) -> tuple[Examples, Examples, Examples]:
        """Training, validation and test images."""
        return self.train, self.validation, self.test

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all images and labels: runs with the same digest saw the same data."""
        state = hashlib.sha256()
        for part in self.parts:
            state.update(part.images.numpy().tobytes() + part.labels.numpy().tobytes())
        return state.hexdigest()

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images (N, C, H, W) → float32, zero mean and unit variance per channel (§4)."""
        tensor("images", images, f"N {len(self.mean)} H W", "uint8")
        mean, std = (value.to(images.device).view(-1, 1, 1) for value in (self.mean, self.std))
        return (images.float() - mean) / std

    def denormalise(self, images: Tensor) -> Tensor:
        """The way back: normalised float images (N, C, H, W) → uint8, cut off at 0 and 255."""
        tensor("images", images, f"N {len(self.mean)} H W", "float")
        mean, std = (value.to(images.device).view(-1, 1, 1) for value in (self.mean, self.std))
        return (images * std + mean).round().clamp(0, 255).to(torch.uint8)

    def lacking(self) -> "Task":
        """A task whose training images are those of the rarer class, as often as it lacks any."""
        images, labels = self.train
        counts = torch.bincount(labels, minlength=2)
        rare = int(counts.argmin())
        lack = int(counts.max() - counts.min())
        if not lack:
            raise CourseError(f"balance: both classes have {counts[0]} images: none is lacking")
        places = (labels == rare).nonzero().squeeze(1)
        again = places.repeat(-(-lack // len(places)))[:lack]
        return replace(self, train=Examples(images[again], labels[again]))

    def with_copies(self, copies: Tensor) -> "Task":
        """The same task with one augmented copy of each training image: N → 2N (§3.1)."""
        tensor("copies", copies, " ".join(map(str, self.train.images.shape)), "uint8")
        return replace(self, copies=copies)


def load_task(
    name: str,
    source: str = "auto",
    seed: int = 0,
    images_per_class: int | None = None,
    side: int | None = None,
    imbalance: int = 1,
) -> Task:
    """Load a task, split into training, validation and test images (§4). Nothing is downloaded.

    The test set is whole and the same for all seeds (for Tiny ImageNet, its validation images; for
    a task of POOLED, also the training images that its 500 per class leave over).

    Args:
        name: One of TASKS or POOLED, two Tiny ImageNet classes (`n02099601-vs-n02123394`) or
            `folder:PATH`.
        source: One of SOURCES, or "auto": the paper's images if on disk, else the stand-in.
        seed: Decides the split, which is 80:20 and stratified; all arms of a seed share it. Seeds
            0–4, 5–9, … each validate five disjoint fifths of the images, in one random order.
        images_per_class: How many images to use, 5 or more; None is all (500; MNIST 1,000).
        side: Pictures are averaged down to it, from 64; None, or more than they have: as they are.
        imbalance: Class 1 keeps one in so many of its training images; the rest are not used.
    """
    whole_number("seed", seed, at_least=0)
    if isinstance(name, str) and name.startswith(FOLDER):
        name, classes, pool, test, source = _own_pictures(name.removeprefix(FOLDER), source)
    else:
        classes = _classes(name)
        pool, test, source = _load_parts(name, classes, source, images_per_class)
    pool, test = (_averaged(part, side) for part in (pool, test))
    kept = [_shuffled(pool, label, seed // FOLDS) for label in (0, 1)]
    if images_per_class is not None:
        count = whole_number("images_per_class", images_per_class, at_least=5)
        if count > (most := min(map(len, kept))):
            raise CourseError(f"images_per_class {count} is more than the {most} of {name}")
        kept = [images[:count] for images in kept]
    split = [_fold(images, seed % FOLDS) for images in kept]
    rare = split[1][0][:: whole_number("imbalance", imbalance, at_least=1)]
    if imbalance > 1 and len(rare) < 2:
        found = f"leaves {len(rare)} of {len(split[1][0])} training images of class 1"
        raise CourseError(f"imbalance {imbalance} {found}: it must leave 2 or more")
    split[1] = rare, split[1][1]
    train, validation = (labelled(parts) for parts in zip(*split, strict=True))
    mean, std = _channel_statistics(train.images)
    return Task(name, source, classes, train, validation, test, mean, std)


def _classes(name: str) -> tuple[str, str]:
    if isinstance(name, str) and (pair := re.fullmatch(r"(n\d{8})-vs-(n\d{8})", name)):
        if pair[1] == pair[2]:
            raise CourseError(f"task {name!r} names one class twice: choose two different wnids")
        return pair[1], pair[2]
    if name not in TASKS:
        choose("task", name, [*TASKS, *POOLED, "WNID-vs-WNID", f"{FOLDER}PATH"])
    first, second = name.removeprefix("mnist-").split("-vs-")
    return first, second


def _load_parts(
    name: str, classes: tuple[str, str], source: str, count: int | None
) -> tuple[Examples, Examples, str]:
    if name == "mnist-0-vs-8":
        choose(f"source of {name}", source, ("auto", "mnist"))
        return *load_zeros_and_eights(), "mnist"
    drawn = all(kind in SCENES for kind in classes) and name not in POOLED
    allowed = ("auto", "tiny-imagenet", "stand-in") if drawn else ("auto", "tiny-imagenet")
    choose(f"source of {name}", source, allowed)
    root = find_tiny_imagenet()
    if source == "auto" and root is None and drawn:
        # Whoever names a folder means its images; tests may set the second variable.
        if os.environ.get("COURSE_DATA") and not os.environ.get("COURSE_STAND_INS"):
            wrong = f"COURSE_DATA {str(data_folder())!r} holds no {NAME}, neither folder nor zip"
            repair = (
                "`python -m course_lib data` fetches it, source=stand-in draws pictures instead"
            )
            raise CourseError(f"{wrong}: {repair}")
        source = "stand-in"
    if source == "stand-in":
        return *_stand_in([SCENES[kind] for kind in classes], count), "stand-in"
    if root is None:
        repair = f"put {NAME}.zip or its folder under data/, or name their folder in COURSE_DATA"
        repair += "; `python -m course_lib data` fetches it (--classes: other classes)"
        raise CourseError(f"source 'tiny-imagenet' is not on disk: {repair}")
    if name in POOLED:
        return *_pooled(root, *POOLED[name]), "tiny-imagenet"
    wnids = [WNIDS.get(kind, kind) for kind in classes]
    return *load_tiny_imagenet(root, wnids), "tiny-imagenet"


def _pooled(root: Path, *kinds: str) -> tuple[Examples, Examples]:
    """500 images of all breeds of each kind, always the same ones, and all others to test on."""
    pool, test = [], []
    for kind in kinds:
        images, held_out = load_tiny_imagenet(root, BREEDS[kind])
        order = torch.randperm(len(images.labels), generator=stream(0, f"pool of {kind}"))
        chosen, left = order.split([POOLED_COUNT, len(order) - POOLED_COUNT])
        pool.append(images.images[chosen])
        test.append(torch.cat([images.images[left.sort().values], held_out.images]))
    return labelled(pool), labelled(test)


def _own_pictures(path: str, source: str) -> tuple[str, tuple[str, str], Examples, Examples, str]:
    """Name (fit for a file's), classes, images and source of a folder's task."""
    root = named_path("task folder", path)
    choose(f"source of {FOLDER}{path}", source, ("auto", "folder"))
    first, second = (folder.name for folder in class_folders(root))
    short = [re.sub(r"[^\w-]+", "-", kind)[:30] for kind in (first, second)]
    return f"folder-{short[0]}-vs-{short[1]}", (first, second), *load_folder(root), "folder"


def _averaged(part: Examples, side: int | None) -> Examples:
    """Images of a smaller side, each pixel the mean of those that it stands for."""
    now = part.images.shape[-1]
    if side is None or whole_number("side", side, at_least=4) >= now:
        return part
    if now % side:
        raise CourseError(f"side {side} must divide {now}, the side of the images")
    small = functional.avg_pool2d(part.images.float(), now // side)
    return part._replace(images=small.round().to(torch.uint8))


@lru_cache(maxsize=3)
def _scenes(kind: str, count: int) -> Tensor:
    # One fixed set of scenes, as the paper's data is one fixed set: only the split has a seed.
    drawing = hashlib.sha256(Path(standin.__file__).read_bytes()).hexdigest()
    name = f"stand-in-{kind}-{count}-{drawing[:16]}"
    shapes = {"scenes": (count, 3, 64, 64)}
    arrays = cached_arrays(name, lambda: {"scenes": draw_scenes(kind, count, seed=0)}, shapes)
    return torch.from_numpy(arrays["scenes"])


def _stand_in(kinds: Sequence[str], count: int | None) -> tuple[Examples, Examples]:
    """The pool and the scenes held out; of a class as many more are drawn as `count` asks for."""
    pool, held_out = STAND_IN_COUNTS
    more = max(0, whole_number("images_per_class", count or pool, at_least=5) - pool)
    if more > pool:
        most = f"choose {2 * pool} at most, or pictures of your own"
        raise CourseError(f"images_per_class {count} is more than there are stand-ins: {most}")
    scenes = [_scenes(kind, pool + held_out + (pool if more else 0)) for kind in kinds]
    pools = [torch.cat([part[:pool], part[pool + held_out :][:more]]) for part in scenes]
    return labelled(pools), labelled([part[pool : pool + held_out] for part in scenes])


def image_ids(images: Tensor) -> list[str]:
    """The first 8 digits of each image's SHA-256: uint8 (N, C, H, W) → N texts."""
    return [hashlib.sha256(image.numpy().tobytes()).hexdigest()[:8] for image in images]


def _shuffled(pool: Examples, label: int, block: int) -> Tensor:
    """Images of one class, in the random order that this block of five seeds has."""
    images = pool.images[pool.labels == label]
    return images[torch.randperm(len(images), generator=stream(block, f"split {label}"))]


def _fold(images: Tensor, fold: int) -> tuple[Tensor, Tensor]:
    """Training and validation images: fold 0 validates the last fifth, fold 4 the first."""
    bounds = [round(share * len(images) / FOLDS) for share in range(FOLDS + 1)]
    low, high = bounds[FOLDS - 1 - fold], bounds[FOLDS - fold]
    return torch.cat([images[:low], images[high:]]), images[low:high]


def _channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, from sums of integers: exact everywhere."""
    pixels = images.long()
    count = pixels.numel() / pixels.shape[1]
    mean = pixels.sum(dim=(0, 2, 3)).double() / count
    variance = pixels.square().sum(dim=(0, 2, 3)).double() / count - mean.square()
    # Dividing by the spread of a constant channel would be dividing by zero.
    return mean.float(), variance.sqrt().clamp(min=1.0).float()
