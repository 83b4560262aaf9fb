"""Two workers against one on the same study, in turns (A B A B …) in one run.

    python tests/benchmarks/study.py [--rounds 2] [--epochs 8] [--paper]

All arms on both picture tasks, each time into an empty folder. With --paper also the 17 runs of seed
0 at the paper's size, on two workers (20 minutes or more): their cost beside the paper's own and,
where the paper's images are, how far they are from the same runs in the replication.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from course_lib.analysis.comparison import MEASURES, reference_results
from course_lib.paper import PAPER_ARMS
from course_lib.study import study

PAPER_SECONDS = 17 * 40 * 30  # 17 runs, 40 epochs, about 30 s an epoch on a CPU (§5)


def seconds(workers: int, epochs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        study(
            ["dogs-vs-goldfish", "dogs-vs-cats"],
            preset="quick",
            epochs=epochs,
            workers=workers,
            folder=Path(folder),
        )
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--paper", action="store_true")
    arguments = parser.parse_args()
    seconds(2, 1)  # workers start, images are drawn or read
    ratios = []
    for _ in range(arguments.rounds):
        one, two = (seconds(workers, arguments.epochs) for workers in (1, 2))
        ratios.append(one / two)
        print(f"one worker {one:.0f} s, two {two:.0f} s: {ratios[-1]:.2f} times as fast")
    print(f"median {statistics.median(ratios):.2f}")
    if arguments.paper:
        paper_cost()


def paper_cost() -> None:
    """The 17 runs of seed 0 at the paper's size: their cost, and whether they are as published."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = study(arms=PAPER_ARMS, seeds=[0], workers=2, folder=Path(folder))
        total = time.perf_counter() - start
    print(
        f"{len(results)} runs of seed 0 on two cores: {total / 60:.1f} minutes, "
        f"{PAPER_SECONDS / total:.1f} times cheaper than the paper's {PAPER_SECONDS / 3600:.1f} hours"
    )
    known = {result.key: result for result in reference_results()}
    pairs = [(result, known[result.key]) for result in results if result.key in known]
    for measure, attribute in MEASURES.items():
        apart = [
            abs(getattr(ours, attribute) - getattr(theirs, attribute)) for ours, theirs in pairs
        ]
        if apart:
            print(
                f"{measure}, against the replication: {apart.count(0.0)} of {len(apart)} the same, "
                f"mean difference {statistics.mean(apart):.4f}, largest {max(apart):.4f}"
            )


if __name__ == "__main__":
    main()
