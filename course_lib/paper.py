"""What the paper says (Wang & Perez 2017): the experiments, claims and size; data alone."""

from __future__ import annotations

from typing import NamedTuple


class Experiment(NamedTuple):
    """One row of Tables I–III: the best validation accuracy in 40 epochs (§6), in 0–1."""

    task: str
    arm: str
    paper: float


class Claim(NamedTuple):
    """What §6 or §7 says: `first` is better (direction 1) or worse (−1) than `second`."""

    text: str
    task: str
    first: str
    second: str
    direction: int


class Preset(NamedTuple):
    """A size of the course: epochs, and how many images of each class are used (None: all)."""

    epochs: int
    images_per_class: int | None


GOLDFISH, CATS, MNIST = "dogs-vs-goldfish", "dogs-vs-cats", "mnist-0-vs-8"

# Table I, Table II, Table III.
EXPERIMENTS = (
    Experiment(GOLDFISH, "none", 0.855),
    Experiment(GOLDFISH, "traditional", 0.890),
    Experiment(GOLDFISH, "gan", 0.865),
    Experiment(GOLDFISH, "neural", 0.915),
    Experiment(GOLDFISH, "neural-content", 0.900),
    Experiment(GOLDFISH, "neural-style", 0.890),
    Experiment(GOLDFISH, "control", 0.840),
    Experiment(CATS, "none", 0.705),
    Experiment(CATS, "traditional", 0.775),
    Experiment(CATS, "gan", 0.720),
    Experiment(CATS, "neural", 0.765),
    Experiment(CATS, "neural-content", 0.770),
    Experiment(CATS, "neural-style", 0.740),
    Experiment(CATS, "control", 0.710),
    Experiment(MNIST, "none", 0.972),
    Experiment(MNIST, "neural", 0.975),
    Experiment(MNIST, "neural-content", 0.968),
)
PAPER = {(row.task, row.arm): row.paper for row in EXPERIMENTS}

CLAIMS = (
    Claim("neural beats none (Table I)", GOLDFISH, "neural", "none", 1),
    Claim("neural beats none (Table II)", CATS, "neural", "none", 1),
    Claim("traditional beats none (§7)", GOLDFISH, "traditional", "none", 1),
    Claim("traditional beats none (§7)", CATS, "traditional", "none", 1),
    Claim("GAN styles beat none (Table I)", GOLDFISH, "gan", "none", 1),
    Claim("GAN styles beat none (Table II)", CATS, "gan", "none", 1),
    Claim("control is worse than none (§6)", GOLDFISH, "control", "none", -1),
    Claim("control is worse than none (§6)", CATS, "control", "none", -1),
    Claim("pairs help: neural beats control", GOLDFISH, "neural", "control", 1),
    Claim("pairs help: neural beats control", CATS, "neural", "control", 1),
    Claim("neural beats traditional (Table I)", GOLDFISH, "neural", "traditional", 1),
    Claim("traditional beats neural (Table II)", CATS, "traditional", "neural", 1),
)

PRESETS = {"quick": Preset(epochs=4, images_per_class=100), "paper": Preset(40, None)}
