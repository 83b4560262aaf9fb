"""Runs of the paper's experiments and of our own: read if they are done, else trained and kept."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import torch
from filelock import FileLock
from torch import Tensor, nn

from course_lib.analysis.plan import PLAN, STUDY
from course_lib.analysis.readings import DIGIT_RUNS, READ, nearest, picture_runs, reading_of
from course_lib.analysis.results import (
    COUNTED,
    SCORED,
    Result,
    read_result,
    result_path,
    write_result,
)
from course_lib.arms import ARMS
from course_lib.arms.traditional import nuisances
from course_lib.images.tasks import SOURCES, TASKS, Task, image_ids, load_task
from course_lib.paper import MNIST, PAPER, PRESETS
from course_lib.support.devices import DEVICES, find_device, this_machine
from course_lib.support.files import claimed, make_folder, runs_folder
from course_lib.support.processes import parallel, worker_count
from course_lib.support.progress import (
    Steps,
    counted_steps,
    moving,
    one_line_if_stopped,
    progress_bar,
)
from course_lib.support.validation import CourseError, as_python, choose
from course_lib.training import Recipe, evaluate, fit

STOPPED = "stopped: finished runs are kept; run this again to go on"
WAIT_SECONDS = 1.0  # for another study that trains the runs that are left
PACE = 4e6  # pixels per second of one core, by a run's cost: what a bar expects at first
RECIPE_VERSION = 2  # raised whenever the same settings give other results than before
RUN_BY_DEFAULT = tuple(name for name, arm in ARMS.items() if arm.whose != "practice")


@dataclass(frozen=True)
class Settings:
    """Everything that decides a result, apart from the images themselves and the machine's kind."""

    task: str
    arm: str
    seed: int = 0
    source: str = "auto"
    images_per_class: int | None = None
    side: int | None = None
    imbalance: int = 1
    nuisances: bool = False  # whether the last model is also tested under NUISANCES
    device: str = "auto"
    recipe: Recipe = Recipe()

    def __post_init__(self) -> None:
        as_python(self)
        choose("arm", self.arm, ARMS)
        if not is_run(self.task, self.arm):
            wrong = f"arm {self.arm!r} is not run on {self.task}: the paper has no such row"
            raise CourseError(wrong)
        choose("source", self.source, ("auto", *SOURCES))
        choose("device", self.device, DEVICES)


def settings_of(
    task: str, arm: str, seed: int = 0, preset: str = "paper", source: str = "auto", **changes: Any
) -> Settings:
    """Settings of one run: a preset's size, and any named changes to it or to the recipe."""
    size = PRESETS[choose("preset", preset, PRESETS)]
    of_recipe, of_run = ({field.name for field in fields(kind)} for kind in (Recipe, Settings))
    for name in changes:
        choose("setting", name, sorted((of_recipe | of_run) - {"recipe"}))
    changes = size._asdict() | changes
    recipe = Recipe(**{name: changes.pop(name) for name in of_recipe & changes.keys()})
    return Settings(task, arm, seed, source, recipe=recipe, **changes)


def is_run(task: str, arm: str) -> bool:
    """Whether an arm is run on a task: the paper's rows, our own arms on pictures; else all."""
    if task not in TASKS or (task, arm) in PAPER:
        return True
    return ARMS[arm].whose != "paper" and task != MNIST


def study(
    tasks: Sequence[str] = TASKS,
    arms: Sequence[str] = RUN_BY_DEFAULT,
    seeds: Sequence[int] = (0,),
    preset: str = "paper",
    workers: int | str = "auto",
    folder: Path | None = None,
    scheduler: str | None = None,
    **changes: Any,
) -> list[Result]:
    """Run every arm that is run on each task, with every seed; finished runs are read.

    Workers and scheduler as for `run_many`, changes as for `settings_of`; folder: runs/<preset>/.
    """
    for name, several in (("tasks", tasks), ("arms", arms), ("seeds", seeds)):
        if isinstance(several, str) or not isinstance(several, Iterable):
            raise CourseError(f"{name} {several!r} must be a list, as in [{several!r}]")
    of_pictures = changes.get("source") in ("tiny-imagenet", "stand-in")
    mnist = {**changes, "source": "auto"} if of_pictures else changes  # it has one source only
    wanted = [
        settings_of(task, arm, seed, preset, **(mnist if task == MNIST else changes))
        for task in tasks
        for seed in seeds
        for arm in arms
        if arm not in ARMS or is_run(task, arm)
    ]
    if not wanted:
        raise CourseError(f"no experiment has task {list(tasks)} with arm {list(arms)}")
    return run_many(wanted, folder or runs_folder() / preset, workers, scheduler)


