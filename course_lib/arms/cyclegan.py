"""Training a CycleGAN: two sets of pictures, no pairs, a generator each way.

x is a photograph and y a picture of the style; G = `to_style` turns x into a y, F = `to_photo`
turns y into an x, and the discriminators D_Y = `style_critic` and D_X = `photo_critic` tell real
pictures from generated ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from course_lib.models import Discriminator, Generator
from course_lib.support.devices import find_device, thread_count
from course_lib.support.files import write_whole
from course_lib.support.progress import progress_bar
from course_lib.support.randomness import stream, stream_seed
from course_lib.support.validation import CourseError, number, whole_number

WARM_UP_RATE = 1e-3
REPORT_STEPS = 50  # the curves hold means over so many steps; a checkpoint is written as often
POOL = 50


@dataclass(frozen=True)
class Recipe:
    """How a CycleGAN is trained; a checkpoint goes on only under the recipe that it began with.

    steps: of the optimisers; the learning rate is constant for the first half and falls linearly
    to 0 in the second. side: of the square crops, in pixels, a multiple of 4. width, blocks: of
    the generators. critic_width, critic_halvings: of the discriminators. critic_noise: standard
    deviation of noise on all that the discriminators see, in the units of −1…1; they cannot ask
    for the finest texture then, which small generators would fake by one pattern, repeated all
    over. cycle, identity: weights of these losses. warm_up: steps, before the others, in which a
    generator only learns to return its input; both then begin as this one. It is the longest part
    of the way, and so it costs a tenth. bfloat16: multiply in half precision, faster on processors
    that can.

    Raises CourseError for numbers that cannot be.
    """

    steps: int
    batch_size: int = 1
    side: int = 256
    width: int = 64
    blocks: int = 9
    critic_width: int = 64
    critic_halvings: int = 3
    critic_noise: float = 0.0
    cycle: float = 10.0
    identity: float = 5.0
    learning_rate: float = 2e-4
    warm_up: int = 0
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "width", "blocks", "critic_width", "critic_halvings"):
            whole_number(name, getattr(self, name), at_least=1)
        for name in ("warm_up", "seed"):
            whole_number(name, getattr(self, name), at_least=0)
        if whole_number("side", self.side, at_least=32) % 4:
            raise CourseError(f"side {self.side} must be a multiple of 4")
        for name in ("cycle", "identity", "learning_rate", "critic_noise"):
            number(name, getattr(self, name), 0)
        if not isinstance(self.bfloat16, bool):
            raise CourseError(f"bfloat16 {self.bfloat16!r} must be True or False")


class CycleGAN(nn.Module):
    """The four networks of a recipe, freshly initialised from its seed."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(recipe.seed, "CycleGAN's initial weights"))
            self.to_style = Generator(recipe.width, recipe.blocks)
            self.to_photo = Generator(recipe.width, recipe.blocks)
            critic = recipe.critic_width, recipe.critic_halvings, recipe.critic_noise
            self.style_critic = Discriminator(*critic)
            self.photo_critic = Discriminator(*critic)

    @property
    def generators(self) -> nn.ModuleList:
        return nn.ModuleList([self.to_style, self.to_photo])

    @property
    def critics(self) -> nn.ModuleList:
        return nn.ModuleList([self.style_critic, self.photo_critic])


