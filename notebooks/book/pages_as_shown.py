"""What the book shows of a notebook or document: a little other than what the file holds."""

import re
from pathlib import Path

import nbformat
from sphinx.application import Sphinx

from course_lib.pages.book import find_repository
from course_lib.pages.notebooks import SOLUTION, STUB
from course_lib.support.files import COURSE

NOTE = "Interactive: open this notebook in JupyterLab to try it."


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Sphinx, name: str, content: list[str]) -> None:
    if app.env.doc2path(name).suffix == ".ipynb":
        notebook = nbformat.reads(content[0], as_version=4)
        _adapt(notebook, name)
        content[0] = nbformat.writes(notebook)
    reference = Path(app.srcdir, "reference").exists()
    content[0] = _lead_inwards(_whole_names(content[0]), reference, find_repository())


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
    return re.sub(r"(?<=>)([^\s<>]+-[^\s<>]+)(?=</t[dh]>)", r"<span class='name'>\1</span>", markup)


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
