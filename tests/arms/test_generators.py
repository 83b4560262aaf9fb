import os
import pickle
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations, islice

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from style_measures import change, detail, grid

from course_lib.__main__ import main
from course_lib.arms import ARMS
from course_lib.arms import generators as weights
from course_lib.arms.gan import apply_style, in_style, stylise
from course_lib.arms.generators import (
    KINDS,
    STYLES,
    Kind,
    choose_kind,
    fetch_styles,
    generator_path,
    generators_digest,
    load_generator,
    read_generator,
)
from course_lib.images.standin import CLASSES, draw_scenes
from course_lib.images.tasks import load_task
from course_lib.models import Generator
from course_lib.study import run, settings_of
from course_lib.support import download
from course_lib.support.files import BUNDLED, data_folder, runs_folder
from course_lib.support.validation import CourseError
from course_lib.training import Recipe

PUBLISHED = Generator().state_dict()


@pytest.fixture(scope="module")
def scenes():
    """12 stand-in scenes of each class: pictures that no generator was trained on."""
    drawn = [torch.from_numpy(draw_scenes(kind, 12, seed=99)) for kind in CLASSES]
    return torch.cat(drawn)


@pytest.fixture(scope="module")
def stylised(scenes):
    """Each scene in each style."""
    return {style: in_style(scenes, style, "bundled") for style in STYLES}


def old_file(path, tensors=PUBLISHED, zipped=True):
    """A file in the published layout: with the statistics that old versions of torch kept."""
    old = {}
    for name, value in tensors.items():
        old[name] = value
        if name.endswith("bias"):
            layer, _, number = name.removesuffix(".bias").rpartition(".")
            norm = f"{layer}.{int(number) + 1}"
            old[f"{norm}.running_mean"] = torch.zeros(len(value))
            old[f"{norm}.running_var"] = torch.ones(len(value))
            old[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(old, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.fixture(scope="module")
def published_bytes(tmp_path_factory):
    return old_file(tmp_path_factory.mktemp("published") / "any.pth").read_bytes()


# The bundled generators.


def edges(images):
    """Length of the brightness gradient: float (N, H−1, W−1)."""
    grey = images.float().mean(1)
    return torch.hypot(grey[:, 1:, :-1] - grey[:, :-1, :-1], grey[:, :-1, 1:] - grey[:, :-1, :-1])


def correlation(one, other):
    """Of two batches, image by image: (N,)."""
    one, other = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (one, other))
    return (one * other).sum(1) / (one.norm(dim=1) * other.norm(dim=1)).clamp(min=1e-6)


def check_the_six(images, stylised):
    for style, copies in stylised.items():
        assert 0.05 < change(copies, images) < 0.25, (style, change(copies, images))
        assert 0.5 < detail(copies, images) < 2, (style, detail(copies, images))
        assert grid(copies, images) <= 1.1, (style, grid(copies, images))
        # Blurred by 2×2, so that a sensor's noise is no structure to keep.
        smooth = [torch.nn.functional.avg_pool2d(x.float(), 2) for x in (images, copies)]
        kept = correlation(*(edges(x) for x in smooth)).mean()
        assert kept > 0.5, (style, kept)
    assert sum(detail(copies, images) for copies in stylised.values()) / len(stylised) >= 0.8
    for one, other in combinations(stylised, 2):
        apart = change(stylised[one], stylised[other])
        assert apart > 0.04, (one, other, apart)


def test_the_six_change_a_drawn_picture_and_keep_its_structure(scenes, stylised):
    check_the_six(scenes, stylised)


def test_the_six_change_a_photograph_and_keep_its_structure(real_images):
    images = load_task("dogs-vs-goldfish", "tiny-imagenet").test.images[::4]
    check_the_six(images, {style: in_style(images, style, "bundled") for style in STYLES})


def test_what_the_checks_refuse(scenes, stylised):
    """Each fault that the measurements are for is found by them."""
    flat = torch.full_like(scenes, 128)
    checked = scenes.int()
    checked[..., ::2, ::2] += 60
    checked[..., 1::2, 1::2] += 60
    checked = checked.clamp(0, 255).to(torch.uint8)
    for fault in (scenes, flat, 255 - flat, scenes.flip(0), checked, stylised["monet"]):
        with pytest.raises(AssertionError):
            check_the_six(scenes, {**stylised, "winter": fault})


def test_the_six_are_small():
    sizes = [generator_path(style, "bundled").stat().st_size for style in STYLES]
    assert len(sizes) == 6 and sum(sizes) < 12_000_000 and max(sizes) < 2_000_000
    card = (BUNDLED / "README.md").read_text(encoding="utf-8")
    assert {path.stem for path in (BUNDLED / "styles").iterdir()} == set(STYLES)
    assert all(f"| `{style}` |" in card for style in STYLES)


# stylise


def test_stylise_draws_a_style_for_each_image(scenes, stylised):
    copies, styles = stylise(scenes, seed=3)
    assert copies.shape == scenes.shape and copies.dtype == torch.uint8
    assert set(styles) == set(STYLES)
    for index, style in enumerate(styles):
        difference = copies[index].int() - stylised[style][index].int()
        assert difference.abs().max() <= 1, (index, style)
    again = stylise(scenes, seed=6)
    assert again.styles != styles
    many = stylise(torch.zeros(1200, 3, 8, 8, dtype=torch.uint8), ["monet", "winter"])
    assert 500 < many.styles.count("monet") < 700 and set(many.styles) == {"monet", "winter"}


def test_a_second_call_reads_the_first(scenes, monkeypatch):
    first = stylise(scenes, ["monet"], seed=1)
    (path,) = (runs_folder() / "cache").glob("styles-*")
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("course_lib.arms.gan.apply_style", None)
        again = stylise(scenes, ["monet"], seed=1)
        assert torch.equal(again.images, first.images) and again.styles == first.styles
        for change in ({"seed": 2}, {"styles": ["winter"]}, {"images": scenes.flip(0)}):
            with pytest.raises(TypeError):
                stylise(**{"images": scenes, "styles": ["monet"], "seed": 1, **change})
    for broken in (whole[:1000], b"", b"PK" + whole[2:-500]):
        path.write_bytes(broken)
        assert torch.equal(stylise(scenes, ["monet"], seed=1).images, first.images)
    assert path.read_bytes() == whole
    assert not list(runs_folder().rglob(".part-*"))


def test_other_weights_other_copies(scenes, monkeypatch, tmp_path):
    before = stylise(scenes[:4], ["monet"])
    other = tmp_path / "other.safetensors"
    generator = KINDS["bundled"].build()
    torch.nn.init.normal_(generator.model[-2].weight, 0, 0.1)
    weights.save_generator(other, generator, KINDS["bundled"], {})
    monkeypatch.setattr("course_lib.arms.generators.generator_path", lambda *_: other)
    after = stylise(scenes[:4], ["monet"], generators="bundled")
    assert not torch.equal(after.images, before.images)


def test_images_of_another_size_keep_it():
    images = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8)
    assert stylise(images).images.shape == images.shape


