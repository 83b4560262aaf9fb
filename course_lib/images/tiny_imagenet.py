"""Tiny ImageNet, read from its official folder or straight from its official zip."""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from course_lib.images import Examples, labelled
from course_lib.images.decoding import Unfit, decode_pictures
from course_lib.support.files import cached_arrays, data_folder
from course_lib.support.validation import CourseError

NAME = "tiny-imagenet-200"
ANNOTATIONS = "val/val_annotations.txt"
SIDE = 64
LARGEST = 2**21  # bytes of a file, unpacked: many times what the official ones have
UNZIPPABLE = (  # what zipfile raises for damaged bytes; a server's errors are not among them
    zipfile.BadZipFile, OSError, EOFError, ValueError, LookupError, ArithmeticError, RuntimeError,
    struct.error, zlib.error,
)  # fmt: skip
FEWEST = 10  # training images per class: fewer cannot be split 80:20 with anything to measure


def find_tiny_imagenet() -> Path | None:
    """The data set's folder or zip under the data folder, or None. An unpacked folder wins."""
    found = (data_folder() / name for name in (NAME, f"{NAME}.zip"))
    return next(filter(Path.exists, found), None)


def load_tiny_imagenet(root: Path, wnids: Sequence[str]) -> tuple[Examples, Examples]:
    """Training and validation images (N, 3, 64, 64) from `root`; the first wnid has label 0."""
    with open_official(root) as files:
        members = {part: sorted(names) for part, names in class_members(files, wnids).items()}
        absent = [wnid for label, wnid in enumerate(wnids) if not members[f"train{label}"]]
        if absent:
            known = files.wnids()
            more = f" and {len(known) - 5} more" if len(known) > 5 else ""
            found = f"no images in {files.root}: it holds {', '.join(known[:5]) or 'none'}{more}"
            repair = f"`python -m course_lib data --classes {','.join(absent)}` brings them"
            raise CourseError(f"wnid {', '.join(map(repr, absent))} has {found}; {repair}")
        for label, wnid in enumerate(wnids):
            _check_count(files, wnid, len(members[f"train{label}"]), len(members[f"val{label}"]))
        stamps = [[files.stamp(name) for name in names] for names in members.values()]
        key = hashlib.sha256(repr((tuple(wnids), members, stamps)).encode()).hexdigest()[:16]
        arrays = cached_arrays(
            f"{NAME}-{key}",
            lambda: {part: _decode(files, names) for part, names in members.items()},
            {part: (len(names), 3, SIDE, SIDE) for part, names in members.items()},
        )
    images = [torch.from_numpy(arrays[part]) for part in members]
    return labelled(images[: len(wnids)]), labelled(images[len(wnids) :])


def class_members(files: "Files", wnids: Sequence[str]) -> dict[str, list[str]]:
    """The names of some classes' images: train0, train1, …, val0, val1, … → a list of names."""
    lines = files.read(ANNOTATIONS).decode("ascii", "replace").splitlines()
    fields = [[*line.split("\t"), ""] for line in lines]  # file name, wnid, a bounding box
    wnid_of = {f"val/images/{name}": wnid for name, wnid, *_ in fields if wnid in wnids}
    present = files.names("val/images")
    if absent := sorted(wnid_of.keys() - set(present)):
        raise CourseError(f"{files.root} lacks {absent[0]}, which its annotations name")
    training, validation = {}, {}
    for label, wnid in enumerate(wnids):
        names = files.names(f"train/{wnid}/images")
        training[f"train{label}"] = [name for name in names if name.endswith(".JPEG")]
        validation[f"val{label}"] = [name for name in present if wnid_of.get(name) == wnid]
    return training | validation


@contextmanager
def open_official(root: Path | str, file: BinaryIO | None = None) -> Iterator["Files"]:
    """The data set at `root`, or in a zip open as `file`; CourseError if it is neither."""
    if file is None and Path(root).is_dir():
        yield _Folder(Path(root))
        return
    try:
        archive = zipfile.ZipFile(file or root)
    except UNZIPPABLE as error:
        raise CourseError(f"{root} is no complete zip file ({error}): get it again") from error
    with archive:
        yield _Zip(root, archive)


class _Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str) -> list[str]:
        return [f"{folder}/{path.name}" for path in (self.root / folder).glob("*")]

    def wnids(self) -> list[str]:
        found = {path.name.lower() for path in (self.root / "train").glob("[nN]*")}
        return sorted(name for name in found if (self.root / "train" / name).exists())

    def stamp(self, name: str) -> tuple[int, int]:
        path = self.root / name
        try:
            status = path.stat()
        except OSError as error:
            raise CourseError(f"{path} cannot be read: {error.strerror}") from error
        if not path.is_file() or status.st_size > LARGEST:
            raise CourseError(f"{path} is no file, or has more than {LARGEST:,} bytes")
        return status.st_size, status.st_mtime_ns

    def read(self, name: str) -> bytes:
        self.stamp(name)
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise CourseError(f"{self.root / name} cannot be read: {error.strerror}") from error


class _Zip:
    def __init__(self, root: Path | str, archive: zipfile.ZipFile) -> None:
        self.root, self.archive = root, archive
        files = (name for name in archive.namelist() if name.startswith(f"{NAME}/"))
        self.all_names = [name.removeprefix(f"{NAME}/") for name in files if name[-1] != "/"]

    def names(self, folder: str) -> list[str]:
        return [name for name in self.all_names if name.startswith(f"{folder}/")]

    def wnids(self) -> list[str]:
        return sorted({name.split("/")[1] for name in self.names("train")})

    def stamp(self, name: str) -> tuple[int, int]:
        info = self.archive.getinfo(f"{NAME}/{name}")
        return info.file_size, info.CRC

    def read(self, name: str) -> bytes:
        try:
            size, _ = self.stamp(name)
            if size > LARGEST:
                raise zipfile.BadZipFile(f"it unpacks to {size:,} bytes")
            return self.archive.read(f"{NAME}/{name}")
        except UNZIPPABLE as error:
            raise CourseError(f"{self.root} holds {name} damaged or not at all: {error}") from error


Files = _Folder | _Zip


def _check_count(files: Files, wnid: str, training: int, validation: int) -> None:
    if training < FEWEST or not validation:
        found = f"{training} training and {validation} validation images in {files.root}"
        raise CourseError(f"wnid {wnid!r} has {found}: a task needs {FEWEST} and 1 or more")


def _decode(files: Files, names: Sequence[str]) -> np.ndarray:
    return np.stack(decode({f"{files.root}: {name}": files.read(name) for name in names}))


def decode(content: Mapping[str, bytes]) -> list[np.ndarray]:
    """Official images (name, for errors → JPEG) as pixels, (3, 64, 64), else a CourseError."""
    damaged = "is no readable image ({}): get it again"
    return decode_pictures(content, _checked, damaged, formats=("JPEG",))


def _checked(image: Image.Image) -> Image.Image:
    if image.size != (SIDE, SIDE):
        raise Unfit(f"is {image.size[0]}×{image.size[1]}, not {SIDE}×{SIDE}")
    return image
