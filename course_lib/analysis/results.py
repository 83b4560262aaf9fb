"""One JSON file a run, written whole or not at all; reading back; tables."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import isnan, nan
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

from course_lib.paper import PAPER
from course_lib.support.files import write_whole

SCORED = 500  # images of a part: scores and ids of larger ones are not kept
COUNTED = 2_000  # and of still larger ones, only the run's own reading: a file stays small
CORRECT = {"validation_best", "test_best", "test_last"}  # what every file holds, the pilot's too
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
        correct: which images are right, bool (N,): "validation_best", "validation_last",
            "test_best", "test_last"; the pilot's files lack the second, and the rest below.
        environment: versions, hardware and date, which decide nothing.
        scores: of the same images, before any sigmoid, half precision (N, 2).
        times_right: a reading of batch normalisation's averages and a part, as in
            "all validation" → in how many of the last epochs each image was right, (N,).
        images: "validation", "test" → the images' ids (see `images.tasks.image_ids`).
        nuisances: accuracy of the last model on test images, "plain" and moved far, if asked for.
    """

    settings: dict
    key: str
    curves: dict[str, list[float]]
    best_epoch: int
    correct: dict[str, np.ndarray]
    environment: dict
    seconds: float
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    times_right: dict[str, np.ndarray] = field(default_factory=dict)
    images: dict[str, list[str]] = field(default_factory=dict)
    nuisances: dict[str, float] = field(default_factory=dict)

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

    @property
    def unseen_accuracy(self) -> float:
        """Accuracy averaged over the last epochs, on all images that training never saw.

        Nothing is chosen by these images, neither epoch nor arm; nan for a run of the pilot.
        """
        return self.accuracy_under(self.settings["running_statistics"])

    def accuracy_under(self, reading: str) -> float:
        """`unseen_accuracy` under a reading of batch normalisation's averages; nan if not kept."""
        names = [f"{reading} {part}" for part in ("validation", "test")]
        if not set(names) <= self.times_right.keys():
            return nan
        counts = np.concatenate([self.times_right[name] for name in names])
        return float(counts.mean() / min(self.settings["last_epochs"], self.epochs))


def result_path(folder: Path, settings: dict, key: str) -> Path:
    """`<task>--<arm>--seed-<seed>--<key>.json`: names for people, the key for certainty."""
    return folder / f"{settings['task']}--{settings['arm']}--seed-{settings['seed']}--{key}.json"


def write_result(result: Result, folder: Path) -> Path:
    """Write a result under its own name; CourseError if the folder cannot be written."""
    record = asdict(result)
    for name, right in result.correct.items():
        record["correct"][name] = f"{len(right)}:{np.packbits(right).tobytes().hex()}"
    for name, counts in result.times_right.items():
        record["times_right"][name] = "".join(np.base_repr(count, 36) for count in counts)
    for name, scores in result.scores.items():
        halves = scores.astype("<f2").tobytes()
        record["scores"][name] = base64.b64encode(halves).decode("ascii")
    record["images"] = {part: " ".join(ids) for part, ids in result.images.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    path = result_path(folder, result.settings, result.key)
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def read_result(path: Path) -> Result | None:
    """The result in a file, or None if the file is absent, damaged or no result."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["correct"] = {name: _bits(text) for name, text in record["correct"].items()}
        for name, text in record.get("times_right", {}).items():
            record["times_right"][name] = np.array([int(digit, 36) for digit in text], np.uint8)
        for name, text in record.get("scores", {}).items():
            halves = np.frombuffer(base64.b64decode(text, validate=True), "<f2")
            record["scores"][name] = halves.reshape(len(record["correct"][name]), 2)
        for part, text in record.get("images", {}).items():
            record["images"][part] = text.split()
        result = Result(**record)
        whole = (
            path == result_path(path.parent, result.settings, result.key)
            and {len(curve) for curve in result.curves.values()} == {result.epochs}
            and result.correct.keys() >= CORRECT
            and all(map(len, result.correct.values()))
            and 0 <= result.best_epoch < result.epochs
            and _typed(result)
        )
    except Exception:  # what is no such file can raise nearly anything
        return None
    return result if whole else None


def _typed(result: Result) -> bool:
    """Whether the fields of a result that was read have their types."""
    settings, numbers = result.settings, (int, float)
    forms: tuple[tuple[object, Any], ...] = (
        (result.best_epoch, int),
        (result.seconds, numbers),
        (result.environment["date"], str),
        (settings["transforms"], dict),
        *((settings[name], str) for name in ("task", "arm", "source")),
        *((settings[name], int) for name in ("seed", "epochs")),
        (settings["images_per_class"], (int, type(None))),
        (settings["running_statistics"] if result.times_right else "", str),
        (settings["last_epochs"] if result.times_right else 1, int),
        *((value, numbers) for curve in result.curves.values() for value in curve),
    )
    right = all(isinstance(value, kind) and type(value) is not bool for value, kind in forms)
    return right and all(0 <= value <= 1 for value in result.curves["validation_accuracy"])


def _bits(text: str) -> np.ndarray:
    """Which images are right: "6:b4", their number and hexadecimal bits; the pilot's: "101101"."""
    count, colon, digits = text.partition(":")
    if colon:
        bits = np.frombuffer(bytes.fromhex(digits), np.uint8)
        if len(bits) != -(-int(count) // 8):
            raise ValueError(f"{text!r} holds {len(bits)} bytes")
        return np.unpackbits(bits, count=int(count)).astype(bool)
    return np.array([{"0": False, "1": True}[bit] for bit in text])


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


def shown(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """A results table for a page, as text: by these columns, then those that vary or measure.

    Three decimals, seconds without, and a dash where there is none.
    """
    told = ("source", "arm", "images per class", "seed", "epochs", "paper")
    same = [name for name in told if name not in by and table[name].nunique(dropna=False) < 2]
    text = table.drop(columns=same if len(table) > 1 else [])
    for name, form in _formats(text).items():
        text[name] = ["–" if isnan(value) else form(value) for value in text[name]]
    return text.set_index(list(by)).rename_axis([None] * len(by))


def show_table(table: pd.DataFrame) -> str:
    """A results table as text for the terminal: three decimals, a dash where there is none."""
    return table.to_string(index=False, formatters=_formats(table), na_rep="–")


def html_table(table: pd.DataFrame) -> str:
    """The same table for a page, with everything in it escaped."""
    return table.to_html(index=False, formatters=_formats(table), na_rep="–", border=0)


def _formats(table: pd.DataFrame) -> dict:
    numbers = table.select_dtypes("float").columns  # pandas asks for no format of nan
    return {name: ("{:.0f}" if name == "seconds" else "{:.3f}").format for name in numbers}
