"""The card of the six generators: what each style does to pictures, in numbers.

    COURSE_DATA=… python tests/benchmarks/style_card.py [STYLE-DOMAINS]

STYLE-DOMAINS is a folder with the pictures that the generators were trained on and, by name after
them, those that no generator has seen (see `style_measures.SEEN`). Without it, the share of
copies that are assigned to their style is not measured. Content takes most of the time: SmallNet
is trained on originals, on grey pictures and on the copies of each style, one core, some minutes.
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "arms"))

from style_measures import change, detail, grey, grid, judged_pictures, train_judge

from course_lib.arms.gan import in_style
from course_lib.arms.generators import STYLES
from course_lib.images.tasks import load_task
from course_lib.training import Recipe, evaluate, fit

EPOCHS, SEEDS = 20, (0, 1)
JUDGES = 5


def restyled(task, make):
    """The task with every picture passed through `make`, and normalised anew."""
    parts = {
        name: getattr(task, name)._replace(images=make(getattr(task, name).images))
        for name in ("train", "validation", "test")
    }
    pixels = parts["train"].images.float()
    return type(task)(
        task.name, task.source, task.classes, **parts,
        mean=pixels.mean((0, 2, 3)), std=pixels.std((0, 2, 3)),
    )  # fmt: skip


def accuracies(task, others):
    """SmallNet's accuracy on unseen images of the task, and of others like it, after training.

    Unseen: validation and test images together; nothing is chosen by them.
    """
    found = {name: 0.0 for name in ("itself", *others)}
    for seed in SEEDS:
        model, _ = fit(task, "none", Recipe(epochs=EPOCHS), seed=seed, device="cpu")
        for name, other in (("itself", task), *others.items()):
            images = torch.cat([other.validation.images, other.test.images])
            labels = torch.cat([other.validation.labels, other.test.labels])
            _, right = evaluate(model, (task.normalise(images), labels), "sigmoid")
            found[name] += right.float().mean().item() / len(SEEDS)
    return found


def main() -> None:
    torch.set_num_threads(1)
    source = "tiny-imagenet"
    cats, fish = (load_task(f"dogs-vs-{kind}", source, 0) for kind in ("cats", "goldfish"))
    unseen = torch.cat([t.test.images for t in (cats, fish)] + [cats.validation.images])
    scenes = load_task("dogs-vs-goldfish", "stand-in", 0).test.images
    judges = []
    if len(sys.argv) > 1:
        pictures, kinds = judged_pictures(Path(sys.argv[1]))
        judges = [train_judge(pictures, kinds, seed=seed) for seed in range(JUDGES)]
    rows, copies = {}, {}
    for style in STYLES:
        copies[style] = in_style(unseen, style, "bundled", "cpu")
        drawn = in_style(scenes, style, "bundled", "cpu")
        row = {
            "detail": detail(copies[style], unseen),
            "change": change(copies[style], unseen),
            "grid": grid(copies[style], unseen),
            "detail, drawn": detail(drawn, scenes),
            "change, drawn": change(drawn, scenes),
            "grid, drawn": grid(drawn, scenes),
        }
        if judges:
            for name, images in (("assigned", copies[style]), ("originals", unseen)):
                row[name] = sum(judge.shares(images)[style] for judge in judges) / len(judges)
        rows[style] = row
        print(style, {name: round(value, 3) for name, value in row.items()}, flush=True)
    apart = {pair: change(copies[pair[0]], copies[pair[1]]) for pair in combinations(STYLES, 2)}
    nearest = min(apart, key=apart.get)
    print(f"nearest styles: {nearest}, {apart[nearest]:.3f} of the range apart", flush=True)
    for task in (cats, fish):
        styled = {
            style: restyled(task, lambda images, s=style: in_style(images, s, "bundled", "cpu"))
            for style in STYLES
        }
        plain = accuracies(task, styled)
        print(task.name, "originals", round(plain["itself"], 3), flush=True)
        print("grey", round(accuracies(restyled(task, grey), {})["itself"], 3), flush=True)
        for style, other in styled.items():
            rows[style][f"shift, {task.name}"] = plain[style] - plain["itself"]
            own = accuracies(other, {})["itself"]
            rows[style][f"content, {task.name}"] = own - plain["itself"]
            print(style, round(own, 3), flush=True)
    table = pd.DataFrame(rows).T
    table.loc["mean"] = table.mean()
    print(table.round(3).to_markdown())


if __name__ == "__main__":
    main()
