"""What `course check` looks at: the machine, the course's own files, the reader's data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import start_new_kernel
from packaging.requirements import Requirement

from course_lib.analysis.comparison import reference_results
from course_lib.analysis.results import read_results
from course_lib.arms.generators import STYLES, generator_path, load_generator
from course_lib.images.mirrors import wrong_images
from course_lib.images.mnist import load_zeros_and_eights
from course_lib.images.tasks import WNIDS
from course_lib.images.tiny_imagenet import NAME, find_tiny_imagenet, load_tiny_imagenet
from course_lib.support.devices import find_device
from course_lib.support.files import BUNDLED, data_folder, make_folder, runs_folder
from course_lib.support.validation import CourseError

NEEDED = 2**30  # bytes of free disk: many times what the quick course writes


@dataclass(frozen=True)
class Finding:
    """One line of the report. advice: what to type or do, where it is not good."""

    good: bool
    text: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{'good ' if self.good else 'WRONG'}  {self.text}"
        return f"{line}\n       → {self.advice}" if self.advice else line


def run_checks() -> Iterator[Finding]:
    """Every check in turn; what goes wrong within one is its finding, never an error."""
    for look in (
        _packages, _processor, _kernel, _runs, _bundled, _replication, _tiny_imagenet, _mnist,
        _generators,
    ):  # fmt: skip
        try:
            yield look()
        except CourseError as error:
            yield Finding(False, str(error), "; ".join(error.advice))


def _packages() -> Finding:
    """Each package that pyproject.toml asks for, in a version that it allows."""
    wrong = []
    for line in importlib.metadata.requires("augmentation-course") or ():
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            version = "none"
        if version == "none" or not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{wanted.name} {version} instead of {wanted.specifier}")
    python = f"Python {platform.python_version()}, torch {torch.__version__}"
    if wrong:
        return Finding(False, f"{python}; {', '.join(wrong)}", "python -m pip install -e .")
    return Finding(True, f"{python} and the other packages")


def _processor() -> Finding:
    device, cores = find_device("auto"), os.cpu_count()
    return Finding(True, f"device {device}, {cores} cores, {torch.get_num_threads()} torch threads")


def _kernel() -> Finding:
    """A kernel as JupyterLab starts it, which must find the course."""
    try:
        manager, client = start_new_kernel(
            kernel_name="python3", startup_timeout=60, extra_arguments=["--log-level=ERROR"]
        )
        try:
            reply = client.execute_interactive(
                "import course_lib", timeout=60, output_hook=lambda message: None
            )
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        error = reply["content"].get("evalue")
    except (OSError, RuntimeError, TimeoutError, NoSuchKernel) as raised:
        error = str(raised)
    if error:
        return Finding(False, f"no kernel for the notebooks: {error}", "python -m pip install -e .")
    return Finding(True, "a notebook kernel starts and finds the course")


def _runs() -> Finding:
    """The runs folder can be written, has room, and holds nothing but whole results."""
    folder = runs_folder()
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    space = f"{folder} can be written, {free / 2**30:.0f} GB are free"
    if free < NEEDED:
        return Finding(False, space, "the course needs 1 GB: make room, or set COURSE_RUNS")
    foreign = [path for preset in folder.glob("*/") for path in read_results(preset)[1]]
    if foreign:
        return Finding(
            False, f"{foreign[0]} is no result, or is damaged", "delete it, run it again"
        )
    return Finding(True, space)


def _bundled() -> Finding:
    """The course's own data files have the bytes that they were published with."""
    lines = (BUNDLED / "bundled.sha256").read_text(encoding="ascii").splitlines()
    for digest, name in (line.split("  ") for line in lines):
        path = BUNDLED / name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            state = "damaged" if path.exists() else "missing"
            return Finding(False, f"{path} is {state}", f"git checkout -- data/{name}")
    return Finding(True, f"{len(lines)} bundled data files are as they should be")


def _replication() -> Finding:
    try:
        return Finding(True, f"{len(reference_results())} runs of the replication can be read")
    except CourseError as error:
        return Finding(False, str(error), "git checkout -- data/reference")


def _tiny_imagenet() -> Finding:
    root = find_tiny_imagenet()
    if root is None:
        return Finding(
            True, f"no {NAME} in {data_folder()}: stand-ins are drawn", "make data fetches it"
        )
    wnids = list(WNIDS.values())
    advice = f"move {root} away, then: python -m course_lib data"
    try:
        load_tiny_imagenet(root, wnids)
        wrong = wrong_images(root, wnids)
    except CourseError as error:
        return Finding(False, str(error), advice)
    if wrong:
        return Finding(False, f"{root}: {wrong[0]} is not the image that everybody has", advice)
    return Finding(True, f"{root}: the three classes are the paper's data, byte for byte")


def _mnist() -> Finding:
    counts = [len(part.labels) for part in load_zeros_and_eights()]
    return Finding(True, f"MNIST: {counts[0]} zeros and eights, and {counts[1]} to test on")


def _generators() -> Finding:
    """All generators on disk can be loaded: the bundled, and the published ones there are."""
    for style in STYLES:
        load_generator(style)
    published = [style for style in STYLES if generator_path(style, "published").exists()]
    for style in published:
        load_generator(style, "published")
    return Finding(True, f"{len(STYLES)} bundled and {len(published)} published generators load")
