"""The course as a book: pages with contents and search that need nothing from the web."""

import os
import pkgutil
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.docutils import docutils_namespace, patch_docutils

import course_lib
from course_lib.pages.notebooks import read_notebook, shorten
from course_lib.support.files import NOTEBOOKS, make_folder
from course_lib.support.validation import CourseError

TITLE = "Data augmentation, rebuilt and questioned"
CONFIGURATION = NOTEBOOKS / "book"  # conf.py and what it needs, as Sphinx expects it


def write_book(
    executed: Sequence[Path], folder: Path, target: Path, preset: str, results: str = ""
) -> Path:
    """Write the book of executed notebooks to `target`, in the place of an older one.

    The Markdown documents of `folder` are chapters, too, and so is `results`, a table as HTML. The
    course's own notebooks bring the reference of the library along. What Sphinx finds wrong, such
    as a link that leads nowhere, goes to stderr. Returns the first page.
    """
    find_repository()  # refuses a wrong one before Sphinx starts
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as workplace:
        source, built = Path(workplace, "source"), Path(workplace, "html")
        _write_source(source, executed, folder, preset, results)
        sources = {"bibtex_bibfiles": [str(path) for path in source.glob("*.bib")]}
        try:
            with patch_docutils(), docutils_namespace():
                Sphinx(
                    source, CONFIGURATION, built, Path(workplace, "doctrees"), "html", sources,
                    status=None, warning=sys.stderr,
                ).build()  # fmt: skip
            shutil.rmtree(target, ignore_errors=True)
            built.rename(target)
        except SphinxError as error:
            raise CourseError(f"the book cannot be built: {shorten(str(error), 200)}") from error
        except OSError as error:
            raise CourseError(f"cannot write {target}: {error.strerror or error}") from error
    return target / "index.html"


def find_repository() -> str:
    """Address of the repository that the book belongs to: `$COURSE_REPOSITORY`; often none."""
    address = os.environ.get("COURSE_REPOSITORY", "").rstrip("/")
    if address and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise CourseError(f"COURSE_REPOSITORY {address!r} must be https://github.com/OWNER/NAME")
    return address


def _write_source(
    source: Path, executed: Sequence[Path], folder: Path, preset: str, results: str
) -> None:
    """Write what Sphinx reads: notebooks, documents, and pages made for the book."""
    source.mkdir()
    for path in [*folder.glob("*.md"), *folder.glob("*.bib"), *folder.glob("*.png"), *executed]:
        shutil.copy(path, source)
    reference = _write_reference(source) if folder.samefile(NOTEBOOKS) else []
    index = f"# {TITLE}\n\nExecuted with the preset **{preset}**.\n"
    for path in executed:
        texts = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"]
        title, _, opening = (texts or [path.stem])[0].strip().partition("\n")
        index += f"\n## [{title.lstrip('# ')}]({path.name})\n\n{opening.strip()}\n"
    if results:
        # The theme makes a wide one of this class a tab stop, so that keys can scroll it.
        box = f"<div class='results pst-scrollable-table-container'>{results}</div>"
        table = f"# Results\n\n```{{raw}} html\n{box}\n```\n"
        (source / "results.md").write_text(table, encoding="utf-8")
    if (source / "references.bib").exists():
        shutil.copy(CONFIGURATION / "bibliography.md", source)
    more = sorted(path.stem for path in source.glob("*.md"))
    lists = {"Notebooks": [path.stem for path in executed], "More": more, "The library": reference}
    for caption, pages in lists.items():
        lines = "\n".join(pages)
        index += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"
    (source / "index.md").write_text(index, encoding="utf-8")


def _write_reference(source: Path) -> list[str]:
    """Write a page for each entry of the library, from its docstrings; return their names."""
    pages: dict[str, str] = {}
    for module in pkgutil.walk_packages(course_lib.__path__, "course_lib."):
        entry = f"reference/{module.name.split('.')[1]}"
        if "__" not in entry:
            rule = ("-" if entry in pages else "=") * len(module.name)
            text = f"{module.name}\n{rule}\n\n.. automodule:: {module.name}\n   :members:\n\n"
            pages[entry] = pages.get(entry, "") + text
    (source / "reference").mkdir()
    for entry in pages:
        (source / f"{entry}.rst").write_text(pages[entry], encoding="utf-8")
    return list(pages)
