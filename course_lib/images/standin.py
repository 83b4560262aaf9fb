"""A procedural stand-in for the Tiny ImageNet classes goldfish, golden retriever and Persian cat.

Every animal is a list of tapered capsules painted back to front over a background, then lit,
blurred and made noisy. The bytes are the same on every platform: only what IEEE 754 rounds exactly
is used (no sin, exp or powers, no float sums over an axis, no matrix products), and of NumPy's
random numbers only a bit generator's raw output, which no version changes.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from course_lib.support.validation import checks, choose

Array = np.ndarray
Parts = tuple[Array, Array, Array]
CLASSES = ("goldfish", "dog", "cat")
SIZE = 64
CHUNK = 10  # images drawn together: small enough that their planes stay in the processor's cache

# Surfaces: opacity, strength of the fur texture, strength of the shading.
SURFACES = {
    "none": (0.0, 0.0, 0.0), "coat": (1.0, 0.9, 0.26), "deep": (1.0, 0.9, 0.22),
    "pale": (0.8, 0.9, 0.18), "patch": (0.9, 0.8, 0.2), "fin": (0.7, 0.7, 0.15),
    "dark": (0.95, 0.1, 0.1), "rim": (1.0, 0.1, 0.0), "iris": (1.0, 0.1, 0.1),
    "pink": (0.9, 0.2, 0.15), "white": (0.9, 0.0, 0.0), "shine": (0.35, 0.5, 0.0),
    "shadow": (0.4, 0.0, 0.0),
}  # fmt: skip

# Shapes, back to front: a surface ("2" adds the mirror image), `x y radius` of both ends and how
# far the shape moves when the head turns. x runs to where the animal looks, y down, in about -1..1.
DOG_STAND = """shadow -.6 .98 .1 .6 .98 .1, coat -.8 -.12 .09 -1.12 -.42 .11, coat -1 -.3 .13 -1.25
-.4 .06, deep -.5 .25 .16 -.46 .92 .08, deep .5 .25 .14 .58 .92 .08, coat -.55 -.02 .33 .42 -.02
.37, patch -.4 -.16 .18 0 -.14 .22, coat -.68 .15 .24 -.72 .62 .11, coat -.72 .6 .11 -.66 .93 .09,
coat .36 .15 .2 .36 .93 .09, coat .45 -.1 .33 .72 -.52 .24, pale .62 0 .17 .74 -.28 .14"""
DOG_SIT = """shadow -.5 1 .12 .5 1 .12, coat -.45 .85 .11 -.95 .72 .12, deep2 .36 .66 .27 .46 .88
.15, coat 0 -.15 .36 0 .6 .44, pale 0 -.1 .26 0 .35 .17, coat2 .19 .25 .15 .19 .92 .12"""
DOG_LIE = """shadow -.8 .78 .1 .9 .8 .08, coat -.9 .55 .12 -1.25 .68 .08, coat -.6 .35 .34 .3 .28
.37, patch -.5 .2 .2 -.1 .2 .22, coat -.62 .42 .33 -.5 .55 .25, coat .35 .5 .2 .95 .72 .11, coat .2
.55 .18 .75 .78 .11, pale .42 .2 .3 .48 .48 .2, coat .35 .15 .33 .52 -.1 .26"""
DOG_BUST = "coat 0 .55 .5 0 1.3 .75, pale 0 .45 .36 0 1.1 .3"
DOG_PROFILE = """coat -.05 -.12 .58 .15 0 .52 0, coat .3 .1 .36 .92 .2 .24 .3, pale .4 .36 .2 .88
.36 .15 .3, dark .55 .44 .04 1.05 .38 .04 .3, dark 1.08 .06 .13 1.12 .1 .12 .3, dark .36 -.17 .1 .38
-.16 .1 .2, white .38 -.21 .03 .39 -.2 .03 .2,"""
DOG_SKULL = "coat 0 -.18 .66 0 .12 .62 0, coat -.26 .3 .42 .26 .3 .42 .2,"
EYES = "dark2 .3 -.1 .1 .3 -.1 .1 .6, white2 .27 -.1 .03 .27 -.1 .03 .6, dark -.1 .3 .1 .1 .3 .1 1"
BREEDS = """pale 0 -.45 .16 0 .15 .24 .4, deep2 .6 -.42 .2 .8 .34 .29 -.2, pale 0 .26 .35 0 .5 .33
.9, dark -.17 .7 .06 .17 .7 .06 1, pink 0 .76 .13 0 .95 .12 1,;patch2 .64 -.36 .22 .86 .6 .26 -.2,
pale 0 -.5 .1 0 .2 .16 .4, pale 0 .3 .36 0 .46 .34 .9, dark 0 .4 .02 0 .62 .03 1, dark -.2 .62 .04
.2 .62 .04 1,;deep2 .5 -.52 .2 .82 -.68 .12 -.3, deep2 .86 -.62 .12 .94 -.2 .13 -.2, patch .3 -.3
.24 .36 .02 .26 .4, deep 0 .28 .34 0 .56 .32 .9, dark -.16 .68 .04 .16 .68 .04 1,"""
DOGS = tuple(DOG_SKULL + breed + EYES for breed in BREEDS.split(";"))  # retriever, spaniel, terrier
SIDES = tuple(DOG_PROFILE + f"{ear} -.22 -.34 .19 -.34 .44 .27 -.2" for ear in ("deep", "patch"))
CAT_STAND = """shadow -.6 .84 .1 .6 .84 .1, coat -.78 -.05 .15 -1 -.55 .2, deep -1 -.5 .2 -.9 -.85
.12, deep -.42 .3 .17 -.4 .8 .12, deep .42 .3 .16 .46 .8 .11, coat -.5 .05 .4 .4 .05 .38, patch -.3
-.2 .2 0 -.2 .2, coat -.58 .25 .25 -.6 .8 .12, coat .32 .25 .2 .32 .8 .12, pale .4 .1 .3 .6 0 .3"""
CAT_SIT = """shadow -.55 1 .12 .55 1 .12, deep .45 .85 .18 .9 .6 .19, coat .88 .66 .19 .95 .38 .1,
coat 0 0 .44 0 .58 .52, deep2 .38 .72 .22 .42 .86 .15, patch -.3 .2 .18 -.25 .6 .2, pale 0 -.05 .4 0
.35 .22, coat2 .17 .5 .15 .17 .92 .13, pale2 .17 .96 .11 .2 .99 .1"""
CAT_LIE = """shadow -.8 .88 .1 .7 .88 .1, coat -.5 .4 .4 .4 .4 .4, patch -.45 .2 .22 -.1 .2 .25,
deep -.6 .58 .3 -.4 .68 .2, coat -.95 .7 .17 -.3 .88 .14, pale .4 .4 .4 .5 .5 .3, coat .3 .78 .13 .7
.84 .11, pale .5 .84 .1 .86 .86 .09"""
CAT_BUST = "coat 0 .7 .62 0 1.3 .8, pale 0 .55 .5 0 1.05 .3"
CAT_HEAD = """deep2 .48 -.5 .26 .76 -.98 .06 -.3, pink2 .54 -.54 .13 .71 -.88 .02 -.3, coat -.18
-.08 .68 .18 -.08 .68 0, coat -.36 .26 .46 .36 .26 .46 .1,"""
CAT_EYES = """rim2 .34 -.06 .19 .34 -.05 .19 .5, iris2 .34 -.06 .16 .34 -.05 .16 .5, dark2 .34 -.1
.07 .34 0 .07 .5, pink -.05 .19 .06 .05 .19 .06 .7, rim -.12 .46 .03 .12 .46 .03 .7"""
MARKS = """patch .3 -.35 .26 .38 -.1 .2 .3, pale2 .17 .38 .22 .24 .4 .2 .6,;deep 0 -.74 .06 0 -.36
.05 .3, deep2 .2 -.7 .06 .16 -.36 .04 .3, deep2 .5 .3 .05 .82 .2 .06 .1, pale2 .15 .38 .2 .2 .4 .18
.6,;pale 0 -.34 .1 0 .1 .24 .5, pale2 .16 .38 .19 .2 .42 .17 .6,"""
CATS = tuple(CAT_HEAD + marks + CAT_EYES for marks in MARKS.split(";"))  # patch, tabby, blaze
FISH_SIDE = """fin -.5 -.02 .1 -.86 -.26 .2, fin -.84 -.26 .2 -1.2 -.5 .05, fin -.5 .02 .1 -.86 .24
.19, fin -.84 .24 .19 -1.16 .52 .05, fin -.55 0 .1 -.98 .02 .12, fin .16 -.34 .1 -.16 -.5 .13, fin
-.1 -.46 .14 -.5 -.4 .05, fin -.26 .22 .1 -.6 .42 .05, fin .12 .3 .1 -.22 .54 .06, coat -.02 0 .37
-.58 0 .11, coat -.02 0 .4 .26 .02 .34, coat .24 .02 .34 .56 .06 .2, pale -.2 .22 .12 .36 .22 .15,
patch -.2 -.16 .16 .1 -.2 .16, shine -.2 -.2 .07 .26 -.21 .07, deep .31 -.16 .03 .27 .18 .03, fin .2
.12 .06 -.08 .3 .11, white .5 -.06 .1 .51 -.06 .1, iris .5 -.06 .085 .51 -.06 .085, dark .51 -.06
.06 .52 -.06 .06, dark .74 .09 .03 .68 .13 .03"""
FISH_ABOVE = """shadow -.5 .2 .16 .4 .22 .2, fin -.5 -.02 .08 -.82 -.2 .15, fin -.8 -.2 .15 -1.12
-.4 .05, fin -.5 .02 .08 -.82 .2 .15, fin -.8 .2 .15 -1.12 .4 .05, fin -.55 0 .08 -1.1 0 .09, fin
.24 -.22 .08 -.02 -.54 .09, fin .24 .22 .08 -.02 .54 .09, coat .05 0 .3 -.6 0 .09, coat .05 0 .31 .4
0 .25, patch -.25 .02 .14 .1 .02 .16, deep -.35 0 .04 .05 0 .05, coat .4 0 .24 .62 0 .16, shine -.05
-.12 .07 .25 -.12 .07, dark .5 -.2 .07 .53 -.2 .07, dark .5 .2 .07 .53 .2 .07"""

Colour = tuple[float, float, float]
Pose = tuple[float, str, tuple[str, ...], float, float, float]


class _Animal(NamedTuple):
    poses: tuple[Pose, ...]  # odds of each head, body, heads, x and y and scale of the head
    coats: tuple[tuple[float, ...], tuple[Colour, ...]]  # probabilities, colours
    irises: tuple[tuple[float, ...], tuple[Colour, ...]]  # probabilities, colours
    backgrounds: tuple[float, ...]  # the probability of each of BACKGROUNDS
    fur: float  # strength of the texture
    lean: float  # tangent of half the largest angle of rotation


GOLDEN, RED, ORANGE = (0.85, 0.62, 0.33), (0.7, 0.43, 0.19), (0.9, 0.55, 0.22)
CREAM, GREY, BLACK = (0.93, 0.86, 0.72), (0.6, 0.58, 0.57), (0.26, 0.22, 0.2)
WHITE, FLAME = (0.95, 0.93, 0.9), (0.9, 0.3, 0.1)
BROWN, BLUE, GREEN = (0.2, 0.12, 0.06), (0.45, 0.65, 0.8), (0.6, 0.7, 0.25)

ANIMALS = {
    "goldfish": _Animal(
        poses=((0.75, FISH_SIDE, ("",), 0.3, 0.0, 0.5), (0.25, FISH_ABOVE, ("",), 0.3, 0.0, 0.5)),
        coats=((0.45, 0.15, 0.2, 0.09, 0.07, 0.04), (ORANGE, FLAME, GOLDEN, CREAM, RED, BLACK)),
        irises=((0.5, 0.5), (GOLDEN, WHITE)),
        backgrounds=(0.1, 0.15, 0.35, 0.18, 0.12, 0.1), fur=0.7, lean=0.3),
    "dog": _Animal(
        poses=(
            (0.1, DOG_STAND, SIDES, 0.8, -0.62, 0.38), (0.05, DOG_LIE, SIDES, 0.6, -0.16, 0.38),
            (0.05, DOG_STAND, DOGS, 0.78, -0.58, 0.4), (0.03, DOG_LIE, DOGS, 0.55, -0.1, 0.42),
            (0.07, DOG_SIT, DOGS, 0, -0.52, 0.46), (0.08, DOG_BUST, DOGS, 0, -0.05, 0.72)),
        coats=((0.49, 0.18, 0.2, 0.06, 0.04, 0.03), (GOLDEN, RED, CREAM, ORANGE, GREY, BLACK)),
        irises=((1.0,), (BROWN,)),
        backgrounds=(0.3, 0.25, 0.11, 0.14, 0.14, 0.06), fur=1.0, lean=0.14),
    "cat": _Animal(
        poses=(
            (0.2, CAT_STAND, CATS, 0.66, -0.34, 0.44), (0.25, CAT_SIT, CATS, 0, -0.42, 0.5),
            (0.25, CAT_LIE, CATS, 0.52, 0.02, 0.48), (0.3, CAT_BUST, CATS, 0, -0.05, 0.72)),
        coats=((0.2, 0.16, 0.18, 0.22, 0.12, 0.12), (GOLDEN, CREAM, ORANGE, GREY, BLACK, WHITE)),
        irises=((0.5, 0.25, 0.25), (ORANGE, BLUE, GREEN)),
        backgrounds=(0.2, 0.32, 0.04, 0.16, 0.12, 0.16), fur=1.0, lean=0.14),
}  # fmt: skip

# Grass, room, water, plain, sand and dark: two colours each for the far and for the near part (a
# scene mixes the two), then the strength of upright streaks, level streaks and blobs.
BACKGROUNDS = (
    ((0.55, 0.68, 0.45), (0.75, 0.85, 0.92), (0.25, 0.42, 0.12), (0.52, 0.62, 0.28), 0.5, 0.0, 0.3),
    ((0.78, 0.72, 0.60), (0.50, 0.46, 0.46), (0.48, 0.32, 0.20), (0.76, 0.66, 0.55), 0.1, 0.2, 0.2),
    ((0.20, 0.45, 0.55), (0.60, 0.78, 0.82), (0.12, 0.30, 0.35), (0.35, 0.55, 0.45), 0.0, 0.4, 0.4),
    ((0.15, 0.15, 0.18), (0.95, 0.95, 0.95), (0.20, 0.18, 0.18), (0.90, 0.90, 0.88), 0.0, 0.0, 0.1),
    ((0.70, 0.78, 0.85), (0.85, 0.80, 0.70), (0.72, 0.62, 0.48), (0.55, 0.50, 0.46), 0.1, 0.3, 0.5),
    ((0.06, 0.06, 0.08), (0.30, 0.20, 0.16), (0.08, 0.07, 0.06), (0.40, 0.25, 0.20), 0.1, 0.1, 0.4),
)

CENTRES = ((np.arange(SIZE) + 0.5) * (2.0 / SIZE) - 1.0).astype(np.float32)
X, Y = CENTRES[None, None, :], CENTRES[None, :, None]  # the frame spans -1..1


def _plane(numbers: Array) -> Array:
    """Numbers as planes of 1×1 pixel, to broadcast over the frame."""
    return numbers[..., None, None]


class _Dice:
    """Random numbers for one chunk of images, made from the raw bits of PCG64."""

    def __init__(self, *key: int) -> None:
        self.bits = np.random.PCG64(key)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        """float32 values (CHUNK, *shape) between low and high."""
        raw = self.bits.random_raw(CHUNK * int(np.prod(shape))) >> np.uint64(11)
        return (low + (high - low) * (raw * 2.0**-53)).astype(np.float32).reshape(CHUNK, *shape)

    def pick(self, odds: Sequence[float], *shape: int) -> Array:
        """Indices (CHUNK, *shape) drawn with probabilities proportional to `odds`."""
        draw = self.uniform(0, sum(odds), *shape)
        passed = (draw >= below for below in accumulate(odds[:-1]))
        return sum(passed, np.zeros(draw.shape, np.intp))

    def colour(self, odds: Sequence[float], colours: Sequence[Colour], *shape: int) -> Array:
        """Colours (CHUNK, *shape, 3): picked by their odds, moved up to halfway to another."""
        table = np.array(colours, np.float32)
        first, second = table[self.pick(odds, *shape)], table[self.pick(odds, *shape)]
        return first + self.uniform(0, 0.5, *shape, 1) * (second - first)

    def rotation(self, steepest: float) -> tuple[Array, Array]:
        """Cosine and sine (CHUNK, 1) of the angles 2 atan(t), |t| <= steepest."""
        t = self.uniform(-steepest, steepest, 1)
        return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)

    def texture(self, rows: int, columns: int) -> Array:
        """Value noise (CHUNK, 64, 64) in [-0.5, 0.5]: a random grid, smoothly interpolated."""
        field = self.uniform(-0.5, 0.5, rows + 1, columns + 1)
        for axis, cells in ((1, rows), (2, columns)):
            place = (CENTRES + 1) * np.float32(cells / 2)
            cell = place.astype(np.intp)
            part = place - cell.astype(np.float32)
            part = part * part * (3 - 2 * part)
            before, after = field.take(cell, axis), field.take(cell + 1, axis)
            field = before + (part[:, None] if axis == 1 else part) * (after - before)
        return field


def _shapes(text: str, is_head: float) -> list[tuple[str, list[float]]]:
    """Pairs (surface, [x, y, radius, x, y, radius, depth, is_head]) of a shape text."""
    shapes = []
    for shape in filter(None, text.split(",")):
        surface, *numbers = shape.split()
        ax, ay, ra, bx, by, rb, depth = [*map(float, numbers), 0.0][:7]
        for to in (1, -1) if surface.endswith("2") else (1,):
            shapes.append((surface.rstrip("2"), [to * ax, ay, ra, to * bx, by, rb, depth, is_head]))
    return shapes


def _figures(poses: Sequence[Pose]) -> tuple[Array, Array]:
    """Surface numbers (poses, parts) and shapes (poses, parts, 8), padded before the head."""
    both = [(_shapes(body, 0), _shapes(head, 1)) for _, body, heads, *_ in poses for head in heads]
    names, padding = list(SURFACES), [("none", [0.0] * 8)] * max(len(b) + len(h) for b, h in both)
    figures = [body + padding[len(body) + len(head) :] + head for body, head in both]
    surfaces = np.array([[names.index(surface) for surface, _ in figure] for figure in figures])
    return surfaces, np.array([[shape for _, shape in figure] for figure in figures], np.float32)


FIGURES = {kind: _figures(animal.poses) for kind, animal in ANIMALS.items()}


def _paint(
    canvas: Array, ends: Array, colour: Array, look: Array, fur: Array, light: Array
) -> None:
    """Paint capsules in order on `canvas`; towards `light` (CHUNK, 2, 1, 1) they get darker."""
    # ends (CHUNK, parts, 6): x, y, radius of both; look: opacity, texture, shading, edge in pixels.
    # A part is computed where any image of the chunk shows it: its edge is within 1.2 radii.
    reach = 1.2 * np.maximum(ends[..., 2], ends[..., 5]) + look[..., 3] * (2 / SIZE)
    lowest = np.minimum(ends[..., :2], ends[..., 3:5]) - reach[..., None]
    highest = np.maximum(ends[..., :2], ends[..., 3:5]) + reach[..., None]
    seen = look[..., :1] > 0
    first = np.where(seen, lowest, np.float32(1)).min(0)
    last = np.where(seen, highest, np.float32(-1)).max(0)
    first, last = (np.clip((edge + 1) * (SIZE / 2), 0, SIZE).astype(int) for edge in (first, last))
    for part, ((left, top), (right, bottom)) in enumerate(zip(first, last + 1, strict=True)):
        if not len(there := np.flatnonzero(look[:, part, 0])):
            continue
        area = canvas[there, :, top:bottom, left:right]
        ax, ay, ra, bx, by, rb = (_plane(ends[there, part, i]) for i in range(6))
        opacity, rough, shading, edge = (_plane(look[there, part, i]) for i in range(4))
        thick = np.maximum(np.maximum(ra, rb), np.float32(1e-3))
        bx, by = bx - ax, by - ay
        length2 = np.maximum(bx * bx + by * by, np.float32(1e-6))
        x, y = X[..., left:right] - ax, Y[:, top:bottom] - ay
        along = (x * (bx / length2) + y * (by / length2)).clip(0, 1)
        dx, dy = x - along * bx, y - along * by
        grain = rough * fur[there, top:bottom, left:right]
        inside = ra + along * (rb - ra) - np.sqrt(dx * dx + dy * dy) + grain * (thick * 0.25)
        cover = (0.5 + inside * (SIZE / 2 / edge)).clip(0, 1) * opacity
        shade = 1 + (dx * light[there, 0] + dy * light[there, 1]) * (shading / thick) + grain
        area += (_plane(colour[there, part]) * shade[:, None] - area) * cover[:, None]
        canvas[there, :, top:bottom, left:right] = area


def _background(dice: _Dice, odds: Sequence[float], *textures: Array) -> Parts:
    """Far and near ground that meet at a horizon, (CHUNK, 3, 64, 64), and their colours."""
    upright, level, blobs, fine = textures
    scene = dice.pick(odds)
    colours = np.array([row[:4] for row in BACKGROUNDS], np.float32)[scene]
    streaks = _plane(np.array([row[4:] for row in BACKGROUNDS], np.float32)[scene])
    far = colours[:, 0] + dice.uniform(0, 1, 1) * (colours[:, 1] - colours[:, 0])
    near = colours[:, 2] + dice.uniform(0, 1, 1) * (colours[:, 3] - colours[:, 2])
    height, slope = dice.uniform(-0.8, 0.8, 1, 1), dice.uniform(-0.2, 0.2, 1, 1)
    nearness = np.clip((Y + slope * X - height) * dice.uniform(0.8, 8, 1, 1) + 0.5, 0, 1)
    grain = streaks[:, 0] * upright + streaks[:, 1] * level + streaks[:, 2] * blobs
    grain = grain * (0.4 + 0.6 * nearness) + np.float32(0.06) * fine
    canvas = _plane(far) + nearness[:, None] * _plane(near - far)
    return canvas * (1 + grain)[:, None], far[:, None], near[:, None]


def _things(dice: _Dice, colour: Array, top: float, width: float, edge: float) -> Parts:
    """Ends, colours and looks of up to three things per image that rise from the ground."""
    foot = np.stack([dice.uniform(-1.1, 1.1, 3), dice.uniform(top, 1.2, 3)], 2)
    tip = foot + dice.uniform(-0.5, 0.5, 3, 2) - np.array((0, 0.5), np.float32)
    thick = dice.uniform(0.3, 1, 3, 1) * np.float32(width)
    opacity = 0.9 * (dice.uniform(0, 1, 3) < 0.6).astype(np.float32)
    rough, shading = dice.uniform(0.2, 0.3, 2, 3).swapaxes(0, 1)
    look = np.stack([opacity, rough, shading, dice.uniform(edge, 2 * edge, 3)], 2)
    ends = np.concatenate([foot, thick, tip, thick * np.float32(0.3)], 2)
    return ends, colour * dice.uniform(0.5, 1.2, 3, 1) * dice.uniform(0.85, 1.15, 3, 3), look


def _animal(dice: _Dice, kind: str) -> Parts:
    """Ends, colours and looks of the parts of one animal per image, placed in the frame."""
    animal, (surfaces, shapes) = ANIMALS[kind], FIGURES[kind]
    rows = [row for row in animal.poses for _ in row[2]]  # one for each of its heads
    pose = dice.pick([row[0] for row in rows])
    heads = np.array([row[3:] for row in rows], np.float32)
    surface, (head_x, head_y, head_size) = surfaces[pose], heads[pose].T[:, :, None]
    ax, ay, ra, bx, by, rb, depth, is_head = np.moveaxis(shapes[pose], 2, 0)
    # Limbs swing about their first end, parts are thinner or thicker.
    swing = dice.uniform(-0.12, 0.12, surface.shape[1]) * (1 - is_head)
    bx, by = bx - swing * (by - ay), by + swing * (bx - ax)
    thick = dice.uniform(0.88, 1.14, surface.shape[1])
    # The head turns and tilts on a body that bends; the frame shows all of it, or the head alone.
    turn, (head_cos, head_sin) = dice.uniform(-0.3, 0.3, 1) * depth, dice.rotation(0.12)
    wide, jaw, long = dice.uniform(-0.14, 0.14, 3, 1).swapaxes(0, 1)  # no two faces are the same
    size = np.where(is_head > 0, head_size * dice.uniform(0.9, 1.12, 1), np.float32(1))
    close = dice.uniform(0, 1, 1) < 0.22
    scale = np.where(close, dice.uniform(0.95, 1.5, 1), dice.uniform(0.6, 0.95, 1))
    focus_x, focus_y = np.where(close, head_x, 0), np.where(close, head_y, np.float32(0.1))
    stretch, bend = dice.uniform(0.8, 1.1, 1), dice.uniform(-0.15, 0.15, 1)
    mirror = np.where(dice.uniform(0, 1, 1) < 0.5, np.float32(-1), np.float32(1))
    cos, sin = dice.rotation(animal.lean)
    shift_x, shift_y = dice.uniform(-0.3, 0.3, 1), dice.uniform(-0.25, 0.25, 1)

    def place(x: Array, y: Array) -> tuple[Array, Array]:
        x_face, y_face = (x + turn) * (1 + wide + jaw * y), y + long * y * y
        x_on_body = head_x + size * (head_cos * x_face - head_sin * y_face)
        y_on_body = head_y + size * (head_sin * x_face + head_cos * y_face)
        x = np.where(is_head > 0, x_on_body, x) - focus_x
        y = np.where(is_head > 0, y_on_body, y) - focus_y + bend * x * x
        x *= stretch * mirror
        return shift_x + scale * (cos * x - sin * y), shift_y + scale * (sin * x + cos * y)

    radius = scale * size * thick
    ends = np.stack([*place(ax, ay), radius * ra, *place(bx, by), radius * rb], 2)
    coat, patch, iris = (dice.colour(*c) for c in (animal.coats, animal.coats, animal.irises))
    pale = coat + dice.uniform(0.1, 0.6, 1) * (np.float32(0.93) - coat)
    fin = coat + dice.uniform(0.0, 0.4, 1) * (np.float32(0.95) - coat)
    black, white = np.full_like(coat, 0.07), np.full_like(coat, 0.97)
    pink = np.zeros_like(coat) + np.array((0.8, 0.48, 0.46), np.float32)
    deep, rim = coat * np.float32(0.72), coat * np.float32(0.3)
    palette = (black, coat, deep, pale, patch, fin, black, rim, iris, pink, white, white, black)
    look = np.array([(*surface, 1.2) for surface in SURFACES.values()], np.float32)
    look[:, 1] *= np.float32(animal.fur)
    return ends, np.stack(palette, 1)[np.arange(CHUNK)[:, None], surface], look[surface]


def _photograph(dice: _Dice, canvas: Array) -> Array:
    """Exposure, colour cast, contrast, blur and sensor noise; uint8 (CHUNK, 3, 64, 64)."""
    slope_x, slope_y = dice.uniform(-0.3, 0.3, 1, 1), dice.uniform(-0.3, 0.3, 1, 1)
    canvas *= _plane(dice.uniform(0.86, 1.12, 3) * dice.uniform(0.65, 1.2, 1))
    canvas *= (1 + slope_x * X + slope_y * Y)[:, None]
    canvas = 0.45 + (canvas - 0.45) * dice.uniform(0.72, 1.15, 1, 1, 1)
    red, green, blue = canvas[:, 0], canvas[:, 1], canvas[:, 2]
    grey = (np.float32(0.3) * red + np.float32(0.59) * green + np.float32(0.11) * blue)[:, None]
    canvas = grey + dice.uniform(0.5, 1.05, 1, 1, 1) * (canvas - grey)
    for axis in (2, 3):
        line = np.moveaxis(canvas, axis, 3)
        around = line[..., 2:] + line[..., :-2] - 2 * line[..., 1:-1]
        line[..., 1:-1] += dice.uniform(0, 0.33, 1, 1, 1) * around
    # Nearly normal noise: a raw number holds four 16-bit uniforms, their integer sum is exact.
    raw = dice.bits.random_raw(canvas.size).view(np.uint16).reshape(-1, 4)
    grain = (raw.T.astype(np.int32).sum(0).astype(np.float32) - 131070) * np.float32(1 / 37837)
    canvas += dice.uniform(0.005, 0.035, 1, 1, 1) * grain.reshape(canvas.shape)
    return np.rint(np.clip(canvas * 255, 0, 255)).astype(np.uint8)


def _chunk(kind: str, seed: int, number: int) -> Array:
    dice = _Dice(seed, CLASSES.index(kind), number)
    textures = [dice.texture(*grid) for grid in ((8, 32), (32, 8), (6, 6), (32, 32))]
    upright, _, blobs, fine = textures
    fur = np.float32(0.35) * (fine + np.float32(0.5) * upright + blobs)
    light = _plane(dice.uniform(-1, 1, 2) - np.array((0, 1), np.float32))
    canvas, far, near = _background(dice, ANIMALS[kind].backgrounds, *textures)
    _paint(canvas, *_things(dice, far, -0.5, 0.4, 6.0), blobs, light)
    _paint(canvas, *_animal(dice, kind), fur, light)
    _paint(canvas, *_things(dice, near, 0.8, 0.07, 1.5), blobs, light)
    return _photograph(dice, canvas)


@checks(count=0, seed=0)
def draw_scenes(kind: str, count: int, seed: int) -> Array:
    """RGB pictures of one of CLASSES, uint8 (count, 3, 64, 64): a larger count only adds some."""
    choose("scene", kind, CLASSES)
    chunks = [_chunk(kind, seed, number) for number in range(-(-count // CHUNK))]
    return np.concatenate([np.empty((0, 3, SIZE, SIZE), np.uint8), *chunks])[:count]
