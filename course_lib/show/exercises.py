"""What a page says of an exercise that is still open, in place of a traceback."""

import re
import traceback
from types import TracebackType
from typing import Any

from IPython.core.getipython import get_ipython

STUB = "raise NotImplementedError()"


def explain_open_exercises() -> None:
    """Let the running notebook answer a stub by saying what to do; elsewhere, do nothing."""
    if shell := get_ipython():
        shell.set_custom_exc((NotImplementedError,), _explain)


def _explain(
    shell: Any, kind: type, error: Any, trace: TracebackType, tb_offset: int | None = None
) -> None:
    place = traceback.extract_tb(trace)[-1]
    if place.line == STUB:
        check = re.search(r"✓ (Exercise \d+)", shell.user_ns["In"][-1])
        text = (
            f"{check[1] if check else place.name} is yours. Write {place.name}: put your code in "
            f"the place of “{STUB}”, run that cell, and then run this one again."
        )
        error._render_traceback_ = lambda: [text]  # IPython shows this instead of the frames
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
