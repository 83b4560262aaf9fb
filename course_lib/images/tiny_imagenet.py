"""Tiny ImageNet, read from its official folder or straight from its official zip."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import joblib
import numpy as np
import torch
from PIL import Image

from course_lib.images import Examples
from course_lib.support.files import data_folder, read_arrays, runs_folder, write_whole
from course_lib.support.validation import CourseError

NAME = "tiny-imagenet-200"
SIDE = 64
LARGEST = 2**21  # bytes of a file, unpacked: many times what the official ones have
# What damaged bytes make zipfile raise; a `file` may raise errors of its own, which pass.
UNZIPPABLE = (
    zipfile.BadZipFile, OSError, EOFError, ValueError, LookupError, ArithmeticError, RuntimeError,
    struct.error, zlib.error,
)  # fmt: skip
FEWEST = 10  # training images a class: fewer cannot be split 80:20 with anything to measure


def find_tiny_imagenet() -> Path | None:
    """The data set's folder or zip under the data folder, or None. An unpacked folder wins."""
    for path in (data_folder() / NAME, data_folder() / f"{NAME}.zip"):
        if path.exists():
            return path
    return None


def open_official(root: Path) -> OfficialFolder | OfficialZip:
    """The data set at `root`, a folder or a zip. CourseError if it is neither."""
    return OfficialFolder(root) if root.is_dir() else OfficialZip(root)


def load_tiny_imagenet(root: Path, wnids: Sequence[str]) -> tuple[Examples, Examples]:
    """Official training images and official validation images of some classes.

    root: the official folder or the official zip, which is read without unpacking. wnids: WordNet
    names such as n02099601; a wnid's place in the list is its label. Images: (N, 3, 64, 64);
    greyscale JPEGs become RGB. The paper has no test set: ours is the official validation part.

    Decoded images are kept in one file under `runs/cache/`, named after a digest of the names,
    sizes and stamps (zip: checksums; folder: times of change) of all files they were made from.

    Raises CourseError, naming the file, for a wnid that is absent or has fewer than 10 images, a
    file that is no zip or is cut off, and an image that cannot be decoded or is not 64×64.
    """
    with closing(open_official(root)) as files:
        return _load(files, wnids)


def _load(files: OfficialFolder | OfficialZip, wnids: Sequence[str]) -> tuple[Examples, Examples]:
    members = {"train": training_members(files, wnids), "val": validation_members(files, wnids)}
    for label, wnid in enumerate(wnids):
        _check_count(files, wnid, len(members["train"][label]), len(members["val"][label]))
    stamps = [
        [files.stamp(name) for of_class in classes for name in of_class]
        for classes in members.values()
    ]
    key = hashlib.sha256(repr((tuple(wnids), members, stamps)).encode()).hexdigest()[:16]
    cache = runs_folder() / "cache" / f"{NAME}-{key}.npz"
    arrays = read_arrays(cache)
    if arrays is None:
        arrays = {
            f"{part}{label}": _decode(files, of_class)
            for part, classes in members.items()
            for label, of_class in enumerate(classes)
        }
        write_whole(cache, lambda path: np.savez(path, **arrays))

    def examples(part: str) -> Examples:
        images = [torch.from_numpy(arrays[f"{part}{label}"]) for label in range(len(wnids))]
        labels = [torch.full((len(of_class),), label) for label, of_class in enumerate(images)]
        return Examples(torch.cat(images), torch.cat(labels))

    return examples("train"), examples("val")


