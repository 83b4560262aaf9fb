"""Two workers against one on the same study, in turns (A B A B …) in one run.

    python tests/benchmarks/study.py [--rounds 2] [--epochs 8]

All arms on both picture tasks, each time into an empty folder. Then, from the replication that
comes with the course: what the 17 runs of a seed cost, beside the paper's own cost.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from course_lib.comparison import reference_results
from course_lib.experiments import PAPER, study

PAPER_SECONDS = 17 * 40 * 30  # 17 runs, 40 epochs, about 30 s an epoch on a CPU (§6)


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
    arguments = parser.parse_args()
    seconds(2, 1)  # workers start, images are drawn or read
    ratios = []
    for _ in range(arguments.rounds):
        one, two = (seconds(workers, arguments.epochs) for workers in (1, 2))
        ratios.append(one / two)
        print(f"one worker {one:.0f} s, two {two:.0f} s: {ratios[-1]:.2f} times as fast")
    print(f"median {statistics.median(ratios):.2f}")

    by_seed: dict[int, dict[tuple[str, str], float]] = {}
    for result in reference_results():
        row = result.settings["task"], result.settings["arm"]
        if row in PAPER:
            by_seed.setdefault(result.settings["seed"], {})[row] = result.seconds
    for seed, rows in by_seed.items():
        if rows.keys() == PAPER.keys():
            total = sum(rows.values())
            ratio = PAPER_SECONDS / (total / 2)
            print(
                f"seed {seed}: 17 runs, {total / 60:.0f} minutes of one core; on two cores half of "
                f"it, {ratio:.1f} times cheaper than the paper's {PAPER_SECONDS / 3600:.1f} hours"
            )


if __name__ == "__main__":
    main()
