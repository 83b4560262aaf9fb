import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from course_lib.__main__ import main
from course_lib.arms.cyclegan import (
    POOL,
    CycleGANRecipe,
    Pool,
    enlarged,
    generator_losses,
    train_cyclegan,
)
from course_lib.arms.domains import SMALL, changed, photographs, read_pictures, train_style
from course_lib.arms.generators import Kind, read_generator
from course_lib.losses import critic_loss
from course_lib.models import Discriminator, Generator
from course_lib.support.files import runs_folder
from course_lib.support.validation import CourseError

TINY = CycleGANRecipe(
    steps=100, side=32, width=2, blocks=1, critic_width=2, critic_halvings=1, seed=3
)


def pictures(count, colour, side=40):
    """Noise around one colour: uint8 (3, side, side) each."""
    generator = torch.Generator().manual_seed(count)
    noise = torch.randint(-40, 41, (count, 3, side, side), generator=generator)
    return list((torch.tensor(colour).view(3, 1, 1) + noise).clamp(0, 255).to(torch.uint8))


BLUE, RED = pictures(6, (60, 80, 190)), pictures(7, (190, 80, 60))


# The published network, written out once more from its specification, slowly and in float64.


def reflected(image, width):
    return np.pad(image, ((0, 0), (width, width), (width, width)), mode="reflect")


