"""Exercises: each check passes the solution, and answers a typical mistake with its own message."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest

from course_lib.pages.notebooks import SOLUTION, list_notebooks

NOTHING = ("pass", "nothing came back")
SHUFFLED = """train, validation = [], []
for label in labels.unique():
    indices = torch.nonzero(labels == label).squeeze(1)
    indices = indices[{order}]
    cut = round(share * len(indices))
    train.append(indices[:cut])
    validation.append(indices[cut:])
return torch.cat(train), torch.cat(validation)"""
WILSON = """p = right / count
centre, half = p + z**2 / (2 * count), z * ({under}){root}
return {answer}"""
WEIGHTS = """weights = sum(9 * a * b + b for a, b in [(channels, 16), (16, 32), (32, 32)])
return weights + 96 + 32 * (side // 4) ** 2 * 1024 + 1024 + 1024 * 2 + 2"""
MEASURED = """counts = torch.full(({histories}, epochs), float(images))
right = torch.binomial(counts, torch.full_like(counts, accuracy), generator=generator)
return {answer}"""
FACTORS = """factors = {factors}
return (images.float() * factors).clamp(0, 255).to(torch.uint8)"""
TURN = """angle = {angle}
cosine, sine = math.cos(angle), math.sin(angle)
return torch.tensor({matrix})"""
RED = """red = lambda batch: {redness}
return torch.corrcoef(torch.stack([red(images), red(copies)])){place}"""
PAIRS = """pairs = []
for label in labels:
    same = torch.nonzero(labels == label).squeeze(1)
    pairs.append({pair})
return torch.stack(pairs)"""
GRAMS = """rows = [images.flatten(2) for images in (generated, target)]
one, other = (torch.einsum("{sum}", r, r) / {places} for r in rows)
return (one - other).{difference}"""
PLACES = "(generated.shape[2] * generated.shape[3])"
HOLM = """order = np.argsort(p_values)
out, largest = [0.0] * len(p_values), 0.0
for rank, index in enumerate(order):
    largest = {value}
    out[{place}] = largest
return out"""
STEP = "(len(p_values) - rank) * p_values[index]"
GAPS = """place = np.minimum(((confidence - {start}) * {width} * bins).astype(int), {last})
parts = [place == number for number in np.unique(place)]
gaps = [abs(confidence[part].mean() - right[part].mean()) for part in parts]
return {total}"""
WEIGHTED = "np.average(gaps, weights=[part.sum() for part in parts])"
THINGS = """things = sources.unique()
cut = round(share * len(things))
chosen = torch.isin(sources, {order}[{chosen}])
"""
RANDOM = "things[torch.randperm(len(things), generator=generator)]"
# Function → wrong answers, as the body that a student would write, and part of the check's message.
MISTAKES: dict[str, list[tuple[str, str]]] = {
    "channel_statistics": [
        ("return images.float().mean(), images.float().std()", "one mean for all channels"),
        ("pixels = images.float()\nreturn pixels.mean((2, 3)), pixels.std((2, 3))", "each image"),
        ("pixels = images.float()\nreturn pixels.std((0, 2, 3)), pixels.mean((0, 2, 3))", "first"),
        ("pixels = images.float()\nreturn pixels.mean((0, 2, 3)), pixels.var((0, 2, 3))", "root"),
        ("p = images.float() / 255\nreturn p.mean((0, 2, 3)), p.std((0, 2, 3))", "not divide"),
        ("return images.float().mean((0, 2, 3))", "two tensors"),
    ],
    "split": [
        ("cut = int(share * len(labels))\nreturn torch.arange(cut), torch.arange(cut, len(labels))",
         "80 % of each class are 48 and 32 images, not [60, 20]"),
        (SHUFFLED.format(order="torch.arange(len(indices))"), "shuffle first"),
        (SHUFFLED.format(order="torch.randperm(len(indices))"), "draw from `generator`"),
        (SHUFFLED.format(order=":").replace("cut = round(share", "cut = round((1 - share)"),
         "training, which comes first"),
        ("n = len(labels)\nreturn torch.arange(80), torch.randperm(n, generator=generator)[80:]",
         "in both parts"),
        ("return torch.arange(70), torch.arange(80, 100)", "each index once"),
    ],
    "wilson": [
        (WILSON.format(under="p * (1 - p) / count", root=" ** 0.5", answer="p - half, p + half"),
         "z²/(4n²) is missing"),
        (WILSON.format(under="p * (1 - p) / count + z**2 / (4 * count**2)", root=" ** 0.5",
                       answer="centre - half, centre + half"), "divide the whole fraction"),
        (WILSON.format(under="p * (1 - p) / count + z**2 / (4 * count**2)", root="",
                       answer="(centre - half) / (1 + z**2 / count), (centre + half)"), "under a root"),
        (WILSON.format(under="p * (1 - p) / count + z**2 / (4 * count**2)", root=" ** 0.5",
                       answer="centre + half, centre - half"), "lower bound comes first"),
        ("return wilson_interval(right, count, 0.9)", "171 of 200 right: (0.7995"),
    ],
    "smallnet_weights": [
        ("return 8_406_114", "use `side`"),
        (WEIGHTS.replace("channels", "3"), "use `channels`"),
        (WEIGHTS.replace("b + b", "b"), "the biases of the three convolutions"),
        (WEIGHTS.replace("+ 96 ", ""), "batch normalisation"),
        (WEIGHTS.replace("side // 4", "side // 2"), "pooling halves the side twice"),
        (WEIGHTS.replace("+ 1024 + 1024 * 2 + 2", "+ 1024 * 2"), "fully connected"),
        (WEIGHTS + " + 7", "it is -7 away"),
    ],
    "best_of": [
        ("return accuracy", "forty epochs must flatter"),
        (MEASURED.format(histories=2000, answer="right.max(dim=1).values.mean().item()"), "divide"),
        (MEASURED.format(histories=2000, answer="(right / images).max(dim=0).values.mean().item()"),
         "within each"),
        (MEASURED.format(histories=1, answer="(right / images).max().item()"), "average 2,000"),
        (MEASURED.format(histories=2000, answer="(right / images).mean().item()"), "not the mean"),
        (MEASURED.format(histories=2000, answer="(right / 200).max(1).values.mean().item()")
         .replace("float(images)", "200.0"), "use `images`"),
    ],
    "brightness": [
        (FACTORS.format(factors="1 + most * (2 * torch.rand(1, generator=generator) - 1)"),
         "one factor for the whole batch"),
        (FACTORS.format(factors="1 + most * (2 * torch.rand(images.shape) - 1)"),
         "factor of its own"),
        ("factors = 0.5 + torch.rand(len(images), 1, 1, 1, generator=generator)\n"
         "return (images.float() * factors).int().to(torch.uint8)", "cut off at 255"),
        ("return images * (0.5 + torch.rand(len(images), 1, 1, 1))", "uint8 images, please"),
        (FACTORS.format(factors="1 + most * torch.rand(len(images), 1, 1, 1)"), "much darker"),
        (FACTORS.format(factors="1 - most * torch.rand(len(images), 1, 1, 1)"), "brighter"),
        (FACTORS.format(factors="1 + most * (2 * torch.rand(len(images), 1, 1, 1) - 1)"),
         "draw from `generator`"),
    ],
    "rotation": [
        ("return torch.eye(2)", "must take (1, 0) to (0, 1)"),
        (TURN.format(angle="degrees", matrix="[[cosine, -sine], [sine, cosine]]"), "radians"),
        (TURN.format(angle="math.radians(degrees)", matrix="[[cosine, sine], [-sine, cosine]]"),
         "clockwise"),
        (TURN.format(angle="math.radians(degrees)", matrix="[[cosine, sine], [sine, cosine]]"),
         "minus sign"),
        (TURN.format(angle="math.radians(degrees)", matrix="[cosine, sine]"), "2 × 2 tensor"),
    ],
    "steps": [
        ("return images * epochs / batch_size", "round up, and then multiply"),
        ("return images // batch_size * epochs", "smaller batch of an epoch is a step"),
        ("return -(-images // batch_size)", "this is one epoch"),
        ("return (images // batch_size + 1) * epochs", "nothing is left for another"),
        ("return images * epochs", "520 steps, not 32000"),
    ],
    "cycle_loss": [
        ("return (F(G(x)) - x).abs().mean()", "counts, too"),
        ("return 2 * (F(G(x)) - x).abs().mean()", "each counts once"),
        ("return (F(G(x)) - x).square().mean() + (G(F(y)) - y).square().mean()", "not squared"),
        ("return (F(G(x)) - x).abs().sum() + (G(F(y)) - y).abs().sum()", "not their sum"),
        ("return (F(G(x)) - x).mean() + (G(F(y)) - y).mean()", "without their sign"),
        ("return (F(G(x)) - x).abs() + (G(F(y)) - y).abs()", "one number"),
        ("return (G(F(x)) - x).abs().mean() + (F(G(y)) - y).abs().mean()", "G goes first"),
    ],
    "critic": [
        ("return (real - 1).square().mean() + made.square().mean()", "half of each"),
        ("return (real.square().mean() + (made - 1).square().mean()) / 2", "perfect critic"),
        ("return ((real - 1).abs().mean() + made.abs().mean()) / 2", "squared distances"),
        ("return ((real - 1).square().sum() + made.square().sum()) / 2", "not their sum"),
        ("return ((real - 1).square() + made.square()) / 2", "one number"),
    ],
    "colour_kept": [
        ("return (images.float() - copies.float()).abs().mean().item()", "picture and itself"),
        (RED.format(redness="(batch[:, 0].float() - batch[:, 2]).mean((1, 2))", place=""),
         "beside the diagonal"),
        (RED.format(redness="batch[:, 0].float().mean((1, 2))", place="[0, 1].item()"),
         "red minus blue"),
        (RED.format(redness="(batch[:, 0] - batch[:, 2]).float().mean((1, 2))",
                    place="[0, 1].item()"), "does not fit in a byte"),
        (RED.format(redness="(batch[:, 0].float() - batch[:, 2]).flatten()", place="[0, 1].item()"),
         "average each image"),
    ],
    "same_class_pairs": [
        ("return torch.arange(len(labels)).repeat(2, 1).T", "the same image twice"),
        (PAIRS.format(pair="same[torch.randint(len(same), (2,), generator=generator)]"),
         "the same image twice"),
        (PAIRS.format(pair="torch.randperm(len(same), generator=generator)[:2]"), "another class"),
        (PAIRS.format(pair="same[:2]"), "let chance decide"),
        (PAIRS.format(pair="same[torch.randperm(len(same))[:2]]"), "draw from `generator`"),
        (PAIRS.format(pair="same[:2]").replace("torch.stack(pairs)", "pairs"), "torch.stack"),
        (PAIRS.format(pair="same[:2]").replace("(pairs)", "(pairs, 1)"), "not (2, 140)"),
    ],
    "gram_loss": [
        ("return (generated - target).square().mean()", "compare Gram matrices"),
        (GRAMS.format(sum="nik,njk->nij", places=1, difference="square().mean()"), "by H·W"),
        (GRAMS.format(sum="nik,njk->nij", places=PLACES,
                      difference="square().sum((1, 2)).mean()"), "by C²"),
        (GRAMS.format(sum="nik,njk->nij", places=PLACES,
                      difference="square().mean((1, 2)).sum()"), "not the sum"),
        (GRAMS.format(sum="nik,njk->ij", places=PLACES, difference="square().mean()"),
         "not for the batch"),
        (GRAMS.format(sum="nik,njk->nij", places=PLACES, difference="abs().mean()"), "square the"),
        (GRAMS.format(sum="nik,njk->nij", places=PLACES, difference="square().mean((1, 2))"),
         "one number"),
    ],
    "best_guess": [
        ("return images.median(dim=0, keepdim=True).values", "absolute differences"),
        ("return images.mean(dim=0)", "a batch of one image"),
        ("return images.mean()", "one image, please, not ()"),
        ("return torch.zeros_like(images[:1])", "differs by a hair"),
        ("return min(images.split(1), key=lambda one: content_loss(one.expand_as(images), images))",
         "one of the images"),
    ],
    "is_control": [
        ("return torch.equal(first, second)", "twice the same image"),
        ("return first is second", "not objects"),
        ("return torch.equal(first, originals)", "the second input"),
        ("return torch.equal(second, originals)", "the first input"),
        ("return (first == originals) & (second == originals)", "one True or False"),
        ("return bool((first == originals).any() and (second == originals).any())", "every image"),
    ],
    "mixup": [
        ("share = torch.rand(1, generator=generator)\nreturn (1 - share) * first + share * second",
         "one λ for the whole batch"),
        ("share = torch.rand(first.shape)\nreturn (1 - share) * first + share * second",
         "each value has a λ"),
        ("share = torch.randn(len(first), 1, 1, 1)\nreturn (1 - share) * first + share * second",
         "not randn"),
        ("share = torch.rand(len(first), 1, 1, 1) / 2\nreturn (1 - share) * first + share * second",
         "λ goes from 0 to 1"),
        ("share = torch.rand(len(first), 1, 1, 1)\nreturn first + share * second", "must stay"),
        ("share = torch.rand(len(first), 1, 1, 1)\nreturn (1 - share) * first + share * second",
         "draw from `generator`"),
    ],
    "images_apart": [
        ("return abs(one - other) * count", "a whole number of images"),
        ("return round(one * count) - round(other * count)", "never negative"),
        ("return abs(one - other)", "multiply"),
        ("return abs(int(one * count) - int(other * count))", "do not cut off"),
        ("return 1 + abs(round(one * count) - round(other * count))", "3 apart, not 4"),
    ],
    "exact_p": [
        ("return sum(math.comb(only_first + only_second, k) for k in"
         " range(min(only_first, only_second) + 1)) / 2 ** (only_first + only_second)", "one side"),
        ("return min(1, 2 * sum(math.comb(only_first + only_second, k) for k in"
         " range(only_first + 1)) / 2 ** (only_first + only_second))", "order must not matter"),
        ("return 2 * sum(math.comb(only_first + only_second, k) for k in"
         " range(min(only_first, only_second) + 1)) / 2 ** (only_first + only_second)", "above 1"),
        ("n = only_first + only_second\nreturn min(1, 2 * math.comb(n, only_first) / 2**n)",
         "more uneven"),
        ("return 2 * 0.5 ** (only_first + only_second)", "1 : 1 has p 1.0000"),
    ],
    "corrected": [
        ("return [min(1.0, len(p_values) * p) for p in p_values]", "only the smallest"),
        (HOLM.format(value=f"min(1.0, {STEP})", place="index"), "the one before it"),
        (HOLM.format(value=f"max(largest, {STEP})", place="index"), "never above 1"),
        (HOLM.format(value=f"max(largest, min(1.0, {STEP}))", place="rank"), "they came in"),
        ("return p_values", "become"),
    ],
    "paired_t": [
        ("return (np.mean(first) - np.mean(second)) /"
         " np.hypot(np.std(first, ddof=1), np.std(second, ddof=1)) * len(first) ** 0.5",
         "subtract first"),
        ("d = np.subtract(first, second)\nreturn d.mean() / d.std(ddof=1)", "by √n"),
        ("d = np.subtract(first, second)\nreturn d.mean() / d.std() * len(d) ** 0.5", "ddof=1"),
        ("d = np.subtract(second, first)\nreturn d.mean() / d.std(ddof=1) * len(d) ** 0.5",
         "not the other way"),
        ("d = np.subtract(first, second)\nreturn d.mean() / d.std(ddof=1) * len(d)", "4.0621, not"),
    ],
    "decide": [
        ("if wide[0] > 0:\n    return 'holds'\nif wide[1] < 0:\n    return 'the opposite holds'\n"
         "return 'no difference'", "does not prove equality"),
        ("if wide[0] > 0:\n    return 'holds'\nif wide[1] < 0:\n    return 'the opposite holds'\n"
         "return 'no difference' if -margin < wide[0] and wide[1] < margin else 'inconclusive'",
         "90 % interval answers"),
        ("if narrow[0] > 0:\n    return 'holds'\nif narrow[1] < 0:\n    return 'the opposite holds'\n"
         "return 'no difference' if -margin < narrow[0] and narrow[1] < margin else 'inconclusive'",
         "95 % interval answers"),
        ("if -margin < narrow[0] and narrow[1] < margin:\n    return 'no difference'\n"
         "if wide[0] > 0:\n    return 'holds'\n"
         "return 'the opposite holds' if wide[1] < 0 else 'inconclusive'", "asked first"),
        ("if wide[0] > 0:\n    return 'holds'\nif wide[1] < 0:\n    return 'the opposite holds'\n"
         "return 'no difference' if narrow[1] < margin else 'inconclusive'", "both ends"),
        ("return 'holds' if wide[0] > 0 else 'inconclusive'", "below 0"),
    ],
    "further_run": [
        ("return mean - factor * error, mean + factor * error", "a spread of its own"),
        ("return mean - factor * spread, mean + factor * spread", "uncertain, too"),
        ("half = factor * (error + spread)\nreturn mean - half, mean + half", "add the squares"),
        ("half = factor * (error**2 + spread**2)\nreturn mean - half, mean + half", "take the root"),
        ("half = np.hypot(error, spread)\nreturn mean - half, mean + half", "multiply by `factor`"),
        ("half = factor * np.hypot(error, spread)\nreturn -half, half", "lies around the mean"),
        ("half = factor * np.hypot(error, spread)\nreturn mean + half, mean - half", "comes first"),
    ],
    "calibration_gap": [
        ("return np.mean(right) - np.mean(confidence)", "never negative"),
        ("return abs(np.mean(right) - np.mean(confidence))", "in each bin"),
        (GAPS.format(start=0.5, width=2, last="bins - 1", total="np.mean(gaps)"), "as much as"),
        (GAPS.format(start=0, width=1, last="bins - 1", total=WEIGHTED), "from ½ to 1"),
        (GAPS.format(start=0.5, width=2, last="bins", total=WEIGHTED), "in the last bin"),
    ],
    "split_by_source": [
        ("return torch.rand(len(sources), generator=generator) < share", "that is the leak"),
        (THINGS.format(order=RANDOM, chosen=":cut") + "return torch.nonzero(chosen)", "a bool"),
        (THINGS.format(order=RANDOM, chosen="cut:") + "return chosen", "a fifth of the things"),
        (THINGS.format(order="things", chosen=":cut") + "return chosen", "chance decides"),
    ],
}  # fmt: skip


def read(path):
    return nbformat.read(path, as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def exercises():
    """Function → the page's imports, the exercise's number, its cell, the text below, its check."""
    found = {}
    for path in list_notebooks():
        cells = read(path).cells
        code = (cell for cell in cells if cell.cell_type == "code" and "colab" not in tags(cell))
        imports = next(code).source
        places = [place for place, cell in enumerate(cells) if "exercise" in tags(cell)]
        for number, place in enumerate(places, 1):
            tree = ast.parse(cells[place].source)
            (name,) = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
            found[name] = imports, number, *cells[place : place + 3]
    return found


EXERCISES = exercises()


def answer(name, body=None):
    """Run the exercise with the solution, or with `body` in its place, and then the check."""
    imports, _, exercise, _, check = EXERCISES[name]
    names: dict = {}
    exec(f"import math\n{imports}", names)
    indented = "\n".join(f"    {line}" for line in (body or "").splitlines())
    exec(exercise.source if body is None else SOLUTION.sub(indented, exercise.source), names)
    exec(check.source, names)


def test_every_page_has_exercises_and_every_exercise_its_mistakes():
    assert EXERCISES.keys() == MISTAKES.keys()
    for name, mistakes in MISTAKES.items():
        assert len({message for _, message in mistakes}) >= 3, name


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_answer_gets_its_mark(name, capsys):
    answer(name)
    assert capsys.readouterr().out == f"✓ Exercise {EXERCISES[name][1]}\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_gets_its_message(name):
    for body, message in [*MISTAKES[name], NOTHING]:
        with pytest.raises(AssertionError) as raised:
            answer(name, body)
        assert message in str(raised.value), body


@pytest.mark.parametrize("name", EXERCISES)
def test_every_assert_speaks_and_the_stub_stops(name):
    *_, check = EXERCISES[name]
    for node in ast.walk(ast.parse(check.source)):
        assert not isinstance(node, ast.Assert) or node.msg, ast.unparse(node)
    with pytest.raises(NotImplementedError):
        answer(name, "raise NotImplementedError()")


@pytest.mark.parametrize("name", EXERCISES)
def test_two_hints_are_folded_below(name):
    _, _, _, below, _ = EXERCISES[name]
    # Blank lines around a hint let Markdown render within the HTML.
    hints = re.findall(
        r"<details>\n<summary>(First|Second) hint</summary>\n\n\S[^\n]+\n\n</details>", below.source
    )
    assert below.cell_type == "markdown" and hints == ["First", "Second"]