def planned_study(workers: int | str = "auto", scheduler: str | None = None) -> list[Result]:
    """Every run of notebooks/PLAN.md, in its order of priority.

    Those in `data/reference/study/` are read; the others are trained, and kept in runs/plan/.
    """
    wanted = [settings_of(task, arm, seed) for task, arm, seed in PLAN]
    return run_many(wanted, runs_folder() / "plan", workers, scheduler, bundled=STUDY)


def read_the_paper(workers: int | str = "auto", scheduler: str | None = None) -> list[Result]:
    """Every reading of `analysis.readings` on MNIST, and the nearest on pictures; as in the plan.

    Those in `data/reference/readings/` are read; others are trained, and kept in runs/readings/.
    """
    folder = runs_folder() / "readings"
    digits = [settings_of(task, arm, seed, **reading) for task, arm, seed, reading in DIGIT_RUNS]
    found = run_many(digits, folder, workers, scheduler, bundled=READ)
    chosen = picture_runs(reading_of(run, asdict(Recipe())) for run in nearest(found))
    pictures = [settings_of(task, arm, seed, **reading) for task, arm, seed, reading in chosen]
    return found + run_many(pictures, folder, workers, scheduler, bundled=READ)


@one_line_if_stopped(STOPPED)
def run(settings: Settings, folder: Path) -> Result:
    """The result of one run, in this process: read from `folder`, or trained and written."""
    task = load_settings(settings)
    return _read_or_train([settings], [task], folder, 1, None, None)[0]


@one_line_if_stopped(STOPPED)
def run_many(
    wanted: Sequence[Settings],
    folder: Path,
    workers: int | str = "auto",
    scheduler: str | None = None,
    bundled: Path | None = None,
) -> list[Result]:
    """The results of many runs, in the order asked for: read from `folder`, or trained and written.

    Args:
        wanted: Each is done once, however often it is named.
        workers: Processes with one thread each; "auto" is one per core, or one on a GPU.
        scheduler: A Dask cluster's, as in tcp://host:8786, to train there instead.
        bundled: A second folder to read from. The runs are then trained in the order given, else
            the long ones first. Two studies at once share the work.
    """
    if not wanted:
        raise CourseError("wanted [] names no run: there is nothing to do")
    count = worker_count(workers, wanted[0].device)
    load = cache(load_settings)
    # Arms of one task and seed share their images.
    tasks = [load(replace(run, arm="none", recipe=Recipe())) for run in wanted]
    results = _read_or_train(wanted, tasks, folder, count, scheduler, bundled)
    print(*dict.fromkeys(map(str, tasks)), sep="\n")
    return results


def load_settings(settings: Settings) -> Task:
    """The images of a run."""
    names = ("source", "seed", "images_per_class", "side", "imbalance")
    return load_task(settings.task, **{name: getattr(settings, name) for name in names})


def _read_or_train(
    runs: Sequence[Settings], tasks: Sequence[Task], folder: Path, count: int,
    scheduler: str | None, bundled: Path | None,
) -> list[Result]:  # fmt: skip
    """Results of runs on their tasks; those that are missing are trained, and written here."""
    results: dict[int, Result] = {}
    paths: dict[int, Path] = {}  # of each run, where it is named first
    known: set[Path] = set()
    costs: dict[int, float] = {}
    for index, (run, task) in enumerate(zip(runs, tasks, strict=True)):
        record = _record(run, task)
        path = result_path(folder, record, _key(record))
        if path in known:
            continue
        known.add(path)
        paths[index] = path
        there = [paths[index]] + ([bundled / paths[index].name] if bundled else [])
        if done := next(filter(None, map(read_result, there)), None):
            results[index] = done
        else:
            costs[index] = ARMS[run.arm].cost * run.recipe.epochs * task.train.images.numel()
    if not costs:
        return [results[index] for index in paths]
    make_folder(folder)
    # Long runs first: a short one fills the gap at the end better.
    order = list(costs) if bundled else sorted(costs, key=lambda index: costs[index], reverse=True)
    claims: dict[int, FileLock] = {}

    def jobs() -> Iterator[Any]:
        """Runs that no other study is training; a task travels along: a worker needs no data."""
        for index in order:
            if index in results or (claim := claimed(paths[index])) is None:
                continue
            if done := read_result(paths[index]):
                results[index] = done
                claim.release()
            else:
                claims[index] = claim
                yield joblib.delayed(_train)(index, runs[index], tasks[index], steps)

    def reached() -> float:
        """The cost of all epochs that are done."""
        shares = {index: steps.count(index) / runs[index].recipe.epochs for index in costs}
        return sum(costs[i] * (1 if i in results else min(shares[i], 1)) for i in costs)

    count = min(count, len(costs))
    shown = progress_bar(sum(costs.values()), f"{len(costs)} runs", pace=PACE * count)
    try:
        with (
            parallel(count, scheduler) as processes,
            counted_steps() as steps,
            shown as bar,
            moving(bar, reached),
        ):
            while len(results) < len(paths):
                for index, result in processes(jobs()):
                    write_result(result, folder)
                    results[index] = result
                    claims.pop(index).release()
                if len(results) < len(paths):
                    time.sleep(WAIT_SECONDS)  # another study trains the rest, or was stopped at it
    finally:
        for claim in claims.values():
            claim.release()
    return [results[index] for index in paths]


