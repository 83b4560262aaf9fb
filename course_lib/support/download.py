"""Bytes from a server over HTTP: files that resume, and ranges; each with a few attempts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from course_lib.support.progress import progress_bar
from course_lib.support.validation import CourseError

ATTEMPTS = 3
PAUSE = 1.0  # seconds before the second attempt, twice as long before the third
TIMEOUT = (2.0, 30.0)  # seconds for a connection, and without a byte
BLOCK = 2**16
# Compressed on the way, a file's bytes would not be the range that was asked for.
AS_IT_IS = {"Accept-Encoding": "identity"}
Got = TypeVar("Got")


class DownloadFailed(Exception):
    """Why a download did not succeed, in a few words; `final` if another attempt is pointless."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class NoRanges(DownloadFailed):
    """The server does not hand out parts of a file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, final=True)


def fetch_file(url: str, path: Path, size: int | None = None) -> None:
    """Fetch a file to `path`, in a few attempts; each goes on where the last one broke off.

    What `path` holds before is kept if the server can go on from there. size: in bytes, if it is
    known. The content is the caller's to check.

    Raises DownloadFailed with the last reason, `path` as it was left, and CourseError if `path`
    cannot be written.
    """
    _attempts(lambda: _fetch_file(url, path, size))


def fetch_range(
    url: str, start: int, stop: int, size: int, on_bytes: Callable[[int], object]
) -> bytes:
    """Bytes start…stop−1 of a file of `size` bytes; `on_bytes` is told how many have come.

    Raises NoRanges if the server sends anything but just these bytes of a file of that size, and
    DownloadFailed if it cannot be reached or breaks off.
    """
    return _attempts(lambda: _fetch_range(url, start, stop, size, on_bytes))


def _attempts(attempt: Callable[[], Got]) -> Got:
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except requests.RequestException as error:
            failed = DownloadFailed(type(error).__name__, final=_no_server(error))
        except DownloadFailed as error:
            failed = error
        if failed.final or number == ATTEMPTS:
            raise failed
        time.sleep(PAUSE * number)
    raise AssertionError("the loop returns or raises")


def _no_server(error: requests.RequestException) -> bool:
    """Whether there was no connection at all, which a second attempt will not change."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _fetch_file(url: str, path: Path, size: int | None) -> None:
    have = path.stat().st_size if path.exists() else 0
    if size is not None and have >= size:
        if have == size:
            return
        path.unlink()
        have = 0
    headers = AS_IT_IS | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        resumed = answer.status_code == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            path.unlink()  # the next attempt begins anew, without a range
            raise DownloadFailed("the server sends other bytes than were asked for")
        if not resumed:
            _expect(answer, 200)
            have = 0
        announced = int(answer.headers.get("Content-Length", 0))
        total = have + announced if announced else size
        if size is not None and total != size:
            reason = f"the server's file has {total:,} bytes instead of {size:,}"
            raise DownloadFailed(reason, final=True)
        try:
            with (
                path.open("ab" if resumed else "wb") as file,
                progress_bar(total or 1, url.rpartition("/")[2], in_bytes=True) as bar,
            ):
                bar.update(have)
                for block in answer.iter_content(BLOCK):
                    have += len(block)
                    if total and have > total:
                        raise DownloadFailed("more bytes came than were announced", final=True)
                    file.write(block)
                    bar.update(len(block))
        except requests.RequestException:
            raise
        except OSError as error:
            path.unlink(missing_ok=True)
            raise CourseError(f"cannot write {path}: {error.strerror or error}") from error
    if not have or (total and have != total):
        raise DownloadFailed(f"{have:,} bytes came, {total or 1:,} were announced")


def _fetch_range(
    url: str, start: int, stop: int, size: int, on_bytes: Callable[[int], object]
) -> bytes:
    headers = AS_IT_IS | {"Range": f"bytes={start}-{stop - 1}"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 200 or answer.status_code == 416:
            raise NoRanges(f"the server answers {answer.status_code} to a range")
        _expect(answer, 206)
        if answer.headers.get("Content-Range") != f"bytes {start}-{stop - 1}/{size}":
            raise NoRanges(f"the server sends {answer.headers.get('Content-Range')} for a range")
        data = bytearray()
        for block in answer.iter_content(BLOCK):
            data += block
            on_bytes(len(block))
            if len(data) > stop - start:
                raise NoRanges("the server sends more than the range")
    if len(data) < stop - start:
        raise DownloadFailed(f"{len(data):,} bytes of a range of {stop - start:,} came")
    return bytes(data)


def _expect(answer: requests.Response, status: int) -> None:
    """DownloadFailed unless the answer has this status and is no web page."""
    if answer.status_code != status:
        reason = f"the server answers {answer.status_code} {answer.reason}"
        raise DownloadFailed(reason, final=400 <= answer.status_code < 500)
    if "html" in answer.headers.get("Content-Type", ""):
        raise DownloadFailed("the server sends a web page instead of the file", final=True)
