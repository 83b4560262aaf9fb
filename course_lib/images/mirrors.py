"""Tiny ImageNet from its servers: of 248 MB, only the classes that a task needs."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from course_lib.images.tiny_imagenet import (
    NAME,
    OfficialFolder,
    OfficialZip,
    find_tiny_imagenet,
    open_official,
    training_members,
    validation_members,
)
from course_lib.support.download import DownloadFailed, NoRanges, fetch_file, fetch_range
from course_lib.support.files import BUNDLED, data_folder, make_folder, write_whole
from course_lib.support.progress import progress_bar
from course_lib.support.validation import CourseError

MIRRORS = (
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "https://image-net.org/data/tiny-imagenet-200.zip",
)
DIGESTS = BUNDLED / f"{NAME}.sha256"  # of the default classes' images, as sha256sum writes them
ANNOTATIONS = "val/val_annotations.txt"
MEMBER = re.compile(r"(train/(n\d{8})/images/\2_\d+|val/images/val_\d+)\.JPEG")
NEAR = 2**16  # bytes: what lies between two parts is fetched with them if it is no more


@dataclass(frozen=True)
class Official:
    """What the official zip is known by: its size in bytes, its md5, its images a class."""

    size: int
    md5: str
    training: int
    validation: int


# wnid → name in the official layout → content; the annotations are the class's own lines.
Classes = dict[str, dict[str, bytes]]
OFFICIAL = Official(248_100_043, "90528d7ca1a48142e341f4ef8d21d0de", 500, 50)


def fetch_tiny_imagenet(
    wnids: Sequence[str],
    given: Path | None = None,
    mirrors: Sequence[str] = MIRRORS,
    official: Official = OFFICIAL,
) -> Path:
    """Bring some classes of Tiny ImageNet into the data folder; returns the zip or folder.

    What is there already is left alone if it holds the classes. given: a zip or folder in the
    official layout to take them from, instead of a server. Else each mirror in turn is asked for
    the zip's list of files and then for the classes' bytes alone; if it does not hand out parts,
    for the whole file, which goes on where an earlier call was cut off.

    Every image is checked: its CRC-32 in the zip, the number of images a class, and its SHA-256
    where `data/tiny-imagenet-200.sha256` has it; a whole file by its md5. The data folder then has
    the complete set, or what it had before (and a `.part`, if a whole file can be gone on with).

    Raises CourseError; if no mirror delivers, with the steps to do by hand as its `advice`.
    """
    for wnid in wnids:
        if not re.fullmatch(r"n\d{8}", wnid):
            raise CourseError(f"class {wnid!r} must be a WordNet name such as n02099601")
    here, kept = find_tiny_imagenet(), {}
    if here is not None:
        with closing(open_official(here)) as files:
            there = sorted(files.wnids())
            missing = [wnid for wnid in wnids if wnid not in there]
            if not missing:
                _check(_collect(files, wnids), here, official)
                return here
            if here.is_dir():
                raise CourseError(f"{here} lacks {missing[0]}: add it, or move the folder away")
            wnids, kept = missing, _collect(files, there)
    make_folder(data_folder())
    target = data_folder() / f"{NAME}.zip"
    if given is None:
        classes = _from_mirrors(mirrors, wnids, target, official)
        if classes is None:
            return target
    else:
        if not given.exists():
            raise CourseError(f"{given} is not there: name the official zip or its folder")
        with closing(open_official(given)) as files:
            classes = _collect(files, wnids)
        _check(classes, given, official)
    write_whole(target, lambda path: _write_zip(path, kept | classes))
    return target


def wrong_images(root: Path, wnids: Iterable[str]) -> list[str]:
    """Names of images, of those classes, that are not the same bytes as everybody's.

    root: a folder or zip. Images without a known digest count as right. CourseError if one is
    damaged.
    """
    with closing(open_official(root)) as files:
        return _wrong(_collect(files, list(wnids)))


def _from_mirrors(
    mirrors: Sequence[str], wnids: Sequence[str], target: Path, official: Official
) -> Classes | None:
    """The classes from the first mirror that delivers; None if the whole file is in its place."""
    reasons = []
    for url in mirrors:
        try:
            try:
                return _by_ranges(url, wnids, official)
            except NoRanges:
                return _whole(url, target, official)
        except DownloadFailed as error:
            reasons.append(f"{urlsplit(url).netloc}: {error}")
    raise CourseError(
        f"Tiny ImageNet cannot be fetched ({'; '.join(reasons)})",
        advice=(
            f"by hand: get {mirrors[0]} ({official.size:,} bytes, md5 {official.md5})",
            f"and put it into {data_folder()}, or name it: python -m course_lib data --from FILE",
        ),
    )


def _by_ranges(url: str, wnids: Sequence[str], official: Official) -> Classes:
    remote = _RemoteFile(url, official.size)
    try:
        with closing(OfficialZip(url, remote)) as files:
            classes = _collect(files, wnids, lambda names: remote.fetch_members(files, names))
        _check(classes, url, official)
    except CourseError as error:  # what it sends is damaged, or is something else
        raise DownloadFailed(str(error)) from error
    return classes


def _whole(url: str, target: Path, official: Official) -> None:
    """The whole official zip to its place, by way of a `.part` that a later call goes on with."""
    part = target.with_name(f"{target.name}.part")
    fetch_file(url, part, official.size)
    state = hashlib.md5()
    with part.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            state.update(block)
    if state.hexdigest() != official.md5:
        part.unlink()
        raise DownloadFailed(f"the file that came has md5 {state.hexdigest()}")
    part.replace(target)


class _RemoteFile(io.RawIOBase):
    """A file on a server, for reading; parts that are read often or together are fetched once."""

    def __init__(self, url: str, size: int) -> None:
        self.url, self.size = url, size
        self.position = 0
        self.parts: list[tuple[int, bytes]] = []

    def fetch_members(self, files: OfficialZip, names: Iterable[str]) -> None:
        """Fetch zip members; those near each other, as a class is, in one range."""
        starts = sorted(info.header_offset for info in files.file.infolist())
        # A member goes to where the next one begins, the last one to the list of files.
        ends = dict(zip(starts, [*starts[1:], files.file.start_dir], strict=True))
        wanted = sorted(files.info(name).header_offset for name in names)
        spans: list[list[int]] = []
        for start in wanted:
            if spans and start - spans[-1][1] <= NEAR:
                spans[-1][1] = ends[start]
            else:
                spans.append([start, ends[start]])
        total = sum(stop - start for start, stop in spans)
        with progress_bar(total, "pictures", in_bytes=True) as bar:
            self.parts += [(start, self._range(start, stop, bar.update)) for start, stop in spans]

    def _range(self, start: int, stop: int, on_bytes: Callable[[int], object]) -> bytes:
        return fetch_range(self.url, start, stop, self.size, on_bytes)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        if origin + offset < 0:
            raise OSError(f"position {origin + offset} is before the beginning")
        self.position = origin + offset
        return self.position

    def read(self, count: int = -1) -> bytes:
        start = self.position
        stop = self.size if count < 0 else min(start + count, self.size)
        if stop <= start:
            return b""
        for first, data in self.parts:
            if first <= start and stop <= first + len(data):
                break
        else:
            # Zip readers ask for a few bytes at a time, first of all at the end.
            first = max(0, min(start, self.size - NEAR))
            last = min(max(stop, first + NEAR), self.size)
            with progress_bar(last - first, "list of files", in_bytes=True) as bar:
                data = self._range(first, last, bar.update)
            self.parts.append((first, data))
        self.position = stop
        return data[start - first : stop - first]


def _collect(
    files: OfficialFolder | OfficialZip,
    wnids: Sequence[str],
    prepare: Callable[[list[str]], object] = lambda names: None,
) -> Classes:
    """Read some classes; `prepare` is told all names first. CourseError for what is damaged."""
    training, validation = training_members(files, wnids), validation_members(files, wnids)
    names = [[*one, *other] for one, other in zip(training, validation, strict=True)]
    strange = [name for of_class in names for name in of_class if not MEMBER.fullmatch(name)]
    if strange:
        raise CourseError(f"{files.root} has a file {strange[0]!r}, which the official set has not")
    prepare([name for of_class in names for name in of_class])
    lines = files.read(ANNOTATIONS).decode("ascii", "replace").splitlines()
    classes: Classes = {}
    for wnid, of_class in zip(wnids, names, strict=True):
        own = [line for line in lines if line.split("\t")[1:2] == [wnid]]
        classes[wnid] = {name: files.read(name) for name in of_class}
        classes[wnid][ANNOTATIONS] = "".join(f"{line}\n" for line in own).encode()
    return classes


def _check(classes: Classes, root: Path | str, official: Official) -> None:
    """CourseError unless every class has all its images, and the known ones their digests."""
    for wnid, members in classes.items():
        training = sum(name.startswith("train/") for name in members)
        validation = len(members) - training - 1
        if (training, validation) != (official.training, official.validation):
            raise CourseError(
                f"{root} has {training} training and {validation} validation images of {wnid}, not "
                f"{official.training} and {official.validation}"
            )
    for name in _wrong(classes):
        raise CourseError(f"{root} has other bytes for {name} than the paper's data")


def _wrong(classes: Classes) -> list[str]:
    """Names of images whose SHA-256 is known, and another."""
    lines = DIGESTS.read_text(encoding="ascii").splitlines()
    known = {name: digest for digest, name in (line.split("  ") for line in lines)}
    return [
        name
        for members in classes.values()
        for name, content in members.items()
        if name in known and hashlib.sha256(content).hexdigest() != known[name]
    ]


def _write_zip(path: Path, classes: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write classes as a zip in the official layout; the same classes give the same bytes."""
    files = {"wnids.txt": "".join(f"{wnid}\n" for wnid in sorted(classes)).encode()}
    files[ANNOTATIONS] = b"".join(classes[wnid][ANNOTATIONS] for wnid in sorted(classes))
    for wnid in sorted(classes):
        files |= {name: data for name, data in classes[wnid].items() if name != ANNOTATIONS}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"{NAME}/{name}"), content)
