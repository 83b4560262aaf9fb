"""The `course` command: `python -m course_lib VERB`."""

import io
import re
import sys
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from course_lib import __version__
from course_lib.support.files import fix_folders, named_path, runs_folder
from course_lib.support.validation import CourseError, choose, whole_number

MOST_SEEDS = 10_000
MOST_SECONDS = 10**7
_parameters = partial(click.option, "-p", "--parameter", multiple=True, metavar="NAME=VALUE")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="course")
def course() -> None:
    """A course on data augmentation that rebuilds and questions Wang & Perez (2017)."""


@course.command()
@click.option("--preset", default="quick", show_default=True, help="Size of the runs.")
@_parameters(help="Set a parameter in every notebook that has it; can be repeated.")
@click.option("--timeout", default=1800, show_default=True, help="Seconds for each notebook.")
def run(preset: str, parameter: tuple[str, ...], timeout: int) -> None:
    """Execute all notebooks in order and write them, and a book, to runs/PRESET/."""
    from course_lib.analysis.results import html_table, read_results, results_table, show_table
    from course_lib.images.tasks import SOURCES
    from course_lib.pages.run import parse_parameters, run_notebooks
    from course_lib.paper import PRESETS
    from course_lib.support.devices import find_device

    choose("preset", preset, PRESETS)
    whole_number("timeout", timeout, at_least=1, at_most=MOST_SECONDS)
    parameters = parse_parameters(parameter)
    device, precision = parameters.get("device", "auto"), parameters.get("precision", "float32")
    find_device(str(device), str(precision))
    choose("source", parameters.get("source", "auto"), ("auto", *SOURCES))
    read = partial(read_results, runs_folder() / preset)
    book = run_notebooks(
        preset, parameters, timeout=timeout, results=lambda: html_table(results_table(read()[0]))
    )
    results, foreign = read()
    if not results:
        raise CourseError(f"{runs_folder() / preset} holds no result: no notebook has trained")
    print(show_table(results_table(results)))
    for path in foreign:
        print(f"skipped, no result: {path}", file=sys.stderr)
    print(f"Book: {book}")


@course.command()
def book() -> None:
    """Write the book of the notebooks as they are stored, without running them, to runs/book/."""
    from course_lib.analysis.comparison import reference_results
    from course_lib.analysis.results import html_table, results_table
    from course_lib.pages.book import write_book
    from course_lib.pages.notebooks import list_notebooks
    from course_lib.support.files import NOTEBOOKS

    table = html_table(results_table(reference_results()))
    target = runs_folder() / "book"
    print("Book:", write_book(list_notebooks(), NOTEBOOKS, target, "quick", table))


@course.command()
def marks() -> None:
    """Write nbgrader's metadata into the exercises and checks of the course's notebooks."""
    from course_lib.pages.marks import write_marks

    print(*write_marks(), sep="\n")


