"""Where the course keeps its files, and how it writes them: whole or not at all."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from course_lib.support.validation import CourseError

Arrays = dict[str, np.ndarray]
COURSE = Path(__file__).resolve().parents[2]
NOTEBOOKS = COURSE / "notebooks"
BUNDLED = COURSE / "data"


def named_path(name: str, text: str) -> Path:
    """The path that a reader typed; CourseError if it is empty, or begins with an unknown ~user."""
    if not text.strip() or "\0" in text:
        raise CourseError(f"{name} {text!r} names no file or folder")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise CourseError(f"{name} {text!r}: there is no such user") from error


def data_folder() -> Path:
    """Folder of the reader's own data: `$COURSE_DATA` if it is set, else the course's `data/`."""
    folder = _folder("COURSE_DATA", BUNDLED)
    try:
        with suppress(FileNotFoundError, NotADirectoryError):  # whoever wants a file in it says so
            os.stat(os.path.join(folder, "."))  # pathlib would drop the dot, which asks for more
    except PermissionError as error:
        raise CourseError(f"{folder} cannot be read: {error.strerror}") from error
    return folder


def runs_folder() -> Path:
    """Folder of everything the course makes: `$COURSE_RUNS` if it is set, else `runs/`."""
    return _folder("COURSE_RUNS", COURSE / "runs")


def _folder(variable: str, default: Path) -> Path:
    text = os.environ.get(variable)
    return named_path(variable, text).resolve() if text else default


def fix_folders() -> None:
    """Make `$COURSE_DATA` and `$COURSE_RUNS` absolute: kernels start in folders of their own."""
    for variable in ("COURSE_DATA", "COURSE_RUNS"):
        if os.environ.get(variable):
            os.environ[variable] = str(_folder(variable, COURSE))


def make_folder(folder: Path) -> None:
    """Make a folder, and make sure that it can be written; CourseError in one line if not."""
    try:
        _make(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CourseError(f"cannot write {folder}: {error.strerror or error}") from error


def _make(folder: Path) -> None:
    """Make a folder and those above it, for a group if the one that they are made in is."""
    if folder.is_dir():
        return
    if not folder.parent.exists():
        _make(folder.parent)
    folder.mkdir(exist_ok=True)
    if _for_group(folder.parent):
        with suppress(PermissionError):  # somebody else has just made it
            folder.chmod(folder.stat().st_mode | 0o070)


def _for_group(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o020)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(temporary path)` make a file, then rename it to `path`: never half a file."""
    # The suffix stays: np.savez would add it to a name that lacks it.
    temporary = path.with_name(f".part-{uuid.uuid4().hex}{path.suffix}")
    try:
        _make(path.parent)
        write(temporary)
        temporary.chmod(0o664 if _for_group(path.parent) else 0o644)
        temporary.replace(path)
    except OSError as error:
        raise not_written(path, temporary, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def not_written(path: Path, temporary: Path, error: OSError) -> CourseError:
    """What to raise when a file could not be written: on a full disk, with the room it takes."""
    reason = error.strerror or str(error)
    full = error.errno in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", None))
    if full and temporary.exists():
        free = shutil.disk_usage(path.parent).free
        reason += f": it takes {temporary.stat().st_size:,} bytes or more, {free:,} are free"
    return CourseError(f"cannot write {path}: {reason}")


def claimed(path: Path) -> FileLock | None:
    """A claim on making a file, until it is released or its process ends; None: another has it."""
    try:
        return _claim(path, wait=False)
    except Timeout:
        return None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Make a file while no other process makes it: the others wait."""
    lock = _claim(path, wait=True)
    try:
        yield
    finally:
        lock.release()


def _claim(path: Path, wait: bool) -> FileLock:
    place = path.parent / ".claims" / f"{path.stem}.lock"
    try:
        _make(place.parent)
        mode = 0o664 if _for_group(place.parent) else 0o644
        lock = FileLock(place, mode=mode, thread_local=False)
        lock.acquire(blocking=wait)
    except Timeout:
        raise
    except OSError as error:
        raise CourseError(f"cannot write {place}: {error.strerror or error}") from error
    return lock


def read_arrays(path: Path) -> Arrays | None:
    """The arrays of an .npz file, which holds its own check sums; None if absent or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception:  # bytes that are no such file can raise nearly anything
        return None


def cached_arrays(
    name: str, make: Callable[[], Arrays], shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Arrays:
    """The arrays of `runs/cache/NAME.npz`, uint8 of these `shapes`, or else made and kept there.

    Of several processes that ask for the same one makes them, and the others wait.
    """
    path = runs_folder() / "cache" / f"{name}.npz"
    if arrays := _read_cached(path, shapes):
        return arrays
    with alone(path):
        if not (arrays := _read_cached(path, shapes)):
            arrays = make()
            write_whole(path, lambda temporary: np.savez(temporary, **dict[str, Any](arrays)))
    return arrays


def _read_cached(path: Path, shapes: Mapping[str, tuple[int, ...]] | None) -> Arrays:
    arrays = read_arrays(path) or {}
    found = {key: array.shape for key, array in arrays.items() if array.dtype == np.uint8}
    return arrays if shapes in (None, found) else {}
