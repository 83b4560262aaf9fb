"""Statistics that tell a difference from luck."""

from __future__ import annotations

from scipy.stats import binomtest

from course_lib.errors import CourseError, whole_number


def wilson_interval(right: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for an accuracy: `right` of `count` images classified rightly.

    With p = right/count and z the normal quantile of the confidence (1.96 for 95 %):
        ( p + z²/2n ± z·√( p(1−p)/n + z²/4n² ) ) / ( 1 + z²/n )
    Returns the bounds, in 0–1. Raises CourseError for counts or a confidence out of range.
    """
    whole_number("count", count, at_least=1)
    if whole_number("right", right, at_least=0) > count:
        raise CourseError(f"right {right!r} is more than the {count} images there are")
    if not 0 < confidence < 1:
        raise CourseError(f"confidence {confidence!r} must lie between 0 and 1")
    interval = binomtest(right, count).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