class OfficialFolder:
    """The data set as an unpacked folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str) -> list[str]:
        return [f"{folder}/{path.name}" for path in (self.root / folder).glob("*")]

    def wnids(self) -> set[str]:
        return {path.name for path in (self.root / "train").glob("n*")}

    def stamp(self, name: str) -> tuple[int, int]:
        status = (self.root / name).stat()
        return status.st_size, status.st_mtime_ns

    def close(self) -> None:
        pass

    def read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise CourseError(f"{self.root / name} cannot be read: {error.strerror}") from error


class OfficialZip:
    """The data set as the official zip file, never unpacked.

    root: what it is called in errors, and where it is, unless it is open as `file`.
    """

    def __init__(self, root: Path | str, file: BinaryIO | None = None) -> None:
        self.root = root
        try:
            self.file = zipfile.ZipFile(file or root)
        except UNZIPPABLE as error:
            raise CourseError(f"{root} is no complete zip file ({error}): get it again") from error
        self.all_names = [
            name.removeprefix(f"{NAME}/") for name in self.file.namelist() if not name.endswith("/")
        ]

    def names(self, folder: str) -> list[str]:
        return [name for name in self.all_names if name.startswith(f"{folder}/")]

    def wnids(self) -> set[str]:
        return {name.split("/")[1] for name in self.names("train")}

    def info(self, name: str) -> zipfile.ZipInfo:
        return self.file.getinfo(f"{NAME}/{name}")

    def stamp(self, name: str) -> tuple[int, int]:
        return self.info(name).file_size, self.info(name).CRC

    def close(self) -> None:
        self.file.close()

    def read(self, name: str) -> bytes:
        try:
            if self.info(name).file_size > LARGEST:
                raise zipfile.BadZipFile(f"it unpacks to {self.info(name).file_size:,} bytes")
            return self.file.read(f"{NAME}/{name}")
        except UNZIPPABLE as error:
            raise CourseError(f"{self.root} holds {name} damaged or not at all: {error}") from error


def training_members(files: OfficialFolder | OfficialZip, wnids: Sequence[str]) -> list[list[str]]:
    """Names of the training images, a list for each class."""
    return [
        sorted(name for name in files.names(f"train/{wnid}/images") if name.endswith(".JPEG"))
        for wnid in wnids
    ]


def validation_members(
    files: OfficialFolder | OfficialZip, wnids: Sequence[str]
) -> list[list[str]]:
    """Names of the official validation images, a list for each class."""
    of_wnid: dict[str, list[str]] = {wnid: [] for wnid in wnids}
    present = set(files.names("val/images"))
    # Lines: file name, wnid and four numbers of a bounding box, parted by tabs.
    for line in files.read("val/val_annotations.txt").decode("ascii", "replace").splitlines():
        name, wnid = (line.split("\t") + [""])[:2]
        if wnid in of_wnid:
            path = f"val/images/{name}"
            if path not in present:
                raise CourseError(f"{files.root} lacks {path}, which its annotations name")
            of_wnid[wnid].append(path)
    return [sorted(of_wnid[wnid]) for wnid in wnids]


def _check_count(
    files: OfficialFolder | OfficialZip, wnid: str, training: int, validation: int
) -> None:
    if not training:
        known = sorted(files.wnids())
        shown = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
        raise CourseError(
            f"wnid {wnid!r} has no images in {files.root}: it holds {shown or 'none'}"
        )
    if training < FEWEST or not validation:
        raise CourseError(
            f"wnid {wnid!r} has {training} training and {validation} validation images in "
            f"{files.root}: a task needs {FEWEST} and 1 or more"
        )


def _decode(files: OfficialFolder | OfficialZip, members: list[str]) -> np.ndarray:
    """All images of one class in one part, (N, 3, 64, 64) uint8, decoded in parallel threads."""
    encoded = [files.read(name) for name in members]
    pixels = joblib.Parallel(n_jobs=-1, prefer="threads")(
        joblib.delayed(_decode_one)(f"{files.root}: {name}", data)
        for name, data in zip(members, encoded, strict=True)
    )
    return np.stack(pixels)


def _decode_one(name: str, data: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.size != (SIDE, SIDE):
                raise CourseError(f"{name} is {image.size[0]}×{image.size[1]}, not {SIDE}×{SIDE}")
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CourseError(f"{name} is no readable image ({error}): get it again") from error
