import pytest

from course_lib.errors import CourseError
from course_lib.statistics import wilson_interval


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), Table I, method 3 (score, no correction).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_against_newcombe(right, count, low, high):
    assert wilson_interval(right, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 0), "count 0 must be"),
        ((-1, 10), "right -1 must be"),
        ((11, 10), "right 11 is more than the 10"),
        ((0.5, 10), "right 0.5 must be"),
        ((5, 10, 1.0), "confidence 1.0 must lie between"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(CourseError, match=message):
        wilson_interval(*arguments)
