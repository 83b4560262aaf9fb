"""The paper's 17 experiments as data; `run` does one, `study` many, in parallel, never twice."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import joblib
import torch

from course_lib import __version__
from course_lib.analysis.results import Result, read_result, result_path, write_result
from course_lib.arms.gan import stylise
from course_lib.arms.generators import KINDS, choose_kind, generators_digest
from course_lib.arms.learned import LEARNED
from course_lib.arms.traditional import BOUNDS, Transforms, traditional, transforms_for
from course_lib.images.tasks import SOURCES, TASKS, Task, load_task
from course_lib.support.devices import DEVICES, find_device
from course_lib.support.files import make_folder, runs_folder
from course_lib.support.progress import progress_bar
from course_lib.support.randomness import stream
from course_lib.support.validation import CourseError, choose, whole_number
from course_lib.training import fit

# Raised by one whenever the same settings give other results than before.
RECIPE = 1
CONNECT_SECONDS = 10  # to a Dask scheduler


@dataclass(frozen=True)
class Experiment:
    """One row of the paper's Tables I–III: a task, an arm, and the accuracy that it reports."""

    task: str
    arm: str
    paper: float | None


# Best validation accuracy in 40 epochs (§6). Table I: goldfish; II: cats; III: MNIST.
EXPERIMENTS = (
    Experiment("dogs-vs-goldfish", "none", 0.855),
    Experiment("dogs-vs-goldfish", "traditional", 0.890),
    Experiment("dogs-vs-goldfish", "gan", 0.865),
    Experiment("dogs-vs-goldfish", "neural", 0.915),
    Experiment("dogs-vs-goldfish", "neural-content", 0.900),
    Experiment("dogs-vs-goldfish", "neural-style", 0.890),
    Experiment("dogs-vs-goldfish", "control", 0.840),
    Experiment("dogs-vs-cats", "none", 0.705),
    Experiment("dogs-vs-cats", "traditional", 0.775),
    Experiment("dogs-vs-cats", "gan", 0.720),
    Experiment("dogs-vs-cats", "neural", 0.765),
    Experiment("dogs-vs-cats", "neural-content", 0.770),
    Experiment("dogs-vs-cats", "neural-style", 0.740),
    Experiment("dogs-vs-cats", "control", 0.710),
    Experiment("mnist-0-vs-8", "none", 0.972),
    Experiment("mnist-0-vs-8", "neural", 0.975),
    Experiment("mnist-0-vs-8", "neural-content", 0.968),
)
PAPER = {(experiment.task, experiment.arm): experiment.paper for experiment in EXPERIMENTS}
PAPER_ARMS = tuple(dict.fromkeys(experiment.arm for experiment in EXPERIMENTS))
# Controls of our own. none-matched: every training image twice an epoch, so that none takes as
# many steps as the arms with 2N images; the pairs: no AugNet, only the mean or a random mixture.
OWN_ARMS = ("none-matched", "pair-mean", "pair-mixup")
ARMS = PAPER_ARMS + OWN_ARMS


@dataclass(frozen=True)
class Preset:
    """A size of the course: how long to train, and on how many images of each class (None: all)."""

    epochs: int
    images_per_class: int | None


PRESETS = {"quick": Preset(epochs=4, images_per_class=100), "paper": Preset(40, None)}


@dataclass(frozen=True)
class Settings:
    """Everything that decides a result, apart from the images themselves and the machine's kind."""

    task: str
    arm: str
    seed: int
    source: str
    epochs: int
    images_per_class: int | None
    batch_size: int = 64
    learning_rate: float = 1e-4
    loss: str = "sigmoid"
    alpha: float = 0.75
    beta: float = 0.25
    update: str = "alternate"
    running_statistics: str = "all"
    initialisation: str = "glorot"
    transforms: str = "all"
    generators: str = "auto"
    device: str = "auto"


def settings_of(
    task: str, arm: str, seed: int = 0, preset: str = "paper", source: str = "auto", **changes
) -> Settings:
    """Settings of one run: a preset's sizes, and any named changes to them.

    Raises CourseError for an unknown preset, arm or change.
    """
    size = PRESETS[choose("preset", preset, PRESETS)]
    choose("arm", arm, ARMS)
    if not is_run(task, arm):
        raise CourseError(f"arm {arm!r} is not run on {task}: the paper has no such row")
    settings = Settings(task, arm, seed, source, size.epochs, size.images_per_class)
    for name in changes:
        choose("setting", name, asdict(settings))
    settings = replace(settings, **changes)
    whole_number("epochs", settings.epochs, at_least=1)
    whole_number("batch_size", settings.batch_size, at_least=1)
    choose("source", settings.source, ("auto", *SOURCES))
    choose("device", settings.device, DEVICES)
    choose("transforms", settings.transforms, ("all", *BOUNDS))
    choose("generators", settings.generators, ("auto", *KINDS))
    return settings


