"""What training in bfloat16 does to accuracy: the same seeds in both precisions, paired.

    python tests/benchmarks/precision.py [--seeds 10] [--task dogs-vs-cats]

At the quick size on stand-ins. Prints, for two arms, the mean accuracy on images that training never
saw in each precision, how far seeds lie apart, the mean and spread of the paired differences, and the
ratio of the runs' times. Finished runs are read.
"""

from __future__ import annotations

import argparse

import numpy as np

from course_lib.analysis.statistics import paired_difference
from course_lib.study import study
from course_lib.support.devices import PRECISIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--task", default="dogs-vs-cats")
    given = parser.parse_args()
    for arm in ("none", "traditional-fresh"):
        options = {"preset": "quick", "source": "stand-in", "workers": 1, "readings": False}
        pairs = [  # in turns, so that a load from elsewhere falls on both
            [
                study([given.task], [arm], [seed], precision=precision, **options)[0]
                for precision in PRECISIONS
            ]
            for seed in range(given.seeds)
        ]
        accuracies = 100 * np.array([[run.unseen_accuracy for run in pair] for pair in pairs])
        full, half = accuracies.T
        found = paired_difference(half, full)
        times = [pair[0].seconds / pair[1].seconds for pair in pairs]
        print(
            f"{given.task}, {arm}, {given.seeds} seeds: "
            f"float32 {full.mean():.2f} (sd {full.std(ddof=1):.2f}), "
            f"bfloat16 {half.mean():.2f} (sd {half.std(ddof=1):.2f}) points\n"
            f"  bfloat16 − float32: {found.mean:+.2f}, interval {found.low:+.2f} to {found.high:+.2f}, "
            f"sd {(half - full).std(ddof=1):.2f}, largest {np.abs(half - full).max():.2f}\n"
            f"  time float32/bfloat16: {np.median(times):.2f} ({min(times):.2f}–{max(times):.2f})"
        )


if __name__ == "__main__":
    main()
