"""The course as a book: pages with contents and search that need nothing from the web."""

import os
import pkgutil
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.console import nocolor
from sphinx.util.docutils import docutils_namespace, patch_docutils

import course_lib
from course_lib.pages.notebooks import SOLUTION, STUB, read_notebook, shorten
from course_lib.support.files import COURSE, NOTEBOOKS, make_folder
from course_lib.support.validation import CourseError

TITLE = "Data augmentation, rebuilt and questioned"
NOTE = "Interactive: open this notebook in JupyterLab to try it."
SETTINGS = {
    "project": TITLE,
    "html_title": TITLE,
    "extensions": [
        "myst_nb", "sphinxcontrib.bibtex", "sphinx.ext.autodoc", "sphinx.ext.napoleon",
        "sphinx.ext.viewcode", "course_lib.pages.book_extension",
    ],
    "html_theme": "sphinx_book_theme",
    "html_static_path": [str(Path(__file__).with_name("static"))],
    "html_css_files": ["book.css"],
    "html_context": {"default_mode": "auto"},
    "html_sourcelink_suffix": "",
    "html_show_search_summary": False,  # a browser does not let a page read files beside it
    "html_math_renderer": "mathml",
    "numfig": True,
    "default_role": "literal",
    "autodoc_member_order": "bysource",
    "bibtex_cite_id": "cite-{key}",
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "myst_heading_anchors": 4,
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},  # by default from the web
    "nb_merge_streams": True,
}  # fmt: skip


def write_book(
    executed: Sequence[Path], folder: Path, target: Path, preset: str, results: str = ""
) -> Path:
    """Write the book of executed notebooks to `target`, in the place of an older one.

    The Markdown documents of `folder` are chapters, too, and so is `results`, a table as HTML. The
    course's own notebooks bring the reference of the library along. What Sphinx finds wrong, such
    as a link that leads nowhere, goes to stderr. Returns the first page.
    """
    repository = _repository()
    make_folder(target.parent)
    nocolor()
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as workplace:
        source, built = Path(workplace, "source"), Path(workplace, "html")
        _write_source(source, executed, folder, preset, results, repository)
        settings: dict[str, Any] = {
            **SETTINGS,
            "html_theme_options": _theme_options(repository),
            "bibtex_bibfiles": [path.name for path in source.glob("*.bib")],
        }
        try:
            with patch_docutils(), docutils_namespace():
                Sphinx(
                    source, None, built, Path(workplace, "doctrees"), "html", settings,
                    status=None, warning=sys.stderr,
                ).build()  # fmt: skip
            for notebook in executed:  # for download: as they were executed
                shutil.copy(notebook, built / "_sources" / notebook.name)
            shutil.rmtree(target, ignore_errors=True)
            built.rename(target)
        except SphinxError as error:
            raise CourseError(f"the book cannot be built: {shorten(str(error), 200)}") from error
        except OSError as error:
            raise CourseError(f"cannot write {target}: {error.strerror or error}") from error
    return target / "index.html"


def _repository() -> str:
    """Address of the repository that the book belongs to: `$COURSE_REPOSITORY`; often none."""
    address = os.environ.get("COURSE_REPOSITORY", "").rstrip("/")
    if address and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise CourseError(f"COURSE_REPOSITORY {address!r} must be https://github.com/OWNER/NAME")
    return address


def _theme_options(repository: str) -> dict[str, object]:
    options: dict[str, object] = {"navbar_persistent": [], "use_fullscreen_button": False}
    if not repository:
        return options
    codespaces = repository.replace("github.com", "codespaces.new")
    return options | {
        "repository_url": repository,
        "repository_branch": "main",
        "path_to_docs": "notebooks",
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab",
        },
        "icon_links": [
            {"name": "Codespaces", "url": codespaces, "icon": "fa-solid fa-laptop-code"}
        ],
    }  # fmt: skip


