"""The book of executed notebooks and of documents."""

from __future__ import annotations

import base64
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.pages.book import write_book
from course_lib.support.validation import CourseError

NOTE = "Interactive: open this notebook in JupyterLab to try it."
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAA"
    "AABJRU5ErkJggg=="
)
TEXT = r"""# Does *flipping* help?

How sure is $\hat p < 1$ of `cost $5 or $6` and `$$x$$`?

`$$y$$` and `$$z$$` at the start of a line.

- three bullets

A flip is a coin; two flips are none. `flip` is code. Wang
and Perez (2017) turn every image.

Prices of \$5. Next: [the second](01_second.ipynb#and-colour),
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

\begin{align} a &= b \\ c &= \text{two words} \end{align}

$$\begin{pmatrix} a & b \\ c & d \end{pmatrix}$$

A slip: $\nosuchcommand x$.
"""


DOCUMENT = """# Some *notes*

See [page 2](01_second.ipynb), [the terms](GLOSSARY.md#arms), [data](../data/README.md).
"""
GLOSSARY = """# Glossary

## Arms

- **flip**, **mirror** ([00](00_first.ipynb)): an image, seen
  in a *mirror*.
"""
PAPERS = """@article{wang2017, author={Wang, Jason and Perez, Luis}, title={The {E}ffectiveness}, journal={arXiv}, year={2017}}
"""
EXERCISE = """def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION"""
ADDRESS = "[`losses.py`: **gram_matrix**](../course_lib/losses.py)"


def write(path, *cells):
    language = {"name": "python", "pygments_lexer": "ipython3"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"language_info": language}), path)
    return path


def code(source, **data):
    """A cell with one output, such as text_html="…"."""
    kinds = {name.replace("_", "/", 1): value for name, value in data.items()}
    return new_code_cell(source, outputs=[new_output("display_data", kinds)])


def build(folder, *cells, **names):
    """The text of the page of a notebook with these cells, below a title."""
    notebook = write(folder / "00_a.ipynb", new_markdown_cell("# Explore"), *cells)
    write_book([notebook], folder, folder / "html", "quick")
    return (folder / "html" / "00_a.html").read_text()


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the book of a course of two notebooks and two documents."""
    folder = tmp_path_factory.mktemp("a course")
    (folder / "dot.png").write_bytes(base64.b64decode(PIXEL))
    (folder / "NOTES.md").write_text(DOCUMENT)
    (folder / "GLOSSARY.md").write_text(GLOSSARY)
    (folder / "references.bib").write_text(PAPERS)
    view = {"application_vnd.jupyter.widget-view+json": {"model_id": "1"}}
    first = write(
        folder / "00_first.ipynb",
        new_markdown_cell(TEXT),
        new_markdown_cell(FORMULAS),
        code("plot()", image_png=PIXEL),
        code("interact(f)", **view, text_plain="interactive(…)"),
        code("explore(f)", **view, image_png=PIXEL),
        code("script()", application_javascript="alert(1)"),
        code("bold", text_plain="'<b>bold</b>'"),
        code("table", text_html="<table><td>dogs-vs-cats</td></table>"),
        code("show_source(gram_matrix)", text_markdown=ADDRESS),
        new_code_cell(EXERCISE, metadata={"tags": ["exercise"]}),
    )
    notebook = nbformat.read(first, 4)
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    nbformat.write(notebook, first)
    second = write(folder / "01_second.ipynb", new_markdown_cell("# And colour?"))
    table = "<table><tr><td>dogs-vs-cats</td><td>0.705</td></tr></table>"
    (folder / "html").mkdir()
    (folder / "html" / "09_old.html").touch()
    index = write_book([first, second], folder, folder / "html", "paper", table)
    assert index == folder / "html" / "index.html"
    return index.parent


@pytest.fixture(scope="module")
def page(book):
    """What the first page holds between its navigation."""
    text = (book / "00_first.html").read_text()
    return re.search(r"(?s)<article.*</article>", text)[0]


def test_the_book_fetches_nothing_from_the_web(book):
    for path in [*book.glob("*.html"), *book.glob("_modules/**/*.html")]:
        text = path.read_text()
        assert not re.search(r"""(?:src|srcset|data)=["']?(?:https?:)?//""", text), path
        assert not re.search(r"<link[^>]+href=[\"'](?:https?:)?//|@import|<iframe|<object", text), (
            path
        )
        assert "default-src 'self' file: data:" in text, "and could not"
        assert not re.search("require.js|mathjax.*js|html-manager", text, re.IGNORECASE), path
    for path in book.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", path.read_text(encoding="utf-8")), path


