"""Random numbers: one independent stream for each use, all from the run's one seed."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from course_lib.support.validation import whole_number


def stream_seed(seed: int, use: str) -> int:
    """Seed for one `use` ("split", "batch order", …) of a run: all arms of a seed share it."""
    seed = whole_number("seed", seed, at_least=0, at_most=2**63 - 1)
    return int.from_bytes(hashlib.sha256(f"{seed}/{use}".encode()).digest()[:7], "big")


def stream(seed: int, use: str) -> torch.Generator:
    """A CPU generator for one `use` of a run: its numbers do not depend on the device."""
    return torch.Generator().manual_seed(stream_seed(seed, use))


@contextmanager
def global_draws(generator: torch.Generator) -> Iterator[None]:
    """For a library that draws from torch's global generator: it goes on from this one's next."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
    try:
        yield
    finally:
        torch.set_rng_state(before)
