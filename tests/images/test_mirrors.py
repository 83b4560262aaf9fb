"""Fetching Tiny ImageNet, from servers of every kind that run on this machine."""

import hashlib
import io
import os
import re
import struct
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import WNIDS, official_files, write_official

from course_lib.__main__ import main
from course_lib.images import mirrors
from course_lib.images.mirrors import fetch_tiny_imagenet, wrong_images
from course_lib.images.tasks import WNIDS as CLASSES
from course_lib.images.tiny_imagenet import load_tiny_imagenet
from course_lib.support import download
from course_lib.support.files import data_folder
from course_lib.support.validation import CourseError

FILES = official_files()
PADDING = os.urandom(300_000)  # the many classes that nobody asks for


def zipped(files, padding=PADDING):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, content) in enumerate(files.items()):
            path = name if name.startswith(("/", "..")) else f"tiny-imagenet-200/{name}"
            archive.writestr(path, content)
            if number == len(files) // 2:
                archive.writestr("tiny-imagenet-200/test/images/test_0.JPEG", padding)
    return buffer.getvalue()


WHOLE = zipped(FILES)


@pytest.fixture(autouse=True)
def small_official(monkeypatch):
    """Classes of twelve and three images."""
    monkeypatch.setattr(mirrors, "COUNTS", (12, 3))
    monkeypatch.setattr(mirrors, "SIZE", len(WHOLE))
    monkeypatch.setattr(mirrors, "MD5", hashlib.md5(WHOLE).hexdigest())


class Server(ThreadingHTTPServer):
    """Sends `body` the way `answer(handler, range or None)` does; remembers the ranges asked for."""

    daemon_threads = True
    body = WHOLE

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.sent, self.answer = [], 0, with_ranges
        self.url = f"http://127.0.0.1:{self.server_port}/tiny-imagenet-200.zip"

    def handle_error(self, request, client_address):
        pass


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        size = len(self.server.body)
        span = (int(match[1]), int(match[2] or size - 1) + 1) if match else None
        self.server.asked.append(span)
        self.server.answer(self, span)

    def send(self, body, status=200, headers=(), announced=None):
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/zip", "Content-Length": announced or len(body), **dict(headers),
        }.items():  # fmt: skip
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)
        self.server.sent += len(body)

    def part(self, span, **changes):
        start, stop = span
        place = f"bytes {start}-{stop - 1}/{len(self.server.body)}"
        self.send(self.server.body[start:stop], 206, {"Content-Range": place} | changes)

    def log_message(self, *arguments):
        pass


def with_ranges(handler, span):
    handler.part(span) if span else handler.send(handler.server.body)


def without_ranges(handler, span):
    handler.send(handler.server.body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 2.0)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetched(server, wnids=WNIDS):
    return fetch_tiny_imagenet(wnids, mirrors=[server.url])


def left():
    """What the data folder holds, apart from the locks of calls at the same time."""
    return sorted({path.name for path in data_folder().glob("*")} - {".claims"})


def holds_the_images(place, wnids=WNIDS):
    """The zip can be worked with, and has the very bytes of the official images."""
    train, test = load_tiny_imagenet(place, wnids)
    assert len(train.labels) == 12 * len(wnids) and len(test.labels) == 3 * len(wnids)
    with zipfile.ZipFile(place) as archive:
        assert archive.testzip() is None
        for name, content in FILES.items():
            if name.endswith(".JPEG") and any(wnid in name for wnid in wnids):
                assert archive.read(f"tiny-imagenet-200/{name}") == content


def test_only_the_classes_bytes_are_asked_for(server):
    place = fetched(server)
    holds_the_images(place)
    assert left() == ["tiny-imagenet-200.zip"]
    assert all(server.asked), "a range, each time"
    assert server.sent < len(WHOLE) - len(PADDING) + 2 * mirrors.NEAR
    bytes_before = place.read_bytes()
    asked = len(server.asked)
    assert fetched(server) == place and len(server.asked) == asked, "what is there is not fetched"
    place.unlink()
    assert fetched(server).read_bytes() == bytes_before


