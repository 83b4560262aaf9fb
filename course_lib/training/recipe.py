"""Every choice of a training, with its default, once."""

from dataclasses import dataclass

from course_lib.arms.arm import Choices
from course_lib.arms.generators import KINDS
from course_lib.arms.traditional import BOUNDS
from course_lib.losses import CLASSIFICATION_LOSSES
from course_lib.models import INITIALISATIONS, NETWORKS, READINGS
from course_lib.support.devices import PRECISIONS
from course_lib.support.validation import CourseError, choose, number, whole_number

MOST_EPOCHS, MOST_IMAGES = 10**6, 2**20  # a batch of more is a slip of the keyboard
MOST_LAST_EPOCHS = 35  # a digit of a result's file counts them


@dataclass(frozen=True)
class Recipe(Choices):
    """Every choice of a training (§5), the paper's value or ours; CourseError for a bad one."""

    epochs: int = 40
    batch_size: int = 64  # ours
    learning_rate: float = 1e-4  # Adam's
    augnet_learning_rate: float | None = None  # None: the same
    network: str = "smallnet"  # of NETWORKS
    vgg_weights: str | None = None  # a file of torchvision's for VGG16, to fine-tune from
    dropout: float = 0.5  # ours
    smallnet_initialisation: str = "torch"  # or "glorot"
    weight_decay: float = 0.0  # AdamW's, apart from the gradient
    label_smoothing: float = 0.0  # of the labels trained on: the share given to both classes alike
    momentum: float = 0.1  # a batch's share of the running averages; TensorFlow: 1 − decay
    loss: str = "sigmoid"  # the reading of `losses.classification_loss`
    alpha: float = 0.75  # weight of the classification loss of generated images
    beta: float = 0.25  # weight of the augmentation loss
    update: str = "alternate"  # training images, then generated ones; "joint": one step on the sum
    running_statistics: str = "all"  # batch normalisation's for unseen images, of READINGS
    last_epochs: int = 10  # whose accuracy on all unseen images is averaged
    balance: bool = False  # copy images of the class that has fewer, until both have as many
    readings: bool = True  # whether unseen images are also scored under the other READINGS
    precision: str = "float32"  # of the steps' products; "bfloat16": by autocast

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number("epochs", self.epochs, at_least=1, at_most=MOST_EPOCHS)
        whole_number("batch_size", self.batch_size, at_least=1, at_most=MOST_IMAGES)
        for name in ("learning_rate", "augnet_learning_rate", "augnet_gain"):
            value = getattr(self, name)
            if value is not None and number(name, value) <= 0:
                raise CourseError(f"{name} {value!r} must be a number above 0")
        number("dropout", self.dropout, 0, 0.99)
        number("momentum", self.momentum, 0, 1)
        number("weight_decay", self.weight_decay, 0, 10)
        number("label_smoothing", self.label_smoothing, 0, 1)
        if number("alpha", self.alpha, 0) == number("beta", self.beta, 0) == 0:
            raise CourseError("alpha and beta are both 0: nothing would be learned")
        choose("network", self.network, NETWORKS)
        if self.vgg_weights is not None and self.network != "vgg16":
            raise CourseError(f"vgg_weights {self.vgg_weights!r} need network 'vgg16'")
        choose("loss", self.loss, CLASSIFICATION_LOSSES)
        choose("update", self.update, ("alternate", "joint"))
        choose("running_statistics", self.running_statistics, READINGS)
        whole_number("last_epochs", self.last_epochs, at_least=1, at_most=MOST_LAST_EPOCHS)
        choose("precision", self.precision, PRECISIONS)
        choose("initialisation", self.initialisation, INITIALISATIONS)
        choose("smallnet_initialisation", self.smallnet_initialisation, INITIALISATIONS)
        choose("transforms", self.transforms, ("all", "one", *BOUNDS))
        if number("strength", self.strength, 0) == 0 and self.transforms == "one":
            raise CourseError("strength 0 leaves no transformation for transforms 'one' to draw")
        choose("generators", self.generators, ("auto", *KINDS))
