"""Bad input of every kind: one line that names the value and what is allowed, exit code 2."""

import dataclasses
import io
import json
import math

import nbformat
import numpy as np
import pytest
import torch
from conftest import WNIDS, official_files, write_official
from PIL import Image

from course_lib.__main__ import main
from course_lib.analysis import comparison
from course_lib.analysis.statistics import (
    best_of_bias,
    holm,
    images_needed,
    mcnemar,
    mcnemar_power,
    paired_difference,
    seeds_needed,
    wilson_interval,
)
from course_lib.arms import ARMS
from course_lib.arms.cyclegan import CycleGANRecipe
from course_lib.arms.domains import read_pictures, train_style
from course_lib.arms.gan import in_style, stylise
from course_lib.arms.generators import KINDS, read_generator
from course_lib.arms.pairs import Augmenter, SameClassSampler, mean
from course_lib.arms.traditional import PICTURES, Transforms, traditional
from course_lib.images import mnist
from course_lib.images.tasks import load_task
from course_lib.losses import (
    classification_loss,
    content_loss,
    gram_matrix,
    style_loss,
)
from course_lib.pages import run as notebooks
from course_lib.pages.run import read_parameters
from course_lib.show.curves import arm_panels
from course_lib.show.pictures import image_grid, labelled_rows
from course_lib.study import run_many, settings_of, study
from course_lib.support.devices import thread_count
from course_lib.support.files import BUNDLED, data_folder, runs_folder
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, fit

SMALL_STUDY = ("study", "--tasks", "mnist-0-vs-8", "--epochs", "1")
IMAGES = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
FLOATS = IMAGES.float()
SCORES, LABELS = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])


def rng():
    return torch.Generator().manual_seed(0)


# What is typed → words of the answer.
COMMANDS = [
    # The command line
    (["studdy"], ["studdy", "study"]),
    (["study", "more"], ["more"]),
    (["study", "--speed", "9"], ["--speed"]),
    (["study", "--tasks", "dogs"], ["'dogs'", "dogs-vs-cats"]),
    (["study", "--tasks", ""], ["''", "dogs-vs-cats"]),
    (["study", "--tasks", "n1-vs-n2"], ["'n1-vs-n2'", "WNID-vs-WNID"]),
    (["study", "--arms", "gans", *SMALL_STUDY[1:]], ["'gans'", "gan"]),
    (["study", "--arms", "gan", "--tasks", "mnist-0-vs-8"], ["gan", "mnist-0-vs-8"]),
    (["study", "--preset", "big"], ["'big'", "quick, paper"]),
    ([*SMALL_STUDY, "--device", "cuda:7"], ["'cuda:7'", "cpu"]),
    ([*SMALL_STUDY, "--seeds", "one"], ["'one'", "0-4"]),
    ([*SMALL_STUDY, "--seeds", "4-0"], ["'4-0'", "upwards"]),
    ([*SMALL_STUDY, "--seeds", "-1"], ["'-1'", "0-4"]),
    ([*SMALL_STUDY, "--seeds", "0,"], ["'0,'", "0-4"]),
    ([*SMALL_STUDY, "--seeds", "0-999999999999"], ["'0-999999999999'", "10000 at most"]),
    (["study", "--tasks", "mnist-0-vs-8", "--epochs", "0"], ["epochs 0", "1 or more"]),
    (["study", "--epochs", "many"], ["many", "integer"]),
    ([*SMALL_STUDY, "--batch-size", "-4"], ["batch_size -4", "1 or more"]),
    ([*SMALL_STUDY, "--workers", "some"], ["'some'", "auto"]),
    ([*SMALL_STUDY, "--workers", "²"], ["'²'", "auto"]),
    ([*SMALL_STUDY, "--workers", "0"], ["workers 0", "1 or more"]),
    ([*SMALL_STUDY, "--source", "web"], ["'web'", "mnist"]),
    (["study", "--tasks", "dogs-vs-cats", "--source", "web"], ["'web'", "stand-in"]),
    (["study", "--tasks", "dogs-vs-cats", "--source", "tiny-imagenet"], ["not on disk"]),
    (["results", "--preset", "big"], ["'big'", "quick, paper"]),
    (["results", "--format", "html"], ["'html'", "markdown, csv"]),
    (["run", "--preset", "huge"], ["'huge'", "quick, paper"]),
    (["run", "--timeout", "0"], ["timeout 0", "1 or more"]),
    (["styles", "train", "new"], ["--domain"]),
    (["styles", "train", "New!", "--domain", "."], ["'New!'", "small letters"]),
    (["styles", "train", "new", "--domain", "nowhere"], ["nowhere", ".png"]),
    (["styles", "train", "new", "--domain", ".", "-p", "steps=x"], ["'x'", "steps"]),
    (["styles", "train", "new", "--domain", ".", "-p", "seed=-1"], ["seed -1", "0 or more"]),
    # Parameters of the notebooks
    (["run", "-p", "sed=1"], ["'sed'", "seed"]),
    (["run", "-p", "seed"], ["seed", "name=value"]),
    (["run", "-p", "seed=one"], ["'one'", "whole number"]),
    (["run", "-p", "seed=-1"], ["seed -1", "0 or more"]),
    (["run", "-p", "live_steps=0"], ["live_steps 0", "1 or more"]),
    (["run", "-p", "alpha=-0.5"], ["alpha -0.5", "0 or more"]),
    (["run", "-p", "beta=1e999"], ["beta inf", "0 or more"]),
    (["run", "-p", "device=tpu"], ["'tpu'", "cpu"]),
    (["run", "-p", "source=web"], ["'web'", "stand-in"]),
    (["run", "-p", "preset=paper"], ["preset=paper", "--preset"]),
]

