"""Stylising a training set, and ratios of ways to run the published network, in turns.

    python tests/benchmarks/styles.py [--rounds 3]

800 images of 64×64×3, each in one style and then in all six, with the bundled generators, and a
second time from the cache; then the published size at 256×256, several images together against the same network called one by one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import torch

from course_lib.arms.gan import apply_style, stylise
from course_lib.arms.generators import STYLES
from course_lib.images.tasks import load_task
from course_lib.models import Generator


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    images = load_task("dogs-vs-goldfish").train.images
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSE_RUNS"] = folder
        for threads in (1, 2):

            def job(threads: int = threads) -> object:
                return stylise(images, seed=threads, generators="bundled", threads=threads)

            made, cached = seconds(job), seconds(job)
            print(f"{len(images)} images, {threads} threads: {made:.1f} s, again {cached:.2f} s")

        def six() -> object:
            return [stylise(images, [style], generators="bundled", threads=2) for style in STYLES]

        made, cached = seconds(six), seconds(six)
        print(f"in all six styles, 2 threads: {made:.0f} s, again {cached:.2f} s")
    generator = Generator().eval()
    few = images[:8]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        together, single = [], []
        for _ in range(rounds):
            together.append(seconds(lambda: apply_style(generator, few, 256)))
            single.append(
                seconds(lambda: [apply_style(generator, one, 256) for one in few.split(1)])
            )
        ratio = statistics.median(s / t for s, t in zip(single, together, strict=True))
        print(
            f"published size, {threads} threads: together {ratio:.2f} times as fast as one by one"
        )


if __name__ == "__main__":
    main()
