"""The six styles' generators as files: bundled with the course, or published by CycleGAN's authors.

Nothing here unpickles code: bundled files are safetensors, published ones are read `weights_only`.
"""

import hashlib
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from course_lib.models import Generator
from course_lib.support.download import DownloadFailed, fetch_file
from course_lib.support.files import BUNDLED, data_folder, make_folder, write_whole
from course_lib.support.validation import CourseError, choose

# Style → its name among the published files.
STYLES = {
    "cezanne": "style_cezanne",
    "enhance": "iphone2dslr_flower",
    "monet": "style_monet",
    "ukiyo-e": "style_ukiyoe",
    "van-gogh": "style_vangogh",
    "winter": "summer2winter_yosemite",
}
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PINS = "SHA256SUMS"  # beside the published files: as they were when first seen, for sha256sum -c
ADDRESS = "http://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models"
# Files from before PyTorch 0.4 carry statistics that instance normalisation does not use.
OLD_SUFFIXES = (".running_mean", ".running_var", ".num_batches_tracked")


class Kind(NamedTuple):
    """What generators are built like, and the side of the pictures that they were made for."""

    width: int
    blocks: int
    upsampling: str
    residual: bool
    side: int

    def __str__(self) -> str:
        layers = f"width {self.width}, {self.blocks} blocks, upsampling {self.upsampling}"
        return f"{layers}, {'' if self.residual else 'not '}residual, side {self.side}"

    def build(self) -> Generator:
        """A generator of this kind, freshly initialised."""
        return Generator(self.width, self.blocks, self.upsampling, self.residual)


KINDS = {
    "bundled": Kind(24, 4, "resize", True, side=128),
    "published": Kind(64, 9, "transposed", False, side=256),
}


def generator_path(style: str, kind: str) -> Path:
    """Where a generator's file is, or would be."""
    choose("style", style, STYLES)
    if choose("generators", kind, KINDS) == "bundled":
        return BUNDLED / "styles" / f"{style}.safetensors"
    return data_folder() / "cyclegan" / f"{STYLES[style]}.pth"


def choose_kind(generators: str) -> str:
    """The published generators for "auto" if all six are on disk, else the bundled ones."""
    if choose("generators", generators, ("auto", *KINDS)) != "auto":
        return generators
    there = all(generator_path(style, "published").is_file() for style in STYLES)
    return "published" if there else "bundled"


def load_generator(style: str, kind: str = "bundled") -> Generator:
    """One style's generator, ready to use (float32, on the CPU)."""
    return read_generator(_existing(style, kind), KINDS[kind])


def generators_digest(kind: str, styles: Sequence[str] = tuple(STYLES)) -> str:
    """One digest of the weights files of some styles."""
    digests = (bytes.fromhex(_digest(_existing(style, kind))) for style in styles)
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror or error}") from error


def _existing(style: str, kind: str) -> Path:
    path = generator_path(style, kind)
    if not path.is_file():
        hint = ": `python -m course_lib data --styles` fetches it" if kind == "published" else ""
        raise CourseError(f"{path} is not there{hint}")
    return path


def read_generator(path: Path, kind: Kind) -> Generator:
    """A generator of this kind from safetensors or a published .pth, else a CourseError."""
    weights = _read_pth(path) if path.suffix == ".pth" else _read_safetensors(path, kind)
    with torch.device("meta"):  # no weights are drawn: a training's random numbers stay its own
        generator = kind.build()
    own = generator.state_dict()
    for name in sorted(weights.keys() ^ own.keys()):
        state = "missing" if name in own else "new"
        raise CourseError(f"{path} is no generator of {kind}: {name} is {state}")
    for name, value in own.items():
        found, wanted = tuple(weights[name].shape), tuple(value.shape)
        if found != wanted:
            raise CourseError(f"{path} is no generator of {kind}: {name} is {found}, not {wanted}")
        layout = weights[name].layout, weights[name].device.type, weights[name].dtype
        if layout[:2] != (torch.strided, "cpu") or layout[2] not in NUMBERS:
            raise CourseError(f"{path} is no generator of {kind}: {name} is stored as {layout}")
        if not weights[name].isfinite().all():
            raise CourseError(f"{path} is damaged: {name} holds values that are not finite")
    generator.load_state_dict({name: weights[name].float() for name in own}, assign=True)
    return generator.eval()


def _read_safetensors(path: Path, kind: Kind) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            made = (file.metadata() or {}).get("kind", "an unknown kind")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CourseError(f"{path} is no safetensors file, or is damaged: {error}") from error
    if made != str(kind):
        raise CourseError(f"{path} is a generator of {made}, not of {kind}")
    return weights


def _read_pth(path: Path) -> dict[str, Tensor]:
    """Tensors by name from PyTorch's own format, without the old statistics."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles: they are refused anyway
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no such file can raise nearly anything
        wrong = f"{path} holds no weights, or more than weights, or is cut off"
        raise CourseError(wrong) from error
    by_name = isinstance(weights, dict) and all(isinstance(name, str) for name in weights)
    if not by_name or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CourseError(f"{path} is no table of weights by name")
    return {name: value for name, value in weights.items() if not name.endswith(OLD_SUFFIXES)}


def save_generator(path: Path, generator: Generator, kind: Kind, about: dict[str, str]) -> None:
    """Write a generator's weights in half precision, with its kind and more in the header."""
    state = generator.state_dict()
    weights = {name: value.to("cpu", torch.float16).contiguous() for name, value in state.items()}
    header = {"kind": str(kind), **about}
    write_whole(path, lambda temporary: save_file(weights, temporary, header))


def fetch_styles(address: str = ADDRESS) -> Path:
    """Download what is missing of the published generators (45.5 MB each); returns their folder.

    Their authors publish no digests: those of the first fetch are kept in its `SHA256SUMS`, and a
    CourseError refuses other files from then on.
    """
    folder = data_folder() / "cyclegan"
    make_folder(folder)
    for style in STYLES:
        path = generator_path(style, "published")
        if path.exists():
            read_generator(path, KINDS["published"])
            _pin(path, path.name)
            continue
        url, names = f"{address}/{path.name}", ", ".join(STYLES.values())
        advice = f"get {names} (each .pth) from CycleGAN's project page and put them into {folder}"
        try:
            write_whole(path, partial(_fetch, url))
        except DownloadFailed as error:
            raise CourseError(f"{url} cannot be fetched ({error}); by hand: {advice}") from error
    return folder


def _fetch(url: str, part: Path) -> None:
    fetch_file(url, part)
    try:
        read_generator(part, KINDS["published"])
    except CourseError as error:
        raise DownloadFailed("what the server sends is no published generator") from error
    _pin(part, url.rpartition("/")[2])


def pinned() -> dict[str, str]:
    """Name → SHA-256 of the published files that have been fetched, as they were at first."""
    try:
        lines = (data_folder() / "cyclegan" / PINS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _pin(path: Path, name: str) -> None:
    """Keep the digest of a published file, or compare it with the one that is kept."""
    pins, digest = pinned(), _digest(path)
    if pins.get(name, digest) != digest:
        where = data_folder() / "cyclegan" / PINS
        raise CourseError(f"{name} has SHA-256 {digest}, not the one in {where}")
    pins[name] = digest
    text = "".join(f"{pins[name]}  {name}\n" for name in sorted(pins))
    target = data_folder() / "cyclegan" / PINS
    write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))
