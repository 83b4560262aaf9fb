"""Which device torch works on, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from course_lib.errors import CourseError, choose

DEVICES = ("auto", "cpu", "cuda", "mps")


def find_device(device: str) -> torch.device:
    """The torch device for a name of DEVICES; CourseError if this machine has none of that kind."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if choose("device", device, DEVICES) == "auto":
        return torch.device(next((name for name, there in here.items() if there), "cpu"))
    if not here.get(device, True):
        there = [name for name, found in here.items() if found] + ["cpu"]
        raise CourseError(f"device {device!r} is not on this machine: choose {', '.join(there)}")
    return torch.device(device)


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """While it lasts, torch uses so many threads on the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