@course.command()
@click.option("--tasks", default="all", show_default=True, help="Comma-separated task names.")
@click.option("--task-folder", metavar="FOLDER", help="Own pictures: a sub-folder per class.")
@click.option("--arms", help="Comma-separated arm names. [default: the paper's and ours]")
@click.option("--seeds", default="0", show_default=True, help="Such as 0-4 or 0,3,7.")
@click.option("--preset", default="paper", show_default=True, help="Size of the runs.")
@click.option("--source", default="auto", show_default=True, help="Where pictures come from.")
@click.option("--workers", default="auto", show_default=True, help="Runs side by side.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="A Dask cluster to run on.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--epochs", type=int, help="Instead of the preset's.")
@click.option("--batch-size", type=int, help="Instead of 64.")
@click.option("--plan", help="study: the runs of notebooks/PLAN.md; readings: of page 07.")
@click.pass_context
def study(
    context: click.Context, tasks: str, task_folder: str | None, arms: str | None, seeds: str,
    workers: str, plan: str | None, **options: Any,
) -> None:  # fmt: skip
    """Run many experiments in parallel; finished ones are not repeated."""
    from course_lib.analysis.results import results_table, show_table
    from course_lib.images.tasks import FOLDER, TASKS
    from course_lib.study import RUN_BY_DEFAULT, planned_study, read_the_paper
    from course_lib.study import study as run_study

    side_by_side = int(workers) if workers.isdecimal() else workers
    if plan is not None:
        planned = {"study": planned_study, "readings": read_the_paper}
        choose("plan", plan, planned)
        sources = {name: context.get_parameter_source(name) for name in context.params}
        given = {name for name, source in sources.items() if source is not ParameterSource.DEFAULT}
        if others := sorted(given - {"plan", "workers", "scheduler"}):
            option = f"--{others[0].replace('_', '-')}"
            raise CourseError(f"{option} {context.params[others[0]]!r}: --plan decides all of it")
        print(show_table(results_table(planned[plan](side_by_side, options["scheduler"]))))
        return
    names = TASKS if tasks == "all" else tasks.split(",")
    if task_folder is not None:
        if tasks != "all":
            raise CourseError(f"--task-folder {task_folder!r} stands instead of --tasks: give one")
        names = [f"{FOLDER}{task_folder}"]
    results = run_study(
        tasks=names,
        arms=RUN_BY_DEFAULT if arms is None else arms.split(","),
        seeds=_seeds(seeds),
        workers=side_by_side,
        **{name: value for name, value in options.items() if value is not None},
    )
    print(show_table(results_table(results)))


@course.command()
@click.option("--preset", default="paper", show_default=True, help="Preset of your own runs.")
@click.option("--format", "form", default="markdown", show_default=True, help="markdown or csv.")
def results(preset: str, form: str) -> None:
    """Print the paper's tables beside the pilot and your own runs, and the study's verdicts."""
    from course_lib.analysis import claims, comparison
    from course_lib.analysis.results import read_results
    from course_lib.images.tasks import TASKS
    from course_lib.paper import PRESETS

    choose("preset", preset, PRESETS)
    choose("format", form, ("markdown", "csv"))
    reference = comparison.reference_results()
    own, foreign = read_results(runs_folder() / preset)
    tables = {task: comparison.paper_table(reference, own, task) for task in TASKS}
    if form == "csv":
        print(comparison.long_table(tables).to_csv(index=False), end="")
    else:
        for number, (task, table) in zip(("I", "II", "III"), tables.items(), strict=True):
            print(f"## Table {number}: {task}\n\n{comparison.markdown(table)}\n")
            differences = comparison.markdown(comparison.differences(reference, task))
            print(f"Test accuracy minus that of none, paired by seed:\n\n{differences}\n")
        runs, damaged = claims.study_results()
        foreign += damaged
        print(f"## The planned study\n\n{claims.progress(runs)}\n")
        print(f"{comparison.markdown(claims.study_table(runs))}\n")
        print("Means under each reading of batch normalisation's running averages:\n")
        print(f"{comparison.markdown(claims.averages_table(runs))}\n")
        print(f"MNIST:\n\n{comparison.markdown(claims.digits_table(runs))}\n")
    for path in foreign:
        print(f"skipped, no result: {path}", file=sys.stderr)


@course.command()
@click.argument("folder")
@click.option("--solutions", is_flag=True, help="Keep the solutions: for instructors.")
def start(folder: str, solutions: bool) -> None:
    """Copy the notebooks to FOLDER to work in; your changes there are never overwritten."""
    from course_lib.pages import student

    for name, path in student.start(named_path("folder", folder), solutions).items():
        if path.name != name:
            print(f"{name} in {folder} is yours and stays as it is; the new version is {path.name}")
    print(f"Notebooks: {folder}")


@course.command()
@click.option("--classes", metavar="WNIDS", help="Comma-separated, beside the course's own.")
@click.option("--from", "given", metavar="FILE", help="Official zip, or its folder, on this disk.")
@click.option("--mirror", metavar="URL", help="An official zip to use instead.")
@click.option("--styles", is_flag=True, help="The six published generators, 273 MB.")
def data(classes: str | None, given: str | None, mirror: str | None, styles: bool) -> None:
    """Fetch what the course does not bundle: the paper's images."""
    from course_lib.arms.generators import fetch_styles, pinned
    from course_lib.images.mirrors import MIRRORS, fetch_tiny_imagenet
    from course_lib.images.tasks import WNIDS

    if styles:
        folder = fetch_styles()
        for name, digest in pinned().items():
            print(f"{name}: {(folder / name).stat().st_size:,} bytes, SHA-256 {digest}")
        print(f"The published generators are in {folder}")
        return
    more = () if classes is None else classes.split(",")
    wnids = list(dict.fromkeys([*WNIDS.values(), *more]))
    mirrors = MIRRORS if mirror is None else [mirror]
    source = None if given is None else named_path("from", given)
    place = fetch_tiny_imagenet(wnids, source, mirrors)
    print(f"Tiny ImageNet: {', '.join(wnids)} are in {place}, complete and checked")


@course.command()
def check() -> int:
    """Check the machine, the course's files and the data; say how to repair what is wrong."""
    from course_lib.pages.checks import run_checks

    good = True
    for finding in run_checks():
        print(finding, flush=True)
        good = good and finding.good
    return 0 if good else 1


@course.group()
def styles() -> None:
    """Generators of the GAN styles."""


@styles.command()
@click.argument("name")
@click.option("--domain", required=True, metavar="FOLDER", help="Pictures of the style.")
@click.option(
    "--photos", multiple=True, default=["stand-in"], show_default=True, metavar="FOLDER",
    help="Photographs to restyle: a folder or stand-in; can be repeated.",
)  # fmt: skip
@_parameters(help="Change the recipe, as in steps=20000; can be repeated.")
@click.option("--start", metavar="STYLE", help="Start from the networks of this style.")
def train(
    name: str, domain: str, photos: tuple[str, ...], parameter: tuple[str, ...], start: str | None
) -> None:
    """Train a generator of your own style; if interrupted, it resumes when called again."""
    from course_lib.arms.domains import train_style

    path, curves = train_style(name, named_path("domain", domain), photos, parameter, start)
    print(f"{path}: " + ", ".join(f"{loss} {values[-1]:.3f}" for loss, values in curves.items()))


def _seeds(text: str) -> list[int]:
    """Seeds from text: "0-4" → 0, 1, 2, 3, 4; "0,3,7" → 0, 3, 7."""
    seeds: dict[int, None] = {}  # in order, each once
    for part in text.split(","):
        if not (found := re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", part)):
            raise CourseError(f"seeds {text!r} must be whole numbers, as in 0-4 or 0,3,7")
        wanted = range(int(found[1]), int(found[2] or found[1]) + 1)
        if len(wanted) <= MOST_SEEDS:
            seeds |= dict.fromkeys(wanted)
        if (count := max(len(wanted), len(seeds))) > MOST_SEEDS:
            raise CourseError(f"seeds {text!r} are {count}: choose {MOST_SEEDS} at most")
    if not seeds:
        raise CourseError(f"seeds {text!r} is empty: a range runs upwards, as in 0-4")
    return list(seeds)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; bad input is one line on stderr and exit code 2."""
    from course_lib.pages.run import NotebookFailed

    for stream in (sys.stdout, sys.stderr):  # a redirect may not know arrows and dashes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        fix_folders()
        return course.main(arguments, prog_name="course", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 0
    except (CourseError, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        lines = ("course: " + " ".join(message.split()), *getattr(error, "advice", ()))
        print(*lines, sep="\n", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that may not be read, say
        named = f"{error.filename} cannot be used: " if error.filename else ""
        print(f"course: {named}{error.strerror or error}", file=sys.stderr)
        return 2
    except NotebookFailed as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, click.Abort):
        print("course: stopped; finished work is kept, call again to resume", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
