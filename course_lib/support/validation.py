"""The one error that the course raises for bad input: a single line that names the value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command must not wait for torch before it can refuse a value
    from torch import Tensor


class CourseError(ValueError):
    """Bad input from a reader: one line that names the value and what is allowed.

    The command prints it without a traceback and ends with exit code 2. `advice` is further lines
    for it to print: what the reader can do, where that does not fit in one.
    """

    def __init__(self, message: str, advice: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.advice = tuple(advice)


def choose(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`, else raise a CourseError with the nearest names."""
    allowed = list(allowed)
    if isinstance(value, str) and value in allowed:
        return value
    near = get_close_matches(str(value), allowed, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    choice = f"choose one of {', '.join(allowed)}" if allowed else "there is none to choose"
    raise CourseError(f"{name} {value!r} is unknown{hint}: {choice}")


def whole_number(name: str, value: object, at_least: int) -> int:
    """Return `value` if it is an integer of `at_least` or more, else raise a CourseError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise CourseError(f"{name} {value!r} must be a whole number of {at_least} or more")
    return value


def number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` if it is a finite number from `low` to `high`, else raise a CourseError."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and low <= value <= high:
        return value
    limits = f" from {low:g} to {high:g}" if high < math.inf else f" of {low:g} or more"
    raise CourseError(f"{name} {value!r} must be a number{limits if low > -math.inf else ''}")


def tensor(name: str, value: object, form: str, kind: str) -> None:
    """Raise a CourseError unless `value` is a tensor of this form and kind with something in it.

    The form is its sides, as in "N 3 H W": a number is that size, "1|3" is either, and a letter is
    any size, the same wherever it stands. The kind is how its dtype begins: "uint8" or "float".
    """
    sides, shape = form.split(), tuple(getattr(value, "shape", ()))
    sizes: dict[str, int] = {}

    def fits(side: str, size: int) -> bool:
        if side.isalpha():
            return size > 0 and sizes.setdefault(side, size) == size
        return str(size) in side.split("|")

    dtype = getattr(value, "dtype", None)
    right_kind = str(dtype).startswith(f"torch.{kind}")
    if not (right_kind and len(shape) == len(sides) and all(map(fits, sides, shape))):
        found = type(value).__name__ if dtype is None else f"{shape} {dtype}"
        wanted = ", ".join(sides) + "," * (len(sides) == 1)
        raise CourseError(f"{name} {found} must be a tensor ({wanted}) of {kind}, not empty")


def check_labels(name: str, labels: Tensor, form: str = "N") -> None:
    """Raise a CourseError unless these are int64 labels of this form, each 0 or 1."""
    tensor(name, labels, form, "int64")
    if labels.device.type == "cpu":  # a GPU would have to wait for the answer
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high > 1:
            raise CourseError(f"{name} from {low} to {high} must be 0 or 1, the two classes")