def is_run(task: str, arm: str) -> bool:
    """Whether an arm is run on a task: the paper's rows, our own arms on pictures; else all."""
    return task not in TASKS or (task, arm) in PAPER or (arm in OWN_ARMS and "mnist" not in task)


def run(settings: Settings, folder: Path) -> Result:
    """The result of one run: read from `folder` if it was done before, else trained and written.

    Raises CourseError for settings that cannot be run.
    """
    task = load_task(*_data(settings))
    done = finished(settings, task, folder)
    if done is not None:
        return done
    result = train(settings, task)
    write_result(result, folder)
    return result


def train(settings: Settings, task: Task) -> Result:
    """Train one run from its settings, and write nothing."""
    record = _record(settings, task)
    choices = asdict(settings)
    for name in ("task", "arm", "source", "images_per_class", "transforms", "generators"):
        del choices[name]
    learned = settings.arm if settings.arm in LEARNED else None
    _, history = fit(augmented(settings, task), learned, **choices)
    return Result(
        settings=record,
        key=_key(record),
        curves=history.curves,
        best_epoch=history.best_epoch,
        correct={
            "validation_best": history.validation_correct_best.numpy(),
            "test_best": history.test_correct_best.numpy(),
            "test_last": history.test_correct_last.numpy(),
        },
        environment=_environment(),
        seconds=sum(history.curves["seconds"]),
    )


def finished(settings: Settings, task: Task, folder: Path) -> Result | None:
    """The result of an earlier run with the same settings on the same images, if there is one."""
    record = _record(settings, task)
    return read_result(result_path(folder, record, _key(record)))


def study(
    tasks: Sequence[str] = TASKS,
    arms: Sequence[str] = ARMS,
    seeds: Sequence[int] = (0,),
    preset: str = "paper",
    workers: int | str = "auto",
    folder: Path | None = None,
    scheduler: str | None = None,
    **changes,
) -> list[Result]:
    """Run every arm that is run on each task, with every seed; finished runs are read.

    folder: of the results, `runs/<preset>/` if not given. changes: as for `settings_of`; a source
    concerns the picture tasks. workers, scheduler and the order of the results: as for `run_many`.
    """
    for name, several in (("tasks", tasks), ("arms", arms), ("seeds", seeds)):
        if isinstance(several, str) or not isinstance(several, Iterable):
            raise CourseError(f"{name} {several!r} must be a list, as in [{several!r}]")
    wanted = [
        settings_of(task, arm, seed, preset, **_for_task(task, changes))
        for task in tasks
        for seed in seeds
        for arm in arms
        if is_run(task, arm) or arm not in ARMS
    ]
    if not wanted:
        raise CourseError(f"no experiment has task {list(tasks)} with arm {list(arms)}")
    return run_many(wanted, folder or runs_folder() / preset, workers, scheduler)


def run_many(
    wanted: Sequence[Settings],
    folder: Path,
    workers: int | str = "auto",
    scheduler: str | None = None,
) -> list[Result]:
    """The results of many runs, in the order asked for: read from `folder`, or trained and written.

    workers: processes side by side, each with one thread; "auto": one a core (one on a GPU).
    scheduler: the address of a Dask scheduler, as in tcp://host:8786; its workers do the work then,
    one run at a time each. Each result is written here as it comes in, so that this may be stopped
    at any moment and called again.

    Raises CourseError for settings that cannot be run and for a scheduler that does not answer.
    """
    if not wanted:
        raise CourseError("wanted [] names no run: there is nothing to do")
    count = _workers(workers, wanted[0].device)
    make_folder(folder)
    loaded = {data: load_task(*data) for data in dict.fromkeys(map(_data, wanted))}
    tasks = [loaded[_data(settings)] for settings in wanted]
    results = [
        finished(settings, task, folder) for settings, task in zip(wanted, tasks, strict=True)
    ]
    missing = [index for index, result in enumerate(results) if result is None]
    if missing:
        costs = {index: _cost(wanted[index], tasks[index]) for index in missing}
        # A task travels with its job, so that a worker needs no data of its own. Long runs first:
        # a short one fills the gap at the end better.
        jobs = (
            joblib.delayed(_indexed)(index, wanted[index], tasks[index])
            for index in sorted(missing, key=costs.get, reverse=True)
        )
        with (
            _processes(min(count, len(missing)), scheduler) as parallel,
            progress_bar(sum(costs.values()), f"{len(missing)} runs") as bar,
        ):
            for index, result in parallel(jobs):
                write_result(result, folder)
                results[index] = result
                bar.update(costs[index])
    for line in dict.fromkeys(map(str, tasks)):
        print(line)
    return results


