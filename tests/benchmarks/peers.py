"""SmallNet as a reader of Lightning's or of Keras's guide would train it, for `training.py` beside it.

    pip install -e '.[peers]'
    python tests/benchmarks/peers.py lightning|keras FOLDER THREADS EPOCHS MEAN STD

Arguments and what is printed are those of `recipe.py`; images come from the same ImageFolder and
DataLoader. Keras runs on PyTorch. Both keep their defaults, but neither logs nor saves the model.
"""

from __future__ import annotations

import os
import sys
import time
import warnings

import torch
from torch import nn
from torchvision import datasets, transforms


def loaders(folder: str, mean: str, std: str, *more: object, **options: object) -> dict:
    statistics = [[float(value) for value in text.split(",")] for text in (mean, std)]
    to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize(*statistics), *more])
    return {
        part: torch.utils.data.DataLoader(
            datasets.ImageFolder(f"{folder}/{part}", to_input, **options),
            batch_size=64,
            shuffle=part == "train",
        )
        for part in ("train", "validation")
    }


def with_lightning(folder: str, epochs: int, mean: str, std: str) -> tuple[list[float], float]:
    import lightning

    class LitSmallNet(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
                nn.BatchNorm2d(32), nn.MaxPool2d(2), nn.Flatten(),
                nn.Linear(8192, 1024), nn.ReLU(), nn.Dropout(0.5), nn.Linear(1024, 2),
            )  # fmt: skip

        def training_step(self, batch, index):
            images, labels = batch
            targets = nn.functional.one_hot(labels, 2).float()
            loss = nn.functional.binary_cross_entropy_with_logits(self.model(images), targets)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, index):
            images, labels = batch
            right = (self.model(images).argmax(1) == labels).float().mean()
            self.log("val_acc", right, batch_size=len(labels))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-4)

    class Clock(lightning.Callback):
        def on_train_epoch_start(self, trainer, module):
            seconds.append(-time.perf_counter())

        def on_train_epoch_end(self, trainer, module):
            seconds[-1] += time.perf_counter()

    seconds: list[float] = []
    data = loaders(folder, mean, std)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[Clock()], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(LitSmallNet(), data["train"], data["validation"])
    return seconds, float(trainer.callback_metrics["val_acc"])


def with_keras(folder: str, epochs: int, mean: str, std: str) -> tuple[list[float], float]:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras import layers

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seconds.append(-time.perf_counter())

        def on_epoch_end(self, epoch, logs=None):
            seconds[-1] += time.perf_counter()

    seconds: list[float] = []
    one_hot = torch.eye(2)
    data = loaders(  # images as Keras has them: (H, W, C)
        folder, mean, std, lambda image: image.permute(1, 2, 0), target_transform=lambda k: one_hot[k]
    )  # fmt: skip
    model = keras.Sequential([
        layers.Input((64, 64, 3)),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.BatchNormalization(), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.BatchNormalization(), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(1024, activation="relu"), layers.Dropout(0.5), layers.Dense(2),
    ])  # fmt: skip
    model.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=["categorical_accuracy"],
    )
    found = model.fit(
        data["train"], validation_data=data["validation"], epochs=epochs, verbose=0,
        callbacks=[Clock()],
    )  # fmt: skip
    return seconds, found.history["val_categorical_accuracy"][-1]


def main(name: str, folder: str, threads: str, epochs: str, mean: str, std: str) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    train = {"lightning": with_lightning, "keras": with_keras}[name]
    seconds, accuracy = train(folder, int(epochs), mean, std)
    print(min(seconds[1:]), accuracy)


if __name__ == "__main__":
    main(*sys.argv[1:])