def generator_losses(
    networks: CycleGAN, photo: Tensor, style: Tensor
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The three losses of G and F, unweighted, with G(x) and F(y): (N, 3, H, W) each, in −1…1."""
    # One pass makes G(x) and G(y), one F(y) and F(x): networks are quicker on larger batches.
    fake_style, same_style = networks.to_style(torch.cat([photo, style])).chunk(2)
    fake_photo, same_photo = networks.to_photo(torch.cat([style, photo])).chunk(2)
    losses = {
        # L_adversarial = (D_Y(G(x)) − 1)² + (D_X(F(y)) − 1)²   least squares: no logarithms
        "adversarial": _squares(networks.style_critic(fake_style), 1)
        + _squares(networks.photo_critic(fake_photo), 1),
        # L_cycle = |F(G(x)) − x| + |G(F(y)) − y|               there and back again
        "cycle": functional.l1_loss(networks.to_photo(fake_style), photo)
        + functional.l1_loss(networks.to_style(fake_photo), style),
        # L_identity = |G(y) − y| + |F(x) − x|                  what is a y already stays
        "identity": functional.l1_loss(same_style, style) + functional.l1_loss(same_photo, photo),
    }
    return losses, fake_style, fake_photo


def critic_loss(critic: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """L_D = ½ ((D(real) − 1)² + D(fake)²): half, so that D learns at half the generators' pace."""
    return (_squares(critic(real), 1) + _squares(critic(fake.detach()), 0)) / 2


def _squares(scores: Tensor, target: float) -> Tensor:
    return (scores.float() - target).square().mean()


class Pool:
    """The last 50 generated images or so: critics judge old fakes too, and so forget no trick.

    The first 50 images pass through. After that, half of the images pass through, and the others
    change places with an image of the pool, which is returned.
    """

    def __init__(self, images: Tensor | None = None) -> None:
        self.images = images

    def swap(self, fakes: Tensor, draws: torch.Generator) -> Tensor:
        """(N, 3, H, W) in, as many out."""
        out = []
        for fake in fakes.detach().float().split(1):
            if self.images is None or len(self.images) < POOL:
                self.images = fake if self.images is None else torch.cat([self.images, fake])
            elif torch.rand((), generator=draws) < 0.5:
                place = torch.randint(POOL, (), generator=draws).item()
                old = self.images[place : place + 1].clone()
                self.images[place] = fake[0]
                fake = old
            out.append(fake)
        return torch.cat(out)


def train_cyclegan(
    photos: Sequence[Sequence[Tensor]],
    styles: Sequence[Tensor],
    recipe: Recipe,
    checkpoint: Path | None = None,
    *,
    start: Path | None = None,
    on_report: Callable[[CycleGAN, dict[str, list[float]]], None] | None = None,
    device: str = "auto",
    threads: int = 1,
) -> tuple[CycleGAN, dict[str, list[float]]]:
    """Train the four networks; returns them with the curves of their losses.

    photos: sets of pictures, drawn from equally often; styles: one set. A picture is uint8
    (3, H, W), no side below the recipe's; each step takes a random crop, mirrored or not.
    checkpoint: written every 50 steps, whole or not at all, and read at the start if it is there,
    so that a stopped training goes on as if it had not been stopped. start: the checkpoint of
    another style, whose networks these begin as. on_report: called with the networks and the
    curves so far every 50 steps. Same recipe, pictures, device and threads: the same weights.

    Raises CourseError for an empty set of pictures, for a checkpoint that is damaged or of another
    recipe, and for a start that is damaged or of another size.
    """
    if not styles or not photos or not all(photos):
        raise CourseError("CycleGAN needs pictures of the style and photographs: a set is empty")
    on = find_device(device)
    networks = CycleGAN(recipe).to(on)
    optimisers = {
        name: torch.optim.Adam(part.parameters(), lr=recipe.learning_rate, betas=(0.5, 0.999))
        for name, part in (("generators", networks.generators), ("critics", networks.critics))
    }
    pools = {"style": Pool(), "photo": Pool()}
    curves: dict[str, list[float]] = {}
    done = 0
    if checkpoint is not None and checkpoint.exists():
        done, curves = _resume(checkpoint, recipe, networks, optimisers, pools)
    elif start is not None:
        _load_networks(networks, *_read_checkpoint(start))
    sums: dict[str, Tensor] = {}
    with thread_count(threads), torch.random.fork_rng([on] if on.type == "cuda" else []):
        if done == 0 and recipe.warm_up:
            _warm_up(networks, photos, styles, recipe)
        with progress_bar(recipe.steps, "CycleGAN") as bar:
            bar.update(done)
            for step in range(done, recipe.steps):
                draws = stream(recipe.seed, f"CycleGAN's step {step}")
                torch.manual_seed(stream_seed(recipe.seed, f"noise of step {step}"))
                photo, style = (_crops(sets, recipe, draws).to(on) for sets in (photos, [styles]))
                losses = _step(networks, optimisers, pools, photo, style, recipe, step, draws)
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0) + value.detach()
                bar.update(1)
                if (step + 1) % REPORT_STEPS == 0 or step + 1 == recipe.steps:
                    count = step % REPORT_STEPS + 1
                    for name, value in sums.items():
                        curves.setdefault(name, []).append(value.item() / count)
                    sums = {}
                    bar.set_postfix({name: f"{values[-1]:.3f}" for name, values in curves.items()})
                    if checkpoint is not None:
                        _keep(checkpoint, step + 1, curves, recipe, networks, optimisers, pools)
                    if on_report is not None:
                        on_report(networks, curves)
    return networks.eval(), curves


def _step(
    networks: CycleGAN,
    optimisers: dict[str, torch.optim.Optimizer],
    pools: dict[str, Pool],
    photo: Tensor,
    style: Tensor,
    recipe: Recipe,
    step: int,
    draws: torch.Generator,
) -> dict[str, Tensor]:
    """One step of the generators, then one of the critics; the losses, before the step."""
    for optimiser in optimisers.values():
        optimiser.param_groups[0]["lr"] = recipe.learning_rate * _share(step, recipe.steps)
        optimiser.zero_grad(set_to_none=True)
    half = torch.autocast(photo.device.type, torch.bfloat16, enabled=recipe.bfloat16)
    networks.critics.requires_grad_(False)
    with half:
        losses, fake_style, fake_photo = generator_losses(networks, photo, style)
        total = (
            losses["adversarial"]
            + recipe.cycle * losses["cycle"]
            + recipe.identity * losses["identity"]
        )
    total.backward()
    optimisers["generators"].step()
    networks.critics.requires_grad_(True)
    with half:
        old_style = pools["style"].swap(fake_style, draws)
        old_photo = pools["photo"].swap(fake_photo, draws)
        losses["critics"] = critic_loss(networks.style_critic, style, old_style) + critic_loss(
            networks.photo_critic, photo, old_photo
        )
    losses["critics"].backward()
    optimisers["critics"].step()
    return losses


