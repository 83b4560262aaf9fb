"""The course's own source in a notebook, with its address."""

import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path

from IPython.display import Markdown

from course_lib.support.files import COURSE
from course_lib.support.validation import CourseError


def show_source(*things: Callable[..., object]) -> Markdown:
    """Show classes, functions or methods of the course, below links relative to `notebooks/`."""
    texts = []
    for thing in things:
        try:
            function = inspect.unwrap(thing)  # what is decorated, not the decorator's wrapper
            path = Path(inspect.getfile(function)).resolve()
            file = f"course_lib/{path.relative_to(COURSE / 'course_lib').as_posix()}"
            code = textwrap.dedent(inspect.getsource(function))
        except (TypeError, ValueError, OSError) as error:
            message = f"{thing!r} must be a class, function or method of the course"
            raise CourseError(message) from error
        link = f"[`{file} · {function.__qualname__}`](../{file})"
        texts.append(f"{link}\n\n```python\n{code}```")
    return Markdown("\n\n".join(texts))
