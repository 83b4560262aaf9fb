"""Tiny ImageNet from its servers: of 248 MB, only the classes that a task needs."""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from course_lib.images import tiny_imagenet
from course_lib.support.download import DownloadFailed, NoRanges, fetch_file, fetch_range
from course_lib.support.files import BUNDLED, alone, data_folder, make_folder, write_whole
from course_lib.support.progress import progress_bar
from course_lib.support.validation import CourseError

MIRRORS = (
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "https://image-net.org/data/tiny-imagenet-200.zip",
)
DIGESTS = BUNDLED / "tiny-imagenet-200.sha256"  # of the default classes' images, for sha256sum
MEMBER = re.compile(r"(train/(n\d{8})/images/\2_\d+|val/images/val_\d+)\.JPEG")
HOST = re.compile(r"\w[\w-]*(\.\w[\w-]*)*\.?|[\da-f]*:[\da-f:.]+")  # a name or IPv6 address
NEAR = 2**16  # bytes asked for at a time: the zip has a class's training images side by side
SIZE, MD5 = 248_100_043, "90528d7ca1a48142e341f4ef8d21d0de"  # of the official zip, in bytes
COUNTS = (500, 50)  # images per class, for training and validation
Classes = dict[str, dict[str, bytes]]  # wnid → official name → content, with its own annotations


def fetch_tiny_imagenet(
    wnids: Sequence[str], given: Path | None = None, mirrors: Sequence[str] = MIRRORS
) -> Path:
    """Bring some classes of Tiny ImageNet into the data folder's zip, unless it has them already.

    Each mirror in turn is asked for the classes' bytes or, if it hands out no parts, for the whole
    file, which a later call resumes; or `given`, an official zip or folder, is used. All images are
    checked, and classes that are damaged on disk fetched again. Calls at the same time wait for
    each other. A CourseError leaves the data folder as it was; its `advice` says what to do.
    """
    for wnid in wnids:
        if not re.fullmatch(r"n\d{8}", wnid):
            raise CourseError(f"class {wnid!r} must be a WordNet name such as n02099601")
    shown = [_shown(url) for url in mirrors]
    here = tiny_imagenet.find_tiny_imagenet()
    if here is not None and here.is_dir():
        with tiny_imagenet.open_official(here) as files:
            for wnid in wnids:
                if wnid not in files.wnids():
                    raise CourseError(f"{here} lacks {wnid}: add it, or move the folder away")
            _collect(files, wnids, check=True)
        return here
    target = data_folder() / f"{tiny_imagenet.NAME}.zip"
    if set(wnids) <= _usable(target, wnids, others=False).keys():
        return target
    make_folder(data_folder())
    with alone(target):
        kept = _usable(target, wnids, others=True)
        missing = [wnid for wnid in wnids if wnid not in kept]
        if not missing:  # another call has brought them
            return target
        if given is None:
            classes = _from_mirrors(dict(zip(shown, mirrors, strict=True)), missing, target)
        elif given.exists():
            with tiny_imagenet.open_official(given) as files:
                classes = _collect(files, missing, check=True)
        else:
            raise CourseError(f"{given} is not there: name the official zip or its folder")
        if classes is not None:
            write_whole(target, lambda path: _write_zip(path, kept | classes))
    return target


def _usable(zipped: Path, wnids: Sequence[str], others: bool) -> Classes:
    """What a zip, if it is one, holds undamaged of `wnids`, all checked, and perhaps of others."""
    classes: Classes = {}
    with suppress(CourseError), tiny_imagenet.open_official(zipped) as files:
        for wnid in {*wnids, *(files.wnids() if others else ())}:
            with suppress(CourseError):
                classes |= _collect(files, [wnid], check=wnid in wnids)
    return classes


def wrong_images(root: Path, wnids: Iterable[str]) -> list[str]:
    """Names of images, in a folder or zip, whose bytes are known to differ from the paper's."""
    with tiny_imagenet.open_official(root) as files:
        return _wrong(_collect(files, list(wnids)))


