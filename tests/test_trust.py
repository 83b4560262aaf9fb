"""Folders, files and values of every odd kind, as strangers, classmates and full disks make them."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from conftest import WNIDS, official_files, write_notebook, write_official
from jupyter_client.manager import start_new_kernel
from PIL import EpsImagePlugin, Image
from safetensors.torch import save_file

from course_lib.__main__ import _seeds, main
from course_lib.analysis.comparison import differences, reference_results
from course_lib.analysis.results import read_result
from course_lib.arms import generators
from course_lib.arms.cyclegan import CycleGANRecipe, check_checkpoint, train_cyclegan
from course_lib.arms.domains import read_pictures
from course_lib.arms.generators import KINDS, read_generator
from course_lib.images import decoding, mirrors, mnist
from course_lib.images.decoding import decode_pictures
from course_lib.images.mirrors import fetch_tiny_imagenet
from course_lib.images.tasks import load_task
from course_lib.images.tiny_imagenet import load_tiny_imagenet
from course_lib.losses import cycle_loss, identity_loss
from course_lib.pages import checks
from course_lib.pages import run as notebooks
from course_lib.pages.run import NotebookFailed, run_notebooks
from course_lib.study import Settings, run_many, settings_of, study
from course_lib.support import files
from course_lib.support.devices import thread_count
from course_lib.support.files import data_folder, make_folder, runs_folder, write_whole
from course_lib.support.processes import worker_count
from course_lib.support.validation import CourseError
from course_lib.training import Recipe

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
SHORT = {"epochs": 1, "images_per_class": 20, "workers": 1}
NOBODY, OTHER, GROUP = 65534, 65533, 60001


def one_line(capsys, arguments, *words):
    """The command refuses in one line with these words; what it said."""
    assert main(list(arguments)) == 2
    message = capsys.readouterr().err
    assert message.startswith("course: ") and message.count("\n") == 1, message
    for word in words:
        assert word in message, message
    return message


def refused(call, *words):
    with pytest.raises(CourseError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    for word in words:
        assert word in message, message


# Folders that are named relative to where the command starts.


@pytest.mark.parametrize("variable", ["COURSE_DATA", "COURSE_RUNS"])
@pytest.mark.parametrize("text", ["mine", "./mine", "deep/../mine"])
def test_a_relative_folder_is_the_one_of_where_the_command_started(
    variable, text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, text)
    main(["--version"])
    monkeypatch.chdir("/")
    folder = data_folder() if variable == "COURSE_DATA" else runs_folder()
    assert folder == tmp_path / "mine" and os.environ[variable] == str(folder)


def test_kernels_work_in_the_folders_of_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_RUNS", "out")
    source = (
        "from course_lib.study import study\n"
        "study(['mnist-0-vs-8'], ['none'], epochs=1, images_per_class=20, preset='quick', workers=1)"
    )
    write_notebook(tmp_path / "pages" / "00_a.ipynb", "# A", source)
    monkeypatch.setattr(
        notebooks.run_notebooks, "__defaults__", (tmp_path / "pages", 90, None, None)
    )
    assert main(["run"]) == 0
    assert "mnist-0-vs-8" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "quick").glob("*.json"))) == 1


def test_a_run_without_a_result_is_an_error(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path / "00_a.ipynb", "# A", "1")
    monkeypatch.setattr(notebooks.run_notebooks, "__defaults__", (tmp_path, 60, None, None))
    assert main(["run"]) == 2
    assert "holds no result" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["dogs-vs-cats", "dogs-vs-goldfish"])
@pytest.mark.parametrize("holds", ["nothing", "other files", "no folder"])
def test_a_named_data_folder_without_images_is_no_stand_in(task, holds, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_STAND_INS")
    if holds != "no folder":
        (tmp_path / "data").mkdir()
    if holds == "other files":
        (tmp_path / "data" / "tiny-imagenet.zip").touch()
    refused(lambda: load_task(task), str(tmp_path / "data"), "course_lib data", "source=stand-in")
    assert load_task(task, "stand-in").source == "stand-in"


def test_no_data_folder_named_is_a_stand_in(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_STAND_INS")
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setattr(files, "BUNDLED", tmp_path)
    assert load_task("dogs-vs-cats").source == "stand-in"


# Bytes that must reach no program but the decoder that we mean.


def image_bytes(form, mode="RGB", size=(64, 64), fill=None):
    buffer = io.BytesIO()
    Image.new(mode, size, fill if fill is not None else 0).save(buffer, form)
    return buffer.getvalue()


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
STRANGE = {
    "PostScript": POSTSCRIPT,
    "ICO": image_bytes("ICO"),
    "PPM": image_bytes("PPM"),
    "TGA": image_bytes("TGA"),
    "PDF": image_bytes("PDF"),
    "text": b"no picture",
    "nothing": b"",
}


def in_the_official_folder(content):
    given = {**official_files(), "train/n00000001/images/n00000001_3.JPEG": content}
    load_tiny_imagenet(write_official(data_folder(), given, as_zip=False), WNIDS)


def in_the_official_zip(content):
    given = {**official_files(), "train/n00000001/images/n00000001_3.JPEG": content}
    load_tiny_imagenet(write_official(data_folder(), given, as_zip=True), WNIDS)


def among_own_pictures(content):
    for folder in ("a", "b"):
        (data_folder() / folder).mkdir(parents=True)
        for number in range(10):
            (data_folder() / folder / f"{number}.jpg").write_bytes(image_bytes("PNG", fill=number))
    (data_folder() / "b" / "3.jpg").write_bytes(content)
    return load_task(f"folder:{data_folder()}")


def in_a_style_domain(content):
    data_folder().mkdir(parents=True)
    (data_folder() / "a.jpg").write_bytes(content)
    return read_pictures(data_folder(), 32)


PLACES = (in_the_official_folder, in_the_official_zip, among_own_pictures, in_a_style_domain)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", STRANGE)
def test_no_foreign_program_sees_a_picture(place, kind, monkeypatch):
    asked = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **kwargs: asked.append(args))
    refused(lambda: place(STRANGE[kind]), "3.J" if "official" in place.__name__ else ".jpg")
    assert not asked


@pytest.mark.parametrize("place", PLACES)
def test_a_picture_of_too_many_pixels_is_not_decoded(place, monkeypatch):
    monkeypatch.setattr(decoding, "MOST_PIXELS", 5000)
    large = image_bytes("JPEG", size=(100, 100))
    refused(lambda: place(large), "10,000 pixels: 5,000 at most")


@pytest.mark.parametrize("place", [in_the_official_folder, in_the_official_zip])
@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_an_official_image_is_a_jpeg(place, form):
    refused(lambda: place(image_bytes(form)), "n00000001_3.JPEG")


def deep(kind):
    """A picture with 16 or 32 bits a channel."""
    buffer = io.BytesIO()
    values = np.full((64, 64), 30_000)
    pixels = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[kind]
    Image.fromarray(values.astype(pixels)).save(buffer, "PNG" if kind == "I;16" else "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize("place", [among_own_pictures, in_a_style_domain])
@pytest.mark.parametrize("kind", ["I;16", "I", "F"])
def test_deep_pictures_are_refused_not_cut_to_white(place, kind):
    refused(lambda: place(deep(kind)), "more than 8 bits")


def paletted(form, mode="P"):
    picture = Image.new("RGB", (64, 64), (200, 30, 60)).convert("P", palette=Image.Palette.ADAPTIVE)
    buffer = io.BytesIO()
    (picture if mode == "P" else picture.convert(mode)).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "P"), ("GIF", "P"), ("BMP", "P"), ("TIFF", "P"), ("PNG", "RGBA"), ("TIFF", "CMYK")],
)
def test_palettes_keep_their_colours(form, mode):
    (picture,) = in_a_style_domain(paletted(form, mode))
    assert np.abs(picture.float().mean(dim=(1, 2)).numpy() - (200, 30, 60)).max() < 4


@POSIX
@pytest.mark.parametrize("place", ["own", "style", "official"])
def test_a_pipe_is_not_waited_for(place):
    if place == "own":
        among_own_pictures(image_bytes("PNG"))
        path = data_folder() / "b" / "3.jpg"
    elif place == "style":
        in_a_style_domain(image_bytes("PNG"))
        path = data_folder() / "a.jpg"
    else:
        root = write_official(data_folder(), official_files(), as_zip=False)
        path = root / "train/n00000001/images/n00000001_3.JPEG"
    path.unlink()
    os.mkfifo(path)
    calls = {
        "own": lambda: load_task(f"folder:{data_folder()}"),
        "style": lambda: read_pictures(data_folder(), 32),
        "official": lambda: load_tiny_imagenet(root, WNIDS),
    }
    refused(calls[place], path.name, "is no file")


def test_large_pictures_are_decoded_one_after_the_other(monkeypatch):
    """Of pictures that fill the room, never two at once, whatever the number of threads."""
    monkeypatch.setattr(decoding, "MOST_PIXELS", 10_000)
    threads = decoding.joblib.Parallel
    monkeypatch.setattr(
        decoding.joblib, "Parallel", lambda n_jobs, prefer: threads(8, prefer=prefer)
    )
    now, most, lock = [0], [0], threading.Lock()

    def prepare(image):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return image

    for side, expected in ((100, {1}), (10, set(range(2, 9)))):
        most[0] = 0
        files = {str(number): image_bytes("PNG", size=(side, side)) for number in range(16)}
        assert len(decode_pictures(files, prepare, "{}")) == 16
        assert most[0] in expected


# One folder of results for a class.


def as_user(user, call):
    """Call as another user of the group, with the umask that most have."""
    before = os.umask(0o022)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(GROUP)
    os.seteuid(user)
    try:
        return call()
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(before)


@pytest.fixture
def classroom(monkeypatch, tmp_path):
    """A folder as INSTRUCTORS says: of a group, which may write, handed down to what is made."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    monkeypatch.setenv("COURSE_RUNS", str(folder))
    monkeypatch.setenv("COURSE_DATA", str(folder / "no-data"))
    study(["mnist-0-vs-8"], ["none"], folder=tmp_path, **SHORT)  # imports what only root may read
    try:
        as_user(NOBODY, (files.BUNDLED / "mnist-0-8.npz").read_bytes)
    except PermissionError:
        pytest.skip("other users may not read this checkout")
    yield folder
    shutil.rmtree(folder)


