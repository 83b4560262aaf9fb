"""The course as a book: pages with contents and search that need nothing from the web."""

import os
import pkgutil
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.docutils import docutils_namespace, patch_docutils

import course_lib
from course_lib.pages.notebooks import SOLUTION, STUB, read_notebook, shorten
from course_lib.support.files import COURSE, NOTEBOOKS, make_folder
from course_lib.support.validation import CourseError

TITLE = "Data augmentation, rebuilt and questioned"
NOTE = "<p class='note'>Interactive: open this notebook in JupyterLab to try it.</p>"
SETTINGS = {
    "project": TITLE,
    "author": "the course's authors",
    "html_title": TITLE,
    "extensions": [
        "myst_nb", "sphinxcontrib.bibtex", "sphinx.ext.autodoc", "sphinx.ext.napoleon",
        "sphinx.ext.viewcode", "course_lib.pages.book_extension",
    ],
    "html_theme": "sphinx_book_theme",
    "html_static_path": [str(Path(__file__).with_name("static"))],
    "html_css_files": ["book.css"],
    "html_context": {"default_mode": "auto"},
    "html_copy_source": True,
    "html_sourcelink_suffix": "",
    "html_show_search_summary": False,  # a browser does not let a page read files beside it
    "html_math_renderer": "mathml",
    "numfig": True,
    "default_role": "literal",
    "autodoc_member_order": "bysource",
    "autodoc_use_type_comments": False,  # there are none, and looking for them takes seconds
    "bibtex_bibfiles": ["references.bib"],
    "bibtex_cite_id": "cite-{key}",
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "myst_heading_anchors": 4,
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},  # by default from the web
    "nb_mime_priority_overrides": [("html", "image/png", 1)],  # a widget's still picture first
    "nb_merge_streams": True,
    "nb_code_prompt_show": "Show {type}",
}  # fmt: skip


def write_book(
    executed: Sequence[Path], folder: Path, target: Path, preset: str, results: str = ""
) -> Path:
    """Write the book of executed notebooks to `target`, in the place of an older one.

    The Markdown documents of `folder` are chapters, too, and so is `results`, a table as HTML. The
    course's own notebooks bring the reference of the library along. What Sphinx finds wrong, such
    as a link that leads nowhere, goes to stderr. Returns the first page.
    """
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as workplace:
        source, built = Path(workplace, "source"), Path(workplace, "html")
        _write_source(source, executed, folder, preset, results)
        settings = {**SETTINGS, "html_theme_options": _theme_options(_repository())}
        if not (source / "references.bib").exists():
            settings["bibtex_bibfiles"] = []
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
    if repository:
        owner_and_name = repository.removeprefix("https://github.com/")
        options |= {
            "repository_url": repository,
            "repository_branch": "main",
            "path_to_docs": "notebooks",
            "use_repository_button": True,
            "use_issues_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "notebook_interface": "jupyterlab",
            },
            "icon_links": [
                {
                    "name": "Open in Codespaces",
                    "url": f"https://codespaces.new/{owner_and_name}",
                    "icon": "fa-solid fa-laptop-code",
                }
            ],
        }
    return options