def test_large_generators_see_an_enlarged_picture():
    class Watched(Generator):
        def forward(self, images):
            seen.append(images)
            return images

    seen = []
    images = torch.randint(0, 256, (6, 3, 8, 8)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    images = images.to(torch.uint8)
    out = apply_style(Watched(2, 1), images, 256)
    assert [len(batch) for batch in seen] == [4, 2] and seen[0].shape == (4, 3, 256, 256)
    assert seen[0].min() >= -1 and seen[0].max() <= 1
    # Enlarged and averaged down again, the inside of each 8×8 square is what it was.
    inner = (slice(None), slice(None), slice(3, None, 8), slice(3, None, 8))
    assert (out[inner].int() - images[inner].int()).abs().max() <= 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"styles": ["mone"]}, "style 'mone' is unknown .did you mean monet.*cezanne, enhance"),
        ({"styles": []}, "names none"),
        ({"generators": "large"}, "generators 'large' is unknown"),
        ({"seed": -1}, "seed -1 must be"),
        ({"images": torch.zeros(2, 1, 28, 28, dtype=torch.uint8)}, "must be a tensor .* of uint8"),
        ({"images": torch.zeros(2, 3, 64, 64)}, "must be a tensor .* of uint8"),
        ({"images": torch.zeros(0, 3, 64, 64, dtype=torch.uint8)}, "must be a tensor .* of uint8"),
        ({"generators": "published"}, "is not there: .python -m course_lib data --styles"),
    ],
)
def test_bad_calls(changes, message):
    arguments = {"images": torch.zeros(2, 3, 64, 64, dtype=torch.uint8), **changes}
    with pytest.raises(CourseError, match=message):
        stylise(**arguments)
    assert not runs_folder().exists()


# The gan arm


def test_the_gan_arm_doubles_the_training_images(tmp_path):
    settings = settings_of(
        "dogs-vs-goldfish", "gan", seed=2, source="stand-in", epochs=1, images_per_class=10
    )
    task = load_task("dogs-vs-goldfish", "stand-in", 2, 10)
    copies = ARMS["gan"].copies(task, settings.recipe, 2, "cpu")
    assert len(copies) == len(task.train.images) == 16
    assert torch.equal(copies, stylise(task.train.images, seed=2).images)
    result = run(settings, tmp_path)
    assert result.settings["generators"] == "bundled"
    assert result.settings["weights"] == generators_digest("bundled")
    plain = run(replace(settings, arm="none"), tmp_path)
    assert "generators" not in plain.settings and "weights" not in plain.settings


