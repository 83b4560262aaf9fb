"""The one error that the course raises for bad input: a single line that names the value."""

import functools
import inspect
import math
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from numbers import Integral, Number, Real
from typing import Any, ParamSpec, TypeVar

# Nothing here imports torch: the command must not wait for it before it can refuse a value.
P = ParamSpec("P")
R = TypeVar("R")


class CourseError(ValueError):
    """Bad input: one line that names the value and what is allowed, then lines of `advice`."""

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


def whole_number(name: str, value: Any, at_least: int, at_most: int | None = None) -> int:
    """Return `value` as an int if it is whole and within these bounds, else raise a CourseError."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < at_least or (at_most is not None and value > at_most):
        most = "" if at_most is None else f", {at_most} at most"
        raise CourseError(f"{name} {value!r} must be a whole number of {at_least} or more{most}")
    return int(value)


def as_python(record: Any) -> None:
    """Replace NumPy's numbers in a frozen dataclass by Python's, which JSON takes."""
    for name, value in vars(record).items():
        if isinstance(value, Number) and hasattr(value, "item"):
            object.__setattr__(record, name, value.item())


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` if it is a finite number from `low` to `high`, else raise a CourseError."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and low <= value <= high:
        return value
    limits = f" from {low:g} to {high:g}" if high < math.inf else f" of {low:g} or more"
    raise CourseError(f"{name} {value!r} must be a number{limits if low > -math.inf else ''}")


def tensor(name: str, value: object, form: str, kind: str) -> None:
    """Raise a CourseError unless `value` is a tensor of this form and kind, and not empty.

    The form is its sides, as in "N 1|3 S S" (a letter is one size); the kind begins its dtype.
    """
    sides, shape = form.split(), tuple(getattr(value, "shape", ()))
    pairs, dtype = dict(zip(sides, shape, strict=False)), getattr(value, "dtype", None)
    right_sizes = len(shape) == len(sides) and all(
        0 < size == pairs[side] if side.isalpha() else str(size) in side.split("|")
        for side, size in zip(sides, shape, strict=True)
    )
    if not (right_sizes and str(dtype).startswith(f"torch.{kind}")):
        found = type(value).__name__ if dtype is None else f"{shape} {dtype}"
        wanted = ", ".join(sides) + "," * (len(sides) == 1)
        raise CourseError(f"{name} {found} must be a tensor ({wanted}) of {kind}, not empty")


def checks(**forms: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check a function's arguments at its door, so that its body holds nothing but the lesson.

    A form is a tensor's form and kind, as in "N 3 H W uint8" (a letter is one size everywhere), or
    "N labels" ("N labels|shares": or those of "N 2 float"); a tuple of names; a type; the least
    whole number; or "share", between 0 and 1.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            sizes: dict[str, int] = {}
            for name, form in forms.items():
                _check(name, bound.arguments[name], form, sizes)
            return function(*args, **kwargs)

        return checked

    return decorate


def _check(name: str, value: Any, form: Any, sizes: dict[str, int]) -> None:
    if isinstance(form, tuple):
        choose(name, value, form)
    elif isinstance(form, int):
        whole_number(name, value, form)
    elif form == "share":
        if not 0 < number(name, value) < 1:
            raise CourseError(f"{name} {value!r} must lie between 0 and 1")
    elif isinstance(form, str):
        *sides, kind = form.split()
        known = " ".join(str(sizes.get(side, side)) for side in sides)
        if kind == "labels|shares" and getattr(value, "ndim", 1) == 2:
            tensor(name, value, f"{known} 2", "float")
            return
        if kind.startswith("labels"):
            check_labels(name, value, known)
        else:
            tensor(name, value, known, kind)
        sizes.update(zip(sides, value.shape, strict=True))
    elif not isinstance(value, form):
        raise CourseError(f"{name} {value!r} must be a {form.__name__}")


def check_labels(name: str, labels: Any, form: str = "N") -> None:
    """Raise a CourseError unless these are int64 labels (N,), each 0 or 1."""
    tensor(name, labels, form, "int64")
    if labels.device.type == "cpu":  # a GPU would have to wait for the answer
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high > 1:
            raise CourseError(f"{name} from {low} to {high} must be 0 or 1, the two classes")
