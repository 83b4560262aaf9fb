"""One JSON file a run, written whole or not at all; reading back; tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pandas as pd

from course_lib.paper import PAPER
from course_lib.support.files import write_whole

BITS = {"0": False, "1": True}  # as a file holds which images are right
T = TypeVar("T")


class _Setting(Generic[T]):
    """An attribute of a Result that is read from its settings."""

    def __set_name__(self, owner: type[Result], name: str) -> None:
        self.name = name

    def __get__(self, result: Result, owner: type[Result]) -> T:
        return result.settings[self.name]


@dataclass(frozen=True)
class Result:
    """One finished run.

    Attributes:
        settings: everything that decides the result; `images_per_class` is None for all images.
        key: a digest of the settings, which is part of the file's name.
        curves: name → one value per epoch.
        best_epoch: the first epoch with the highest validation accuracy, from 0.
        correct: which images are right, bool (N,): "validation_best", "test_best", "test_last".
        environment: versions, hardware and date, which decide nothing.
    """

    settings: dict
    key: str
    curves: dict[str, list[float]]
    best_epoch: int
    correct: dict[str, np.ndarray]
    environment: dict
    seconds: float

    task, arm, source = _Setting[str](), _Setting[str](), _Setting[str]()
    seed, epochs = _Setting[int](), _Setting[int]()
    images_per_class = _Setting[int | None]()

    @property
    def single_transform(self) -> str | None:
        """The one transformation of the traditional arm that was switched on, if it was one."""
        only = list(self.settings["transforms"])
        return only[0] if len(only) == 1 else None

    @property
    def title(self) -> str:
        """Task and source, for figures and tables: a picture must say what fed it."""
        return f"{self.task} ({self.source})"

    @property
    def best_accuracy(self) -> float:
        """Best validation accuracy over the epochs, the paper's number."""
        return self.curves["validation_accuracy"][self.best_epoch]

    @property
    def last_accuracy(self) -> float:
        """Validation accuracy after the last epoch."""
        return self.curves["validation_accuracy"][-1]

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the held-out test images of the model of the best epoch."""
        return float(self.correct["test_best"].mean())


def result_path(folder: Path, settings: dict, key: str) -> Path:
    """`<task>--<arm>--seed-<seed>--<key>.json`: names for people, the key for certainty."""
    return folder / f"{settings['task']}--{settings['arm']}--seed-{settings['seed']}--{key}.json"


def write_result(result: Result, folder: Path) -> Path:
    """Write a result under its own name; CourseError if the folder cannot be written."""
    record = asdict(result)
    for name, right in result.correct.items():
        record["correct"][name] = "".join(np.where(right, "1", "0"))
    text = json.dumps(record, indent=1, allow_nan=True) + "\n"
    path = result_path(folder, result.settings, result.key)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def read_result(path: Path) -> Result | None:
    """The result in a file, or None if the file is absent, damaged or no result."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        for name, text in record["correct"].items():
            record["correct"][name] = np.array([BITS[bit] for bit in text])
        result = Result(**record)
        whole = (
            path == result_path(path.parent, result.settings, result.key)
            and {len(curve) for curve in result.curves.values()} == {result.epochs}
            and set(result.correct) == {"validation_best", "test_best", "test_last"}
            and 0 <= result.best_epoch < result.epochs
            and bool(_row(result) and result.environment["date"])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return result if whole else None


def read_results(folder: Path) -> tuple[list[Result], list[Path]]:
    """All results of a folder in the order of their names, and the files that are none."""
    read = {path: read_result(path) for path in sorted(folder.glob("*.json"))}
    foreign = [path for path, result in read.items() if not result]
    return [result for result in read.values() if result], foreign


def results_table(results: Iterable[Result]) -> pd.DataFrame:
    """One row per run: settings that matter to a reader, the paper's accuracy, and ours."""
    return pd.DataFrame([_row(result) for result in results])


def _row(result: Result) -> dict:
    only = f": {result.single_transform}" if result.single_transform else ""
    return {
        "task": result.task,
        "source": result.source,
        "arm": result.arm + only,
        "images per class": result.images_per_class or "all",
        "seed": result.seed,
        "epochs": result.epochs,
        "paper": nan if only else PAPER.get((result.task, result.arm), nan),
        "best validation": result.best_accuracy,
        "last validation": result.last_accuracy,
        "test": result.test_accuracy,
        "seconds": result.seconds,
    }


def show_table(table: pd.DataFrame) -> str:
    """A results table as text for the terminal: three decimals, a dash where there is none."""
    return table.to_string(index=False, formatters=_formats(table), na_rep="–")


def html_table(table: pd.DataFrame) -> str:
    """The same table for a page, with everything in it escaped."""
    return table.to_html(index=False, formatters=_formats(table), na_rep="–", border=0)


def _formats(table: pd.DataFrame) -> dict:
    numbers = table.select_dtypes("float").columns  # pandas asks for no format of nan
    return {name: ("{:.0f}" if name == "seconds" else "{:.3f}").format for name in numbers}
