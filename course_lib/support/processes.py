"""Many runs side by side: processes of this machine, or the workers of a Dask cluster."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import joblib

from course_lib.support.devices import MOST_THREADS, find_device
from course_lib.support.validation import CourseError, whole_number

CONNECT_SECONDS = 10  # to a Dask scheduler


def worker_count(workers: int | str, device: str) -> int:
    """Processes for `workers`, where "auto" is one a core, or one on a GPU; CourseError if bad."""
    if workers == "auto":
        return joblib.cpu_count() if find_device(device).type == "cpu" else 1
    if isinstance(workers, str):
        raise CourseError(f"workers {workers!r} must be auto or a whole number of 1 or more")
    return whole_number("workers", workers, at_least=1, at_most=MOST_THREADS)


@contextmanager
def parallel(count: int, scheduler: str | None) -> Iterator[joblib.Parallel]:
    """Run jobs in `count` processes, or on the cluster of a Dask scheduler, as in tcp://host:8786."""
    if scheduler is None:
        with warnings.catch_warnings():
            # Workers keep freed memory, which is faster; joblib takes it for a leak and says so.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
            ends = {"initializer": _end_with_parent, "initargs": (os.getpid(),)}
            yield joblib.Parallel(n_jobs=count, return_as="generator_unordered", **ends)
        return
    try:
        from distributed import Client
    except ImportError:
        repair = "pip install 'distributed', or '.[cluster]' here"
        raise CourseError(f"scheduler {scheduler!r} needs Dask: {repair}") from None
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        wanted = "it must be as in tcp://host:8786"
        raise CourseError(f"scheduler {scheduler!r} does not answer: {wanted}") from error
    with client, joblib.parallel_config(backend="dask", client=client):
        yield joblib.Parallel(return_as="generator_unordered")


def _end_with_parent(parent: int) -> None:
    """Let a worker process end when the process that started it is gone, killed or not.

    Ctrl-C reaches both; the worker leaves it to the other, which ends it without a traceback.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=watch, daemon=True).start()
