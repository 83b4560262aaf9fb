"""Every test gets data and runs folders of its own; real images come from $COURSE_DATA only."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

REAL_DATA = (
    Path(os.environ.get("COURSE_DATA", "")).resolve() if "COURSE_DATA" in os.environ else None
)
WNIDS = ("n00000001", "n00000002")
GREY = "train/n00000001/images/n00000001_0.JPEG"


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COURSE_STAND_INS", "1")  # this data folder is empty on purpose


@pytest.fixture
def real_images(monkeypatch):
    """The paper's images, where a developer has them."""
    if REAL_DATA is None or not (REAL_DATA / "tiny-imagenet-200").is_dir():
        pytest.skip("COURSE_DATA names no folder with tiny-imagenet-200")
    monkeypatch.setenv("COURSE_DATA", str(REAL_DATA))
    return REAL_DATA / "tiny-imagenet-200"


def jpeg(seed: int, side: int = 64, grey: bool = False) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8) if grey else (8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((side, side)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def official_files(training: int = 12, validation: int = 3) -> dict[str, bytes]:
    """A little data set in the official layout: name → content."""
    files = {}
    annotations = []
    for label, wnid in enumerate(WNIDS):
        for k in range(training):
            name = f"train/{wnid}/images/{wnid}_{k}.JPEG"
            files[name] = jpeg(100 * label + k, grey=name == GREY)
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b"not read"
        for k in range(validation):
            files[f"val/images/val_{label}{k}.JPEG"] = jpeg(1000 + 100 * label + k)
            annotations.append(f"val_{label}{k}.JPEG\t{wnid}\t0\t0\t63\t63\n")
    files["val/val_annotations.txt"] = "".join(annotations).encode()
    files["wnids.txt"] = "\n".join(WNIDS).encode()
    return files


def write_official(root: Path, files: dict[str, bytes], as_zip: bool) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    if as_zip:
        with zipfile.ZipFile(root / "tiny-imagenet-200.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"tiny-imagenet-200/{name}", content)
        return root / "tiny-imagenet-200.zip"
    for name, content in files.items():
        path = root / "tiny-imagenet-200" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root / "tiny-imagenet-200"


def write_notebook(path: Path, *sources: str, parameters: str = "") -> Path:
    """A notebook of text (what starts with "# ") and code, after a parameters cell."""
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})] if parameters else []
    for source in sources:
        text = source.lstrip().startswith(("# ", "## "))
        cells.append((new_markdown_cell if text else new_code_cell)(source))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def tiny_task():
    """A task of 24 random 8×8 images a class, quick to train on, whose classes can be told."""
    from course_lib.images import Examples
    from course_lib.images.tasks import Task

    generator = torch.Generator().manual_seed(0)

    def examples(count: int) -> Examples:
        labels = torch.arange(count) % 2
        images = torch.randint(0, 156, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
        images[labels == 1, 0] += 60
        return Examples(images, labels)

    return Task(
        "tiny", "stand-in", ("a", "b"), examples(48), examples(20), examples(20),
        torch.full((3,), 90.0), torch.full((3,), 50.0),
    )  # fmt: skip
