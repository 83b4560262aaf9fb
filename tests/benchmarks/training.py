"""Ratios of training speed, measured in turns (A B A B …) in one run.

    python tests/benchmarks/training.py [--rounds 3] [PART …]

Parts, all of them by default, on one thread unless it says otherwise:

recipe     with one and two threads, the recipe that a student would write (ImageFolder, DataLoader,
           an eager NCHW loop, default Adam) against an epoch of `fit` on the same images
peers      the same network in Lightning and in Keras on PyTorch (extra `peers`), and the recipe
precision  an epoch in float32 against one in bfloat16, at both presets' sizes
rate       the share of the machine's own matrix-product rate that a training step reaches
memory     what keeping freed memory is worth
fresh      an epoch with fresh transformations against one with frozen ones
arms       epochs of the learned arms against none, beside their floor by multiplications
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from course_lib.images.tasks import Task, load_task
from course_lib.support.devices import PRECISIONS
from course_lib.training import Recipe, fit

EPOCHS = 3  # the first one of each call warms up and does not count


def write_images(task: Task, folder: Path) -> None:
    """The task as files, FOLDER/<part>/<label>/<index>.png."""
    for part in ("train", "validation"):
        images, labels = getattr(task, part)
        for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            path = folder / part / str(label) / f"{index:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def theirs(task: Task, folder: Path, threads: int, script: str, *name: str) -> tuple[float, float]:
    """Seconds of an epoch and last validation accuracy of a script beside this one, in a process
    of its own: it must not profit from what this library does to malloc."""
    statistics = [",".join(map(str, (value / 255).tolist())) for value in (task.mean, task.std)]
    path = Path(__file__).with_name(script)
    command = [sys.executable, path, *name, folder, str(threads), str(EPOCHS), *statistics]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, accuracy = map(float, done.stdout.split()[-2:])
    return seconds, accuracy


def ours(
    task: Task, threads: int, arm: str = "none", precision: str = "float32"
) -> tuple[float, float]:
    recipe = Recipe(epochs=EPOCHS, last_epochs=1, readings=False, precision=precision)
    _, history = fit(task, arm, recipe, threads=threads)
    return min(history.curves["seconds"][1:]), history.curves["validation_accuracy"][-1]


def matrix_rate(threads: int) -> float:
    """Floating-point operations a second of a square matrix product in this library."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 1024, 1024)
    best = float("inf")
    for _ in range(12):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best


def multiplications(arm: str) -> float:
    """Multiplications of one image's training step; backward costs twice forward.

    No gradient is needed towards the training images themselves: the first layer of a network
    that sees them costs two thirds.
    """
    first, rest = 64 * 64 * 27 * 16, 32 * 32 * (144 + 288) * 32 + 8192 * 1024 + 2048
    real = 2 * first + 3 * rest
    if arm == "none":
        return real
    if arm.startswith("pair"):
        return 2 * real
    augnet = 64 * 64 * (2 * 54 * 16 + 3 * (3 * 144 * 16 + 144 * 3))
    return real + 3 * (first + rest) + augnet


def summary(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def without_kept_memory(task: Task) -> float:
    """Seconds of our epoch in a process whose malloc gives freed blocks back to the kernel."""
    program = (
        "import platform; platform.libc_ver = lambda *a: ('', '');"
        "from course_lib.images.tasks import load_task;"
        "from course_lib.training import Recipe, fit;"
        f"task = load_task({task.name!r}, {task.source!r});"
        f"h = fit(task, recipe=Recipe(epochs={EPOCHS}, last_epochs=1, readings=False))[1];"
        "print(min(h.curves['seconds'][1:]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return float(done.stdout)


def recipe(task: Task, folder: Path, rounds: range) -> None:
    for threads in (1, 2):
        pairs = [(theirs(task, folder, threads, "recipe.py"), ours(task, threads)) for _ in rounds]
        ratio = summary([plain[0] / mine[0] for plain, mine in pairs])
        seconds = [summary([pair[side][0] for pair in pairs]) for side in (0, 1)]
        print(
            f"epoch, {threads} thread(s): recipe {seconds[0]} s, fit {seconds[1]} s, ratio {ratio}"
        )
        print(
            f"  validation accuracy after {EPOCHS} epochs: {pairs[0][0][1]:.3f} and {pairs[0][1][1]:.3f}"
        )


def peers(task: Task, folder: Path, rounds: range) -> None:
    there = [name for name in ("lightning", "keras") if importlib.util.find_spec(name)]
    scripts = {"recipe": ("recipe.py",), **{name: ("peers.py", name) for name in there}}
    turns = [
        [theirs(task, folder, 1, *script) for script in scripts.values()] + [ours(task, 1)]
        for _ in rounds
    ]
    for place, name in enumerate(scripts):
        ratios = [turn[place][0] / turn[-1][0] for turn in turns]
        accuracies = f"{turns[0][place][1]:.3f} and {turns[0][-1][1]:.3f}"
        print(f"epoch of {name} / fit: {summary(ratios)}; validation accuracy {accuracies}")
    for name in {"lightning", "keras"}.difference(there):
        print(f"{name}: not installed")


def precision(task: Task, folder: Path, rounds: range) -> None:
    quick = load_task(task.name, task.source, images_per_class=100, side=32)
    for size in (quick, task):
        pairs = [[ours(size, 1, precision=kind)[0] for kind in PRECISIONS] for _ in rounds]
        ratios = summary([full / half for full, half in pairs])
        seconds = [summary([pair[side] for pair in pairs]) for side in (0, 1)]
        print(
            f"epoch, side {size.train.images.shape[-1]}: float32 {seconds[0]} s, "
            f"bfloat16 {seconds[1]} s, ratio {ratios}"
        )


def rate(task: Task, folder: Path, rounds: range) -> None:
    shares = []
    for _ in rounds:
        products = matrix_rate(1)
        work = 2 * (len(task.train.labels) * multiplications("none"))
        work += 2 * len(task.validation.labels) * multiplications("none") / 3
        shares.append(work / ours(task, 1)[0] / products)
    print(f"share of the matrix-product rate, 1 thread: {summary(shares)}")


def memory(task: Task, folder: Path, rounds: range) -> None:
    kept = [without_kept_memory(task) / ours(task, 1)[0] for _ in rounds]
    print(f"keeping freed memory, 1 thread: epoch ratio without/with {summary(kept)}")


def fresh(task: Task, folder: Path, rounds: range) -> None:
    pairs = [
        (ours(task, 1, "traditional-fresh")[0], ours(task, 1, "traditional")[0]) for _ in rounds
    ]
    ratios = summary([fresh / frozen for fresh, frozen in pairs])
    print(f"epoch of fresh transformations / frozen ones: {ratios}")


def arms(task: Task, folder: Path, rounds: range) -> None:
    for arm in ("neural", "neural-content", "neural-style", "control", "pair-mean", "pair-mixup"):
        ratios = [ours(task, 1, arm)[0] / ours(task, 1)[0] for _ in rounds]
        floor = multiplications(arm) / multiplications("none")
        print(f"epoch of {arm} / none: {summary(ratios)}, floor by multiplications {floor:.2f}")


PARTS = {part.__name__: part for part in (recipe, peers, precision, rate, memory, fresh, arms)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    task = load_task("dogs-vs-goldfish")
    print(
        f"{task}\ntorch {torch.__version__}, {os.cpu_count()} cores, "
        f"medians (range) of {given.rounds}"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_images(task, Path(folder))
        for name in given.parts or PARTS:
            PARTS[name](task, Path(folder), range(given.rounds))


if __name__ == "__main__":
    main()
