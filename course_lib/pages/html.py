"""Executed notebooks as HTML pages that need nothing from the web."""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import nbformat
from math_core import LatexError, LatexToMathML
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from pygments.formatters import HtmlFormatter

from course_lib.support.files import NOTEBOOKS, write_whole
from course_lib.support.validation import CourseError

COURSE_TITLE = "Data augmentation, rebuilt and questioned"
GLOSSARY = "GLOSSARY.md"  # beside the notebooks, a page too
INTERACTIVE = "Interactive: open this notebook in JupyterLab to try it."


@dataclass(frozen=True)
class Page:
    """What other pages say of a notebook's page."""

    file: str
    title: str
    opening: str  # what stands below the title in the notebook's first text, as HTML


def describe(notebook: Path, folder: Path = NOTEBOOKS) -> Page:
    """The page of `notebook`, by the text that it opens with; for `folder` see `export_html`."""
    text = [cell.source for cell in read_notebook(notebook).cells if cell.cell_type == "markdown"]
    title, _, opening = (text[0] if text else notebook.stem).strip().partition("\n")
    title = _plain(_markdown(title.lstrip("# ")))
    return Page(f"{notebook.stem}.html", title, _markdown(opening, str(folder)))


def export_html(
    notebook: Path,
    page: Path,
    folder: Path = NOTEBOOKS,
    previous: Page | None = None,
    following: Page | None = None,
) -> None:
    """Write the executed `notebook` as `page`, which needs nothing from the web.

    `folder` is where the source notebook lies, to which the images in its text are relative;
    `previous` and `following` are the neighbours to link to. Raises CourseError if the notebook
    cannot be read or the page cannot be written.
    """
    cells = _readable(read_notebook(notebook))
    resources = {"metadata": {"path": str(folder)}}
    # What a cell prints reaches a notebook in pieces, by chance: one box for all of it.
    cells, resources = CoalesceStreamsPreprocessor().preprocess(cells, resources)
    body, _ = _Exporter(template_name="basic").from_notebook_node(cells, resources)
    _write(page, describe(notebook).title, body=body, previous=previous, following=following)


def write_index(page: Path, pages: Sequence[Page], preset: str, results: str = "") -> None:
    """Write the index of `pages`, with `results` (an HTML table) if it is given."""
    _write(page, COURSE_TITLE, pages=pages, preset=preset, results=_whole_names(results))


def write_pages(
    executed: Sequence[Path], folder: Path, target: Path, preset: str, results: str = ""
) -> Path:
    """Write a page for each executed notebook, the glossary's and their index; return its path."""
    pages = [describe(notebook, folder) for notebook in executed]
    for notebook, page, previous, following in zip(
        executed, pages, [None, *pages[:-1]], [*pages[1:], None], strict=False
    ):
        export_html(notebook, target / page.file, folder, previous, following)
    if (folder / GLOSSARY).exists():
        text = (folder / GLOSSARY).read_text(encoding="utf-8")
        body = f'<div class="text_cell">{_markdown(text)}</div>'
        _write(target / f"{Path(GLOSSARY).stem}.html", "Glossary", body=body)
    write_index(target / "index.html", pages, preset, results)
    return target / "index.html"


def _write(page: Path, title: str, **content: object) -> None:
    """Fill the template of all pages."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("page.html.j2")
    colours = {
        name: HtmlFormatter(style=style).get_style_defs(".highlight")
        for name, style in (("light", "xcode"), ("dark", "github-dark"))
    }
    text = template.render(title=title, course=COURSE_TITLE, colours=colours, **content)
    write_whole(page, lambda path: path.write_text(text, encoding="utf-8"))


def _readable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy for a page: widgets in their static form, a text for each figure that has none."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)  # would become a script
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE)
            heading = _plain(_markdown(headings[-1])) if headings else heading
        if "outputs" in cell:
            cell.outputs = [part for output in cell.outputs for part in _static(output)]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = _whole_names(data["text/html"])
            images = [kind for kind in data if kind.startswith("image/")]
            alt = [output.metadata.get(kind, {}).get("alt") for kind in images]
            if images and not any([*alt, output.metadata.get("alt"), cell.metadata.get("alt")]):
                output.metadata["alt"] = f"Figure: {heading}"
    return notebook


def _static(output: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """An output as a page can show it: of a widget its picture, if it has one, and a note."""
    data = output.get("data", {})
    if not any("widget-view" in kind or "javascript" in kind for kind in data):
        return [output]
    note = {"text/html": f"<p class='note'>{INTERACTIVE}</p>"}
    picture = {kind: value for kind, value in data.items() if kind.startswith("image/")}
    return [nbformat.v4.new_output("display_data", part) for part in (picture, note) if part]


def _whole_names(markup: str) -> str:
    """HTML whose table cells do not break a name such as dogs-vs-cats at its hyphens."""
    name = r"(?<=>)([^\s<>]+-[^\s<>]+)(?=</t[dh]>)"
    return re.sub(name, r'<span class="name">\1</span>', markup)


class _Renderer(IPythonRenderer):
    """Markdown as HTML, with mathematics as MathML, which browsers show without the web."""

    def inline_math(self, body: str) -> str:
        return _formula(body, display=False)

    def block_math(self, body: str) -> str:
        return _formula(body, display=True)

    def latex_environment(self, name: str, body: str) -> str:
        return _formula(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Links to notebooks and glossary lead to their pages; other files are only named."""
        if re.match(r"[a-z]+:|#", url):
            return super().link(text, url, title)
        page, found = re.subn(r"^([^/]+\.ipynb|GLOSSARY\.md)(?=#|$)", _html_name, url)
        return super().link(text, page, title) if found else text


def _html_name(file: re.Match) -> str:
    return f"{Path(file[0]).stem}.html"


def _formula(latex: str, display: bool) -> str:
    """LaTeX as MathML; as it stands, marked with the class `latex`, if it is not understood."""
    try:
        return LatexToMathML().convert_with_local_state(latex, displaystyle=display)
    except LatexError:
        return f"<code class='latex'>{html.escape(latex)}</code>"


class _Exporter(HTMLExporter):
    """The cells of a notebook as HTML, without the prompts and without scripts."""

    exclude_input_prompt = exclude_output_prompt = True

    @jinja2.pass_context
    def markdown2html(self, context: jinja2.runtime.Context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return _markdown(source, context["resources"]["metadata"]["path"], attachments)


def _markdown(source: str, folder: str = "", attachments: dict | None = None) -> str:
    """Markdown as HTML, with the images of `folder` and of the cell inside it."""
    renderer = _Renderer(escape=False, embed_images=True, path=folder, attachments=attachments)
    return MarkdownWithMath(renderer).render(source)


def _plain(markup: str) -> str:
    """The text of HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in the file `path`; CourseError if it holds none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat lets through whatever its parts raise
        raise CourseError(f"{path} is no notebook: {shorten(str(error), 100)}") from error
    return notebook


def shorten(text: str, length: int) -> str:
    """`text` on one line of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