# Name → a call, given a small task, and a part of its error.
CALLS = {
    # Tasks
    "load_task: not a name": (lambda t: load_task(["dogs-vs-cats"]), "task ['dogs-vs-cats']"),
    "load_task: no source": (lambda t: load_task("mnist-0-vs-8", None), "None is unknown"),
    "load_task: text": (
        lambda t: load_task("mnist-0-vs-8", images_per_class="9"), "'9' must be a whole number",
    ),
    "Task: no images": (
        lambda t: dataclasses.replace(t, test=t.test._replace(images=IMAGES[:0])),
        "test images (0, 3, 8, 8) torch.uint8 must be a tensor (N, 1|3, S, S)",
    ),
    "Task: not square": (
        lambda t: dataclasses.replace(t, train=t.train._replace(images=t.train.images[..., :4])),
        "train images (48, 3, 8, 4)",
    ),
    "Task: a third class": (
        lambda t: dataclasses.replace(t, train=t.train._replace(labels=torch.arange(48) % 3)),
        "train labels from 0 to 2 must be 0 or 1",
    ),
    "Task: too few labels": (
        lambda t: dataclasses.replace(t, train=t.train._replace(labels=LABELS)),
        "train labels (4,) torch.int64 must be a tensor (48,)",
    ),
    "fit: one class": (
        lambda t: fit(dataclasses.replace(t, train=t.train._replace(labels=0 * t.train.labels))),
        "class 1 has 0 training images: a task has two classes",
    ),
    "with_copies: a list": (lambda t: t.with_copies([1]), "copies list must be a tensor"),
    "normalise: grey": (lambda t: t.normalise(IMAGES[:, :1]), "must be a tensor (N, 3, H, W)"),
    "denormalise: uint8": (lambda t: t.denormalise(IMAGES), "(N, 3, H, W) of float"),
    # Augmentations
    "traditional: a list": (lambda t: traditional([1], PICTURES, rng()), "images list must be"),
    "traditional: NumPy": (
        lambda t: traditional(IMAGES.numpy(), PICTURES, rng()), "must be a tensor (N, 1|3, H, W)",
    ),
    "traditional: none": (lambda t: traditional(IMAGES[:0], PICTURES, rng()), "not empty"),
    "traditional: no generator": (lambda t: traditional(IMAGES, PICTURES, None), "generator None"),
    "traditional: a dict": (lambda t: traditional(IMAGES, {"flip": 1}, rng()), "{'flip': 1}"),
    "Transforms: a bool": (lambda t: Transforms(flip=True), "flip True must be a number from 0"),
    "Transforms.only": (lambda t: PICTURES.only("flap"), "'flap' is unknown (did you mean flip"),
    "stylise: threads": (lambda t: stylise(IMAGES, threads=0), "threads 0 must be"),
    "stylise: one name": (lambda t: stylise(IMAGES, "monet"), "style 'm' is unknown"),
    "in_style: floats": (lambda t: in_style(FLOATS, "monet"), "images (4, 3, 8, 8) torch.float32"),
    "in_style: grey": (lambda t: in_style(IMAGES[:, :1], "monet"), "must be a tensor (N, 3, H, W)"),
    "sampler: floats": (lambda t: SameClassSampler(SCORES[:, 0]), "must be a tensor (N,) of int64"),
    "sampler: label 2": (lambda t: SameClassSampler(LABELS + 1), "labels from 1 to 2 must be 0 or 1"),
    "sampler: label -1": (lambda t: SameClassSampler(LABELS - 1), "labels from -1 to 0"),
    "Augmenter: uint8": (lambda t: Augmenter(IMAGES, LABELS, mean), "of float, not empty"),
    "Augmenter: counts": (
        lambda t: Augmenter(FLOATS[:3], LABELS, mean), "labels (4,) torch.int64",
    ),
    # Losses
    "scores: one class": (lambda t: classification_loss(SCORES[:, :1], LABELS), "scores (4, 1)"),
    "scores: three classes": (
        lambda t: classification_loss(torch.zeros(4, 3), LABELS), "must be a tensor (N, 2) of float",
    ),
    "scores: none": (lambda t: classification_loss(SCORES[:0], LABELS[:0]), "not empty"),
    "labels: floats": (lambda t: classification_loss(SCORES, LABELS.float()), "(4,) of int64"),
    "labels: too few": (lambda t: classification_loss(SCORES, LABELS[:3]), "labels (3,)"),
    "labels: 2": (lambda t: classification_loss(SCORES, LABELS + 1), "from 1 to 2 must be 0 or 1"),
    "labels: ignored": (
        lambda t: classification_loss(SCORES, LABELS - 100, "softmax"), "from -100 to -99",
    ),
    "content_loss: broadcast": (
        lambda t: content_loss(FLOATS, FLOATS[:1]), "target (1, 3, 8, 8) torch.float32 must be",
    ),
    "content_loss: uint8": (lambda t: content_loss(IMAGES, IMAGES), "of float"),
    "style_loss: broadcast": (lambda t: style_loss(FLOATS, FLOATS[:, :1]), "target (4, 1, 8, 8)"),
    "gram_matrix: one image": (lambda t: gram_matrix(FLOATS[0]), "images (3, 8, 8)"),
    "gram_matrix: uint8": (lambda t: gram_matrix(IMAGES), "of float, not empty"),
    "Recipe: alpha": (lambda t: Recipe(alpha=True), "alpha True must be a number"),
    # Networks
    "SmallNet: channels": (
        lambda t: dataclasses.replace(t, test=t.test._replace(images=IMAGES[:, :2])),
        "test images (4, 2, 8, 8)",
    ),
    "SmallNet: side": (
        lambda t: dataclasses.replace(
            t, train=t.train._replace(images=t.train.images[..., :6, :6])
        ),
        "train images' side 6 must be a multiple of 4",
    ),
    "AugNet: channels": (
        lambda t: ARMS["neural"].augmenter(FLOATS[:, :0], LABELS, Recipe()), "images (4, 0, 8, 8)",
    ),
    "Generator: width": (lambda t: CycleGANRecipe(1, width=0), "width 0 must be"),
    "Generator: upsampling": (lambda t: CycleGANRecipe(1, upsampling="up"), "choose one of transp"),
    "Discriminator: halvings": (
        lambda t: CycleGANRecipe(1, critic_halvings=0), "critic_halvings 0 must be",
    ),
    "CycleGANRecipe: bfloat16": (
        lambda t: CycleGANRecipe(1, bfloat16="no"), "bfloat16 'no' must be True or False",
    ),
    # Training and experiments
    "fit: a name": (lambda t: fit("dogs-vs-cats"), "task 'dogs-vs-cats' must be a Task"),
    "fit: learning rate": (lambda t: fit(t, recipe=Recipe(learning_rate="fast")), "learning_rate 'fast' must be"),
    "fit: no learning": (lambda t: fit(t, recipe=Recipe(learning_rate=-1.0)), "-1.0 must be a number above 0"),
    "fit: an unused choice": (lambda t: fit(t, recipe=Recipe(initialisation="he")), "'he' is unknown: choose one"),
    "threads": (lambda t: thread_count("2").__enter__(), "threads '2' must be a whole number"),
    "settings: transforms": (
        lambda t: settings_of("dogs-vs-cats", "none", transforms="flop"), "(did you mean flip?)",
    ),
    "settings: generators": (
        lambda t: settings_of("dogs-vs-cats", "none", generators="big"), "choose one of auto",
    ),
    "settings: source": (
        lambda t: settings_of("dogs-vs-cats", "none", source="web"), "source 'web' is unknown",
    ),
    "study: one name": (lambda t: study("dogs-vs-cats"), "as in ['dogs-vs-cats']"),
    "study: one seed": (lambda t: study(seeds=3), "seeds 3 must be a list, as in [3]"),
    "run_many: none": (lambda t: run_many([], runs_folder()), "wanted [] names no run"),
    "train_style: no photos": (
        lambda t: train_style("new", picture(data_folder(), png()), [], ["steps=1"]), "photos () names none",
    ),
    # Statistics, tables and figures
    "wilson: text": (lambda t: wilson_interval(5, 10, "95 %"), "confidence '95 %' must be a number"),
    "mcnemar: a 2": (lambda t: mcnemar([2, 0], [1, 1]), "correctness must be True or False"),
    "mcnemar: text": (lambda t: mcnemar(["0"], ["1"]), "correctness ['0'] must be a row"),
    "mcnemar: nan": (lambda t: mcnemar([math.nan], [True]), "correctness [nan] must be"),
    "paired: text": (lambda t: paired_difference(["a"], ["b"]), "accuracies ['a'] must be"),
    "paired: nan": (lambda t: paired_difference([0.1, math.nan], [0.1, 0.2]), "[0.1, nan]"),
    "holm: no share": (lambda t: holm([1.5, 0.1]), "p values [1.5, 0.1] must lie between 0 and 1"),
    "holm: a number": (lambda t: holm(0.5), "p values 0.5 must be a row"),
    "power: text": (lambda t: mcnemar_power("a", 0.1, 10), "only_first 'a' must be a number"),
    "images: most": (lambda t: images_needed(0.1, 0.2, most=-1), "most -1 must be"),
    "seeds: infinite": (lambda t: seeds_needed(math.inf, 1.0), "difference inf must be a number"),
    "bias: nan": (lambda t: best_of_bias(math.nan, 10, 2), "accuracy nan must be a number from 0"),
    "mean of nothing": (lambda t: comparison.mean_interval([]), "values [] hold no seed"),
    "paper_table": (lambda t: comparison.paper_table([], [], "cats"), "task 'cats' is unknown"),
    "differences": (lambda t: comparison.differences([], "cats"), "there is none to choose"),
    "mcnemar_by_seed": (
        lambda t: comparison.mcnemar_by_seed([], "dogs-vs-cats", "nonne", "gan"), "mean none",
    ),
    "image_grid: floats": (lambda t: image_grid(FLOATS), "images (4, 3, 8, 8) torch.float32"),
    "labelled_rows": (
        lambda t: labelled_rows({"a": IMAGES, "b": IMAGES[:2]}),
        "rows of [2, 4] images must",
    ),
    "image_grid: columns": (lambda t: image_grid(IMAGES, columns=0), "columns 0 must be"),
    "arm_panels: measure": (lambda t: arm_panels([], "", "tests"), "measure 'tests' is unknown"),
}  # fmt: skip