def test_a_further_class_is_added(server):
    place = fetched(server, WNIDS[:1])
    holds_the_images(place, WNIDS[:1])
    with pytest.raises(CourseError, match="n00000002"):
        load_tiny_imagenet(place, WNIDS)
    fetched(server, WNIDS[1:])
    holds_the_images(place)


def test_without_ranges_the_whole_file_comes(server):
    server.answer = without_ranges
    place = fetched(server)
    assert place.read_bytes() == WHOLE and left() == ["tiny-imagenet-200.zip"]


def shifted(handler, span):
    """Answers a range with other bytes, honestly labelled."""
    handler.part((span[0] + 1, span[1])) if span else handler.send(handler.server.body)


def mislabelled(handler, span):
    handler.part(span, **{"Content-Range": "bytes 0-9/10"}) if span else without_ranges(
        handler, span
    )


@pytest.mark.parametrize("answer", [shifted, mislabelled])
def test_wrong_ranges_are_not_believed(server, answer):
    server.answer = answer
    assert fetched(server).read_bytes() == WHOLE


def test_a_slow_server(server):
    def slowly(handler, span):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(WHOLE)))
        handler.end_headers()
        for start in range(0, len(WHOLE), 50_000):
            time.sleep(0.1)
            handler.wfile.write(WHOLE[start : start + 50_000])

    server.answer = slowly
    assert fetched(server).read_bytes() == WHOLE


def test_what_was_cut_off_is_resumed(server, monkeypatch):
    """No ranges to begin with; the file breaks off in each call, and goes on in the next."""

    def breaking(handler, span):
        if span and span[1] != len(WHOLE):
            return handler.send(WHOLE)  # a part from the middle: not honoured
        start = span[0] if span else 0
        piece = WHOLE[start : start + 40_000]
        place = {"Content-Range": f"bytes {start}-{len(WHOLE) - 1}/{len(WHOLE)}"} if span else {}
        return handler.send(piece, 206 if span else 200, place, announced=len(WHOLE) - start)

    monkeypatch.setattr(download, "BLOCK", 1000)
    with pytest.raises(CourseError, match="cannot be fetched"):
        # The first request asks for the end of the file: let it see a server without ranges.
        server.answer = lambda handler, span: (
            breaking(handler, None) if len(server.asked) == 1 else breaking(handler, span)
        )
        fetched(server)
    assert left() == ["tiny-imagenet-200.zip.part"]
    have = (data_folder() / left()[0]).stat().st_size
    assert have == 120_000, "three attempts of 40,000 bytes"
    server.asked.clear()
    server.answer = lambda handler, span: (
        without_ranges(handler, span) if len(server.asked) == 1 else with_ranges(handler, span)
    )
    assert fetched(server).read_bytes() == WHOLE
    assert server.asked[1] == (have, len(WHOLE)) and left() == ["tiny-imagenet-200.zip"]


def test_a_range_that_breaks_off_is_asked_for_again(server):
    def once(handler, span):
        if len(server.asked) == 2:
            place = f"bytes {span[0]}-{span[1] - 1}/{len(WHOLE)}"
            handler.send(
                WHOLE[span[0] : span[0] + 10], 206, {"Content-Range": place}, span[1] - span[0]
            )
        else:
            with_ranges(handler, span)

    server.answer = once
    holds_the_images(fetched(server))


def test_a_server_that_recovers(server):
    server.answer = lambda handler, span: (
        handler.send(b"", 500) if len(server.asked) < 3 else with_ranges(handler, span)
    )
    holds_the_images(fetched(server))


def test_the_next_mirror_is_asked(server):
    with Server() as broken:
        broken.answer = lambda handler, span: handler.send(b"", 404)
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        place = fetch_tiny_imagenet(WNIDS, mirrors=[broken.url, server.url])
        broken.shutdown()
    holds_the_images(place)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]


def member(name):
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        return archive.getinfo(f"tiny-imagenet-200/{name}")


