"""Generator files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from course_lib.folders import write_whole
from course_lib.models.cyclegan import Generator


def save_generator(path: Path, generator: Generator, about: dict[str, str]) -> None:
    """Write a generator's weights in half precision, with some facts about it in the header."""
    weights = {
        name: value.to("cpu", torch.float16).contiguous()
        for name, value in generator.state_dict().items()
    }
    write_whole(path, lambda temporary: save_file(weights, temporary, about))
