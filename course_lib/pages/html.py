"""Executed notebooks as HTML pages that need nothing from the web."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import nbformat
from markupsafe import Markup
from math_core import LatexError, LatexToMathML
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from pygments.formatters import HtmlFormatter

from course_lib.support.files import write_whole
from course_lib.support.validation import CourseError

NOTE = "<p class='note'>Interactive: open this notebook in JupyterLab to try it.</p>"


class Page(NamedTuple):
    """What other pages say about the page of a notebook or document."""

    file: str
    title: str
    opening: str  # the text below the title, as HTML


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Return the notebook in the file `path`, or a document (*.md) as a notebook of one cell."""
    if path.suffix == ".md":
        text = nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"))
        return nbformat.v4.new_notebook(cells=[text])
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat passes on whatever its parts raise
        raise CourseError(f"{path} is not a notebook: {shorten(str(error), 100)}") from error
    return notebook


def shorten(text: str, length: int) -> str:
    """Return `text` on one line of at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def write_pages(
    executed: Sequence[Path], folder: Path, target: Path, preset: str, results: str = ""
) -> Path:
    """Write pages of notebooks, and of documents in `folder`; return the index, with `results`."""
    pages = [_describe(notebook, folder) for notebook in executed]
    for number, notebook in enumerate(executed):
        _export(notebook, pages[number], folder, target, pages=pages, number=number)
    documents = {path: _describe(path, folder) for path in sorted(folder.glob("*.md"))}
    for path, page in documents.items():
        _export(path, page, folder, target)
    index, table = target / "index.html", _whole_names(results)
    _write(index, index=pages, documents=documents.values(), preset=preset, results=table)
    return index


def _describe(path: Path, folder: Path) -> Page:
    text = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"]
    title, _, opening = (text[0] if text else path.stem).strip().partition("\n")
    title = Markup(_markdown(title.lstrip("# "))).striptags()
    return Page(f"{path.stem}.html", title, _markdown(opening, str(folder)))


def _export(path: Path, page: Page, folder: Path, target: Path, **links: object) -> None:
    notebook = read_notebook(path)
    notebook.metadata.pop("widgets", None)  # would become a script
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ +(.+)$", cell.source, flags=re.MULTILINE)
            heading = Markup(_markdown(headings[-1])).striptags() if headings else heading
        if "outputs" in cell:
            cell.outputs = [part for output in cell.outputs for part in _static(output)]
        for output in cell.get("outputs", []):
            if "data" in output:  # a figure's own description, if it has one, comes first
                output.metadata.setdefault("alt", f"Figure: {heading}")
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = _whole_names(output.data["text/html"])
    # A kernel sends what a cell prints in arbitrary pieces: show them in one box.
    exporter = _Exporter(template_name="basic", preprocessors=[CoalesceStreamsPreprocessor])
    body, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(folder)}})
    _write(target / page.file, title=page.title, body=body, **links)


def _write(page: Path, **content: object) -> None:
    source = Path(__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    template = jinja2.Template(source, autoescape=True)
    text = template.render(HtmlFormatter=HtmlFormatter, **content)
    write_whole(page, lambda path: path.write_text(text, encoding="utf-8"))


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


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return _formula(body, display=False)

    def block_math(self, body: str) -> str:
        return _formula(body, display=True)

    def latex_environment(self, name: str, body: str) -> str:
        return _formula(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """Notebooks and documents link to their pages; files elsewhere are only named."""
        if re.match(r"[a-z]+:|#", url):
            return super().link(text, url, title)
        page, found = re.subn(r"^([^/]+)\.(ipynb|md)(?=#|$)", r"\1.html", url)
        return super().link(text, page, title) if found else text


def _formula(latex: str, display: bool) -> str:
    """LaTeX as MathML, which needs nothing from the web; as it stands if it is not understood."""
    try:
        return LatexToMathML().convert_with_local_state(latex, displaystyle=display)
    except LatexError:
        return f"<code class='latex'>{html.escape(latex)}</code>"


class _Exporter(HTMLExporter):
    exclude_input_prompt = exclude_output_prompt = True

    @jinja2.pass_context
    def markdown2html(self, context: jinja2.runtime.Context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return _markdown(source, context["resources"]["metadata"]["path"], attachments)


def _markdown(source: str, folder: str = "", attachments: dict | None = None) -> str:
    renderer = _Renderer(escape=False, embed_images=True, path=folder, attachments=attachments)
    return MarkdownWithMath(renderer).render(source)
