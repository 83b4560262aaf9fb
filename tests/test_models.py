import dataclasses

import pytest
import torch
from torch import nn

from course_lib.images.tasks import load_task
from course_lib.models import VGG16, AugNet, SmallNet, start_vgg16_from
from course_lib.support.files import BUNDLED
from course_lib.support.validation import CourseError
from course_lib.training import Recipe, fit


def test_the_papers_layers():
    kinds = [type(layer).__name__ for layer in SmallNet() if not isinstance(layer, nn.ReLU)]
    assert kinds == [
        "Conv2d", "BatchNorm2d", "MaxPool2d", "Conv2d", "Conv2d", "BatchNorm2d", "MaxPool2d",
        "Flatten", "Linear", "Dropout", "Linear",
    ]  # fmt: skip


def test_parameter_count():
    assert sum(weights.numel() for weights in SmallNet().parameters()) == 8_406_114


@pytest.mark.parametrize(("channels", "side"), [(3, 64), (1, 28), (3, 32), (1, 4), (3, 100)])
def test_scores(channels, side):
    assert SmallNet(channels, side)(torch.randn(5, channels, side, side)).shape == (5, 2)


@pytest.mark.parametrize(("channels", "side"), [(3, 32), (3, 64), (1, 32)])
def test_vgg16(channels, side):
    """Thirteen convolutions with batch normalisation, as in torchvision's, from scratch."""
    model = VGG16(channels, side)
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    assert [part.out_channels for part in convolutions] == [
        64, 64, 128, 128, *[256] * 3, *[512] * 6,
    ]  # fmt: skip
    assert model(torch.randn(4, channels, side, side)).shape == (4, 2)
    assert all(value.isfinite().all() for value in model.state_dict().values())
    spread = convolutions[3].weight.std().item()
    assert spread == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)  # He et al. 2015, fan out
    with pytest.raises(CourseError, match="side 28 must be 32 or more"):
        VGG16(1, 28)


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """Weights as torchvision gives them for vgg16_bn, without its large fully connected layers."""
    path = tmp_path_factory.mktemp("weights") / "vgg16_bn.pth"
    torch.manual_seed(5)
    features = VGG16(3, 32)[0].state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, path)
    return path


def test_fine_tuning_trains_the_last_convolution_and_the_layers_after_it(tiny_task, vgg_file):
    images = [
        part._replace(images=part.images.repeat_interleave(4, 2).repeat_interleave(4, 3))
        for part in tiny_task.parts
    ]
    task = dataclasses.replace(tiny_task, train=images[0], validation=images[1], test=images[2])
    given = torch.load(vgg_file, weights_only=True)
    recipe = Recipe(epochs=1, batch_size=48, network="vgg16", vgg_weights=str(vgg_file))
    model, _ = fit(task, "none", recipe)
    changed = {
        name
        for name, value in model[0].named_parameters()
        if not torch.equal(value, given[f"features.{name}"])
    }
    assert changed == {"40.weight", "40.bias", "41.weight", "41.bias"}
    fresh, _ = fit(task, "none", dataclasses.replace(recipe, vgg_weights=None))
    assert not torch.equal(fresh[0][0].weight, model[0][0].weight)


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("features.0.weight"),
        lambda found: found.update({"features.0.weight": torch.zeros(64, 3, 5, 5)}),
        lambda found: found.update({"features.40.bias": torch.full((512,), float("nan"))}),
        lambda found: found.update({"features.40.bias": "text"}),
    ],
)
def test_bad_weights_are_refused_in_one_line(tmp_path, vgg_file, damage):
    found = torch.load(vgg_file, weights_only=True)
    damage(found)
    path = tmp_path / "bad.pth"
    torch.save(found, path)
    with pytest.raises(CourseError, match="weights of torchvision's vgg16_bn"):
        start_vgg16_from(str(path), VGG16())
    path.write_bytes(b"cut")
    for wrong in (path, tmp_path, tmp_path / "absent"):
        with pytest.raises(CourseError, match="holds no weights of torchvision's vgg16_bn"):
            start_vgg16_from(str(wrong), VGG16())


def test_the_bundled_augnets_change_what_they_make():
    """Page 04 loads them: each is a whole AugNet; the faster one's images change visibly."""
    kept = torch.load(BUNDLED / "augnet" / "dogs-vs-goldfish.pt", weights_only=True)
    task = load_task("dogs-vs-goldfish", "stand-in", images_per_class=20)
    pair = [task.normalise(images) for images in task.train.images[:20].split(10)]
    made = {}
    for rate, by_epoch in kept.items():
        assert list(by_epoch) == [1, 2, 5, 10, 20, 40]
        for epoch, weights in by_epoch.items():
            assert {weight.dtype for weight in weights.values()} == {torch.float16}
            augnet = AugNet()
            augnet.load_state_dict(weights)
            with torch.inference_mode():
                made[rate, epoch] = task.denormalise(augnet(*pair)).float()
    slow, fast = ((made[rate, 40] - made[rate, 1]).abs().mean() for rate in (1e-4, 1e-3))
    assert fast > 12 and fast > 2 * slow  # of 255