def picture(folder, content):
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(content)
    return folder


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (60, 60)).save(buffer, "PNG")
    return buffer.getvalue()


def tiny_zip(damage):
    """The command on a Tiny ImageNet of two classes whose zip was damaged."""
    root = write_official(data_folder(), official_files(), as_zip=True)
    root.write_bytes(damage(root.read_bytes()))
    load_task("-vs-".join(WNIDS))


def other_version(content):
    """A zip whose list of files asks for a version of the format that does not exist."""
    start = content.index(b"PK\x01\x02")
    return content[: start + 6] + b"\xff\x00" + content[start + 8 :]


def bundled_digits(change):
    """The bundled digits after a change to their file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "BUNDLED", data_folder())
        data_folder().mkdir(parents=True)
        content = change((BUNDLED / "mnist-0-8.npz").read_bytes())
        (data_folder() / "mnist-0-8.npz").write_bytes(content)
        load_task("mnist-0-vs-8")


def mnist_files(images, labels):
    """MNIST's four files, with so many test images and labels."""
    raw = data_folder() / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, counts in (("train", (60, 60)), ("t10k", (images, labels))):
        for name, count, sides in zip(("images", "labels"), counts, ((28, 28), ()), strict=True):
            shape = (count, *sides)
            head = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
            values = np.arange(math.prod(shape)) % 3 * 4  # of the labels: 0, 4 and 8
            path = raw / f"{part}-{name}-idx{len(shape)}-ubyte"
            path.write_bytes(head + values.astype(np.uint8).tobytes())
    load_task("mnist-0-vs-8")


