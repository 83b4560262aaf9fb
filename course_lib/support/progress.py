"""One quiet progress bar, in a terminal and in a notebook; nothing of it stays behind."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from IPython.core.getipython import get_ipython
from IPython.display import clear_output, display
from tqdm import tqdm


@contextmanager
def progress_bar(total: float, label: str, in_bytes: bool = False) -> Iterator[tqdm]:
    """A tqdm bar up to `total`; its end clears a notebook cell's output, so print afterwards."""
    shown = _Display() if hasattr(get_ipython(), "kernel") else None
    amount = "{n_fmt}B of {total_fmt}B, " if in_bytes else ""
    layout = "{desc}: {percentage:3.0f}% |{bar:24}| " + amount
    layout += "{elapsed} gone, {remaining} left{postfix}"
    worker = multiprocessing.current_process().name != "MainProcess"
    with tqdm(total=total, desc=label, bar_format=layout, unit_scale=True, leave=False,
              file=shown, disable=worker) as bar:  # fmt: skip
        yield bar
    if shown is not None:
        clear_output()


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
