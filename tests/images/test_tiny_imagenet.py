import struct

import numpy as np
import pytest
import torch
from conftest import GREY, WNIDS, jpeg, official_files, write_official

from course_lib.images.tiny_imagenet import find_tiny_imagenet, load_tiny_imagenet
from course_lib.support.files import runs_folder
from course_lib.support.validation import CourseError


@pytest.fixture(params=[False, True], ids=["folder", "zip"])
def root(request, tmp_path):
    return write_official(tmp_path / "data", official_files(), as_zip=request.param)


def caches():
    return sorted((runs_folder() / "cache").glob("*.npz"))


def test_folder_and_zip_hold_the_same_images(tmp_path):
    files = official_files()
    loaded = [
        load_tiny_imagenet(write_official(tmp_path / kind, files, as_zip=kind == "zip"), WNIDS)
        for kind in ("zip", "folder")
    ]
    for from_zip, from_folder in zip(*loaded, strict=True):
        assert torch.equal(from_zip.images, from_folder.images)
        assert torch.equal(from_zip.labels, from_folder.labels)


def test_shapes_and_labels(root):
    assert find_tiny_imagenet() == root
    train, val = load_tiny_imagenet(root, WNIDS)
    assert train.images.shape == (24, 3, 64, 64) and train.images.dtype == torch.uint8
    assert val.images.shape == (6, 3, 64, 64)
    assert train.labels.tolist() == [0] * 12 + [1] * 12 and val.labels.tolist() == [0] * 3 + [1] * 3


def test_the_order_of_wnids_gives_the_labels(root):
    first, _ = load_tiny_imagenet(root, WNIDS)
    turned, _ = load_tiny_imagenet(root, WNIDS[::-1])
    assert torch.equal(first.images[first.labels == 0], turned.images[turned.labels == 1])


def test_grey_images_become_rgb(root):
    train, _ = load_tiny_imagenet(root, WNIDS)
    grey = train.images[
        sorted(f"{WNIDS[0]}_{k}.JPEG" for k in range(12)).index(GREY.split("/")[-1])
    ]
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[0], grey[2])
    assert not torch.equal(train.images[5][0], train.images[5][1])


def test_cache_is_used_and_a_damaged_one_rebuilt(root):
    before, _ = load_tiny_imagenet(root, WNIDS)
    (cache,) = caches()
    marked = dict(np.load(cache))
    marked["train0"] = marked["train0"] * 0
    np.savez(cache, **marked)
    assert load_tiny_imagenet(root, WNIDS)[0].images[0].sum() == 0, "the cache was not read"
    content = bytearray(cache.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (bytes(content), content[:1000], b"", b"PK\x03\x04 no zip"):
        cache.write_bytes(damaged)
        assert torch.equal(load_tiny_imagenet(root, WNIDS)[0].images, before.images)


def test_cache_goes_stale_with_its_images(tmp_path):
    files = official_files()
    root = write_official(tmp_path / "data", files, as_zip=False)
    before, _ = load_tiny_imagenet(root, WNIDS)
    (root / GREY).write_bytes(jpeg(77))
    after, _ = load_tiny_imagenet(root, WNIDS)
    assert not torch.equal(before.images, after.images) and len(caches()) == 2


def test_unknown_wnid(root):
    with pytest.raises(CourseError, match="'n99999999' has no images .* n00000001, n00000002"):
        load_tiny_imagenet(root, ("n00000001", "n99999999"))


@pytest.mark.parametrize("as_zip", [False, True])
def test_too_few_images(tmp_path, as_zip):
    root = write_official(tmp_path, official_files(training=9), as_zip)
    with pytest.raises(CourseError, match="'n00000001' has 9 training .* needs 10"):
        load_tiny_imagenet(root, WNIDS)


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize("content", [b"", b"no image", jpeg(1)[:300]], ids=["empty", "text", "cut"])
def test_corrupt_jpeg(tmp_path, as_zip, content):
    files = official_files() | {"train/n00000002/images/n00000002_3.JPEG": content}
    with pytest.raises(CourseError, match="n00000002_3.JPEG is no readable image"):
        load_tiny_imagenet(write_official(tmp_path, files, as_zip), WNIDS)
    assert not caches()


def test_wrong_size(tmp_path):
    files = official_files() | {"val/images/val_00.JPEG": jpeg(1, side=32)}
    with pytest.raises(CourseError, match="val_00.JPEG is 32×32, not 64×64"):
        load_tiny_imagenet(write_official(tmp_path, files, as_zip=True), WNIDS)


def test_missing_validation_image(root, tmp_path):
    files = official_files()
    del files["val/images/val_01.JPEG"]
    other = write_official(tmp_path / "other", files, as_zip=root.suffix == ".zip")
    with pytest.raises(CourseError, match="lacks val/images/val_01.JPEG"):
        load_tiny_imagenet(other, WNIDS)


@pytest.mark.parametrize("cut", [0, 10, 5000, -30])
def test_truncated_zip(tmp_path, cut):
    root = write_official(tmp_path, official_files(), as_zip=True)
    root.write_bytes(root.read_bytes()[:cut])
    with pytest.raises(CourseError, match="is no complete zip file"):
        load_tiny_imagenet(root, WNIDS)


def test_flipped_byte_in_a_zip_member(tmp_path):
    root = write_official(tmp_path, official_files(), as_zip=True)
    content = bytearray(root.read_bytes())
    # The first local header: name length and extra length, then the compressed data.
    name, extra = struct.unpack_from("<HH", content, 26)
    content[30 + name + extra + 200] ^= 0xFF
    root.write_bytes(content)
    with pytest.raises(CourseError, match="damaged"):
        load_tiny_imagenet(root, WNIDS)


def test_real_images(real_images):
    train, val = load_tiny_imagenet(real_images, ("n02099601", "n01443537"))
    assert train.images.shape == (1000, 3, 64, 64) and val.images.shape == (100, 3, 64, 64)
    red, _, blue = train.images[train.labels == 1].float().mean(dim=(0, 2, 3))
    assert red > blue + 30, "goldfish are orange"