def _train(index: int, run: Settings, task: Task, steps: Steps) -> tuple[int, Result]:
    """Train one run, and write no result; the index comes back with it. An epoch is a step."""
    record = _record(run, task)
    model, history = fit(
        task, run.arm, run.recipe, seed=run.seed, device=run.device,
        on_epoch=lambda _: steps.add(index),
    )  # fmt: skip
    tests = nuisances(task.test.images) if run.nuisances else {}
    # Six digits of a curve tell all there is to see, and keep a file small.
    curves = {
        name: [float(f"{value:.6g}") for value in curve] for name, curve in history.curves.items()
    }
    small = {
        name: part.images
        for name, part in (("validation", task.validation), ("test", task.test))
        if len(part.labels) <= SCORED
    }
    result = Result(
        settings=record,
        key=_key(record),
        curves=curves,
        best_epoch=history.best_epoch,
        correct={name: right.numpy() for name, right in history.correct.items()},
        environment=this_machine(),
        seconds=sum(history.curves["seconds"]),
        scores={
            name: scores.half().numpy()
            for name, scores in history.scores.items()
            if name.partition("_")[0] in small
        },
        times_right={
            f"{reading} {name}": counts.numpy()
            for reading, parts in history.times_right.items()
            for name, counts in parts.items()
            if len(counts) <= COUNTED or reading == run.recipe.running_statistics
        },
        images={name: image_ids(images) for name, images in small.items()},
        nuisances={name: _accuracy(model, task, images, run) for name, images in tests.items()},
    )
    return index, result


def _accuracy(model: nn.Module, task: Task, images: Tensor, run: Settings) -> float:
    """A trained model's accuracy on other images with the test images' labels."""
    on = find_device(run.device)
    examples = task.normalise(images.to(on)), task.test.labels.to(on)
    return evaluate(model, examples, run.recipe.loss).accuracy


def _record(settings: Settings, task: Task) -> dict:
    """Settings as they are stored and compared: with what "auto" stood for, and the images."""
    record = asdict(settings)
    record |= record.pop("recipe")
    del record["generators"]  # an arm that has generators names their weights
    if settings.recipe.vgg_weights is not None:
        record["vgg_weights"] = _digest(settings.recipe.vgg_weights)
    facts = ARMS[settings.arm].facts(task, settings.recipe, settings.device)
    if "precision" in facts and settings.recipe.precision != "float32":  # of styles alone, so far
        facts["precision"] = f"{settings.recipe.precision}, styles {facts['precision']}"
    return record | {
        "task": task.name,
        "source": task.source,
        "device": find_device(settings.device).type,
        "data": task.digest[:16],
        "transforms": {},
        **ARMS[settings.arm].recipe,
        "recipe": RECIPE_VERSION,
        "torch": torch.__version__,
        **facts,
    }


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror or error}") from error


def _key(record: dict) -> str:
    """A digest of a record without the recipe's defaults: a choice added later changes no key."""
    defaults = asdict(Recipe()) | {"side": None, "imbalance": 1, "nuisances": False}
    decides = {
        name: value
        for name, value in record.items()
        if name == "transforms" or name not in defaults or value != defaults[name]
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
