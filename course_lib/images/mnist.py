"""Real MNIST zeros and eights: a bundled part, or the whole set when its files are on disk."""

import torch
from torch import Tensor

from course_lib.images import Examples, labelled
from course_lib.support.files import BUNDLED, data_folder, read_arrays
from course_lib.support.validation import CourseError

DIGITS = (0, 8)
PAPER_COUNT = 1000  # "2k images from MNIST, 1000 from each class" (§4)
BUNDLED_TEST_COUNT = 100


def load_zeros_and_eights() -> tuple[Examples, Examples]:
    """Images to train and validate on, then test images: (N, 1, 28, 28) each, label 1 is digit 8.

    These are the first 1,000 of each digit in torchvision's training file and all of its test file
    (`MNIST/raw/` in the data folder), or else the bundled 844 of each digit and 100 to test on.
    """
    if (data_folder() / "MNIST" / "raw").is_dir():
        pool = [digits[:PAPER_COUNT] for digits in _torchvision_digits(train=True)]
        return labelled(pool), labelled(_torchvision_digits(train=False))
    path = BUNDLED / "mnist-0-8.npz"
    arrays = read_arrays(path) or {}
    kinds = {(arrays[name].dtype.name, arrays[name].shape[1:]) for name in arrays}
    if not {"zeros", "eights"} <= arrays.keys() or kinds != {("uint8", (28, 28))}:
        repair = f"`git checkout data/{path.name}` brings it back"
        raise CourseError(f"{path} is damaged or gone: {repair}")
    digits = [torch.from_numpy(arrays[name]).unsqueeze(1) for name in ("zeros", "eights")]
    cut = min(map(len, digits)) - BUNDLED_TEST_COUNT
    held_out = [images[-BUNDLED_TEST_COUNT:] for images in digits]
    return labelled([images[:cut] for images in digits]), labelled(held_out)


def _torchvision_digits(train: bool) -> list[Tensor]:
    from torchvision.datasets import MNIST  # only here: importing it costs a second

    try:
        data = MNIST(data_folder(), train=train, download=False)
        return [data.data[data.targets == digit].unsqueeze(1) for digit in DIGITS]
    except Exception as error:  # bytes that are no such file can raise nearly anything
        wanted = "it must hold torchvision's four unpacked MNIST files, or be absent"
        folder = data_folder() / "MNIST" / "raw"
        raise CourseError(f"{folder} cannot be read: {wanted}") from error