def convolved(image, weight, bias, stride=1):
    """A sum over the kernel's places: no padding."""
    _, _, kernel, _ = weight.shape
    height, width = ((size - kernel) // stride + 1 for size in image.shape[1:])
    out = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for y in range(kernel):
        for x in range(kernel):
            part = image[:, y : y + stride * height : stride, x : x + stride * width : stride]
            out += np.tensordot(weight[:, :, y, x], part, axes=1)
    return out


def transposed(image, weight, bias):
    """Each input pixel adds its 3×3 stamp at twice its place; padding 1 and output padding 1."""
    _, height, width = image.shape
    out = np.zeros((weight.shape[1], 2 * height + 2, 2 * width + 2))
    for y in range(3):
        for x in range(3):
            stamp = np.tensordot(weight[:, :, y, x].T, image, axes=1)
            out[:, y : y + 2 * height : 2, x : x + 2 * width : 2] += stamp
    return out[:, 1 : 2 * height + 1, 1 : 2 * width + 1] + bias[:, None, None]


def normed(image):
    mean, variance = (f(image, axis=(1, 2), keepdims=True) for f in (np.mean, np.var))
    return (image - mean) / np.sqrt(variance + 1e-5)


def slow_generator(weights, image):
    def of(name):
        return weights[f"model.{name}.weight"], weights[f"model.{name}.bias"]

    x = np.maximum(normed(convolved(reflected(image, 3), *of(1))), 0)
    for layer in (4, 7):
        x = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        x = np.maximum(normed(convolved(x, *of(layer), stride=2)), 0)
    for block in range(10, 19):
        inside = convolved(reflected(x, 1), *of(f"{block}.conv_block.1"))
        inside = np.maximum(normed(inside), 0)
        x = x + normed(convolved(reflected(inside, 1), *of(f"{block}.conv_block.5")))
    for layer in (19, 22):
        x = np.maximum(normed(transposed(x, *of(layer))), 0)
    return np.tanh(convolved(reflected(x, 3), *of(26)))


def test_generator_is_the_published_network():
    torch.manual_seed(0)
    generator = Generator()
    weights = generator.state_dict()
    assert len(weights) == 48 and sum(value.numel() for value in weights.values()) == 11_378_179
    places = [1, 4, 7, *(f"{k}.conv_block.{j}" for k in range(10, 19) for j in (1, 5)), 19, 22, 26]
    assert list(weights) == [f"model.{k}.{kind}" for k in places for kind in ("weight", "bias")]
    assert weights["model.1.weight"].shape == (64, 3, 7, 7)
    assert weights["model.10.conv_block.5.weight"].shape == (256, 256, 3, 3)
    assert weights["model.19.weight"].shape == (256, 128, 3, 3)
    assert weights["model.26.weight"].shape == (3, 64, 7, 7)
    with torch.no_grad():
        for value in weights.values():  # larger than at the start, so that every layer counts
            value.normal_(0, 0.05)
        images = torch.rand(2, 3, 32, 40) * 2 - 1
        fast = generator(images)
    exact = {name: value.double().numpy() for name, value in weights.items()}
    for image, ours in zip(images, fast, strict=True):
        slow = slow_generator(exact, image.double().numpy())
        assert slow.std() > 0.1
        np.testing.assert_allclose(ours.numpy(), slow, atol=2e-4)


def test_discriminator_is_the_70_pixel_patchgan():
    critic = Discriminator()
    shapes = [tuple(value.shape) for value in critic.state_dict().values() if value.ndim == 4]
    assert shapes == [
        (64, 3, 4, 4),
        (128, 64, 4, 4),
        (256, 128, 4, 4),
        (512, 256, 4, 4),
        (1, 512, 4, 4),
    ]
    assert critic(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 30, 30)
    assert sum(isinstance(layer, torch.nn.InstanceNorm2d) for layer in critic.model) == 3
    for halvings, patch in ((3, 70), (2, 34), (1, 16)):
        # Without normalisation, which sees everything, a score's gradient shows what it sees.
        layers = [
            m
            for m in Discriminator(4, halvings).model
            if not isinstance(m, torch.nn.InstanceNorm2d)
        ]
        image = torch.randn(1, 3, 128, 128, requires_grad=True)
        scores = torch.nn.Sequential(*layers)(image)
        scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
        seen = image.grad.abs().sum((0, 1)).nonzero()
        assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [patch, patch]


def test_weights_begin_near_n_0_002():
    for network in (Generator(32, 2), Discriminator(32)):
        for name, value in network.state_dict().items():
            if name.endswith("bias"):
                assert (value == 0).all()
            elif value.numel() > 10_000:
                assert abs(value.std() - 0.02) < 0.001 and abs(value.mean()) < 0.001


def test_a_generator_cannot_see_brightness_or_contrast():
    """The lesson of instance normalisation: only the picture's relative colours get through."""
    generator = Generator(8, 1).double().eval()
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    tinted = 0.5 * image + torch.tensor([0.3, -0.2, 0.1]).view(3, 1, 1)
    with torch.no_grad():
        assert (generator(image) - generator(tinted)).abs().max() < 0.01


def test_losses_against_a_slow_count():
    networks = TINY.networks()
    photo, style = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    losses, fake_style, fake_photo = generator_losses(networks, photo, style)
    to_style, to_photo = networks.to_style, networks.to_photo
    with torch.no_grad():
        expected = {"adversarial": 0.0, "cycle": 0.0, "identity": 0.0}
        for x, y in zip(photo.split(1), style.split(1), strict=True):
            expected["adversarial"] += (networks.style_critic(to_style(x)) - 1).pow(2).mean() / 2
            expected["adversarial"] += (networks.photo_critic(to_photo(y)) - 1).pow(2).mean() / 2
            expected["cycle"] += (to_photo(to_style(x)) - x).abs().mean() / 2
            expected["cycle"] += (to_style(to_photo(y)) - y).abs().mean() / 2
            expected["identity"] += (to_style(y) - y).abs().mean() / 2
            expected["identity"] += (to_photo(x) - x).abs().mean() / 2
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-4
    )
    torch.testing.assert_close(fake_style, to_style(photo))
    torch.testing.assert_close(fake_photo, to_photo(style))
    fakes = fake_style.detach()
    loss = critic_loss(networks.style_critic(style), networks.style_critic(fakes))
    real, fake = (networks.style_critic(images) for images in (style, fake_style))
    assert loss.item() == pytest.approx(((real - 1).pow(2).mean() + fake.pow(2).mean()).item() / 2)
    loss.backward()
    assert all(weight.grad is None for weight in networks.generators.parameters())


def test_pool():
    pool, draws = Pool(), torch.Generator().manual_seed(0)
    fakes = torch.arange(400.0).view(400, 1, 1, 1)
    assert (pool.swap(fakes[:POOL], draws) == fakes[:POOL]).all()
    out = pool.swap(fakes[POOL:], draws).flatten()
    new = out == fakes[POOL:].flatten()
    assert 0.4 < new.float().mean() < 0.6
    given, kept = out.tolist(), pool.images.flatten().tolist()
    assert len(kept) == POOL and len(set(given)) == len(given)
    assert sorted(given + kept) == fakes.flatten().tolist()


