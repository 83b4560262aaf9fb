"""AugNet's weights as they change in a training of the paper's size, for page 04.

    COURSE_DATA=FOLDER python tests/benchmarks/snapshots.py

Trains the neural arm twice on Tiny ImageNet's golden retrievers and goldfish, with the paper's
learning rate for both networks and with ten times as much for AugNet, some four minutes each on a
quiet core, and writes `data/augnet/dogs-vs-goldfish.pt`: AugNet's learning rate → epoch → its
state dict in half precision. No image is kept.
"""

from __future__ import annotations

import torch

from course_lib.images.tasks import load_task
from course_lib.support.files import BUNDLED, write_whole
from course_lib.training import History, Recipe, fit

RATES = {1e-4: None, 1e-3: 1e-3}  # AugNet's learning rate → what the recipe says
EPOCHS = (1, 2, 5, 10, 20, 40)
PATH = BUNDLED / "augnet" / "dogs-vs-goldfish.pt"


def snapshots(history: History) -> dict[int, dict[str, torch.Tensor]]:
    """Epoch → AugNet's weights after it, as half-precision numbers."""
    return {
        epoch: {
            name: weight.half() for name, weight in history.augnets[epoch - 1].state_dict().items()
        }
        for epoch in EPOCHS
    }


def main() -> None:
    task = load_task("dogs-vs-goldfish", "tiny-imagenet", seed=0)
    kept = {}
    for rate, given in RATES.items():
        recipe = Recipe(augnet_learning_rate=given, last_epochs=1, readings=False)
        kept[rate] = snapshots(fit(task, "neural", recipe, device="cpu")[1])
    write_whole(PATH, lambda part: torch.save(kept, part))
    print(f"{PATH}: {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
