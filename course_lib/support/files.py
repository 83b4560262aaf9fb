"""Where the course keeps its files, and how it writes them: whole or not at all."""

import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from course_lib.support.validation import CourseError

Arrays = dict[str, np.ndarray]
COURSE = Path(__file__).resolve().parents[2]
NOTEBOOKS = COURSE / "notebooks"
BUNDLED = COURSE / "data"


def data_folder() -> Path:
    """Folder of the reader's own data: `$COURSE_DATA` if it is set, else the course's `data/`."""
    return Path(os.environ.get("COURSE_DATA") or BUNDLED).expanduser().resolve()


def runs_folder() -> Path:
    """Folder of everything the course makes: `$COURSE_RUNS` if it is set, else `runs/`."""
    return Path(os.environ.get("COURSE_RUNS") or COURSE / "runs").expanduser().resolve()


def make_folder(folder: Path) -> None:
    """Make a folder, and make sure that it can be written; CourseError in one line if not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CourseError(f"cannot write {folder}: {error.strerror or error}") from error


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(temporary path)` make a file, then rename it to `path`: never half a file."""
    # The suffix stays: np.savez would add it to a name that lacks it.
    temporary = path.with_name(f".part-{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise CourseError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def claimed(path: Path) -> FileLock | None:
    """A claim on making a file, until it is released or its process ends; None: another has it."""
    lock = FileLock(path.parent / ".claims" / f"{path.stem}.lock", thread_local=False)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        raise CourseError(f"cannot write {lock.lock_file}: {error.strerror or error}") from error
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
    """The arrays of `runs/cache/NAME.npz`, uint8 of these `shapes`, or else made and kept there."""
    path = runs_folder() / "cache" / f"{name}.npz"
    arrays = read_arrays(path) or {}
    found = {key: array.shape for key, array in arrays.items() if array.dtype == np.uint8}
    if not arrays or shapes not in (None, found):
        arrays = make()
        write_whole(path, lambda temporary: np.savez(temporary, **dict[str, Any](arrays)))
    return arrays
