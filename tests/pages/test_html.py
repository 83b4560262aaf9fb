"""The HTML pages of executed notebooks and of documents."""

from __future__ import annotations

import base64
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.pages.html import write_pages

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAA"
    "AABJRU5ErkJggg=="
)
TEXT = r"""# Does *flipping* help?

How sure is $\hat p < 1$ of `cost $5 or $6` and `$$x$$`?

`$$y$$` and `$$z$$` at the start of a line.

- three bullets

Prices of \$5. Next: [the second](01_second.ipynb#top),
[a site](https://example.org), [the file](../README.md).

![a dot](dot.png)

```python
price = "$1 and $2"
```
"""
FORMULAS = r"""## The loss at $n=2$

$$
\mathcal{L} = \frac{1}{n} \sum_{i=1}^n \lVert x_i \rVert_1
$$

\begin{aligned} a &= b \\ c &= \text{two words} \end{aligned}

$$\begin{pmatrix} a & b \\ c & d \end{pmatrix}$$

A slip: $\nosuchcommand x$.
"""


DOCUMENT = """# Some *notes*

See [page 2](01_second.ipynb), [the terms](GLOSSARY.md#arms), [data](../data/README.md).
"""
ADDRESS = "[`losses.py`: **gram_matrix**](../course_lib/losses.py)"


def write(path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def code(source, **data):
    """A cell with one output, such as text_html="…"."""
    kinds = {name.replace("_", "/", 1): value for name, value in data.items()}
    return new_code_cell(source, outputs=[new_output("display_data", kinds)])


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The folder of the pages of a course of two notebooks and two documents."""
    folder = tmp_path_factory.mktemp("a course")
    (folder / "dot.png").write_bytes(base64.b64decode(PIXEL))
    (folder / "NOTES.md").write_text(DOCUMENT)
    (folder / "GLOSSARY.md").write_text("# Glossary\n\nThe terms.")
    first = write(
        folder / "00_first.ipynb",
        new_markdown_cell(TEXT),
        new_markdown_cell(FORMULAS),
        code("plot()", image_png=PIXEL),
        code("interact(f)", **{"application_vnd.jupyter.widget-view+json": {}, "text_plain": "interactive(…)"}),
        code("script()", application_javascript="1"),
        code("bold", text_plain="'<b>bold</b>'"),
        code("table", text_html="<table><td>dogs-vs-cats</td></table>"),
        code("show_source(gram_matrix)", text_markdown=ADDRESS),
    )  # fmt: skip
    second = write(folder / "01_second.ipynb", new_markdown_cell("# And colour?"))
    table = "<table><tr><td>dogs-vs-cats</td><td>0.705</td></tr></table>"
    index = write_pages([first, second], folder, folder / "html", "paper", table)
    assert index == folder / "html" / "index.html"
    return index.parent


def test_pages_need_nothing_from_the_web_and_run_no_script(pages):
    for page in pages.glob("*.html"):
        text = page.read_text()
        assert not re.search(r"<script|@import|url\(|\bsrc=(?!['\"]data:)", text), page
        assert not re.search(r"<link[^>]+http|<iframe|<object", text), page
        assert "default-src 'none'" in text


def test_page_shows_mathematics_as_mathml_and_leaves_code_alone(pages):
    text = (pages / "00_first.html").read_text()
    assert text.count('<math display="block">') == 3
    for sign in ("ℒ", "<mfrac>", "∑", "‖", "<mtable", "<mtext>two\xa0words</mtext>", "&lt;"):
        assert sign in text
    assert r"<code class=\"latex\">\nosuchcommand x</code>".replace('\\"', '"') in text
    assert "<code>cost $5 or $6</code>" in text
    assert "<code>$$x$$</code>" in text
    assert "<code>$$y$$</code> and <code>$$z$$</code>" in text
    assert "$1 and $2" in text
    assert "Prices of $5." in text
    assert text.count("nosuch") == 1


def test_page_describes_its_images(pages):
    images = re.findall(r"<img[^>]*>", (pages / "00_first.html").read_text())
    assert len(images) == 2
    assert 'alt="a dot"' in images[0]
    assert 'alt="Figure: The loss at n=2"' in images[1]
    assert all('src="data:image/png;base64,' in image for image in images)


def test_page_has_a_note_in_the_place_of_a_widget_or_script(pages):
    text = (pages / "00_first.html").read_text()
    assert text.count("Interactive: open this notebook in JupyterLab") == 2
    assert "interactive(" not in text
    assert "widget-view" not in text


def test_page_shows_a_widget_in_its_static_form(tmp_path):
    view = {"application/vnd.jupyter.widget-view+json": {}, "image/png": PIXEL}
    page = page_of(tmp_path, new_output("display_data", view))
    assert f'src="data:image/png;base64,{PIXEL}"' in page and 'alt="Figure: Explore"' in page
    assert page.count("Interactive: open this notebook in JupyterLab") == 1


def test_page_shows_what_a_cell_prints_in_one_box(tmp_path):
    pieces = [new_output("stream", text=text) for text in ("one\n", "two\n")]
    assert "one\ntwo\n" in page_of(tmp_path, *pieces)


def page_of(folder, *outputs):
    """The page of a notebook with one code cell that has these outputs."""
    cells = [new_markdown_cell("# Explore"), new_code_cell("explore()", outputs=list(outputs))]
    write_pages([write(folder / "a.ipynb", *cells)], folder, folder, "quick")
    return (folder / "a.html").read_text()


def test_page_escapes_plain_output(pages):
    assert "'&lt;b&gt;bold&lt;/b&gt;'" in (pages / "00_first.html").read_text()


def test_pages_keep_names_in_tables_whole(pages):
    for page in ("00_first.html", "index.html"):
        text = (pages / page).read_text()
        assert '<td><span class="name">dogs-vs-cats</span></td>' in text


def test_pages_link_to_each_other(pages):
    first, second = ((pages / name).read_text() for name in ("00_first.html", "01_second.html"))
    assert '<a href="01_second.html" rel="next">And colour? →</a>' in first
    assert '<a href="01_second.html#top">the second</a>' in first
    assert '<a href="https://example.org">a site</a>, the file.' in first
    assert '<a href="00_first.html" rel="prev">← Does flipping help?</a>' in second
    assert 'rel="next"' not in second
    assert "<title>Does flipping help? · " in first


def test_index_lists_the_pages_of_this_run(pages):
    text = (pages / "index.html").read_text()
    assert re.findall(r'<li><h2><a href="([^"]+)">([^<]+)', text) == [
        ("00_first.html", "Does flipping help?"),
        ("01_second.html", "And colour?"),
    ]
    assert "<p>How sure is <math>" in text
    assert "<b>paper</b>" in text
    assert "<td>0.705</td>" in text


def test_documents_are_pages_too(pages):
    text = (pages / "NOTES.html").read_text()
    assert "<title>Some notes · " in text
    assert '<a href="01_second.html">page 2</a>' in text
    assert '<a href="GLOSSARY.html#arms">the terms</a>, data.' in text
    assert 'rel="next"' not in text and 'rel="prev"' not in text
    assert '<a href="NOTES.html">Some notes</a>' in (pages / "index.html").read_text()


def test_the_address_above_shown_code_is_named_without_a_dead_link(pages):
    text = (pages / "00_first.html").read_text()
    assert "<p><code>losses.py</code>: <strong>gram_matrix</strong></p>" in text
    assert "../course_lib" not in text
