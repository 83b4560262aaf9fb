"""Measure the time from a moved control to the new picture, for each explorer, on one thread.

    python tests/benchmarks/explorers.py

Every control is moved to four places. The new picture is in the widget when the call returns; the
browser's share is not measured.
"""

from __future__ import annotations

import statistics
import time

import ipywidgets
import matplotlib
import torch

from course_lib.images.tasks import TASKS, load_task
from course_lib.show import explorers as widgets
from course_lib.training import Recipe, fit


def milliseconds(explorer: widgets.Explorer) -> list[float]:
    """One value for each new place of each control."""
    times = []
    for control in explorer.children[1:-1]:
        if isinstance(control, (ipywidgets.Dropdown, ipywidgets.SelectionSlider)):
            places = [place[1] if isinstance(place, tuple) else place for place in control.options]
        else:
            reach = control.max - control.min
            places = [control.min + reach * share for share in (0.2, 0.4, 0.6, 0.8)]
        for place in map(type(control.value), places[:4]):
            start = time.perf_counter()
            control.value = place
            times.append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    matplotlib.use("agg")
    matplotlib.style.use("course_lib.show.course")  # as the notebooks do
    torch.set_num_threads(1)
    tasks = [load_task(name) for name in TASKS]
    small = load_task("dogs-vs-goldfish", images_per_class=20)
    _, history = fit(small, "neural", Recipe(epochs=2))
    made = {("content", alpha): history.generated[-1] for alpha in (1, 0.75, 0.5, 0.25, 0)}
    explorers = {
        "browse_images (00)": widgets.browse_images(tasks),
        "explore_interval (01)": widgets.explore_interval(),
        "explore_transforms (02)": widgets.explore_transforms(tasks[0]),
        "explore_styles (03)": widgets.explore_styles(tasks[0]),
        "explore_augnet (04)": widgets.explore_augnet(small, dict(enumerate(history.augnets, 1))),
        "explore_weights (04)": widgets.explore_weights(small, history.sources, made),
        "explore_mcnemar (06)": widgets.explore_mcnemar(),
        "explore_power (06)": widgets.explore_power(),
        "explore_verdict (07)": widgets.explore_verdict(),
    }
    for name, explorer in explorers.items():
        times = milliseconds(explorer)
        print(
            f"{name:24} median {statistics.median(times):4.0f} ms, "
            f"slowest of {len(times):2} {max(times):4.0f} ms"
        )


if __name__ == "__main__":
    main()