def _warm_up(
    networks: CycleGAN, photos: Sequence[Sequence[Tensor]], styles: Sequence[Tensor], recipe: Recipe
) -> None:
    """|G(x) − x| + |G(y) − y| alone; then F begins as a copy of G."""
    generator, on = networks.to_style, next(networks.parameters()).device
    optimiser = torch.optim.Adam(generator.parameters(), lr=WARM_UP_RATE, betas=(0.5, 0.999))
    with progress_bar(recipe.warm_up, "warm-up") as bar:
        for step in range(recipe.warm_up):
            draws = stream(recipe.seed, f"warm-up's step {step}")
            images = torch.cat([_crops(sets, recipe, draws) for sets in (photos, [styles])]).to(on)
            with torch.autocast(on.type, torch.bfloat16, enabled=recipe.bfloat16):
                loss = functional.l1_loss(generator(images), images)
            optimiser.param_groups[0]["lr"] = WARM_UP_RATE * _share(step, recipe.warm_up)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            bar.update(1)
            if step % REPORT_STEPS == 0:
                bar.set_postfix({"returned within": f"{loss.item():.3f}"})
    networks.to_photo.load_state_dict(generator.state_dict())


def _share(step: int, steps: int) -> float:
    """Of the learning rate at a step: constant for the first half, then falling linearly to 0."""
    return min(1.0, 2 * (1 - step / steps))


def _crops(sets: Sequence[Sequence[Tensor]], recipe: Recipe, draws: torch.Generator) -> Tensor:
    """A batch of random crops, half of them mirrored: (N, 3, side, side) in −1…1."""

    def below(count: int) -> int:
        return torch.randint(count, (), generator=draws).item()

    batch = []
    for _ in range(recipe.batch_size):
        pictures = sets[below(len(sets))]
        picture = pictures[below(len(pictures))]
        top, left = (below(size - recipe.side + 1) for size in picture.shape[1:])
        crop = picture[:, top : top + recipe.side, left : left + recipe.side]
        batch.append(crop.flip(2) if below(2) else crop)
    return torch.stack(batch).float() / 127.5 - 1


def _keep(path, step, curves, recipe, networks, optimisers, pools) -> None:
    """Everything that a stopped training needs to go on, in one file without code in it."""
    tensors = {f"networks.{name}": value for name, value in networks.state_dict().items()}
    for name, optimiser in optimisers.items():
        for index, moments in optimiser.state_dict()["state"].items():
            for moment, value in moments.items():
                tensors[f"{name}.{index}.{moment}"] = value
    for name, pool in pools.items():
        tensors[f"pool.{name}"] = pool.images
    facts = {
        "recipe": json.dumps(asdict(recipe)),
        "step": json.dumps(step),
        "curves": json.dumps(curves),
    }
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, lambda temporary: save_file(tensors, temporary, facts))


def _resume(path, recipe, networks, optimisers, pools) -> tuple[int, dict[str, list[float]]]:
    """Read a checkpoint into the networks, optimisers and pools: (steps done, curves)."""
    facts, tensors = _read_checkpoint(path)
    if facts["recipe"] != asdict(recipe):
        raise CourseError(f"{path} was begun with another recipe: {facts['recipe']}")
    _load_networks(networks, facts, tensors)
    for name, optimiser in optimisers.items():
        groups = optimiser.state_dict()["param_groups"]
        moments = ("step", "exp_avg", "exp_avg_sq")
        state = {
            index: {moment: tensors[f"{name}.{index}.{moment}"] for moment in moments}
            for index in groups[0]["params"]
        }
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    for name, pool in pools.items():
        pool.images = tensors[f"pool.{name}"].to(next(networks.parameters()).device)
    return facts["step"], facts["curves"]


def _read_checkpoint(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Facts (recipe, step, curves) and tensors of a checkpoint, or a CourseError."""
    try:
        with safe_open(path, "pt") as file:
            facts = {name: json.loads(value) for name, value in file.metadata().items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        Recipe(**facts["recipe"])
    except (SafetensorError, OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise CourseError(f"{path} is no checkpoint of this course, or is damaged") from error
    return facts, tensors


def _load_networks(networks: CycleGAN, facts: dict, tensors: dict[str, Tensor]) -> None:
    own = networks.state_dict()
    weights = {name: tensors.get(f"networks.{name}") for name in own}
    if any(value is None or value.shape != own[name].shape for name, value in weights.items()):
        raise CourseError(f"the start has networks of another size: {facts['recipe']}")
    networks.load_state_dict(weights)