@contextmanager
def _processes(count: int, scheduler: str | None) -> Iterator[joblib.Parallel]:
    """Where runs are done: processes of this machine, or the workers of a Dask cluster."""
    if scheduler is None:
        with warnings.catch_warnings():
            # Workers keep freed memory, since that is faster; joblib takes it for a leak, replaces
            # the worker between two runs, and says so.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
            yield joblib.Parallel(
                n_jobs=count,
                return_as="generator_unordered",
                initializer=_end_with_parent,
                initargs=(os.getpid(),),
            )
        return
    try:
        from distributed import Client
    except ImportError:
        raise CourseError(
            f"scheduler {scheduler!r} needs Dask: pip install 'distributed', or '.[cluster]' here"
        ) from None
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"scheduler {scheduler!r} does not answer: it must be as in tcp://host:8786"
        ) from error
    with client, joblib.parallel_config(backend="dask", client=client):
        yield joblib.Parallel(return_as="generator_unordered")


def _end_with_parent(parent: int) -> None:
    """Let a worker process end when the process that started it is gone, killed or not."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.getpid() != parent:
        threading.Thread(target=watch, daemon=True).start()


def _indexed(index: int, settings: Settings, task: Task) -> tuple[int, Result]:
    return index, train(settings, task)


def _data(settings: Settings) -> tuple:
    """The arguments of `load_task` for a run: arms of one task and seed share its images."""
    return settings.task, settings.source, settings.seed, settings.images_per_class


def _cost(settings: Settings, task: Task) -> float:
    """What a run costs beside another, for the estimate of what is left: values to train on."""
    passes = 3 if settings.arm in LEARNED else 1 if settings.arm == "none" else 2
    return passes * settings.epochs * task.train.images.numel()


def augmented(settings: Settings, task: Task) -> Task:
    """The task as an offline arm leaves it, N → 2N (§3.1); as it was for the other arms."""
    if settings.arm == "none-matched":
        return task.with_copies(task.train.images)
    if settings.arm == "traditional":
        transforms, generator = _transforms(settings, task), stream(settings.seed, "traditional")
        return task.with_copies(traditional(task.train.images, transforms, generator))
    if settings.arm == "gan":
        kind, images = settings.generators, task.train.images
        stylised = stylise(images, seed=settings.seed, generators=kind, device=settings.device)
        return task.with_copies(stylised.images)
    return task


def _transforms(settings: Settings, task: Task) -> Transforms:
    """The task's transformations, or the one of them that the settings name."""
    transforms = transforms_for(task)
    if settings.transforms == "all":
        return transforms
    return transforms.only(settings.transforms)


def _for_task(task: str, changes: dict) -> dict:
    """A source names where pictures come from: MNIST has one source only."""
    if task == "mnist-0-vs-8" and changes.get("source") in ("tiny-imagenet", "stand-in"):
        return {**changes, "source": "auto"}
    return changes


def _record(settings: Settings, task: Task) -> dict:
    """Settings as they are stored and compared: with what "auto" stood for, and the images."""
    record = {
        **asdict(settings),
        "task": task.name,
        "source": task.source,
        "device": find_device(settings.device).type,
        "data": task.digest[:16],
        "transforms": _transforms(settings, task).amounts()
        if settings.arm == "traditional"
        else {},
        "recipe": RECIPE,
        "torch": torch.__version__,
    }
    # Only the GAN arm has generators: a result of another arm does not depend on them.
    del record["generators"]
    if settings.arm == "gan":
        kind = choose_kind(settings.generators)
        record |= {"generators": kind, "weights": generators_digest(kind)}
    return record


def _key(record: dict) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


def _environment() -> dict:
    return {
        "course": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return torch.backends.cpu.get_cpu_capability()


def _workers(workers: int | str, device: str) -> int:
    if workers == "auto":
        return joblib.cpu_count() if find_device(device).type == "cpu" else 1
    if isinstance(workers, str):
        raise CourseError(f"workers {workers!r} must be auto or a whole number of 1 or more")
    return whole_number("workers", workers, at_least=1)