def test_nothing_is_wrong_with_the_book(tmp_path, capfd):
    build(tmp_path, new_markdown_cell("A [link](01_nowhere.ipynb)."))
    assert "01_nowhere" in capfd.readouterr().err
    build(tmp_path, new_markdown_cell("No link."))
    assert capfd.readouterr().err == ""


def test_page_shows_mathematics_as_mathml_and_leaves_code_alone(page):
    assert page.count('<math display="block">') == 3
    for sign in ("ℒ", "<mfrac>", "∑", "‖", "<mtable", "<mtext>two\xa0words</mtext>", "&lt;"):
        assert sign in page
    assert page.count("<code class='latex'>\\nosuchcommand x</code>") == 1
    for text in ("cost $5 or $6", "$$x$$", "$$y$$", "$$z$$"):
        assert text in re.sub("<[^>]+>", "", page)
    assert "$1 and $2" in page and "Prices of $5." in page


def test_figures_are_described_and_numbered(page):
    images = re.findall(r"<img[^>]*>", page)
    assert len(images) == 3
    assert 'alt="a dot"' in images[0]
    assert all('alt="Figure: The loss at n=2' in image for image in images[1:])
    captions = re.findall(r'<span class="caption-number">(.+?)</span>', page)
    assert [caption.strip() for caption in captions] == ["Fig. 1", "Fig. 2"]


def test_the_caption_and_text_of_an_author_come_first(tmp_path):
    cell = code("plot()", image_png=PIXEL)
    cell.metadata["mystnb"] = {"image": {"alt": "A dot"}, "figure": {"caption": "What a dot is."}}
    text = build(tmp_path, cell)
    assert 'alt="A dot"' in text and "What a dot is." in text and "Figure: Explore" not in text


def test_page_shows_a_widget_in_its_static_form_and_runs_no_script(page):
    assert page.count(f"<p>{NOTE}</p>") == 2 and page.count(f"The loss at n=2. {NOTE}</span>") == 1
    for gone in ("interactive(", "widget-view", "widget-state", "alert(1)"):
        assert gone not in page


def test_page_shows_what_a_cell_prints_in_one_box(tmp_path):
    pieces = [new_output("stream", text=text) for text in ("one\n", "two\n")]
    assert "one\ntwo\n" in build(tmp_path, new_code_cell("explore()", outputs=pieces))


def test_page_escapes_plain_output(page):
    assert re.sub("<span[^>]*>|</span>", "", page).count("&lt;b&gt;bold&lt;/b&gt;") == 1


def test_pages_keep_names_in_tables_whole(book, page):
    for text in (page, (book / "results.html").read_text()):
        assert "<span class='name'>dogs-vs-cats</span></td>" in text


def test_solutions_are_folded_below_the_stub(page):
    stub, solution = page.split("<details", 1)
    assert "YOUR CODE HERE" in stub and "return" not in stub.rpartition("YOUR CODE HERE")[2]
    assert "Solution" in solution and "BEGIN SOLUTION" in solution and "open" not in solution[:40]


def test_a_quiz_stays_folded(tmp_path):
    choice = (
        "<details><summary>Yes.</summary><p><strong>No.</strong> A <em>reply</em>.</p></details>"
    )
    text = build(tmp_path, new_markdown_cell(f"**1.** A $p$?\n\n{choice}\n\n{choice}"))
    assert text.count(choice) == 2 and "<math>" in text