@pytest.mark.slow
def test_training_learns_and_is_reproducible():
    recipe = changed(TINY, ["steps=150", "width=4", "learning_rate=2e-3"])
    reports = []
    networks, curves = train_cyclegan(
        [BLUE], RED, recipe, on_report=lambda _, curves: reports.append(len(curves["cycle"]))
    )
    assert reports == [1, 2, 3] and set(curves) == {"adversarial", "cycle", "identity", "critics"}
    assert curves["cycle"][-1] < curves["cycle"][0]
    again, same = train_cyclegan([BLUE], RED, recipe)
    assert same == curves
    for ours, theirs in zip(networks.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    photo = torch.stack(BLUE)[:, :, :40, :40].float() / 127.5 - 1
    with torch.no_grad():
        red, _, blue = networks.to_style(photo).mean((0, 2, 3))
    assert red > blue, "a blue picture does not come out red"


@pytest.mark.slow
def test_a_stopped_training_goes_on_as_if_never_stopped(tmp_path):
    class Stopped(Exception):
        pass

    def stop(networks, curves):
        raise Stopped

    recipe = changed(TINY, ["batch_size=2", "critic_batch=3", "critic_first=5"])
    whole, curves = train_cyclegan([BLUE, RED], RED, recipe)
    checkpoint = tmp_path / "style.checkpoint"
    with pytest.raises(Stopped):
        train_cyclegan([BLUE, RED], RED, recipe, checkpoint, on_report=stop)
    assert torch.load(checkpoint, weights_only=True)["done"] == 50
    resumed, same = train_cyclegan([BLUE, RED], RED, recipe, checkpoint)
    assert same == curves
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
def test_a_style_can_start_from_another(tmp_path):
    first, _ = train_cyclegan([BLUE], RED, TINY, tmp_path / "first.checkpoint")
    second, _ = train_cyclegan(
        [BLUE], RED, changed(TINY, ["learning_rate=0"]), start=tmp_path / "first.checkpoint"
    )
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(CourseError, match="networks of another size"):
        train_cyclegan([BLUE], RED, changed(TINY, ["width=4"]), start=tmp_path / "first.checkpoint")


def test_bad_checkpoints(tmp_path):
    checkpoint = tmp_path / "style.checkpoint"
    train_cyclegan([BLUE], RED, TINY, checkpoint)
    with pytest.raises(CourseError, match="begun with another recipe"):
        train_cyclegan([BLUE], RED, changed(TINY, ["cycle=5"]), checkpoint)
    whole = checkpoint.read_bytes()
    for broken in (whole[:-200], whole[:20], b"", b"\x80\x04\x95" * 50):
        checkpoint.write_bytes(broken)
        with pytest.raises(CourseError, match="no checkpoint of this course, or is damaged"):
            train_cyclegan([BLUE], RED, TINY, checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["steps=0"], "steps 0 must be"),
        (["side=50"], "side 50 must be a multiple of 8"),
        (["side=16"], "side 16 must be"),
        (["cycle=-1"], "cycle -1.0 must be a number of 0 or more"),
        (["learning_rate=nan"], "learning_rate nan must be"),
        (["critic_batch=0"], "critic_batch 0 must be a whole number of 1 or more"),
        (["enlarge=3"], "side 80 must be a multiple of 12"),
        (["upsampling=up"], "upsampling 'up' is unknown: choose one of transposed, resize"),
        (["distance=far"], "distance 'far' is unknown: choose one of absolute, squared"),
        (["batch=2"], "recipe value 'batch' is unknown .did you mean batch_size"),
        (["steps=many"], "'many' is not a value for steps"),
        (["bfloat16=yes"], "'yes' is not a value for bfloat16"),
    ],
)
def test_bad_recipes(changes, message):
    with pytest.raises(CourseError, match=message):
        changed(SMALL, changes)