ONE = "train/n00000002/images/n00000002_3.JPEG"
IN_MEMBER = member(ONE).header_offset + 30 + len(member(ONE).filename) + 200
IN_NAME = WHOLE.rindex(ONE.encode()) + len(ONE) - 6  # the digit, in the list of files
IN_SUM = WHOLE.rindex(member(ONE).filename.encode()) - 46 + 16


def bomb():
    """A picture that unpacks to 30 MB."""
    return zipped({**FILES, ONE: bytes(30_000_000)})


def lying_bomb():
    """The same, with a size of 2,000 bytes written where the size stands."""
    whole = bytearray(bomb())
    name = f"tiny-imagenet-200/{ONE}".encode()
    struct.pack_into("<L", whole, whole.rindex(name) - 46 + 24, 2000)
    struct.pack_into("<L", whole, whole.index(name) - 30 + 22, 2000)
    return bytes(whole)


def escaping(name):
    return zipped({**FILES, name: FILES[ONE]})


BAD_BODIES = {
    "wrong size": (WHOLE + b"x", "instead of"),
    "flipped in a member": (flipped(WHOLE, IN_MEMBER), "n00000002_3.JPEG damaged"),
    "flipped in a name": (flipped(WHOLE, IN_NAME), "n00000002"),
    "flipped in a sum": (flipped(WHOLE, IN_SUM), "n00000002_3.JPEG damaged"),
    "flipped at the end": (flipped(WHOLE, len(WHOLE) - 20), "no complete zip"),
    "bomb": (bomb(), "unpacks to 30,000,000 bytes"),
    "lying bomb": (lying_bomb(), "n00000002_3.JPEG damaged"),
    "climbing name": (escaping("train/n00000002/images/../../../../evil.JPEG"), "evil.JPEG"),
    "one image too many": (
        escaping("train/n00000002/images/n00000002_99.JPEG"), "13 training",
    ),
    "no zip": (b"no zip" * 20_000, "no complete zip"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_bytes_are_refused_and_nothing_is_left(server, case, monkeypatch):
    server.body, message = BAD_BODIES[case]
    if case != "wrong size":
        monkeypatch.setattr(mirrors, "SIZE", len(server.body))
    with pytest.raises(CourseError, match=message) as caught:
        fetched(server)
    assert "\n" not in str(caught.value)
    assert len(caught.value.advice) == 2 and "by hand: get http" in caught.value.advice[0]
    assert left() == []


@pytest.mark.parametrize("body", [flipped(WHOLE, IN_MEMBER), WHOLE[:-1] + b"x"])
def test_a_whole_file_with_another_md5_is_refused(server, body):
    server.body, server.answer = body, without_ranges
    with pytest.raises(CourseError, match="md5"):
        fetched(server)
    assert left() == []


@pytest.mark.parametrize("name", ["../evil.JPEG", "/etc/evil.JPEG", "../../val/images/val_00.JPEG"])
def test_names_that_climb_are_left_out(server, name, tmp_path, monkeypatch):
    server.body = escaping(name)
    monkeypatch.setattr(mirrors, "SIZE", len(server.body))
    place = fetched(server)
    holds_the_images(place)
    with zipfile.ZipFile(place) as archive:
        assert not [member for member in archive.namelist() if "evil" in member or ".." in member]
    assert not list(tmp_path.rglob("*evil*"))


BAD_SERVERS = {
    "404": (lambda handler, span: handler.send(b"", 404), "answers 404", 1),
    "500": (lambda handler, span: handler.send(b"", 500), "answers 500", 3),
    "page": (
        lambda handler, span: handler.send(b"<html>", headers={"Content-Type": "text/html"}),
        "web page", 2,
    ),
    "silent": (lambda handler, span: handler.connection.close(), "ConnectionError", 3),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SERVERS)
def test_bad_servers(server, case):
    answer, message, requests = BAD_SERVERS[case]
    server.answer = answer
    with pytest.raises(CourseError, match=message):
        fetched(server)
    assert len(server.asked) == requests and left() == []


def test_no_server_is_told_within_ten_seconds():
    """Refused by this machine, and unknown: no name under .invalid exists."""
    start = time.monotonic()
    with pytest.raises(CourseError, match="127.0.0.1:9: ConnectionError; nowhere.invalid: Conn"):
        nowhere = ["http://127.0.0.1:9/x.zip", "http://nowhere.invalid/x.zip"]
        fetch_tiny_imagenet(WNIDS, mirrors=nowhere)
    assert time.monotonic() - start < 10 and left() == []


def test_three_lines_say_what_to_do_by_hand(capsys):
    assert main(["data", "--mirror", "http://127.0.0.1:9/x.zip"]) == 2
    lines = capsys.readouterr().err.splitlines()[-3:]
    assert "course: Tiny ImageNet cannot be fetched" in lines[0]
    assert lines[1].startswith("by hand: get http://") and "data --from FILE" in lines[2]
    assert left() == []


def test_a_server_that_says_nothing(server):
    server.answer = lambda handler, span: time.sleep(4)
    start = time.monotonic()
    with pytest.raises(CourseError, match="ReadTimeout"):
        fetched(server)
    assert time.monotonic() - start < 15 and left() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
@pytest.mark.parametrize("answer", [with_ranges, without_ranges])
def test_a_disk_that_takes_no_more(server, answer):
    """Files may grow to 20,000 bytes here, as on a disk that fills up while a file is written."""
    import resource

    server.answer = answer
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(CourseError, match="cannot write .*tiny-imagenet-200.zip.*too large"):
            fetched(server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left() == []


def test_a_given_file_wins(tmp_path, server):
    folder = write_official(tmp_path / "given", FILES, as_zip=False)
    archive = write_official(tmp_path / "given", FILES, as_zip=True)
    for given in (folder, archive):
        place = fetch_tiny_imagenet(WNIDS, given, [server.url])
        holds_the_images(place)
        place.unlink()
    assert not server.asked
    (folder / ONE).write_bytes(b"short")
    (folder / "val/images/val_00.JPEG").unlink()
    with pytest.raises(CourseError, match="lacks val/images/val_00.JPEG"):
        fetch_tiny_imagenet(WNIDS, folder, [server.url])
    assert left() == []


def test_a_folder_in_the_data_folder_is_never_changed(server):
    root = write_official(
        data_folder(), {k: v for k, v in FILES.items() if WNIDS[1] not in k}, False
    )
    with pytest.raises(CourseError, match="lacks n00000002: add it, or move"):
        fetched(server)
    assert not server.asked and left() == [root.name]


def test_known_digests(server, tmp_path, monkeypatch):
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in FILES.items()]
    (tmp_path / "known").write_text("".join(line for line in lines if ".JPEG" in line))
    monkeypatch.setattr(mirrors, "DIGESTS", tmp_path / "known")
    place = fetched(server)
    assert wrong_images(place, WNIDS) == []
    place.unlink()
    changed = {**FILES, ONE: FILES["train/n00000002/images/n00000002_4.JPEG"]}
    server.body = zipped(changed)
    monkeypatch.setattr(mirrors, "SIZE", len(server.body))
    with pytest.raises(CourseError, match=f"other bytes for {ONE}"):
        fetched(server)
    assert left() == []
    assert wrong_images(write_official(tmp_path, changed, as_zip=True), WNIDS) == [ONE]


def test_the_papers_images_are_these_bytes(real_images):
    assert wrong_images(real_images, CLASSES.values()) == []
    known = mirrors.DIGESTS.read_text().splitlines()
    assert len(known) == 3 * (500 + 50)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--classes", "dogs"], ["'dogs'", "n02099601"]),
        (["--classes", ""], ["''"]),
        (["--from", "nowhere.zip"], ["nowhere.zip", "is not there"]),
        (["--from", __file__], ["test_mirrors.py", "no complete zip"]),
    ],
)
def test_refused(arguments, words, capsys):
    assert main(["data", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("course: ") and message.count("\n") == 1
    assert all(word in message for word in words) and left() == []
