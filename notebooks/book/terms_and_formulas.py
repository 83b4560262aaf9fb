"""What the book adds to Sphinx: formulas without the web, and links to terms and sources."""

import html
import re
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from math_core import LatexError, LatexToMathML
from pybtex.database import parse_file
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

# Pages fetch nothing from elsewhere, whatever a notebook's output holds.
POLICY = "default-src 'self' file: data: 'unsafe-inline' 'unsafe-eval'"
GLOSSARY, BIBLIOGRAPHY = "GLOSSARY", "bibliography"


class Target(NamedTuple):
    """Where a term or a citation leads, and what is read when the pointer rests on it."""

    address: str
    meaning: str


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the parts with Sphinx."""
    inline, display = _formula(display=False), _formula(display=True)
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.connect("builder-inited", _read_targets)
    app.connect("doctree-read", _link)
    app.connect("html-page-context", _finish_page)
    app.connect("autodoc-process-docstring", _keep_bars)
    return {"parallel_read_safe": False}


def _formula(display: bool):
    def visit(translator: HTML5Translator, node: nodes.Element) -> None:
        latex = node.astext()
        try:
            text = LatexToMathML().convert_with_local_state(latex, displaystyle=display)
        except LatexError:  # as it stands, if it is not understood
            text = f"<code class='latex'>{html.escape(latex)}</code>"
        # The second class has the theme make a wide one a tab stop, so that keys can scroll it.
        block = f"<div class='formula pst-scrollable-table-container'>{text}</div>"
        translator.body.append(block if display else text)
        raise nodes.SkipNode

    return visit


def _finish_page(app: Sphinx, page: str, template: str, context: dict, tree: object) -> None:
    """Forbid the web; mend two lists that a screen reader would not read as lists."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    context["metatags"] = context.get("metatags", "") + meta
    if page == BIBLIOGRAPHY:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
    elif page == "_modules/index":
        heading, *_ = context["body"].partition("<ul>")
        context["body"] = (
            f"{heading}<ul>{''.join(re.findall('<li>.*?</li>', context['body']))}</ul>"
        )


def _keep_bars(*given: Any) -> None:
    """Outside code, |x| in a docstring is an absolute value, not a substitution."""
    lines = given[-1]
    lines[:] = [re.sub(r"(`[^`]*`)|\|", lambda found: found[1] or r"\|", line) for line in lines]


def _read_targets(app: Sphinx) -> None:
    """Collect what is linked wherever it occurs: pattern of the text → where it leads."""
    app.course_targets = targets = {}
    glossary, sources = Path(app.srcdir, f"{GLOSSARY}.md"), Path(app.srcdir, "references.bib")
    if glossary.exists():
        for entry in _entries(glossary.read_text(encoding="utf-8")):
            names = re.findall(r"\*\*(.+?)\*\*", entry)
            meaning = re.sub(r"\[([^\]]+)\]\([^)]*\)|[*`]", r"\1", entry.partition("): ")[2])
            for name in names:
                words = r"\s+".join(map(re.escape, name.split()))
                target = Target(f"{GLOSSARY}.html#{_anchor(names[0])}", " ".join(meaning.split()))
                targets[rf"\b{words}(?:s|es)?\b(?!-)"] = target
    if sources.exists():
        for key, entry in parse_file(sources).entries.items():
            names = [" ".join(person.last_names) for person in entry.persons["author"]]
            others = rf"\s+(?:(?:and|&)\s+{names[1]}|et al\.)" if names[1:] else ""
            pattern = rf"\b{names[0]}{others},?\s+\(?{entry.fields['year']}\b"
            title = re.sub("[{}]", "", entry.fields["title"])
            targets[pattern] = Target(f"{BIBLIOGRAPHY}.html#cite-{key}", title)


def _entries(glossary: str) -> list[str]:
    return re.findall(r"(?ms)^- (\*\*.+?)(?=^- |^#|\Z)", glossary)


def _anchor(term: str) -> str:
    return "term-" + re.sub(r"\W+", "-", term.lower()).strip("-")


def _link(app: Sphinx, document: nodes.document) -> None:
    """Link the first occurrence of each term and citation in the running text of a page."""
    name = app.env.docname
    targets: dict[str, Target] = app.course_targets
    if name == GLOSSARY:
        for item in document.findall(nodes.list_item):
            for term in list(item.findall(nodes.strong))[:1]:
                item["ids"].append(_anchor(term.astext()))
    if not targets or "/" in name or name == BIBLIOGRAPHY:
        return
    # A page does not link to itself.
    left = {p: t for p, t in targets.items() if not t.address.startswith(f"{name}.html")}
    for paragraph in list(document.findall(nodes.paragraph)):
        _join_lines(paragraph)
        for text in list(paragraph.findall(nodes.Text)):
            inside = text.parent if text.parent is not paragraph else None
            if inside is None or (
                isinstance(inside, nodes.strong | nodes.emphasis) and inside.parent is paragraph
            ):
                text.parent.replace(text, _linked(str(text), left))


def _join_lines(paragraph: nodes.paragraph) -> None:
    """Make one text of neighbours: a term may stand across the end of a line."""
    for one in list(paragraph.children):
        before = one.parent.index(one) - 1 if one.parent is paragraph else -1
        if before >= 0 and isinstance(one, nodes.Text):
            previous = paragraph[before]
            if isinstance(previous, nodes.Text):
                paragraph[before : before + 2] = [nodes.Text(previous + one)]


def _linked(text: str, left: dict[str, Target]) -> list[nodes.Node]:
    """`text` with links; the patterns that were found are taken out of `left`."""
    parts: list[nodes.Node] = []
    while left:
        # The first in the text; of several there, the longest.
        found = [(match, p) for p in left if (match := re.search(p, text, re.IGNORECASE))]
        if not found:
            break
        match, pattern = min(found, key=lambda pair: (pair[0].start(), -pair[0].end()))
        target = left.pop(pattern)
        reference = nodes.reference("", match[0], refuri=target.address, classes=["term"])
        reference["reftitle"] = target.meaning
        parts += [nodes.Text(text[: match.start()]), reference]
        text = text[match.end() :]
    return [*parts, nodes.Text(text)]