def weights_file(content):
    path = runs_folder() / "style.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    read_generator(path, KINDS["bundled"])


def reference_file(change):
    """The bundled results after a change to the record in one of their files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "PILOT", data_folder())
        data_folder().mkdir(parents=True)
        path = sorted((BUNDLED / "reference" / "pilot").glob("*.json"))[0]
        record = json.loads(path.read_text())
        change(record)
        (data_folder() / path.name).write_text(json.dumps(record))
        comparison.reference_results()


FILES = {
    "zip: empty": (lambda t: tiny_zip(lambda content: b""), "zip is no complete zip file"),
    "zip: cut off": (lambda t: tiny_zip(lambda content: content[:-30]), "no complete zip file"),
    "zip: unknown version": (lambda t: tiny_zip(other_version), "zip is no complete zip file"),
    "zip: a damaged member": (
        lambda t: tiny_zip(lambda content: content.replace(b"not read", b"NOT READ").replace(b"\xff\xd8", b"\xff\xd9", 1)),
        "tiny-imagenet-200.zip holds train/",
    ),
    "folder: empty": (
        lambda t: ((data_folder() / "tiny-imagenet-200").mkdir(parents=True), load_task("dogs-vs-cats")),
        "val_annotations.txt cannot be read",
    ),
    "digits: gone": (lambda t: bundled_digits(lambda content: b""), "brings it back"),
    "digits: a damaged byte": (
        lambda t: bundled_digits(lambda content: content[:90] + b"\xff" * 9 + content[99:]),
        "mnist-0-8.npz is damaged or gone",
    ),
    "MNIST: fewer labels": (lambda t: mnist_files(30, 20), "MNIST/raw cannot be read"),
    "weights: no such file": (lambda t: weights_file(b"<html>"), "style.safetensors is no"),
    "pictures: a broken PNG": (
        lambda t: read_pictures(picture(data_folder(), png()[:33] + b"\xe3O\x00\x00" * 20), 48),
        "a.png cannot be read as a picture",
    ),
    "pictures: an odd PNG": (
        lambda t: read_pictures(picture(data_folder(), png().replace(b"\r\x49HDR", b"\x02IHDR")), 48),
        "a.png cannot be read as a picture",
    ),
    "result: no such epoch": (
        lambda t: reference_file(lambda record: record.update(best_epoch=40)), "json is damaged",
    ),
    "result: a curve is missing": (
        lambda t: reference_file(lambda record: record["curves"].pop("validation_accuracy")),
        "json is damaged",
    ),
    "result: a setting is missing": (
        lambda t: reference_file(lambda record: record["settings"].pop("images_per_class")),
        "json is damaged",
    ),
    "result: no date": (
        lambda t: reference_file(lambda record: record["environment"].pop("date")),
        "json is damaged",
    ),
    "notebook: text": (
        lambda t: read_parameters(picture(data_folder(), b"<<<<<<< HEAD") / "a.png"),
        "a.png is not a notebook",
    ),
}  # fmt: skip

ROWS = [
    *(pytest.param(typed, words, id=" ".join(typed)) for typed, words in COMMANDS),
    *(pytest.param(call, [word], id=name) for name, (call, word) in (CALLS | FILES).items()),
]


@pytest.mark.parametrize(("what", "words"), ROWS)
def test_one_line_names_the_value_and_what_is_allowed(what, words, tiny_task, capsys):
    if callable(what):
        with pytest.raises(CourseError) as caught:
            what(tiny_task)
        message = f"{caught.value}\n"
    else:
        assert main(list(what)) == 2
        message = capsys.readouterr().err
        assert message.startswith("course: ")
    assert message.count("\n") == 1
    for word in words:
        assert word in message, message
    assert not list(runs_folder().rglob("*.json")) and not list(runs_folder().rglob(".part-*"))


def test_a_value_that_a_notebook_refuses(tmp_path, monkeypatch, capsys):
    """What only the notebook's code can check ends in the same way, not as a failed notebook."""
    source = "from course_lib.support.validation import CourseError\nraise CourseError('alpha and beta are both 0')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "00_a.ipynb")
    monkeypatch.setattr(notebooks.run_notebooks, "__defaults__", (tmp_path, 60, None, None))
    assert main(["run"]) == 2
    assert capsys.readouterr().err.endswith("course: 00_a: alpha and beta are both 0\n")
