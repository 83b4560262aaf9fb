"""What `course check` examines: the machine, the course's own files, the reader's data."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import run_kernel
from packaging.requirements import Requirement

from course_lib.analysis.comparison import reference_results
from course_lib.analysis.results import read_results
from course_lib.arms.cyclegan import check_checkpoint
from course_lib.arms.generators import STYLES, generator_path, load_generator, pinned
from course_lib.images.mirrors import wrong_images
from course_lib.images.mnist import load_zeros_and_eights
from course_lib.images.tasks import WNIDS
from course_lib.images.tiny_imagenet import NAME, find_tiny_imagenet, load_tiny_imagenet
from course_lib.support.devices import find_device
from course_lib.support.files import BUNDLED, data_folder, make_folder, runs_folder
from course_lib.support.validation import CourseError

NEEDED = 2**30  # bytes of free disk: many times what the quick course writes
INSTALL = "python -m pip install -e ."


class Finding(NamedTuple):
    """One line of the report; `advice` says what to type or do about it."""

    good: bool
    text: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{'good ' if self.good else 'WRONG'}  {self.text}"
        return f"{line}\n       → {self.advice}" if self.advice else line


def run_checks() -> Iterator[Finding]:
    """Yield the finding of every check in turn; an error within a check is its finding."""
    machine, files = (_packages, _processor, _kernel, _runs), (_bundled, _replication)
    for check in (*machine, *files, _tiny_imagenet, _mnist, _generators, _checkpoints):
        try:
            yield check()
        except CourseError as error:
            yield Finding(False, str(error), "; ".join(error.advice))
        except OSError as error:
            where = f"{error.filename} " if error.filename else ""
            yield Finding(False, f"{where}cannot be read: {error.strerror or error}")


def _packages() -> Finding:
    wrong = []
    for package in map(Requirement, importlib.metadata.requires("augmentation-course") or ()):
        if package.marker and not package.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(package.name)
        except importlib.metadata.PackageNotFoundError:
            version = "none"
        if version == "none" or not package.specifier.contains(version, prereleases=True):
            wrong.append(f"{package.name} {version} instead of {package.specifier}")
    python = f"Python {platform.python_version()}, torch {torch.__version__}"
    if wrong:
        return Finding(False, f"{python}; {', '.join(wrong)}", INSTALL)
    return Finding(True, f"{python} and the other packages")


def _processor() -> Finding:
    device, cores = find_device("auto"), os.cpu_count()
    return Finding(True, f"device {device}, {cores} cores, {torch.get_num_threads()} torch threads")


def _kernel() -> Finding:
    quiet: dict[str, Any] = {"extra_arguments": ["--log-level=ERROR"]}
    try:
        with run_kernel(kernel_name="python3", startup_timeout=60, **quiet) as client:
            kernel: Any = client  # its stubs do not know that `execute` can wait for the reply
            reply = kernel.execute("import course_lib", reply=True, timeout=60)["content"]
        if "evalue" in reply:
            raise RuntimeError(reply["evalue"])
    except (OSError, RuntimeError, TimeoutError, NoSuchKernel) as error:
        return Finding(False, f"no kernel for the notebooks: {error}", INSTALL)
    return Finding(True, "a notebook kernel starts and finds the course")


def _runs() -> Finding:
    folder = runs_folder()
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    space = f"{folder} can be written, {free / 2**30:.0f} GB are free"
    if free < NEEDED:
        return Finding(False, space, "the course needs 1 GB: make room, or set COURSE_RUNS")
    for preset in folder.glob("*/"):
        for path in read_results(preset)[1]:
            return Finding(False, f"{path} is not a result, or is damaged", "delete it, run again")
    return Finding(True, space)


def _bundled() -> Finding:
    lines = (BUNDLED / "bundled.sha256").read_text(encoding="ascii").splitlines()
    for digest, name in map(str.split, lines):
        path = BUNDLED / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            state = "damaged" if path.exists() else "missing"
            return Finding(False, f"{path} is {state}", f"git checkout -- data/{name}")
    return Finding(True, f"{len(lines)} bundled data files are intact")


def _replication() -> Finding:
    try:
        return Finding(True, f"{len(reference_results())} runs of the replication can be read")
    except CourseError as error:
        return Finding(False, str(error), "git checkout -- data/reference")


def _tiny_imagenet() -> Finding:
    root, wnids = find_tiny_imagenet(), list(WNIDS.values())
    if root is None:
        missing = f"no {NAME} in {data_folder()}: the course draws stand-ins"
        return Finding(True, missing, "to fetch it: make data")
    try:
        load_tiny_imagenet(root, wnids)
        for image in wrong_images(root, wnids):
            raise CourseError(f"{root}: {image} is not the published image")
    except CourseError as error:
        return Finding(False, str(error), f"move {root} away, then: python -m course_lib data")
    return Finding(True, f"{root}: the three classes are the paper's data, byte for byte")


def _mnist() -> Finding:
    training, test = (len(part.labels) for part in load_zeros_and_eights())
    return Finding(True, f"MNIST: {training} zeros and eights, and {test} to test on")


def _generators() -> Finding:
    published = [style for style in STYLES if generator_path(style, "published").exists()]
    for kind, styles in (("bundled", STYLES), ("published", published)):
        for style in styles:
            load_generator(style, kind)
    for name, digest in pinned().items():
        path = data_folder() / "cyclegan" / name
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return Finding(False, f"{path} is not the file that was fetched first", "delete it")
    return Finding(True, f"{len(STYLES)} bundled and {len(published)} published generators load")


def _checkpoints() -> Finding:
    paths = sorted((runs_folder() / "styles").glob("*.checkpoint"))
    for path in paths:
        check_checkpoint(path)
    return Finding(True, f"{len(paths)} checkpoints of your own styles can be resumed")