def _shown(url: str) -> str:
    """A mirror's address without password and query; CourseError if it is no address."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "") if parts.port != 0 else ""
    except ValueError:  # its port, or a bracket, is wrong
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not HOST.fullmatch(host):
        wanted = "must be an address as in https://host/tiny-imagenet-200.zip"
        raise CourseError(f"mirror {url.rpartition('@')[2]!r} {wanted}")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _from_mirrors(mirrors: Mapping[str, str], wnids: Sequence[str], target: Path) -> Classes | None:
    """The classes from the first mirror that delivers; None if the whole file is in its place."""
    reasons = []
    for shown, url in mirrors.items():
        try:
            try:
                remote = io.BufferedReader(_RemoteFile(url), NEAR)
                with tiny_imagenet.open_official(shown, remote) as files:
                    return _collect(files, wnids, check=True)
            except NoRanges:
                _whole(url, target)
                return None
            except CourseError as error:  # what it sends is damaged, or is something else
                raise DownloadFailed(str(error)) from error
        except DownloadFailed as error:
            reasons.append(f"{urlsplit(shown).netloc}: {error}")
    advice = (
        f"by hand: get {next(iter(mirrors))} ({SIZE:,} bytes, md5 {MD5})",
        f"and put it into {data_folder()}, or name it: python -m course_lib data --from FILE",
    )
    raise CourseError(f"Tiny ImageNet cannot be fetched ({'; '.join(reasons)})", advice)


def _whole(url: str, target: Path) -> None:
    """The whole official zip to its place, by way of a `.part` that a later call resumes."""
    part = target.with_name(f"{target.name}.part")
    fetch_file(url, part, SIZE)
    md5 = hashlib.md5(part.read_bytes()).hexdigest()
    if md5 != MD5:
        part.unlink()
        raise DownloadFailed(f"the file that came has md5 {md5}")
    part.replace(target)


class _RemoteFile(io.RawIOBase):
    """The official zip on a server, for reading from any place in it."""

    def __init__(self, url: str) -> None:
        self.url, self.position = url, 0

    def readable(self) -> bool:
        return True

    seekable = readable

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = max(0, offset + (0, self.position, SIZE)[whence])
        return self.position

    def readinto(self, buffer: Any) -> int:
        start, stop = self.position, min(self.position + len(buffer), SIZE)
        if start < stop:
            buffer[: stop - start] = fetch_range(self.url, start, stop, SIZE)
            self.position = stop
        return self.position - start


def _collect(files: tiny_imagenet.Files, wnids: Sequence[str], check: bool = False) -> Classes:
    members = tiny_imagenet.class_members(files, wnids)
    for name in sum(members.values(), []):
        if not MEMBER.fullmatch(name):
            raise CourseError(f"{files.root} has a file {name!r}, which the official set has not")
    lines = files.read(tiny_imagenet.ANNOTATIONS).decode("ascii", "replace").splitlines()
    classes: Classes = {}
    with progress_bar(sum(map(len, members.values())), "pictures") as bar:
        for label, wnid in enumerate(wnids):
            training, validation = members[f"train{label}"], members[f"val{label}"]
            if check and (len(training), len(validation)) != COUNTS:
                found = f"{len(training)} training and {len(validation)} validation images"
                wanted = "{} and {}".format(*COUNTS)
                raise CourseError(f"{files.root} has {found} of {wnid}, not {wanted}")
            own = [line for line in lines if line.split("\t")[1:2] == [wnid]]
            classes[wnid] = {
                tiny_imagenet.ANNOTATIONS: "".join(f"{line}\n" for line in own).encode()
            }
            for name in (*training, *validation):
                classes[wnid][name] = files.read(name)
                bar.update(1)
    if check:
        for name in _wrong(classes):
            raise CourseError(f"{files.root} has other bytes for {name} than the paper's data")
        images = (image for parts in classes.values() for image in parts.items())
        tiny_imagenet.decode(
            {f"{files.root}: {name}": image for name, image in images if MEMBER.fullmatch(name)}
        )
    return classes


def _wrong(classes: Classes) -> list[str]:
    lines = DIGESTS.read_text(encoding="ascii").splitlines()
    known = {name: digest for digest, name in map(str.split, lines)}
    images = [image for members in classes.values() for image in members.items()]
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in images}
    return [name for name, digest in digests.items() if known.get(name, digest) != digest]


def _write_zip(path: Path, classes: Classes) -> None:
    """Write classes as a zip in the official layout; the same classes give the same bytes."""
    lists = {"wnids.txt": "".join(f"{wnid}\n" for wnid in sorted(classes)).encode()}
    lists[tiny_imagenet.ANNOTATIONS] = b"".join(
        classes[wnid][tiny_imagenet.ANNOTATIONS] for wnid in sorted(classes)
    )
    images = {name: content for members in classes.values() for name, content in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted((images | lists).items()):
            archive.writestr(zipfile.ZipInfo(f"{tiny_imagenet.NAME}/{name}"), content)