def shared_study(seeds):
    return study(["mnist-0-vs-8"], ["none"], seeds, **SHORT)


@ROOT
def test_classmates_share_a_folder_of_results(classroom):
    as_user(NOBODY, lambda: shared_study([0]))
    made = {path: path.stat().st_mtime_ns for path in classroom.rglob("*.json")}
    assert len(as_user(OTHER, lambda: shared_study([0, 1]))) == 2
    assert len(as_user(NOBODY, lambda: shared_study([0, 1, 2]))) == 3
    assert all(path.stat().st_mtime_ns == then for path, then in made.items())
    owners = {path.stat().st_uid for path in classroom.rglob("*.json")}
    assert owners == {NOBODY, OTHER}


@ROOT
@pytest.mark.parametrize(
    "make",
    [
        lambda folder: write_whole(folder / "new" / "a.txt", lambda path: path.write_text("a")),
        lambda folder: make_folder(folder / "new" / "deeper"),
        lambda folder: files.claimed(folder / "new" / "a.json").release(),
    ],
)
def test_what_is_made_in_a_folder_of_a_group_is_the_groups(classroom, make):
    as_user(NOBODY, lambda: make(classroom))
    made = list(classroom.rglob("*"))
    assert made and all(path.stat().st_mode & 0o020 for path in made)
    assert all(path.stat().st_gid == GROUP for path in made)


