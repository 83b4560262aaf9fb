"""Training a CycleGAN (§3.2): two sets of pictures, no pairs, a generator each way."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from course_lib.losses import DISTANCES, adversarial_loss, critic_loss, cycle_loss, identity_loss
from course_lib.models import UPSAMPLINGS, CycleGAN, Discriminator, Generator
from course_lib.support.devices import find_device, thread_count
from course_lib.support.files import write_whole
from course_lib.support.progress import progress_bar
from course_lib.support.randomness import stream, stream_seed
from course_lib.support.validation import CourseError, as_python, choose, number, whole_number

Pictures = Sequence[Tensor]
Curves = dict[str, list[float]]
REPORT_STEPS = 50  # the curves hold means over so many steps; a checkpoint is written as often
POOL = 50


@dataclass(frozen=True)
class CycleGANRecipe:
    """How a CycleGAN is trained; CourseError for a bad value."""

    steps: int  # the learning rates are constant in the first half, then fall linearly to 0
    batch_size: int = 1  # pictures of each set that the generators see in a step
    side: int = 256  # of the square crops in pixels, a multiple of 4·enlarge
    enlarge: int = 1  # how many times larger the crops are made (see `arms.gan.apply_style`)
    width: int = 64
    blocks: int = 9
    upsampling: str = "transposed"
    residual: bool = False
    strength: float = 1.0  # of what a residual generator adds, once it is trained
    critic_width: int = 64
    critic_halvings: int = 3
    critic_batch: int = 1  # pictures of each set that the critics see in a step
    critic_first: int = 0  # steps at the beginning in which the critics learn alone
    critic_rate: float = 1.0  # learning rate of the critics, in multiples of the generators'
    cycle: float = 10.0  # weights of these losses
    identity: float = 5.0
    distance: str = "absolute"  # favours few large changes; "squared" favours many small ones
    learning_rate: float = 2e-4
    bfloat16: bool = False  # multiply in half precision, faster on processors that can
    seed: int = 0

    def __post_init__(self) -> None:
        as_python(self)
        for name in ("steps", "batch_size", "width", "blocks", "critic_width", "critic_halvings"):
            whole_number(name, getattr(self, name), at_least=1, at_most=2**20)
        for name, least in (("critic_batch", self.batch_size), ("critic_first", 0), ("seed", 0)):
            whole_number(name, getattr(self, name), least)
        whole_number("enlarge", self.enlarge, at_least=1)
        if whole_number("side", self.side, at_least=32) % (4 * self.enlarge):
            raise CourseError(f"side {self.side} must be a multiple of {4 * self.enlarge}")
        for name in ("cycle", "identity", "learning_rate", "critic_rate", "strength"):
            number(name, getattr(self, name), 0)
        choose("upsampling", self.upsampling, UPSAMPLINGS)
        choose("distance", self.distance, DISTANCES)
        for name in ("residual", "bfloat16"):
            if not isinstance(getattr(self, name), bool):
                raise CourseError(f"{name} {getattr(self, name)!r} must be True or False")

    def networks(self) -> CycleGAN:
        """The four networks, freshly initialised from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, "CycleGAN's initial weights"))
            return CycleGAN(
                lambda: Generator(self.width, self.blocks, self.upsampling, self.residual),
                lambda: Discriminator(self.critic_width, self.critic_halvings),
            )


class Pool:
    """The last 50 generated images or so: critics judge old ones too, and so forget no trick."""

    def __init__(self, images: Tensor | None = None) -> None:
        self.images = torch.empty(0) if images is None else images

    def swap(self, made: Tensor, draws: torch.Generator) -> Tensor:
        """(N, 3, H, W) in, as many out: once the pool is full, half of them are its older ones."""
        out = []
        for image in made.detach().float().split(1):
            if len(self.images) < POOL:
                self.images = torch.cat([self.images.to(image).view(-1, *image.shape[1:]), image])
            elif torch.rand((), generator=draws) < 0.5:
                place = int(torch.randint(POOL, (), generator=draws))
                old = self.images[place : place + 1].clone()
                self.images[place] = image[0]
                image = old
            out.append(image)
        return torch.cat(out)

    def draw(self, count: int, draws: torch.Generator) -> Tensor:
        """(count, 3, H, W) of its images, drawn at random."""
        return self.images[torch.randint(len(self.images), (count,), generator=draws)]