def test_the_learning_rate_is_constant_and_then_falls(monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def watched(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    train_cyclegan([BLUE], RED, changed(TINY, ["steps=40"]))
    rates = rates[::2]  # of the generators; the critics have the same
    assert rates[:21] == [2e-4] * 21
    falls = [before - after for before, after in zip(rates[20:], rates[21:], strict=False)]
    assert all(math.isclose(fall, 1e-5, rel_tol=1e-6) for fall in falls) and rates[
        -1
    ] == pytest.approx(1e-5)


def test_pictures_of_a_folder(tmp_path):
    for name, size, mode in (
        ("a.jpg", (300, 200), "RGB"),
        ("b.PNG", (20, 90), "L"),
        ("c.jpeg", (70, 66), "RGB"),
    ):
        Image.new(mode, size, 100).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not read")
    shapes = [tuple(picture.shape) for picture in read_pictures(tmp_path, 48)]
    assert shapes == [(3, 96, 144), (3, 216, 48), (3, 66, 70)]
    (tmp_path / "d.jpg").write_bytes(b"no picture")
    with pytest.raises(CourseError, match="d.jpg cannot be read as a picture"):
        read_pictures(tmp_path, 48)
    with pytest.raises(CourseError, match="empty holds no pictures"):
        read_pictures(tmp_path / "empty", 48)


def test_own_photographs():
    scenes = photographs("stand-in", 48)
    assert len(scenes) == 900 and {tuple(picture.shape) for picture in scenes} == {(3, 64, 64)}


@pytest.mark.slow
def test_the_command_trains_a_style(tmp_path, capsys):
    (tmp_path / "domain").mkdir()
    for k, picture in enumerate(RED):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / "domain" / f"{k}.png")
    small = [f"{name}={getattr(TINY, name)}" for name in ("steps", "side", "width", "blocks")]
    small += ["critic_first=10", "critic_width=2"]
    arguments = [
        "styles",
        "train",
        "my-style",
        "--domain",
        str(tmp_path / "domain"),
        "--photos",
        "stand-in",
    ]
    arguments += [part for change in small for part in ("-p", change)]
    assert main(arguments) == 0
    path = runs_folder() / "styles" / "my-style.safetensors"
    assert f"{path}: critics" in capsys.readouterr().out
    assert isinstance(read_generator(path, Kind(2, 1, "resize", True, 128)), Generator)
    with Image.open(path.with_suffix(".png")) as shown:
        assert shown.size == (12 * 128, 256)
    with safe_open(path, "pt") as file:
        assert file.metadata()["style"] == "my-style" and "steps=100" in file.metadata()["recipe"]
    assert main([*arguments[:3], "--domain", str(tmp_path / "none")]) == 2
    assert "none holds no pictures" in capsys.readouterr().err
    assert main(["styles", "train", "../x", "--domain", str(tmp_path / "domain")]) == 2
    assert "style name '../x'" in capsys.readouterr().err
    with pytest.raises(CourseError, match="a set is empty"):
        train_cyclegan([], RED, TINY)
    with pytest.raises(CourseError, match="nowhere holds no pictures"):
        train_style("x", tmp_path / "domain", ["nowhere"])


def test_a_residual_generator_starts_as_the_identity():
    generator = Generator(4, 1, "resize", residual=True)
    images = torch.rand(2, 3, 32, 40) * 2 - 1
    assert torch.equal(generator(images), images)
    with torch.no_grad():
        generator.model[-2].bias += 0.7
    made = generator(images)
    assert made.max() == 1 and made.min() >= -1, "a change leads no further than the range"
    torch.testing.assert_close(made, (images + torch.tanh(torch.tensor(0.7))).clamp(-1, 1))


def test_resizing_leaves_no_grid_where_transposed_convolution_does():
    """Random weights on a flat picture: what repeats from pixel to pixel is the upsampling's."""
    torch.manual_seed(1)
    grids = {}
    for upsampling in ("transposed", "resize"):
        generator = Generator(8, 1, upsampling).eval()
        for layer in generator.modules():
            if isinstance(layer, torch.nn.InstanceNorm2d):
                layer.forward = lambda x: 3 * x  # on a flat picture it would divide by zero
        with torch.no_grad():
            made = generator(torch.full((1, 3, 64, 64), 0.5))[..., 16:48, 16:48]
        grids[upsampling] = (made - made.mean((2, 3), keepdim=True)).abs().max().item()
    assert 20 * grids["resize"] < grids["transposed"], grids


def test_critics_learn_alone_at_first():
    recipe = changed(TINY, ["steps=50", "critic_first=50", "critic_batch=4"])
    networks, curves = train_cyclegan([BLUE], RED, recipe)
    assert set(curves) == {"critics"}
    fresh = recipe.networks()
    for ours, theirs in zip(
        networks.generators.parameters(), fresh.generators.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)
    moved = zip(networks.critics.parameters(), fresh.critics.parameters(), strict=True)
    assert not all(torch.equal(ours, theirs) for ours, theirs in moved)


def test_enlarged_crops_are_cut_from_the_picture_and_then_enlarged(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "course_lib.arms.cyclegan.enlarged",
        lambda images, side: seen.append(images) or enlarged(images, side),
    )
    train_cyclegan([BLUE], RED, changed(TINY, ["steps=1", "enlarge=2"]))
    assert {tuple(batch.shape) for batch in seen} == {(1, 3, 16, 16)}


def test_half_precision_still_trains():
    _, curves = train_cyclegan([BLUE], RED, changed(TINY, ["bfloat16=true", "steps=20"]))
    assert all(math.isfinite(values[-1]) for values in curves.values())
