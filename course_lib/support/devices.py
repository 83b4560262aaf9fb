"""Which device torch works on, with how many threads and what memory."""

import ctypes
import datetime
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from course_lib import __version__
from course_lib.support.validation import CourseError, choose, whole_number

MOST_THREADS = 4096  # and processes: more is a slip of the keyboard
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16")


@cache
def keep_freed_memory() -> None:
    """Let glibc, in the whole process, keep what each step frees and the next allocates again."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        # The largest gradient takes 2²⁵ bytes and a header; older glibc refuses more than 2²⁵.
        libc.mallopt(m_mmap_threshold, 2**28) or libc.mallopt(m_mmap_threshold, 2**25)
        libc.mallopt(m_trim_threshold, 2**28)


def find_device(device: str, numbers: str = "float32") -> torch.device:
    """The torch device for a name of DEVICES, to train on in numbers of PRECISIONS.

    CourseError if this machine has no device of that kind, or would only emulate the numbers.
    """
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there = [name for name, found in here.items() if found] + ["cpu"]
    if choose("device", device, DEVICES) not in ("auto", *there):
        raise CourseError(f"device {device!r} is not on this machine: choose {', '.join(there)}")
    kind = there[0] if device == "auto" else device
    choose("precision", numbers, PRECISIONS)
    if numbers == "bfloat16" and precision(kind) != torch.bfloat16:
        raise CourseError(f"precision {numbers!r} is only emulated by this {kind}: choose float32")
    return torch.device(kind)


def precision(device: str) -> torch.dtype:
    """bfloat16 where the device multiplies it faster than float32, else float32."""
    kind = find_device(device).type
    fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":  # others emulate it, several times slower
        if hasattr(torch.cpu, "get_capabilities"):
            found = torch.cpu.get_capabilities()
            fast = bool(found.get("avx512_bf16") or found.get("amx_bf16"))
        else:  # an older torch
            asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
            fast = any(getattr(torch.cpu, name, lambda: False)() for name in asked)
    return torch.bfloat16 if fast else torch.float32


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Let torch use this many CPU threads inside the `with`; CourseError for fewer than one."""
    whole_number("threads", threads, at_least=1, at_most=MOST_THREADS)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def this_machine() -> dict[str, object]:
    """What a result says of where and when it was made: versions, processor, date."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "course": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": gpu or torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
