"""One quiet progress bar, in a terminal and in a notebook; nothing of it stays behind."""

import multiprocessing
import tempfile
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import clear_output, display
from tqdm import tqdm

MOVE_SECONDS = 0.3  # between two positions of a bar that moves by itself
PACE_SECONDS = 5.0  # an estimate is half the expected pace and half the observed one by then


@contextmanager
def progress_bar(
    total: float, label: str, in_bytes: bool = False, pace: float = 0.0
) -> Iterator[tqdm]:
    """A tqdm bar up to `total`; its end clears a notebook cell's output, so print afterwards.

    pace: expected progress per second, for an estimate from the start; 0 waits for some progress.
    """
    shown = _Display() if hasattr(get_ipython(), "kernel") else None
    amount = "{n_fmt}B of {total_fmt}B, " if in_bytes else ""
    layout = "{desc}: {percentage:3.0f}% |{bar:24}| " + amount
    layout += "{elapsed} gone, {remaining} left{postfix}"
    worker = multiprocessing.current_process().name != "MainProcess"
    try:
        with _Bar(total=total, desc=label, bar_format=layout, unit_scale=True, leave=False,
                  file=shown, disable=worker) as bar:  # fmt: skip
            bar.pace = pace
            yield bar
    finally:
        if shown is not None:
            clear_output()


@contextmanager
def moving(bar: tqdm, reached: Callable[[], float]) -> Iterator[None]:
    """Move a bar to what is reached, a few times per second, while a block waits for others."""
    end = threading.Event()

    def move() -> None:
        while True:
            bar.n = reached()
            bar.refresh()
            if end.wait(MOVE_SECONDS):
                return

    # In this context, a notebook knows which cell the bar belongs to.
    mover = threading.Thread(target=copy_context().run, args=(move,), daemon=True)
    mover.start()
    try:
        yield
    finally:
        end.set()
        mover.join()


class Steps:
    """How many steps each of several jobs has made, in whichever process of this machine it runs.

    A step is a byte more in the job's file. From another machine no step arrives.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, job: int) -> None:
        """Count one more step of a job."""
        with suppress(OSError), (self.folder / str(job)).open("ab") as file:
            file.write(b".")

    def count(self, job: int) -> int:
        """The steps of a job so far."""
        with suppress(OSError):
            return (self.folder / str(job)).stat().st_size
        return 0


@contextmanager
def counted_steps() -> Iterator[Steps]:
    """Steps of jobs, counted in a temporary folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Steps(Path(folder))


class _Bar(tqdm):
    """A bar whose estimate starts from an expected pace and trusts the observed one ever more."""

    pace = 0.0

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        state = super().format_dict
        if self.pace:
            expected = PACE_SECONDS * self.pace
            state["rate"] = (state["n"] + expected) / (state["elapsed"] + PACE_SECONDS)
        return state


class _Display:
    """What tqdm writes to in a notebook: its own lines would pile up, these replace each other."""

    encoding = "utf-8"  # tqdm asks, to know that it may draw blocks

    def __init__(self) -> None:
        self.handle = display({"text/plain": ""}, raw=True, display_id=True)

    def write(self, text: str) -> None:
        if line := text.strip("\r\n"):
            self.handle.update({"text/plain": line}, raw=True)


class Stopped(KeyboardInterrupt):
    """A reader's interruption, which a notebook shows as one line."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]


@contextmanager
def one_line_if_stopped(message: str) -> Iterator[None]:
    """Around, or as the decorator of, what a reader may interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(message) from None