def generator_losses(
    networks: CycleGAN, photo: Tensor, style: Tensor, distance: str = "absolute"
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The three losses of G and F, unweighted, with G(x) and F(y): (N, 3, H, W) each, in −1…1."""
    G, F, D_Y, D_X = networks.children()  # as CycleGAN's paper calls them
    # One pass makes G(x) and G(y), one F(y) and F(x): networks are quicker on larger batches.
    made_style, same_style = G(torch.cat([photo, style])).chunk(2)
    made_photo, same_photo = F(torch.cat([style, photo])).chunk(2)
    losses = {
        "adversarial": adversarial_loss(D_Y(made_style)) + adversarial_loss(D_X(made_photo)),
        "cycle": cycle_loss(F(made_style), photo, distance)
        + cycle_loss(G(made_photo), style, distance),
        "identity": identity_loss(same_style, style, distance)
        + identity_loss(same_photo, photo, distance),
    }
    return losses, made_style, made_photo


def train_cyclegan(
    photos: Sequence[Pictures],
    styles: Pictures,
    recipe: CycleGANRecipe,
    checkpoint: Path | None = None,
    *,
    start: Path | None = None,
    on_report: Callable[[CycleGAN, Curves], None] | None = None,
    device: str = "auto",
    threads: int = 1,
) -> tuple[CycleGAN, Curves]:
    """Train the four networks; returns them, and the curves of their losses, means over 50 steps.

    Pictures are uint8 (3, H, W), cropped at random, and sets of photos drawn from equally often.
    The checkpoint, written every 50 steps, resumes a stopped training of the same recipe; `start`
    is another style's, whose networks these begin as. `on_report` is called every 50 steps. The
    same device and threads (see `fit`) make the same weights again.
    """
    if not styles or not photos or not all(photos):
        raise CourseError("CycleGAN needs pictures of the style and photographs: a set is empty")
    on = find_device(device)
    run = _Run(recipe, on)
    if checkpoint is not None and checkpoint.exists():
        run.read(checkpoint, resume=True)
    elif start is not None:
        run.read(start, resume=False)
    sums: dict[str, Tensor] = {}
    kept_random = torch.random.fork_rng([on] if on.type == "cuda" else [])
    with thread_count(threads), kept_random, progress_bar(recipe.steps, "CycleGAN") as bar:
        bar.update(run.done)
        while run.done < recipe.steps:
            draws = stream(recipe.seed, f"CycleGAN's step {run.done}")
            x, y = (_crops(sets, recipe, draws).to(on) for sets in (photos, [styles]))
            for name, value in run.step(x, y, draws).items():
                sums[name] = sums.get(name, torch.zeros((), device=on)) + value.detach()
            bar.update(1)
            count = (run.done - 1) % REPORT_STEPS + 1
            if count == REPORT_STEPS or run.done == recipe.steps:
                for name, value in sums.items():
                    run.curves.setdefault(name, []).append(value.item() / count)
                sums = {}
                bar.set_postfix({name: f"{values[-1]:.3f}" for name, values in run.curves.items()})
                if checkpoint is not None:
                    run.keep(checkpoint)
                if on_report is not None:
                    on_report(run.networks, run.curves)
    return run.networks.eval(), run.curves


class _Run:
    """A training in progress."""

    def __init__(self, recipe: CycleGANRecipe, device: torch.device) -> None:
        self.recipe, self.done, self.curves = recipe, 0, Curves()
        self.networks = recipe.networks().to(device)
        self.pools = {"style": Pool(), "photo": Pool()}
        parts = {"generators": self.networks.generators, "critics": self.networks.critics}
        self.optimisers = {
            name: torch.optim.Adam(part.parameters(), betas=(0.5, 0.999), fused=True)
            for name, part in parts.items()
        }

    def step(self, photos: Tensor, styles: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """A step of the generators, then one of the critics, on (critic_batch, 3, side, side)."""
        recipe, networks = self.recipe, self.networks
        rate = recipe.learning_rate * min(1.0, 2 * (1 - self.done / recipe.steps))
        for name, times in (("generators", 1.0), ("critics", recipe.critic_rate)):
            self.optimisers[name].param_groups[0]["lr"] = times * rate
            self.optimisers[name].zero_grad(set_to_none=True)
        half = torch.autocast(photos.device.type, torch.bfloat16, enabled=recipe.bfloat16)
        losses: dict[str, Tensor] = {}
        made_style, made_photo = photos, styles  # what G and F make before they have learned
        if self.done >= recipe.critic_first:
            networks.critics.requires_grad_(False)
            photo, style = photos[: recipe.batch_size], styles[: recipe.batch_size]
            with half:
                losses, *made = generator_losses(networks, photo, style, recipe.distance)
                total = losses["adversarial"] + recipe.cycle * losses["cycle"]
                total = total + recipe.identity * losses["identity"]
            total.backward()
            self.optimisers["generators"].step()
            networks.critics.requires_grad_(True)
            more = recipe.critic_batch - recipe.batch_size
            made_style, made_photo = (
                torch.cat([pool.swap(images, draws), pool.draw(more, draws)])
                for pool, images in zip(self.pools.values(), made, strict=True)
            )
        D_Y, D_X = networks.critics
        with half:
            losses["critics"] = critic_loss(D_Y(styles), D_Y(made_style))
            losses["critics"] += critic_loss(D_X(photos), D_X(made_photo))
        losses["critics"].backward()
        self.optimisers["critics"].step()
        self.done += 1
        return losses

    def keep(self, path: Path) -> None:
        """Write everything that a stopped training needs to resume."""
        state = {
            "recipe": asdict(self.recipe),
            "done": self.done,
            "curves": self.curves,
            "networks": self.networks.state_dict(),
            "optimisers": {name: part.state_dict() for name, part in self.optimisers.items()},
            "pools": {name: pool.images for name, pool in self.pools.items()},
        }
        write_whole(path, lambda temporary: torch.save(state, temporary))

    def read(self, path: Path, resume: bool) -> None:
        """Take the networks of a checkpoint and, to resume its training, all the rest."""
        state = _read_state(path)
        if resume and state["recipe"] != asdict(self.recipe):
            raise CourseError(f"{path} was begun with another recipe: {state['recipe']}")
        wrong = f"{path} has networks of another size: {state['recipe']}"
        try:
            self.networks.load_state_dict(state["networks"])
            wrong = f"{path} is a damaged checkpoint: delete it, or get it again"
            if resume:
                self._resume(state)
        except Exception as error:  # other parts than a training's can raise nearly anything
            raise CourseError(wrong) from error

    def _resume(self, state: dict[str, Any]) -> None:
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
            for weight, kept in optimiser.state.items():
                if {kept[part].shape for part in ("exp_avg", "exp_avg_sq")} != {weight.shape}:
                    raise ValueError("averages of another shape")
        on, side = next(self.networks.parameters()).device, self.recipe.side
        for name in self.pools:
            images = state["pools"][name]
            if len(images) and images.shape[1:] != (3, side, side):
                raise ValueError("a pool of another shape")
            self.pools[name] = Pool(images.to(on))
        self.done = whole_number("done", state["done"], 0, self.recipe.steps)
        self.curves = {
            str(name): [float(x) for x in curve] for name, curve in state["curves"].items()
        }


def _read_state(path: Path) -> dict[str, Any]:
    """What `_Run.keep` wrote; CourseError if a part is missing or a weight is not finite."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        CycleGANRecipe(**state["recipe"])
        if not {"done", "curves", "networks", "optimisers", "pools"} <= state.keys():
            raise KeyError("a part is missing")
        if not all(weight.isfinite().all() for weight in state["networks"].values()):
            raise ValueError("a weight is not finite")
    except Exception as error:  # bytes that are no such file can raise nearly anything
        raise CourseError(f"{path} is no checkpoint of this course, or is damaged") from error
    return state


def check_checkpoint(path: Path) -> None:
    """CourseError in one line if a training cannot be resumed from this file."""
    recipe = CycleGANRecipe(**_read_state(path)["recipe"])
    _Run(recipe, torch.device("cpu")).read(path, resume=True)


def _crops(sets: Sequence[Pictures], recipe: CycleGANRecipe, draws: torch.Generator) -> Tensor:
    """A critic's batch of random crops, half of them mirrored: (N, 3, side, side) in −1…1."""

    def below(count: int) -> int:
        return int(torch.randint(count, (), generator=draws))

    side, batch = recipe.side // recipe.enlarge, []
    for _ in range(recipe.critic_batch):
        pictures = sets[below(len(sets))]
        picture = pictures[below(len(pictures))]
        top, left = (below(size - side + 1) for size in picture.shape[1:])
        crop = picture[:, top : top + side, left : left + side]
        batch.append(crop.flip(2) if below(2) else crop)
    return enlarged(torch.stack(batch).float() / 127.5 - 1, recipe.side)


def enlarged(images: Tensor, side: int) -> Tensor:
    """Images (N, 3, H, W) in −1…1 enlarged to side × side, if they are not of that size."""
    if images.shape[2:] == (side, side):
        return images
    return functional.interpolate(images, (side, side), mode="bicubic").clamp(-1, 1)