def test_hints_unfold_and_what_only_asserts_is_not_there(tmp_path):
    hint = "<details>\n<summary>First hint</summary>\n\nTry `dim=1`.\n\n</details>\n\nThe check."
    hidden = new_code_cell("assert wonderful", metadata={"tags": ["remove-cell"]})
    text = build(tmp_path, new_markdown_cell(hint), hidden, new_markdown_cell("Next."))
    (unfolded,) = re.findall(r"(?s)<details>\s*<summary>First hint</summary>(.*?)</details>", text)
    assert re.search("<p>Try <code.*dim=1.*</code>", unfolded) and "The check." not in unfolded
    assert "wonderful" not in text and "Next." in text


def test_a_term_is_linked_once_a_page_with_its_meaning(page):
    (link,) = re.findall(r'<a[^>]*href="GLOSSARY.html#term-flip"[^>]*>[^<]*</a>', page)
    assert 'title="an image, seen in a mirror."' in link and ">flip<" in link
    assert "A <a" in page and "<code" in page


def test_terms_have_their_places_in_the_glossary(book):
    text = (book / "GLOSSARY.html").read_text()
    assert 'id="term-flip"' in text and 'href="GLOSSARY.html#' not in text


def test_a_citation_leads_to_the_bibliography(book, page):
    assert re.search(r'href="bibliography.html#cite-wang2017"[^>]*>Wang\s+and Perez \(2017<', page)
    assert 'title="The Effectiveness"' in page
    assert 'id="cite-wang2017"' in (book / "bibliography.html").read_text()


def test_pages_link_to_each_other(book):
    first, second = ((book / name).read_text() for name in ("00_first.html", "01_second.html"))
    assert re.search(r'href="01_second.html#and-colour"[^>]*>.*?the second', first)
    assert re.search(r'class="right-next"\s+href="01_second.html"', first)
    assert re.search(r'class="left-prev"\s+href="00_first.html"', second)
    assert "https://example.org" in first and "../README.md" not in first
    assert "<title>Does flipping help?" in first


def test_the_first_page_lists_the_pages_of_this_run(book):
    text = (book / "index.html").read_text()
    article = re.search(r"(?s)<article.*</article>", text)[0]
    assert re.findall(r'<h2><a[^>]+href="([^"]+)"', article) == ["00_first.html", "01_second.html"]
    assert "<math>" in article and ">paper</strong>" in article
    for page in ("results", "NOTES", "GLOSSARY", "bibliography"):
        assert f'href="{page}.html"' in text
    assert not (book / "09_old.html").exists()


def test_documents_are_pages_too(book):
    text = (book / "NOTES.html").read_text()
    assert re.search(r'href="01_second.html".*page 2', text)
    assert 'href="GLOSSARY.html#arms"' in text and "data/README" not in text


def test_a_notebook_can_be_downloaded_as_it_was_executed(book):
    downloaded = nbformat.read(book / "_sources" / "00_first.ipynb", 4)
    assert downloaded == nbformat.read(book.parent / "00_first.ipynb", 4)
    assert 'href="_sources/00_first.ipynb"' in (book / "00_first.html").read_text()


def test_the_address_above_shown_code_is_named_without_a_dead_link(page):
    assert "../course_lib" not in page and re.search("losses.py.*gram_matrix", page)


def test_launch_buttons_appear_with_the_repository(tmp_path, monkeypatch):
    link = new_markdown_cell("The [README](../README.md).")
    assert not re.search("mybinder|colab|codespaces|github.com", build(tmp_path, link))
    monkeypatch.setenv("COURSE_REPOSITORY", "https://github.com/ann/course")
    text = build(tmp_path, link)
    for address in (
        "https://colab.research.google.com/github/ann/course/blob/main/notebooks/00_a.ipynb",
        "https://mybinder.org/v2/gh/ann/course/main?urlpath=lab/tree/notebooks/00_a.ipynb",
        "https://codespaces.new/ann/course",
        "https://github.com/ann/course/blob/main/README.md",
    ):
        assert address in text
    monkeypatch.setenv("COURSE_REPOSITORY", "ann/course")
    with pytest.raises(CourseError, match="'ann/course' must be https://github.com/OWNER/NAME"):
        build(tmp_path, link)
