"""What a reader sees, in a real browser: a notebook in JupyterLab, and the book that `run` writes.

Screenshots are left in `runs/screenshots/`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import requests

from course_lib.analysis.comparison import reference_results
from course_lib.analysis.results import html_table, results_table
from course_lib.pages.book import write_book
from course_lib.pages.notebooks import list_notebooks
from course_lib.pages.student import start
from course_lib.support.files import COURSE, NOTEBOOKS

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

SCREENSHOTS = COURSE / "runs" / "screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 420, "height": 900}
DOCUMENTS = [path.stem for path in sorted(NOTEBOOKS.glob("*.md"))]
REFERENCE = ["reference/losses", "_modules/course_lib/losses", "_modules/index", "genindex"]
OTHERS = ["index", "bibliography", "results", "search", *REFERENCE]
PAGES = [*(path.stem for path in list_notebooks()), *DOCUMENTS, *OTHERS]

# Runs in the kernel before the notebook: what takes a minute takes seconds.
SMALL_RUNS = """
from course_lib.paper import PRESETS, Preset
PRESETS["quick"] = Preset(1, 20, side=32, last_epochs=1, readings=False)
"""
RAN = re.compile(r"\[\d+\]:")  # the prompt of a cell that has been run
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of sight are there too
}

# Of a section's code cells and a table's rows, axe looks at the first: the others are coloured alike,
# and contrast is slow to measure.
A_PART = {"exclude": [[".cell ~ .cell .highlight"], ["tbody tr:nth-of-type(n+4)"]]}
TAB_STOPS_MS = 500  # the theme makes what can be scrolled a tab stop 300 ms after a resize


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def until(condition, seconds: float = 120):
    """Wait for `condition` to give something, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def copy_for_a_student(folder: Path) -> Path:
    """Notebook 02 as `start` hands it out, with three seeds."""
    start(folder)
    path = folder / "02_traditional.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("seeds: list = [0, 1, 2, 3, 4]", "seeds: list = [0, 1, 2]"), "utf-8"
    )
    return path


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def before_the_checks(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The code cells up to the first check, at which "Run All" stops: its exercise is open."""
    cells = code_cells(notebook)
    return cells[: ["check" in cell.metadata.get("tags", []) for cell in cells].index(True)]


class Lab:
    """A JupyterLab with the options of `make lab`, on a copy of notebook 02."""

    def __init__(self, folder: Path) -> None:
        self.notebook = copy_for_a_student(folder / "notebooks")
        self.token = secrets.token_hex()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        for name, values in SETTINGS.items():
            place = folder / "config/lab/user-settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            place.parent.mkdir(parents=True)
            place.write_text(json.dumps(values))
        startup = folder / "ipython/profile_default/startup/small.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(SMALL_RUNS)
        makefile = (COURSE / "Makefile").read_text(encoding="utf-8")
        options = re.findall(r"--\S+", re.search(r"-m jupyterlab (.+)", makefile)[1])
        self.server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options, "--no-browser", "--allow-root",
             f"--port={self.port}", "--ServerApp.port_retries=0"],
            cwd=self.notebook.parent,
            env={
                **os.environ,
                "COURSE_DATA": str(folder / "data"),
                "COURSE_RUNS": str(folder / "runs"),
                "COURSE_STAND_INS": "1",  # its data folder is empty on purpose
                "LOKY_MAX_CPU_COUNT": "1",  # runs so small that a process of their own costs more
                "JUPYTER_TOKEN": self.token,
                "JUPYTER_CONFIG_DIR": str(folder / "config"),
                "JUPYTER_DATA_DIR": str(folder / "share"),
                "IPYTHONDIR": str(folder / "ipython"),
            },
            stderr=(folder / "log").open("w"),
        )  # fmt: skip

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"{self.url}/{path}", headers=headers, timeout=10)

    def answers(self) -> bool:
        assert self.server.poll() is None, "JupyterLab has ended"
        try:
            return self.get("api").ok
        except requests.ConnectionError:
            return False

    def kernel_is_ready(self) -> bool:
        """Before that, "Run All" would ask which kernel to take."""
        sessions = self.get("api/sessions", Authorization=f"token {self.token}").json()
        states = [
            (one["kernel"]["execution_state"], one["kernel"]["connections"]) for one in sessions
        ]
        return states == [("idle", 1)]

    def stop(self) -> None:
        self.server.terminate()  # it ends its kernels first
        try:
            self.server.wait(20)
        except subprocess.TimeoutExpired:
            self.server.kill()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        until(lab.answers)
        yield lab
    finally:
        lab.stop()


def test_jupyterlab_refuses_whoever_has_no_token(lab):
    assert lab.get("api/contents").status_code == 403
    assert lab.get("api/contents", Authorization="token guessed").status_code == 403
    assert lab.get("api/contents", Authorization=f"token {lab.token}").status_code == 200


def test_jupyterlab_listens_on_this_machine_only(lab):
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", lab.port))  # as a server that listens everywhere accepts


def test_a_student_runs_a_notebook_and_moves_a_slider(lab, browser):
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{lab.url}/lab/tree/{lab.notebook.name}?token={lab.token}")
    until(lab.kernel_is_ready)
    unfold(page.locator(".jp-MarkdownCell details", has_text="Right.").first)
    choose(page, "Run", "Run All Cells")
    stored = nbformat.read(NOTEBOOKS / lab.notebook.name, as_version=4)
    check = page.locator(".jp-CodeCell .jp-InputPrompt").nth(len(before_the_checks(stored)))
    playwright.expect(check).to_have_text(RAN, timeout=300_000)
    for slider in page.locator(".widget-slider").all():
        assert slider.locator(".widget-label").inner_text()
        assert slider.locator(".noUi-handle").get_attribute("tabindex") == "0"
    screenshot(page, "lab-before")
    move_the_first_slider(page)
    screenshot(page, "lab-after")

    page.keyboard.press("Control+s")
    saved = until(lambda: saved_notebook(lab.notebook))
    shown, expected = before_the_checks(saved), before_the_checks(stored)
    assert [figures(cell) for cell in shown] == [figures(cell) for cell in expected]
    assert not [out for cell in shown for out in cell.outputs if out.output_type == "error"]
    (error,) = code_cells(saved)[len(shown)].outputs
    assert error.ename == "NotImplementedError"
    assert error.traceback[0].startswith("Exercise 1 is yours. ")

    choose(page, "Kernel", "Restart Kernel and Run All Cells…")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    playwright.expect(check).not_to_have_text(RAN)
    playwright.expect(check).to_have_text(RAN, timeout=300_000)
    move_the_first_slider(page)
    page.close()


def unfold(details) -> None:
    """Unfold a choice, a hint or a solution by key: what was out of sight is seen."""
    folded = details.locator(":scope > :not(summary)").first
    playwright.expect(folded).to_be_hidden()
    details.locator("summary").press("Enter")
    playwright.expect(folded).to_be_visible()


def choose(page, menu: str, entry: str) -> None:
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=entry, exact=True).click()


def move_the_first_slider(page) -> None:
    """By a key, one place on: the picture changes."""
    slider = page.locator(".widget-slider").first
    slider.scroll_into_view_if_needed()
    picture = page.locator("img.widget-image")
    before = picture.screenshot()
    slider.locator(".noUi-handle").press("ArrowRight")
    until(lambda: picture.screenshot() != before)
    playwright.expect(slider.locator(".widget-readout")).to_have_text("1")


def saved_notebook(path: Path) -> nbformat.NotebookNode | None:
    """The notebook, once it is saved with the outputs of the cells that ran."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except nbformat.reader.NotJSONError:  # half of it is written
        return None
    ran = before_the_checks(notebook)
    return notebook if all(cell.execution_count for cell in ran) else None


def figures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The book of the stored notebooks, as `run` writes it of executed ones."""
    table = html_table(results_table(reference_results()))
    target = tmp_path_factory.mktemp("runs") / "html"
    return write_book(list_notebooks(), NOTEBOOKS, target, "quick", table).parent


@pytest.fixture(scope="module")
def offline(browser):
    """A browser whose requests for anything but files are blocked, and recorded."""
    context = browser.new_context(viewport=WIDE)
    context.asked = []

    def decide(route):
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            context.asked.append(route.request.url)
            route.abort()

    context.route("**/*", decide)
    yield context
    context.close()
    assert context.asked == []


@pytest.fixture(scope="module", params=PAGES)
def page(request, book, offline):
    page = offline.new_page()
    page.goto((book / f"{request.param}.html").as_uri())
    yield page
    page.close()


def test_a_reader_searches_reads_follows_a_term_unfolds_and_answers(book, offline):
    page = offline.new_page()
    page.goto((book / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("Gram")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=Gram*")
    results = page.locator("#search-results li a")
    playwright.expect(results.first).to_be_visible()
    screenshot(page, "book-search")
    results.and_(page.locator("[href*='04_neural_augmentation.html']")).first.click()
    section = page.locator("section#the-losses")
    formula = section.locator("math[display=block]").filter(has=page.locator("mfrac"))
    formula.first.scroll_into_view_if_needed()
    assert formula.first.bounding_box()["height"] > 20
    assert formula.first.evaluate("math => math.namespaceURI").endswith("/Math/MathML")
    assert page.locator(".MathJax, .katex, code.latex").count() == 0

    term = page.locator("a.term", has_text="Gram matri").first
    assert "colour channels" in term.get_attribute("title")
    term.click()
    page.wait_for_url("**/GLOSSARY.html#term-gram-matrices")
    playwright.expect(page.locator("li#term-gram-matrices")).to_be_in_viewport()
    page.go_back()
    page.wait_for_url("**/04_neural_augmentation.html*")

    unfold(page.locator("details", has=page.locator("summary", has_text="First hint")).first)
    unfold(page.locator("details", has_text="BEGIN SOLUTION").first)
    for mark in ("No.", "Right."):
        choice = page.locator("section#quiz details", has_text=mark).first
        unfold(choice)
        playwright.expect(choice.locator("strong")).to_have_text(mark)
    screenshot(page, "book-quiz")
    page.close()


def test_the_book_is_small(book):
    files = {path: path.stat().st_size for path in book.rglob("*") if path.is_file()}
    assert sum(files.values()) < 40_000_000
    for page in book.glob("*.html"):
        images = set(re.findall(r'src="(_images/[^"]+)"', page.read_text(encoding="utf-8")))
        assert files[page] + sum(files[book / image] for image in images) < 3_000_000, page


def test_every_picture_is_whole_and_described(page):
    pictures = page.locator("article img")
    for width, text in pictures.evaluate_all("all => all.map((i) => [i.naturalWidth, i.alt])"):
        assert width > 0, text
        assert len(text.split()) > 1 and not re.search(r"\.\w{3,4}$", text), text
    if re.match(r"\d\d_", Path(page.url).stem):
        assert pictures.count() > 0
        assert page.locator("figcaption .caption-number").count() > 0


@pytest.mark.parametrize("window", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_is_wider_than_the_window(page, window):
    page.set_viewport_size(window)
    width = page.evaluate("document.scrollingElement.scrollWidth")
    assert width <= window["width"]


@pytest.fixture(scope="module")
def axe():
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


def faults(axe, page, scheme: str, window: dict[str, int]) -> list[str]:
    """What axe calls serious or critical, each with the element where it is."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(window)
    page.wait_for_timeout(TAB_STOPS_MS)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    found = axe.run(page, context=A_PART).response["violations"]
    return [
        f"{rule['id']}: {node['html']}\n{node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    "scheme, window", [("light", WIDE), ("dark", NARROW)], ids=["light, wide", "dark, narrow"]
)
def test_a_page_is_accessible(page, axe, scheme, window):
    screenshot(page, f"{Path(page.url).stem}-{scheme}-{window['width']}")
    assert faults(axe, page, scheme, window) == []


@pytest.mark.parametrize(
    "scheme, window", [("light", NARROW), ("dark", WIDE)], ids=["light, narrow", "dark, wide"]
)
def test_what_stands_around_every_page_is_accessible(book, offline, axe, scheme, window):
    page = offline.new_page()
    page.goto((book / "GLOSSARY.html").as_uri())
    assert faults(axe, page, scheme, window) == []
    page.close()