@POSIX
def test_what_is_made_elsewhere_is_its_owners(tmp_path):
    tmp_path.chmod(0o755)
    write_whole(tmp_path / "new" / "a.txt", lambda path: path.write_text("a"))
    assert not any(path.stat().st_mode & 0o022 for path in tmp_path.rglob("*"))


@ROOT
def test_finished_runs_are_read_where_nothing_can_be_written(classroom):
    shared_study([0])
    for path in (classroom, *classroom.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert len(as_user(OTHER, lambda: shared_study([0]))) == 1
    with pytest.raises(CourseError, match="cannot write"):
        as_user(OTHER, lambda: shared_study([1]))


# What `data` brings, keeps and replaces.


@pytest.fixture
def small_classes(monkeypatch):
    monkeypatch.setattr(mirrors, "COUNTS", (12, 3))


def test_classes_come_beside_the_defaults(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        mirrors, "fetch_tiny_imagenet", lambda wnids, *_: asked.extend(wnids) or Path("there")
    )
    assert main(["data", "--classes", "n02099601,n02085620"]) == 0
    assert asked == ["n02099601", "n02123394", "n01443537", "n02085620"]


def test_what_is_missing_is_said_with_the_command_that_brings_it(small_classes):
    write_official(data_folder(), official_files(), as_zip=True)
    refused(
        lambda: load_task("n00000008-vs-n00000009"),
        "'n00000008', 'n00000009'", "it holds n00000001",
        "`python -m course_lib data --classes n00000008,n00000009`",
    )  # fmt: skip


def given_zip(folder, change=None):
    given = official_files()
    for name, content in (change or {}).items():
        given[name] = content
    return write_official(folder, given, as_zip=True)


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize(
    "content", [b"no picture", image_bytes("PNG"), image_bytes("JPEG")[:300], POSTSCRIPT]
)
def test_every_image_is_decoded_before_it_is_called_checked(
    content, as_zip, small_classes, tmp_path
):
    name = "val/images/val_12.JPEG"
    given = write_official(tmp_path / "given", {**official_files(), name: content}, as_zip)
    refused(lambda: fetch_tiny_imagenet(WNIDS, given), "val_12.JPEG", "no readable image")
    assert not (data_folder() / "tiny-imagenet-200.zip").exists()


BAD_ZIPS = {
    "empty": lambda good: b"",
    "cut off": lambda good: good[: len(good) // 2],
    "a web page": lambda good: b"<html>",
    "a damaged member": lambda good: good.replace(b"\xff\xd8", b"\xff\xd9"),
}


@pytest.mark.parametrize("damage", BAD_ZIPS)
def test_a_good_source_replaces_a_bad_one(damage, small_classes, tmp_path):
    good = given_zip(tmp_path / "good")
    bad = given_zip(data_folder())
    bad.write_bytes(BAD_ZIPS[damage](bad.read_bytes()))
    assert fetch_tiny_imagenet(WNIDS, good) == bad
    assert len(load_tiny_imagenet(bad, WNIDS)[0].labels) == 24


def test_a_bad_source_replaces_nothing(small_classes, tmp_path):
    good = given_zip(data_folder(), {})
    before = good.read_bytes()
    bad = tmp_path / "bad.zip"
    bad.write_bytes(before[:1000])
    refused(lambda: fetch_tiny_imagenet(["n00000007"], bad), "no complete zip")
    assert good.read_bytes() == before


def test_two_at_once_lose_nothing(small_classes, tmp_path, monkeypatch):
    good, write = given_zip(tmp_path / "good"), mirrors._write_zip

    def slowly(path, classes):
        time.sleep(0.3)
        write(path, classes)

    monkeypatch.setattr(mirrors, "_write_zip", slowly)
    calls = [threading.Thread(target=fetch_tiny_imagenet, args=([wnid], good)) for wnid in WNIDS]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert len(load_tiny_imagenet(data_folder() / "tiny-imagenet-200.zip", WNIDS)[0].labels) == 24


@ROOT
def test_complete_data_is_read_where_nothing_can_be_written(small_classes, monkeypatch):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    monkeypatch.setenv("COURSE_DATA", str(folder))
    place = given_zip(folder)
    assert as_user(NOBODY, lambda: fetch_tiny_imagenet(WNIDS)) == place
    shutil.rmtree(folder)


# Notebooks: whole or not at all.


@POSIX
def test_a_disk_that_is_full_leaves_no_half_notebook(tmp_path):
    import resource

    write_notebook(tmp_path / "00_a.ipynb", "# A", "print('x' * 60_000)")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        with pytest.raises((CourseError, NotebookFailed)) as caught:
            run_notebooks("quick", {}, tmp_path, out=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "00_a.ipynb: File too large: it takes" in str(caught.value), caught.value
    assert "bytes or more" in str(caught.value)
    assert not list((tmp_path / "out" / "notebooks").iterdir())


def test_a_failed_notebook_is_whole(tmp_path):
    write_notebook(tmp_path / "00_a.ipynb", "# A", "1 / 0")
    with pytest.raises(NotebookFailed, match="ZeroDivisionError"):
        run_notebooks("quick", {}, tmp_path, out=tmp_path / "out")
    (left,) = (tmp_path / "out" / "notebooks").iterdir()
    assert left.name == "00_a.ipynb"
    assert any(cell.get("outputs") for cell in nbformat.read(left, 4).cells)


@pytest.mark.parametrize(("number", "full"), [(28, True), (27, True), (122, True), (5, False)])
def test_a_full_disk_says_how_much_room_it_takes(number, full, tmp_path):
    def write(path):
        path.write_bytes(bytes(2500))
        raise OSError(number, "why")

    refused(
        lambda: write_whole(tmp_path / "a.npz", write), f"cannot write {tmp_path / 'a.npz'}: why"
    )
    with pytest.raises(CourseError) as caught:
        write_whole(tmp_path / "a.npz", write)
    assert ("it takes 2,500 bytes or more" in str(caught.value)) is full
    assert not list(tmp_path.iterdir())


# Files of strangers, and damaged ones.


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """The record in a good result's file, and its file's name."""
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_RUNS", str(folder))
        study(["mnist-0-vs-8"], ["none"], folder=folder, **{**SHORT, "epochs": 2})
    (path,) = folder.glob("*.json")
    return path.name, path.read_text()


def within(record, *names):
    for name in names[:-1]:
        record = record[name]
    return record, names[-1]


ODD = {
    "settings: a list": (("settings",), []),
    "settings: seed": (("settings", "seed"), "0"),
    "settings: epochs": (("settings", "epochs"), True),
    "settings: task": (("settings", "task"), ["mnist-0-vs-8"]),
    "settings: source": (("settings", "source"), None),
    "settings: images": (("settings", "images_per_class"), "all"),
    "settings: transforms": (("settings", "transforms"), ["flip"]),
    "settings: last epochs": (("settings", "last_epochs"), "2"),
    "settings: reading": (("settings", "running_statistics"), {}),
    "key": (("key",), 5),
    "curves: a list": (("curves",), []),
    "curves: text": (("curves", "validation_accuracy"), ["a", "b"]),
    "curves: nothing": (("curves", "validation_accuracy"), [None, None]),
    "curves: nan": (("curves", "validation_accuracy"), [float("nan"), 0.5]),
    "curves: above 1": (("curves", "validation_accuracy"), [7.5, 0.5]),
    "curves: of curves": (("curves", "train_loss"), [[1], [2]]),
    "best epoch: a share": (("best_epoch",), 0.5),
    "best epoch: a bool": (("best_epoch",), True),
    "best epoch: text": (("best_epoch",), "0"),
    "correct: none": (("correct", "test_best"), "0:"),
    "correct: fewer": (("correct", "test_best"), "-8:"),
    "correct: a number": (("correct", "test_best"), 5),
    "environment: a list": (("environment",), []),
    "environment: date": (("environment", "date"), 2026),
    "seconds: text": (("seconds",), "long"),
    "seconds: nothing": (("seconds",), None),
    "scores: a list": (("scores",), [1]),
    "times right: a letter": (("times_right", "all test"), "é"),
    "a new field": (("more",), 1),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_a_result_of_other_types_is_no_result_and_check_finds_it(case, record):
    name, text = record
    changed = json.loads(text)
    place, last = within(changed, *ODD[case][0])
    place[last] = ODD[case][1]
    path = runs_folder() / "paper" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert read_result(path) is not None, "the file was good"
    path.write_text(json.dumps(changed))
    assert read_result(path) is None
    found = checks._runs()
    assert not found.good and str(path) in found.text


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"settings":' * 50_000, b"\xff\xfe", b"", b"null", b"[]", b"1" * 5000],
    ids=["lists in lists", "tables in tables", "bytes", "empty", "null", "a list", "digits"],
)
def test_a_file_that_is_no_result(content, record):
    path = runs_folder() / record[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert read_result(path) is None
    path.unlink()
    path.mkdir()
    assert read_result(path) is None


SMALL = KINDS["bundled"]._replace(width=4, blocks=1)


def weights_with(change):
    state = {name: value.clone() for name, value in SMALL.build().state_dict().items()}
    name = next(name for name, value in state.items() if value.ndim == 4)
    state[name] = change(state[name])
    return state


WEIGHTS = {
    "nan": lambda weight: weight * float("nan"),
    "infinite": lambda weight: weight + float("inf"),
    "sparse": lambda weight: weight.to_sparse(),
    "complex": lambda weight: weight.to(torch.complex64),
    "whole numbers": lambda weight: weight.to(torch.int8),
    "truths": lambda weight: weight > 0,
    "eight bits": lambda weight: weight.to(torch.float8_e4m3fn),
    "nowhere": lambda weight: weight.to("meta"),
    "quantised": lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
    "another shape": lambda weight: weight[..., :1],
    "no tensor": lambda weight: "weights",
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_none(case, tmp_path):
    torch.save(weights_with(WEIGHTS[case]), tmp_path / "a.pth")
    refused(lambda: read_generator(tmp_path / "a.pth", SMALL), "a.pth")


@pytest.mark.parametrize("case", ["nan", "infinite", "whole numbers", "truths", "another shape"])
def test_bundled_weights_that_are_none(case, tmp_path):
    state = {name: value.contiguous() for name, value in weights_with(WEIGHTS[case]).items()}
    save_file(state, tmp_path / "a.safetensors", {"kind": str(SMALL)})
    refused(lambda: read_generator(tmp_path / "a.safetensors", SMALL), "a.safetensors")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("what", ["a folder", "unreadable", "text"])
def test_something_else_in_place_of_weights(suffix, what, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.mkdir() if what == "a folder" else path.write_text("weights")
    if what != "unreadable":
        refused(lambda: read_generator(path, SMALL), path.name)
    elif os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        path.chmod(0)
        as_user(NOBODY, lambda: refused(lambda: read_generator(path, SMALL), path.name))


TINY = CycleGANRecipe(steps=2, side=32, width=2, blocks=1, critic_width=2, critic_halvings=1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "a.checkpoint"
    pictures = [torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8) for _ in range(3)]
    train_cyclegan([pictures], pictures, TINY, path)
    return path.read_bytes()


def taking(*names):
    def change(state):
        place, last = within(state, *names)
        del place[last]

    return change


def setting(value, *names):
    def change(state):
        place, last = within(state, *names)
        place[last] = value

    return change


def poison(state):
    next(iter(state["networks"].values())).fill_(float("nan"))


CHECKPOINTS = {
    "no recipe": taking("recipe"),
    "no steps": taking("done"),
    "no curves": taking("curves"),
    "no networks": taking("networks"),
    "no optimisers": taking("optimisers"),
    "no pools": taking("pools"),
    "no critics": taking("optimisers", "critics"),
    "no moments": taking("optimisers", "critics", "state", 0, "exp_avg"),
    "no pool of photos": taking("pools", "photo"),
    "a pool of text": setting("photo", "pools", "photo"),
    "a flat pool": setting(torch.zeros(5), "pools", "photo"),
    "a step of text": setting("1", "done"),
    "a step beyond": setting(99, "done"),
    "a step before": setting(-1, "done"),
    "curves of text": setting({"cycle": ["a"]}, "curves"),
    "curves: a list": setting([1.0], "curves"),
    "a recipe of text": setting("recipe", "recipe"),
    "networks: a list": setting([], "networks"),
    "nan": poison,
}  # fmt: skip


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_checkpoint_that_lacks_a_part_and_check_finds_it(case, checkpoint):
    path = runs_folder() / "styles" / "a.checkpoint"
    path.parent.mkdir(parents=True)
    path.write_bytes(checkpoint)
    assert checks._checkpoints().good
    state = torch.load(path, weights_only=True)
    CHECKPOINTS[case](state)
    torch.save(state, path)
    pictures = [torch.zeros(3, 40, 40, dtype=torch.uint8)]
    refused(lambda: train_cyclegan([pictures], pictures, TINY, path), "a.checkpoint")
    refused(lambda: check_checkpoint(path), "a.checkpoint")


@pytest.mark.parametrize(
    "error",
    [OSError(13, "Permission denied", "x.pth"), IsADirectoryError(21, "Is a directory", "x")],
)
def test_check_goes_on_after_a_file_that_cannot_be_read(error, monkeypatch):
    def fails():
        raise error

    for name in ("_packages", "_kernel", "_replication", "_bundled", "_generators"):
        monkeypatch.setattr(checks, name, lambda: checks.Finding(True, "skipped"))
    monkeypatch.setattr(checks, "_bundled", fails)
    found = list(checks.run_checks())
    (wrong,) = (finding for finding in found if not finding.good)
    assert error.filename in wrong.text and found.index(wrong) < len(found) - 1


# Terminals and redirects that know few characters.


COMMANDS = {
    "help": (["--help"], 0),
    "help of run": (["run", "--help"], 0),
    "study": (["study", "--tasks", "mnist-0-vs-8", "--arms", "none", "--epochs", "1",
               "--preset", "quick", "--workers", "1"], 0),
    "results": (["results"], 0),
    "results as csv": (["results", "--format", "csv"], 0),
    "start": (["start", "wörk→"], 0),
    "a refusal": (["study", "--tasks", "dögs→…"], 2),
    "data": (["data", "--from", "nowhere→.zip"], 2),
    "styles": (["styles", "train", "new", "--domain", "nö–where"], 2),
    "run": (["run", "-p", "seed=→"], 2),
}  # fmt: skip


class Narrow:
    """Standard output and error of a redirect in an encoding."""

    def __init__(self, encoding):
        self.out, self.err = (
            io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2)
        )

    def text(self):
        return b"".join(stream.buffer.getvalue() for stream in (self.out, self.err))


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp932", "ascii"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_dies_of_a_character(command, encoding, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    narrow = Narrow(encoding)
    monkeypatch.setattr(sys, "stdout", narrow.out)
    monkeypatch.setattr(sys, "stderr", narrow.err)
    arguments, code = COMMANDS[command]
    assert main(arguments) == code
    assert narrow.text()


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp932"])
def test_check_prints_its_arrows_narrowly(encoding, monkeypatch):
    narrow = Narrow(encoding)
    monkeypatch.setattr(sys, "stdout", narrow.out)
    found = [checks.Finding(False, "wröng – “so”", "repair → it")]
    monkeypatch.setattr(checks, "run_checks", lambda: found)
    assert main(["check"]) == 1 and b"repair" in narrow.text()


def test_a_redirect_as_windows_makes_it():
    environment = {**os.environ, "PYTHONIOENCODING": "cp437"}
    command = [sys.executable, "-m", "course_lib", "study", "--tasks", "dögs→–"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 2 and done.stderr.startswith(b"course: ")
    assert done.stderr.count(b"\n") == 1


# The same run once; numbers and paths beyond sense.


def test_a_run_is_done_once_however_often_it_is_named(tmp_path):
    found = study(["mnist-0-vs-8"] * 2, ["none", "none"], [0, 0, 1, 0], folder=tmp_path, **SHORT)
    assert [result.seed for result in found] == [0, 1] == sorted({run.seed for run in found})
    again = study(["mnist-0-vs-8"] * 2, ["none", "none"], [1, 0, 1], folder=tmp_path, **SHORT)
    assert [result.seed for result in again] == [1, 0]


def test_two_names_of_one_source_are_one_run(tmp_path):
    wanted = [
        settings_of("mnist-0-vs-8", "none", source=source, epochs=1, images_per_class=20)
        for source in ("auto", "mnist")
    ]
    assert len(run_many(wanted, tmp_path, 1)) == 1


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0,0", [0]),
        ("0-2,1-3", [0, 1, 2, 3]),
        ("5,0-1,5", [5, 0, 1]),
        ("0-9999,0-9999", range(10_000)),
    ],
)
def test_seeds_are_counted_once(text, seeds):
    assert _seeds(text) == list(seeds)


@pytest.mark.parametrize("text", ["0-9999,10000", "0-5000,6000-11000", "0-10000"])
def test_distinct_seeds_are_limited(text):
    refused(lambda: _seeds(text), "10000 at most")


SENSELESS = {
    "workers": lambda: worker_count(10**6, "cpu"),
    "threads": lambda: thread_count(10**9).__enter__(),
    "batch size": lambda: Recipe(batch_size=10**12),
    "epochs": lambda: Recipe(epochs=10**12),
    "CycleGAN's width": lambda: CycleGANRecipe(1, width=10**9),
    "CycleGAN's steps": lambda: CycleGANRecipe(10**15),
    "seed": lambda: load_task("mnist-0-vs-8", seed=2**70),
}


@pytest.mark.parametrize("case", SENSELESS)
def test_numbers_beyond_all_sense(case):
    refused(SENSELESS[case], "at most")


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "--tasks", "mnist-0-vs-8", "--workers", "1000000"),
        ("study", "--tasks", "mnist-0-vs-8", "--batch-size", "1000000000000"),
        ("study", "--tasks", "mnist-0-vs-8", "--epochs", "1000000000000"),
        ("run", "--timeout", "1000000000000000"),
    ],
)
def test_numbers_beyond_all_sense_on_the_command_line(arguments, capsys):
    one_line(capsys, arguments, arguments[-1], "at most")


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_numpys_integers_are_integers(kind, tmp_path):
    seeds = np.arange(2).astype(kind)
    size = {"epochs": kind(1), "images_per_class": kind(20), "batch_size": kind(32)}
    found = study(["mnist-0-vs-8"], ["none"], seeds, folder=tmp_path, workers=1, **size)
    same = study(["mnist-0-vs-8"], ["none"], [0, 1], folder=tmp_path, batch_size=32, **SHORT)
    assert [asdict(run)["key"] for run in found] == [run.key for run in same]
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_numpys_numbers_in_recipes():
    recipe = Recipe(learning_rate=np.float32(0.5), alpha=np.float64(0.5), epochs=np.int16(3))
    assert {type(value) for value in (recipe.learning_rate, recipe.alpha)} == {float}
    assert type(recipe.epochs) is int
    assert type(Settings("mnist-0-vs-8", "none", seed=np.int64(3)).seed) is int
    assert json.dumps(asdict(CycleGANRecipe(np.int64(5), cycle=np.float32(1))))


@pytest.mark.parametrize("path", ["", " ", "~nobody-of-this-name/x"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["start"],
        ["data", "--from"],
        ["study", "--task-folder"],
        ["styles", "train", "new", "--domain"],
        ["styles", "train", "new", "--domain", ".", "--photos"],
    ],
)
def test_paths_that_name_nothing(path, arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("a.png")
    one_line(capsys, [*arguments, path], repr(path))
    assert [found.name for found in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("variable", ["COURSE_DATA", "COURSE_RUNS"])
def test_a_folder_of_nobody(variable, monkeypatch, capsys):
    monkeypatch.setenv(variable, "~nobody-of-this-name/x")
    one_line(capsys, ["results"], variable, "no such user")


@pytest.mark.parametrize(
    "address",
    [
        "nonsense", "", "http://", "http:///x.zip", "https:/host/x.zip", "ftp://host/x.zip",
        "file:///etc/passwd", "http://host:99999/x.zip", "http://host:port/x.zip",
        "http://a b/x.zip", "http://[::1/x.zip", "//host/x.zip", "http://.../x.zip",
        "http://me:secret@", "me:secret@host/x.zip", "http://me:se/secret@host/x.zip",
    ],
)  # fmt: skip
def test_a_broken_address_is_no_mirror(address, capsys):
    message = one_line(capsys, ["data", "--mirror", address], "mirror", "https://host/")
    assert "secret" not in message


@pytest.mark.parametrize(
    "address",
    [
        "http://me:secret@127.0.0.1:9/x.zip",
        "http://secret@127.0.0.1:9/x.zip",
        "http://127.0.0.1:9/x.zip?token=secret",
        "http://me:sec@secret@127.0.0.1:9/x.zip#secret",
    ],
)
def test_a_password_is_not_shown(address, capsys):
    assert main(["data", "--mirror", address]) == 2
    message = capsys.readouterr().err
    assert "127.0.0.1:9: ConnectionError" in message and "secret" not in message
    assert "get http://127.0.0.1:9/x.zip (" in message


# Tables of nothing; distances of no name.


@pytest.fixture(scope="module")
def strangers():
    """Results of which "none" shares no seed with any other arm."""
    return [run for run in reference_results() if (run.arm == "none") == (run.seed == 0)]


def test_tables_of_arms_that_share_no_seed(strangers):
    table = differences(strangers, "dogs-vs-cats")
    assert len(table) == 0 and "p, Holm" in table


@pytest.mark.parametrize("loss", [cycle_loss, identity_loss])
@pytest.mark.parametrize("distance", ["absolut", "", None])
def test_a_distance_of_no_name(loss, distance):
    image = torch.zeros(1, 3, 4, 4)
    refused(lambda: loss(image, image, distance), "distance", "absolute, squared")


@pytest.mark.parametrize("array", [np.zeros(5, np.uint8), np.zeros((900, 28, 28)), np.uint8(3)])
def test_bundled_digits_of_another_kind(array, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "BUNDLED", tmp_path)
    np.savez(tmp_path / "mnist-0-8.npz", zeros=array, eights=array)
    refused(lambda: load_task("mnist-0-vs-8"), "damaged or gone")


@ROOT
@pytest.mark.parametrize("variable", ["COURSE_DATA", "COURSE_RUNS"])
def test_a_folder_that_may_not_be_read(variable, classroom, monkeypatch, capsys):
    shut = classroom / "shut"
    shut.mkdir(mode=0o700)
    monkeypatch.setenv(variable, str(shut))
    study_one = ["study", "--tasks", "mnist-0-vs-8", "--arms", "none", "--workers", "1"]
    as_user(NOBODY, lambda: one_line(capsys, study_one, str(shut), "Permission denied"))


# Interrupted in a notebook.


INTERRUPTED = {
    "fit": (
        "fit(task, 'none', Recipe(epochs=1000), threads=1)",
        "stopped: nothing of this training is kept",
    ),
    "study": (
        "study(['mnist-0-vs-8'], ['none'], range(4), epochs=1000, workers=2)",
        "stopped: finished runs are kept; run this again to go on",
    ),
    "study in one process": (
        "study(['mnist-0-vs-8'], ['none'], range(4), epochs=1000, workers=1)",
        "stopped: finished runs are kept; run this again to go on",
    ),
}


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("case", INTERRUPTED)
def test_interrupted_in_a_kernel_it_says_one_line(case):
    source, line = INTERRUPTED[case]
    ready = (
        "from course_lib.images.tasks import load_task\nfrom course_lib.study import study\n"
        "from course_lib.training import Recipe, fit\ntask = load_task('mnist-0-vs-8')"
    )
    manager, client = start_new_kernel(kernel_name="python3")
    said = []
    try:
        client.execute_interactive(ready, timeout=120)
        timer = threading.Timer(8, manager.interrupt_kernel)
        timer.start()
        reply = client.execute_interactive(source, timeout=60, output_hook=said.append)
        assert reply["content"]["status"] == "error"
        after = client.execute_interactive("1 + 1", timeout=60, output_hook=lambda message: None)
        assert after["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    errors = [message["content"] for message in said if message["msg_type"] == "error"]
    assert [error["traceback"] for error in errors] == [[line]]
    printed = [message["content"]["text"] for message in said if message["msg_type"] == "stream"]
    assert not any("Traceback" in text for text in printed), printed


# The published generators, of which no digest is published.


def published(value):
    path = data_folder() / "cyclegan" / "style_monet.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value)
    return path


def test_the_first_file_is_pinned():
    path = published(b"first")
    generators._pin(path, path.name)
    generators._pin(path, path.name)
    assert generators.pinned() == {path.name: hashlib.sha256(b"first").hexdigest()}
    published(b"second")
    refused(lambda: generators._pin(path, path.name), path.name, "SHA-256", "SHA256SUMS")
    found = generators.pinned()
    assert found == {path.name: hashlib.sha256(b"first").hexdigest()}
