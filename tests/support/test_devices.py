"""What the process's memory is told, and when."""

import subprocess
import sys

import pytest
import torch

from course_lib.support import devices
from course_lib.support.devices import keep_freed_memory, thread_count


class Libc:
    def __init__(self):
        self.told = []

    def mallopt(self, option, value):
        self.told.append(option)
        return 1


@pytest.fixture
def libc(monkeypatch):
    keep_freed_memory.cache_clear()
    watched = Libc()
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: watched)
    yield watched
    keep_freed_memory.cache_clear()


def test_memory_is_kept_from_the_first_call_on(libc, monkeypatch):
    monkeypatch.setattr(devices.platform, "libc_ver", lambda: ("glibc", "2.41"))
    keep_freed_memory()
    keep_freed_memory()
    assert sorted(libc.told) == [-3, -1]


def test_another_libc_is_left_alone(libc, monkeypatch):
    monkeypatch.setattr(devices.platform, "libc_ver", lambda: ("", ""))
    keep_freed_memory()
    assert not libc.told


def test_an_import_leaves_memory_alone():
    program = (
        "from course_lib import training, study\n"
        "from course_lib.arms import cyclegan, domains, gan\n"
        "from course_lib.support.devices import keep_freed_memory\n"
        "assert keep_freed_memory.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_training_and_styling_keep_memory(libc, monkeypatch, tiny_task):
    from course_lib.arms.gan import in_style
    from course_lib.training import fit

    monkeypatch.setattr(devices.platform, "libc_ver", lambda: ("glibc", "2.41"))
    in_style(tiny_task.train.images[:1], "monet", "bundled")
    assert len(libc.told) == 2
    keep_freed_memory.cache_clear()
    fit(tiny_task)
    assert len(libc.told) == 4


def test_thread_count_ends_with_its_block():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), thread_count(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
