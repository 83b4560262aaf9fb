"""What the paper says (Wang & Perez 2017): the experiments and their size; data alone."""

from typing import NamedTuple


class Experiment(NamedTuple):
    """One row of Tables I–III: the best validation accuracy in 40 epochs (§6), in 0–1."""

    task: str
    arm: str
    paper: float


class Preset(NamedTuple):
    """A size of the course: how many images (None: all), of what side, and how long they train.

    The quick one is small enough for several seeds, and large enough for a training to end.
    """

    epochs: int
    images_per_class: int | None
    side: int | None = None  # of pictures; None: 64, as they are
    learning_rate: float = 1e-4
    last_epochs: int = 10  # whose accuracy on unseen images is averaged
    readings: bool = True  # whether these are scored under all readings of running averages


GOLDFISH, CATS, MNIST = "dogs-vs-goldfish", "dogs-vs-cats", "mnist-0-vs-8"

# Tables I, II and III; None where the paper has no such row.
PAPER_ARMS = ("none", "traditional", "gan", "neural", "neural-content", "neural-style", "control")
TABLES = {
    GOLDFISH: (0.855, 0.890, 0.865, 0.915, 0.900, 0.890, 0.840),
    CATS: (0.705, 0.775, 0.720, 0.765, 0.770, 0.740, 0.710),
    MNIST: (0.972, None, None, 0.975, 0.968, None, None),
}
EXPERIMENTS = tuple(
    Experiment(task, arm, accuracy)
    for task, row in TABLES.items()
    for arm, accuracy in zip(PAPER_ARMS, row, strict=True)
    if accuracy is not None
)
PAPER = {(row.task, row.arm): row.paper for row in EXPERIMENTS}

PRESETS = {
    "quick": Preset(40, 100, side=32, learning_rate=1e-3, last_epochs=3, readings=False),
    "paper": Preset(40, None),
}
