"""The one error that the course raises for bad input: a single line that names the value."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CourseError(ValueError):
    """Bad input from a reader: one line that names the value and what is allowed.

    The command line prints it without a traceback and ends with exit code 2. advice: further lines
    for it to print, where there is something to do that does not fit in one.
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
    raise CourseError(f"{name} {value!r} is unknown{hint}: choose one of {', '.join(allowed)}")


def whole_number(name: str, value: object, at_least: int) -> int:
    """Return `value` if it is an integer of `at_least` or more, else raise a CourseError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise CourseError(f"{name} {value!r} must be a whole number of {at_least} or more")
    return value
