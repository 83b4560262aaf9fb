"""SmallNet as a student would train it from a tutorial: the yardstick of `training.py` beside it.

    python tests/benchmarks/recipe.py FOLDER THREADS EPOCHS MEAN STD

FOLDER holds train/ and validation/ with a folder of images for each class; MEAN and STD are three
numbers each, comma between. ImageFolder, DataLoader, transforms to tensor and normalise, an eager
loop in the default memory layout, default Adam, and nothing of the course's library. Prints the
seconds of the fastest epoch after the first, and the last validation accuracy.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn
from torchvision import datasets, transforms


def main(folder: str, threads: str, epochs: str, mean: str, std: str) -> None:
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    statistics = [[float(value) for value in text.split(",")] for text in (mean, std)]
    to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize(*statistics)])
    loaders = {
        part: torch.utils.data.DataLoader(
            datasets.ImageFolder(f"{folder}/{part}", to_input),
            batch_size=64,
            shuffle=part == "train",
        )
        for part in ("train", "validation")
    }
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.BatchNorm2d(32), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8192, 1024), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1024, 2),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    criterion = nn.BCEWithLogitsLoss()
    seconds = []
    for _ in range(int(epochs)):
        start = time.perf_counter()
        model.train()
        for images, labels in loaders["train"]:
            optimiser.zero_grad()
            loss = criterion(model(images), nn.functional.one_hot(labels, 2).float())
            loss.backward()
            optimiser.step()
        model.eval()
        right = 0
        with torch.no_grad():
            for images, labels in loaders["validation"]:
                right += (model(images).argmax(1) == labels).sum().item()
        seconds.append(time.perf_counter() - start)
    print(min(seconds[1:]), right / len(loaders["validation"].dataset))


if __name__ == "__main__":
    main(*sys.argv[1:])
