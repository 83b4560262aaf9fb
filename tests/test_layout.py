"""The house: thirteen entries on six floors, imports that run downwards only, arms in one place."""

import ast
import re

from course_lib.arms import ARMS
from course_lib.support.files import COURSE

LIBRARY = COURSE / "course_lib"
FLOORS = (
    ("support", "paper", "models", "losses"),
    ("images", "arms", "analysis"),
    ("training",),
    ("study", "show"),
    ("pages",),
    ("__main__",),
)
HEART = ("paper", "models", "losses", "arms", "training", "study")
ORDER = [entry for floor in FLOORS for entry in floor]  # on a floor: from left to right


def entry_of(path):
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported_entries(tree):
    """Entries of the library that a module imports, with the line of each import."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "course_lib":
                names = [f"course_lib.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("course_lib."):
                yield name.split(".")[1], node.lineno


def arrows_up(files):
    """Imports, as text, that lead to an entry above or to the right of the one they stand in."""
    found = []
    for name, source in files.items():
        entry = name.split("/")[0].removesuffix(".py")
        for target, line in imported_entries(ast.parse(source)):
            if target in ORDER and ORDER.index(target) > ORDER.index(entry):
                found.append(f"{name}:{line}: {entry} imports {target}, which is above it")
    return found


def sources():
    return {
        path.relative_to(LIBRARY).as_posix(): path.read_text(encoding="utf-8")
        for path in LIBRARY.rglob("*.py")
        if path.parent != LIBRARY or path.name != "__init__.py"
    }


def test_thirteen_entries():
    there = {entry_of(path) for path in LIBRARY.iterdir() if path.name != "__pycache__"}
    assert there == {*ORDER, "__init__"} and len(there) == 13


def test_imports_run_downwards():
    assert arrows_up(sources()) == []
    assert arrows_up({"losses.py": "import course_lib.training"}) == [
        "losses.py:1: losses imports training, which is above it"
    ]
    assert arrows_up({"arms/new.py": "from course_lib import study"})


def test_the_library_is_small():
    lines = {name: source.count("\n") for name, source in sources().items()}
    too_long = {name: count for name, count in lines.items() if count > 350}
    assert too_long.keys() <= {"images/standin.py"}
    heart = sum(
        count for name, count in lines.items() if name.split("/")[0].removesuffix(".py") in HEART
    )
    assert heart < 2500
    whole = sum(path.read_text(encoding="utf-8").count("\n") for path in LIBRARY.rglob("*.py"))
    assert whole < 7500


def test_no_other_file_lists_arms():
    """A module with the names of three arms or more in quotes lists them; data of paper and plan may."""
    names = "|".join(map(re.escape, ARMS))
    for name, source in sources().items():
        listed = set(re.findall(f'"({names})"', source))
        if name not in ("arms/__init__.py", "paper.py", "analysis/plan.py", "analysis/readings.py"):
            assert len(listed) < 3, (name, listed)
