"""How Sphinx makes the book. `python -m course_lib book` prepares what it reads."""

import sys
from pathlib import Path

from sphinx.util.console import nocolor

from course_lib.pages.book import TITLE, find_repository

nocolor()  # warnings may go to a file
sys.path.insert(0, str(Path(__file__).parent))

project = html_title = TITLE
extensions = [
    "myst_nb", "sphinxcontrib.bibtex", "sphinx.ext.autodoc", "sphinx.ext.napoleon",
    "sphinx.ext.viewcode", "pages_as_shown", "terms_and_formulas",
]  # fmt: skip
html_theme = "sphinx_book_theme"
html_static_path = ["static"]
templates_path = ["templates"]
html_sidebars = {"**": ["book-title.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_css_files = ["book.css"]
html_context = {"default_mode": "auto"}
html_sourcelink_suffix = ""
html_show_search_summary = False  # a browser does not let a page read files beside it
html_math_renderer = "mathml"
numfig = True
default_role = "literal"
autodoc_member_order = "bysource"
bibtex_cite_id = "cite-{key}"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # by default from the web
nb_merge_streams = True

html_theme_options = {"navbar_persistent": [], "use_fullscreen_button": False}
if repository := find_repository():
    html_theme_options |= {
        "repository_url": repository,
        "repository_branch": "main",
        "path_to_docs": "notebooks",
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab",
            "colab_url": "https://colab.research.google.com",
        },
        "icon_links": [
            {
                "name": "Codespaces",
                "url": repository.replace("github.com", "codespaces.new"),
                "icon": "fa-solid fa-laptop-code",
            }
        ],
    }  # fmt: skip
