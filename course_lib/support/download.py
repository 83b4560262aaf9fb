"""Bytes from a server over HTTP: files that resume, and ranges; each with a few attempts."""

import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from course_lib.support.progress import progress_bar
from course_lib.support.validation import CourseError

PAUSE = 1.0  # seconds before the second attempt, twice as long before the third and last
TIMEOUT = (2.0, 30.0)  # seconds for a connection, and without a byte
BLOCK = 2**16
SESSION = requests.Session()  # keeps its connection to a server: ranges are many and short
Given = ParamSpec("Given")
Got = TypeVar("Got")


class DownloadFailed(Exception):
    """Why a download did not succeed, in a few words; `final` if another attempt is pointless."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class NoRanges(DownloadFailed):
    """The server does not hand out parts of a file."""


def _in_attempts(fetch: Callable[Given, Got]) -> Callable[Given, Got]:
    """The function, called again while it fails for a reason that may pass."""

    @wraps(fetch)
    def attempts(*args: Given.args, **kwargs: Given.kwargs) -> Got:
        pauses = [PAUSE, 2 * PAUSE]
        while True:
            try:
                return fetch(*args, **kwargs)
            except requests.RequestException as error:
                # Where there was no connection at all, a second attempt changes nothing.
                reason = getattr(error.args[0], "reason", None) if error.args else None
                no_server = isinstance(reason, (NewConnectionError, ConnectTimeoutError))
                failed = DownloadFailed(type(error).__name__, final=no_server)
            except DownloadFailed as error:
                failed = error
            if failed.final or not pauses:
                raise failed
            time.sleep(pauses.pop(0))

    return attempts


@_in_attempts
def fetch_file(url: str, path: Path, size: int | None = None) -> None:
    """Fetch a file of `size` bytes, if known, to `path`, where a part of it is resumed."""
    have = path.stat().st_size if path.exists() else 0
    if have and have == size:
        return
    have = 0 if size is not None and have > size else have
    with _get(url, f"{have}-" if have else "") as answer:
        if answer.status_code != 206:
            _expect(answer, 200)
            have = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            path.unlink(missing_ok=True)  # the next attempt begins anew, without a range
            raise DownloadFailed("the server sends other bytes than were asked for")
        announced = int(answer.headers.get("Content-Length", 0))
        total = have + announced if announced else size
        if size is not None and total != size:
            raise DownloadFailed(f"the server's file has {total:,} bytes instead of {size:,}", True)
        try:
            with path.open("ab" if have else "wb") as file:
                file.writelines(_blocks(answer, have, total))
        except requests.RequestException:  # an OSError, too
            raise
        except OSError as error:
            path.unlink(missing_ok=True)
            raise CourseError(f"cannot write {path}: {error.strerror or error}") from error


@_in_attempts
def fetch_range(url: str, start: int, stop: int, size: int) -> bytes:
    """Bytes start…stop−1 of a file of `size` bytes; NoRanges if the server sends others."""
    with _get(url, f"{start}-{stop - 1}") as answer:
        if answer.status_code in (200, 416):
            raise NoRanges(f"the server answers {answer.status_code} to a range", final=True)
        _expect(answer, 206)
        place = answer.headers.get("Content-Range")
        if place != f"bytes {start}-{stop - 1}/{size}":
            raise NoRanges(f"the server sends {place} for a range", final=True)
        return b"".join(_blocks(answer, 0, stop - start))


def _get(url: str, span: str) -> requests.Response:
    # Compressed on the way, a file's bytes would not be the range that was asked for.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={span}"} if span else {})
    return SESSION.get(url, headers=headers, stream=True, timeout=TIMEOUT)


def _blocks(answer: requests.Response, have: int, total: int | None) -> Iterator[bytes]:
    """What comes, of a `total` of which we have some; DownloadFailed if it is not all."""
    with progress_bar(
        total or 1, urlsplit(answer.url).path.rpartition("/")[2], in_bytes=True
    ) as bar:
        bar.update(have)
        for block in answer.iter_content(BLOCK):
            have += len(block)
            if total and have > total:
                raise DownloadFailed("more bytes came than were announced", final=True)
            yield block
            bar.update(len(block))
    if not have or (total and have != total):
        raise DownloadFailed(f"{have:,} bytes came, {total or 1:,} were announced")


def _expect(answer: requests.Response, status: int) -> None:
    """DownloadFailed unless the answer has this status and is no web page."""
    if answer.status_code != status:
        reason = f"the server answers {answer.status_code} {answer.reason}"
        raise DownloadFailed(reason, final=400 <= answer.status_code < 500)
    if "html" in answer.headers.get("Content-Type", ""):
        raise DownloadFailed("the server sends a web page instead of the file", final=True)
