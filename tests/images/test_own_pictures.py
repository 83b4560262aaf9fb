"""A task of one's own pictures: what is read, what is held out, what is refused."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.__main__ import main
from course_lib.images.own_pictures import load_folder
from course_lib.images.tasks import load_task
from course_lib.support.files import runs_folder
from course_lib.support.validation import CourseError


def picture(seed, size=(80, 70), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize(size).convert(mode)


@pytest.fixture
def root(tmp_path):
    """Twelve cups and fourteen mugs."""
    folder = tmp_path / "own pictures"
    for label, (kind, count) in enumerate({"mugs": 14, "cups": 12}.items()):
        (folder / kind).mkdir(parents=True)
        for k in range(count):
            picture(100 * label + k).save(folder / kind / f"{k}.png")
    return folder


def numbers(images):
    """Images as a set of bytes."""
    return {image.numpy().tobytes() for image in images}


def test_parts_and_names(root):
    task = load_task(f"folder:{root}")
    assert task.name == "folder-cups-vs-mugs" and task.classes == ("cups", "mugs")
    assert task.source == "folder" and "pictures of your own" in str(task)
    # Twelve of each: two held out, the other ten 80:20.
    for part, count in ((task.train, 16), (task.validation, 4), (task.test, 4)):
        assert part.images.shape == (count, 3, 64, 64) and part.images.dtype == torch.uint8
        assert part.labels.sum() * 2 == count
    parts = [numbers(part.images) for part in (task.train, task.validation, task.test)]
    assert len(set.union(*parts)) == 24, "no image stands in two parts"


def test_labels_are_the_folders(root):
    for path in (root / "cups").iterdir():
        Image.new("RGB", (64, 64), (int(path.stem), 0, 0)).save(path)
    for path in (root / "mugs").iterdir():
        Image.new("RGB", (64, 64), (100 + int(path.stem), 0, 0)).save(path)
    for images, labels in load_folder(root):
        assert torch.equal(images[:, 0, 0, 0] >= 100, labels == 1)


def test_the_test_set_has_no_seed_and_the_split_has(root):
    first, second = (load_task(f"folder:{root}", seed=seed) for seed in (0, 1))
    assert torch.equal(first.test.images, second.test.images)
    assert numbers(first.validation.images) != numbers(second.validation.images)


def test_neither_place_nor_file_names_matter(root, tmp_path):
    before = load_task(f"folder:{root}").digest
    moved = shutil.copytree(root, tmp_path / "moved")
    for k, path in enumerate(sorted((moved / "mugs").iterdir())):
        path.rename(path.with_name(f"z{(5 * k) % 14}{path.name}"))
    assert load_task(f"folder:{moved}").digest == before


def test_another_picture_is_other_data(root):
    before = load_task(f"folder:{root}").digest
    picture(999).save(root / "cups" / "3.png")
    assert load_task(f"folder:{root}").digest != before


def test_any_form_becomes_rgb(root):
    for k, (name, mode) in enumerate(
        [("0.jpg", "L"), ("1.jpg", "CMYK"), ("2.png", "RGBA"), ("3.gif", "P"), ("4.webp", "RGB"),
         ("5.bmp", "1"), ("6.tiff", "RGB"), ("7.png", "LA")]
    ):  # fmt: skip
        (root / "cups" / f"{k}.png").unlink()
        picture(k, mode=mode).save(root / "cups" / name)
    (root / "cups" / ".DS_Store").write_bytes(b"not a picture")
    (root / ".hidden").mkdir()
    (root / "about.txt").write_text("not read")
    pool, test = load_folder(root)
    assert len(pool.labels) == 20 and len(test.labels) == 4


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (64, 64), (20, 10)])
def test_the_central_square_is_taken(root, size):
    image = Image.new("RGB", size, (255, 0, 0))
    side = min(size)
    corner = ((size[0] - side) // 2, (size[1] - side) // 2)
    image.paste((0, 200, 40), (*corner, corner[0] + side, corner[1] + side))
    for path in (root / "cups").iterdir():
        image.save(path)
    images = torch.cat([part.images[part.labels == 0] for part in load_folder(root)])
    inside = images[:, :, 8:-8, 8:-8]  # at its edge the filter sees beyond the square
    assert (inside == torch.tensor([0, 200, 40], dtype=torch.uint8).view(3, 1, 1)).all()


def test_shrinking_averages(root):
    pixels = np.zeros((512, 512, 3), np.uint8)
    pixels[::2, ::2] = pixels[1::2, 1::2] = 255  # a chequered board: sampling it gives 0 or 255
    for path in (root / "cups").iterdir():
        Image.fromarray(pixels).save(path)
    images = torch.cat([part.images[part.labels == 0] for part in load_folder(root)])
    assert images.min() >= 126 and images.max() <= 129


def test_a_turned_photograph_is_put_upright(root):
    image = Image.new("RGB", (64, 64), "black")
    image.paste("white", (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3  # held upside down
    for path in (root / "cups").iterdir():
        image.save(path, exif=exif)
    pool, _ = load_folder(root)
    assert (pool.images[0, :, 40:] == 255).all() and (pool.images[0, :, :24] == 0).all()


def test_a_telephones_mpo_is_a_picture(root):
    (root / "cups" / "0.png").unlink()
    picture(0).save(root / "cups" / "0.jpg", "MPO", save_all=True, append_images=[picture(50)])
    pool, test = load_folder(root)
    assert len(pool.labels) + len(test.labels) == 24


def many_classes(root):
    (root / "plates").mkdir()


def one_class(root):
    shutil.rmtree(root / "mugs")


def few_pictures(root):
    for k in range(3):
        (root / "cups" / f"{k}.png").unlink()


def text_file(root):
    (root / "cups" / "notes.txt").write_text("not a picture")


def cut_off(root):
    path = root / "mugs" / "4.png"
    path.write_bytes(path.read_bytes()[:100])


def animation(root):
    path = root / "mugs" / "dance.gif"
    picture(0).save(path, save_all=True, append_images=[picture(1)])


def deep(root):
    Image.fromarray(np.full((70, 80), 40_000, np.uint16)).save(root / "cups" / "xray.png")


def inner_folder(root):
    (root / "cups" / "more").mkdir()


def dangling(root):
    (root / "cups" / "link.png").symlink_to(root / "gone.png")


def huge(side):
    def save(root):
        buffer = io.BytesIO()
        Image.new("1", (side, side)).save(buffer, "PNG")
        (root / "cups" / "huge.png").write_bytes(buffer.getvalue())

    return save


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, ["own pictures", "cannot be read"]),
        (many_classes, ["own pictures", "3 sub-folders (cups, mugs, plates)", "two"]),
        (one_class, ["own pictures", "1 sub-folders (cups)", "two"]),
        (few_pictures, ["cups has 9 pictures", "10 or more"]),
        (text_file, ["notes.txt", "no readable picture"]),
        (cut_off, ["4.png", "no readable picture"]),
        (animation, ["dance.gif", "animation"]),
        (deep, ["xray.png", "8 bits"]),
        (inner_folder, ["more", "is no file"]),
        (dangling, ["cups", "cannot be read"]),
        (huge(10_000), ["huge.png", "100,000,000 pixels: 67,108,864 at most"]),
        (huge(14_000), ["huge.png", "no readable picture", "decompression bomb"]),
    ],
)
def test_refused(root, capsys, spoil, words):
    spoil(root)
    assert main(["study", "--task-folder", str(root)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("course: ")
    for word in words:
        assert word in message
    assert not list(runs_folder().rglob("*.json"))


def test_a_folder_stands_instead_of_tasks(root, capsys):
    assert main(["study", "--tasks", "dogs-vs-cats", "--task-folder", str(root)]) == 2
    assert "stands instead of --tasks" in capsys.readouterr().err


def test_a_folder_is_its_own_source(root):
    with pytest.raises(CourseError, match="choose one of auto, folder"):
        load_task(f"folder:{root}", source="stand-in")


def test_study_runs_every_kind_of_arm(root, capsys):
    command = [
        "study", "--task-folder", str(root), "--arms", "none,traditional,gan,neural-style",
        "--epochs", "1", "--batch-size", "8", "--workers", "1",
    ]  # fmt: skip
    assert main(command) == 0
    assert "folder-cups-vs-mugs: 16 training, 4 validation, 4 test" in capsys.readouterr().out
    files = sorted((runs_folder() / "paper").glob("folder-cups-vs-mugs--*.json"))
    assert len(files) == 4
    for path in files:
        text = path.read_text()
        assert str(root) not in text and root.name not in text, "no path leaves the machine"
        settings = json.loads(text)["settings"]
        assert settings["source"] == "folder"
        assert settings["data"] == load_task(f"folder:{root}").digest[:16]
    stamps = [path.stat().st_mtime_ns for path in files]
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in files] == stamps, "done once"
    picture(999).save(root / "cups" / "3.png")
    assert main([*command[:3], "--arms", "none", *command[5:]]) == 0
    assert len(list((runs_folder() / "paper").glob("*--none--*.json"))) == 2, (
        "other data, other run"
    )


def test_class_names_are_fit_for_a_files_name(root):
    (root / "cups").rename(root / "Кружка «№ 1»: $x$?")
    (root / "mugs").rename(root / ("m" * 200))
    task = load_task(f"folder:{root}")
    assert task.classes == ("m" * 200, "Кружка «№ 1»: $x$?")
    assert task.name == "folder-" + "m" * 30 + "-vs-Кружка-1-x-"