def test_fresh_styles_are_drawn_for_each_image_in_each_epoch():
    """Every copy is its own image in one of the six styles; styles differ from epoch to epoch."""
    task = load_task("dogs-vs-goldfish", "stand-in", images_per_class=15)
    images = task.train.images
    styles = torch.stack([stylise(images, (style,)).images for style in STYLES])
    epochs = list(islice(ARMS["gan-fresh"].fresh(images, task, Recipe(), 2), 3))
    drawn = []
    for copies in epochs:
        same = (copies == styles).flatten(2).all(dim=2)  # (style, image)
        assert (same.sum(dim=0) == 1).all(), "its own image, in one style"
        drawn.append(same.int().argmax(dim=0))
    assert len(drawn[0].unique()) > 3 and not torch.equal(drawn[0], drawn[1])
    again = next(ARMS["gan-fresh"].fresh(images, task, Recipe(), 2))
    assert torch.equal(again, epochs[0])
    assert not torch.equal(next(ARMS["gan-fresh"].fresh(images, task, Recipe(), 3)), epochs[0])


def test_seeds_that_split_the_same_images_share_their_styles():
    for seed in (0, 1):
        task = load_task("dogs-vs-goldfish", "stand-in", seed, images_per_class=10, side=32)
        copies = next(ARMS["gan-fresh"].fresh(task.train.images, task, Recipe(), seed))
        assert copies.shape == task.train.images.shape
    assert len(list((runs_folder() / "cache").glob("styles-*.npz"))) == len(STYLES)


# Weights files


@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_file_is_read(tmp_path, zipped):
    path = old_file(tmp_path / "style.pth", zipped=zipped)
    generator = read_generator(path, KINDS["published"])
    for name, value in generator.state_dict().items():
        assert torch.equal(value, PUBLISHED[name])
    assert not generator.training


class Command:
    def __reduce__(self):
        return os.system, ("touch code-ran",)


def test_bad_weights_files(tmp_path, monkeypatch, published_bytes):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "style.pth"
    small = Generator(16, 3).state_dict()
    infinite = {**PUBLISHED, "model.1.bias": torch.full((64,), float("inf"))}
    extra = {**PUBLISHED, "model.2.running_scale": torch.zeros(64)}
    missing = {name: value for name, value in PUBLISHED.items() if name != "model.26.bias"}

    def saved(content):
        torch.save(content, path)

    for write, message in (
        (lambda: path.write_bytes(published_bytes[:-5000]), "is cut off"),
        (lambda: path.write_bytes(b""), "is cut off"),
        (lambda: path.write_bytes(b"<html>moved</html>"), "holds no weights"),
        (lambda: saved({"model.1.weight": Command()}), "more than weights"),
        (lambda: path.write_bytes(pickle.dumps(Command())), "more than weights"),
        (lambda: saved([1, 2]), "no table of weights"),
        (lambda: saved({"model.1.weight": 3}), "no table of weights"),
        (lambda: saved(extra), "no generator of width 64, 9 blocks.*model.2.running_scale is new"),
        (lambda: saved(missing), "no generator of width 64.*model.26.bias is missing"),
        (lambda: saved(small), "no generator of width 64, 9 blocks"),
        (lambda: saved(infinite), "is damaged: model.1.bias holds values that are not finite"),
        (
            lambda: saved(Generator(32).state_dict()),
            "model.1.weight is .32, 3, 7, 7., not .64, 3, 7, 7.",
        ),
    ):
        write()
        with pytest.raises(CourseError, match=message) as caught:
            read_generator(path, KINDS["published"])
        assert "\n" not in str(caught.value) and "style.pth" in str(caught.value)
    assert not (tmp_path / "code-ran").exists()


def test_bad_bundled_files(tmp_path):
    path, kind = tmp_path / "style.safetensors", Kind(8, 2, "resize", True, 128)
    weights.save_generator(path, kind.build(), kind, {"style": "mine"})
    whole = path.read_bytes()
    assert isinstance(read_generator(path, kind), Generator)
    for wrong in ({"width": 4}, {"blocks": 3}, {"upsampling": "transposed"}, {"residual": False},
                  {"side": 64}):  # fmt: skip
        other = kind._replace(**wrong)
        with pytest.raises(CourseError, match=f"is a generator of width 8.*, not of {other}"):
            read_generator(path, other)
    for broken in (whole[:-100], b"", pickle.dumps(Command())):
        path.write_bytes(broken)
        with pytest.raises(CourseError, match="no safetensors file, or is damaged"):
            read_generator(path, kind)
    half = {name: value.half() for name, value in kind.build().state_dict().items()}
    for value in (float("inf"), float("nan")):  # what is too large for half precision, say
        half["model.1.bias"][3] = value
        save_file(half, path, {"kind": str(kind)})
        with pytest.raises(CourseError, match="model.1.bias holds values that are not finite"):
            read_generator(path, kind)
    save_file(half, path)
    with pytest.raises(CourseError, match="is a generator of an unknown kind, not of width 8"):
        read_generator(path, kind)
    path.unlink()
    with pytest.raises(CourseError, match="style.safetensors is no"):
        read_generator(path, kind)