def _write_source(
    source: Path, executed: Sequence[Path], folder: Path, preset: str, results: str, repository: str
) -> None:
    """Write what Sphinx reads: notebooks and documents, adapted, and pages made for the book."""
    source.mkdir()
    for path in folder.glob("*.*"):
        if path.suffix in (".md", ".bib", ".png", ".jpg", ".svg"):
            shutil.copy(path, source)
    reference = _write_reference(source) if folder.samefile(NOTEBOOKS) else []
    index = f"# {TITLE}\n\nExecuted with the preset **{preset}**.\n"
    for path in executed:
        notebook = read_notebook(path)
        _adapt(notebook, path.stem)
        title, _, opening = notebook.cells[0].source.strip().partition("\n")
        index += f"\n## [{title.lstrip('# ')}]({path.name})\n\n{opening.strip()}\n"
        nbformat.write(notebook, source / path.name)
    more = sorted(path.stem for path in source.glob("*.md"))
    if results:
        table = f"```{{raw}} html\n<div class='results'>{_whole_names(results)}</div>\n```"
        (source / "results.md").write_text(f"# Results\n\n{table}\n", encoding="utf-8")
        more.insert(0, "results")
    if (source / "references.bib").exists():
        text = "# Bibliography\n\n```{bibliography}\n:all:\n```\n"
        (source / "bibliography.md").write_text(text, encoding="utf-8")
        more.append("bibliography")
    notebooks = [path.stem for path in executed]
    for caption, pages in (("Notebooks", notebooks), ("More", more), ("The library", reference)):
        lines = "\n".join(pages)
        index += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"
    (source / "index.md").write_text(index, encoding="utf-8")
    for path in [*source.glob("*.md"), *source.glob("*.ipynb")]:
        text = _lead_inwards(path.read_text(encoding="utf-8"), bool(reference), repository)
        path.write_text(text, encoding="utf-8")


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
    for entry, text in pages.items():
        (source / f"{entry}.rst").write_text(text, encoding="utf-8")
    return list(pages)


def _adapt(notebook: nbformat.NotebookNode, name: str) -> None:
    """Change a notebook into what the book shows of it."""
    notebook.metadata.pop("widgets", None)  # would become a script
    heading, cells = name, []
    if not (notebook.cells and notebook.cells[0].source.startswith("# ")):
        cells.append(nbformat.v4.new_markdown_cell(f"# {name}"))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE)
            heading = re.sub(r"[*`$]", "", headings[-1]) if headings else heading
        elif cell.cell_type == "code":
            _adapt_outputs(cell, heading)
            if SOLUTION.search(cell.source):  # what students see, and below it, folded, the rest
                cells.append(nbformat.v4.new_code_cell(SOLUTION.sub(STUB, cell.source)))
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
                cell.metadata["mystnb"] = {"code_prompt_show": "Solution"}
        cells.append(cell)
    notebook.cells = cells


def _adapt_outputs(cell: nbformat.NotebookNode, heading: str) -> None:
    """Show a widget as its picture; number and describe pictures, by their section if need be."""
    shown = [output for output in cell.outputs if "data" in output]
    for output in shown:
        if any("widget-view" in kind or "javascript" in kind for kind in output.data):
            picture = {kind: data for kind, data in output.data.items() if "image/" in kind}
            output.data = picture or {"text/html": f"<p>{NOTE}</p>"}
            heading = f"{heading}. {NOTE}" if picture else heading
        if "text/html" in output.data:
            output.data["text/html"] = _whole_names(output.data["text/html"])
    pictures = [output for output in shown if "image/png" in output.data]
    if pictures:
        given = cell.metadata.get("mystnb", {})
        text = pictures[0].metadata.get("alt", f"Figure: {heading}")
        cell.metadata["mystnb"] = {**given, "image": {"alt": text, **given.get("image", {})}}
        if len(pictures) == len(shown):  # a caption would number tables beside them, too
            caption = {"caption": heading, **given.get("figure", {})}
            cell.metadata["mystnb"]["figure"] = caption


def _whole_names(markup: str) -> str:
    """HTML whose table cells do not break a name such as dogs-vs-cats at its hyphens."""
    return re.sub(r"(?<=>)([^\s<>]+-[^\s<>]+)(?=</t[dh]>)", r'<span class="name">\1</span>', markup)


def _lead_inwards(text: str, reference: bool, repository: str) -> str:
    """Text whose links out of the book lead to the library's reference, or nowhere."""

    def link(found: re.Match) -> str:
        name, path = found.groups()
        entry = re.match(r"course_lib/([a-z]\w+)(\.py|/)", path)
        if reference and entry:
            return f"[{name}](reference/{entry[1]}.rst)"
        if repository and (COURSE / path.partition("#")[0]).exists():
            return f"[{name}]({repository}/blob/main/{path})"
        return name

    return re.sub(r"(?<!!)\[([^\[\]]+)\]\(\.\./([^)]*)\)", link, text)
