"""The planned study: its runs, in order of priority, and what they decide (notebooks/PLAN.md).

Nothing here changes once its first run is committed, except as PLAN.md says, with date and reason.
"""

from typing import NamedTuple

from course_lib.images.tasks import BREEDS
from course_lib.paper import CATS, GOLDFISH, MNIST
from course_lib.support.files import BUNDLED

STUDY = BUNDLED / "reference" / "study"
ARMS_FIRST = (
    "neural", "control", "none-matched", "traditional", "traditional-fresh", "gan", "none",
)  # fmt: skip
ARMS_THEN = ("neural-content", "neural-style")
ARMS_ON_DIGITS = ("neural", "neural-content", "none")
FIRST_SEEDS = {CATS: 100, GOLDFISH: 120, MNIST: 140}  # the pilot's were 0–5
REPETITIONS = 3
DIGIT_SEEDS = 10


class PairRun(NamedTuple):
    """All arms of one seed on one pair of classes; `stratum` is the paper's task."""

    stratum: str
    dog: str
    other: str
    seed: int

    @property
    def task(self) -> str:
        """The pair's task, as `load_task` takes it."""
        return f"{self.dog}-vs-{self.other}"


class Comparison(NamedTuple):
    """A claim about `first` − `second`: above 0 (direction 1) or below it (−1)."""

    text: str
    first: str
    second: str
    direction: int


def _pair_runs() -> tuple[PairRun, ...]:
    """In three rounds: after each, every dog has met one more cat, and the goldfish once more."""
    runs = []
    for turn in range(REPETITIONS):
        for number, dog in enumerate(BREEDS["dogs"]):
            cat = (number + turn) % len(BREEDS["cats"])
            seed = FIRST_SEEDS[CATS] + len(BREEDS["cats"]) * number + cat
            runs.append(PairRun(CATS, dog, BREEDS["cats"][cat], seed))
            seed = FIRST_SEEDS[GOLDFISH] + REPETITIONS * number + turn
            runs.append(PairRun(GOLDFISH, dog, BREEDS["goldfish"][0], seed))
    return tuple(runs)


PAIR_RUNS = _pair_runs()
DIGIT_RUNS = tuple(FIRST_SEEDS[MNIST] + number for number in range(DIGIT_SEEDS))
# (task, arm, seed) of every run, in order of priority.
PLAN = (
    *((pair.task, arm, pair.seed) for pair in PAIR_RUNS for arm in ARMS_FIRST),
    *((pair.task, arm, pair.seed) for pair in PAIR_RUNS for arm in ARMS_THEN),
    *((MNIST, arm, seed) for seed in DIGIT_RUNS for arm in ARMS_ON_DIGITS),
)
COMPARISONS = (
    Comparison("neural augmentation beats none", "neural", "none", 1),
    Comparison("traditional transformations beat none", "traditional", "none", 1),
    Comparison("GAN styles beat none", "gan", "none", 1),
    Comparison("the control is worse than none", "control", "none", -1),
    Comparison("pairs help: neural beats the control", "neural", "control", 1),
    Comparison("neural beats traditional", "neural", "traditional", 1),
)
POSITIVE_CONTROL = Comparison(
    "fresh transformations beat the same steps without any", "traditional-fresh", "none-matched", 1
)