# The download


@pytest.fixture
def server(monkeypatch, published_bytes):
    """A server on this machine: `answer(handler)` writes what it likes; counts what was asked."""
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 2.0)

    class Server(ThreadingHTTPServer):
        asked = []
        daemon_threads = True

        @staticmethod
        def answer(handler):
            send(handler, published_bytes)

        def handle_error(self, request, client_address):
            pass

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            self.server.answer(self)

        def log_message(self, *arguments):
            pass

    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        running.address = f"http://127.0.0.1:{running.server_port}/models"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def send(handler, body, status=200, kind="application/octet-stream", announced=None):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body) if announced is None else announced))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.slow
def test_the_published_generators_are_fetched_once(server, monkeypatch, capsys):
    monkeypatch.setattr(weights.fetch_styles, "__defaults__", (server.address,))
    assert choose_kind("auto") == "bundled"
    assert main(["data", "--styles"]) == 0
    folder = data_folder() / "cyclegan"
    assert str(folder) in capsys.readouterr().out
    assert server.asked == [f"/models/{name}.pth" for name in STYLES.values()]
    expected = {"SHA256SUMS", *(f"{name}.pth" for name in STYLES.values())}
    assert {path.name for path in folder.iterdir()} == expected
    assert fetch_styles() == folder and len(server.asked) == 6
    assert choose_kind("auto") == "published" and choose_kind("bundled") == "bundled"
    assert torch.equal(
        load_generator("winter", "published").state_dict()["model.1.bias"],
        PUBLISHED["model.1.bias"],
    )
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    copies = stylise(images, ["monet"])
    assert copies.images.shape == images.shape


def test_a_file_that_is_there_and_damaged_is_told(server):
    path = generator_path("cezanne", "published")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    with pytest.raises(CourseError, match="style_cezanne.pth holds no weights"):
        fetch_styles(server.address)
    assert path.read_bytes() == b"half" and not server.asked


BAD_ANSWERS = {
    "404": (lambda handler, _: send(handler, b"", 404), "answers 404", 1),
    "500": (lambda handler, _: send(handler, b"", 500), "answers 500", 3),
    "page": (lambda handler, _: send(handler, b"<html>", kind="text/html"), "web page", 1),
    "hidden page": (lambda handler, _: send(handler, b"<html>" * 50), "no published generator", 1),
    "short": (lambda handler, body: send(handler, body[:-9000], announced=len(body)), r"cannot be fetched \(", 3),
    "empty": (lambda handler, _: send(handler, b""), "0 bytes came", 3),
    "silent": (lambda handler, _: handler.connection.close(), "ConnectionError", 3),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_servers(server, case, published_bytes, monkeypatch, capsys):
    answer, message, attempts = BAD_ANSWERS[case]
    server.answer = lambda handler: answer(handler, published_bytes)
    with pytest.raises(CourseError, match=message) as caught:
        fetch_styles(server.address)
    assert len(server.asked) == attempts
    assert "by hand: get style_cezanne" in str(caught.value) and "\n" not in str(caught.value)
    assert not list((data_folder() / "cyclegan").iterdir())


def test_a_server_that_recovers(server, published_bytes):
    def answer(handler):
        if len(server.asked) < 3:
            send(handler, b"", 503)
        else:
            send(handler, published_bytes)

    server.answer = answer
    fetch_styles(server.address)
    assert len(server.asked) == 8


def test_no_server(monkeypatch, capsys):
    monkeypatch.setattr(weights.fetch_styles, "__defaults__", ("http://127.0.0.1:9/models",))
    assert main(["data", "--styles"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("course: http://127.0.0.1:9") and "ConnectionError" in message
    assert not list((data_folder() / "cyclegan").iterdir())


def test_half_precision_is_enough(scenes):
    """Stored in 16 bits, computed in 32: what it costs is less than a grey level."""
    torch.manual_seed(0)
    generator = Generator(16, 3).eval()
    images = scenes[:4].float() / 127.5 - 1
    with torch.no_grad():
        before = generator(images)
        generator.half().float()
        after = generator(images)
    assert np.abs((before - after).numpy()).max() * 127.5 < 1