def _write_source(
    source: Path, executed: Sequence[Path], folder: Path, preset: str, results: str
) -> None:
    """Write what Sphinx reads: the notebooks and documents, adapted, and pages made for the book."""
    shutil.copytree(folder, source, ignore=lambda _, names: [n for n in names if not _copied(n)])
    reference = _write_reference(source) if folder.samefile(NOTEBOOKS) else []
    introduction = [f"# {TITLE}", f"Executed with the preset **{preset}**."]
    for path in executed:
        notebook = read_notebook(path)
        title, opening = _opening(notebook, path.stem)
        introduction += [f"## [{title}]({path.name})", _lead_inwards(opening, bool(reference))]
        _adapt(notebook, path.stem, bool(reference))
        nbformat.write(notebook, source / path.name)
    documents = sorted(source.glob("*.md"))
    for document in documents:
        text = document.read_text(encoding="utf-8")
        document.write_text(_lead_inwards(text, bool(reference)), encoding="utf-8")
    more = [document.stem for document in documents]
    if results:
        table = f"```{{raw}} html\n<div class='results'>{_whole_names(results)}</div>\n```"
        (source / "results.md").write_text(f"# Results\n\n{table}\n", encoding="utf-8")
        more.insert(0, "results")
    if (source / "references.bib").exists():
        text = "# Bibliography\n\n```{bibliography}\n:all:\n```\n"
        (source / "bibliography.md").write_text(text, encoding="utf-8")
        more.append("bibliography")
    for caption, pages in {
        "Notebooks": [path.stem for path in executed], "More": more, "The library": reference
    }.items():  # fmt: skip
        if pages:
            lines = "\n".join(pages)
            introduction.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```")
    (source / "index.md").write_text("\n\n".join(introduction) + "\n", encoding="utf-8")


def _copied(name: str) -> bool:
    return name.endswith((".md", ".bib", ".png", ".jpg", ".svg"))


def _write_reference(source: Path) -> list[str]:
    """Write a page for each entry of the library, from the docstrings; return their names."""
    pages: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(course_lib.__path__, "course_lib."):
        entry = module.name.split(".")[1]
        if not entry.startswith("_"):
            rule = "=" if entry not in pages else "-"
            text = f"{module.name}\n{rule * len(module.name)}\n\n.. automodule:: {module.name}\n"
            pages.setdefault(entry, []).append(f"{text}   :members:\n")
    (source / "reference").mkdir()
    for entry, parts in pages.items():
        text = "\n".join(parts)
        (source / "reference" / f"{entry}.rst").write_text(text, encoding="utf-8")
    return [f"reference/{entry}" for entry in pages]


def _opening(notebook: nbformat.NotebookNode, name: str) -> tuple[str, str]:
    """Title of a notebook, and the text below it."""
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    title, _, opening = (text[0] if text else name).strip().partition("\n")
    return title.lstrip("# "), opening.strip()


def _adapt(notebook: nbformat.NotebookNode, name: str, reference: bool) -> None:
    """Change a notebook into what the book shows of it."""
    notebook.metadata.pop("widgets", None)
    heading, cells = name, []
    if not (notebook.cells and notebook.cells[0].source.startswith("# ")):
        cells.append(nbformat.v4.new_markdown_cell(f"# {name}"))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE)
            heading = headings[-1] if headings else heading
            cell.source = _lead_inwards(cell.source, reference)
        if cell.cell_type == "code":
            cell.outputs = [part for output in cell.outputs for part in _static(output)]
            _describe(cell, re.sub(r"[*`$]", "", heading))
            for output in cell.outputs:
                data = output.get("data", {})
                if "text/markdown" in data:
                    data["text/markdown"] = _lead_inwards(data["text/markdown"], reference)
                if "text/html" in data:
                    data["text/html"] = _whole_names(data["text/html"])
            if SOLUTION.search(cell.source):  # what students see, and below it, folded, the rest
                stub = SOLUTION.sub(STUB, cell.source)
                cells.append(nbformat.v4.new_code_cell(stub, id=f"{cell.id}-stub"))
                cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
                cell.metadata["mystnb"] = {"code_prompt_show": "Solution"}
        cells.append(cell)
    notebook.cells = cells


def _describe(cell: nbformat.NotebookNode, heading: str) -> None:
    """Give the pictures of a cell a text and a caption: their own, or the section's heading."""
    pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    if pictures:
        given = cell.metadata.get("mystnb", {})
        text = pictures[0].metadata.get("alt", f"Figure: {heading}")
        cell.metadata["mystnb"] = {
            **given,
            "image": {"alt": text, **given.get("image", {})},
            "figure": {"caption": heading, **given.get("figure", {})},
        }


def _static(output: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """An output as a page can show it: a widget becomes its picture, if it has one, and a note."""
    data = output.get("data", {})
    if not any("widget-view" in kind or "javascript" in kind for kind in data):
        return [output]
    picture = {kind: value for kind, value in data.items() if kind.startswith("image/")}
    parts = [picture, {"text/html": NOTE}] if picture else [{"text/html": NOTE}]
    return [nbformat.v4.new_output("display_data", part) for part in parts]


def _whole_names(markup: str) -> str:
    """HTML whose table cells do not break a name such as dogs-vs-cats at its hyphens."""
    return re.sub(r"(?<=>)([^\s<>]+-[^\s<>]+)(?=</t[dh]>)", r'<span class="name">\1</span>', markup)


def _lead_inwards(text: str, reference: bool) -> str:
    """Markdown whose links to files outside the book lead to the library's reference, or nowhere."""

    def link(found: re.Match) -> str:
        name, path = found.groups()
        entry = re.match(r"course_lib/([a-z]\w+)(\.py|/)", path)
        if reference and entry:
            return f"[{name}](reference/{entry[1]}.rst)"
        if repository and (COURSE / path.partition("#")[0]).exists():
            return f"[{name}]({repository}/blob/main/{path})"
        return name

    repository = _repository()
    return re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./([^)]*)\)", link, text)
