"""The site of docs/: ``make site`` builds it, warnings are errors.

Pages are plain Markdown that reads well in the repository too. Three things are done to them here:
README, CONTRIBUTING and CHANGELOG become pages; links to files outside docs/ go to the repository;
pages that a checkout does not have are left out of the lists.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import upsample_rs

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/upsample-rs/upsample_rs"
WIDE = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n"  # tables of calls want the room
ROOT_PAGES = {"index": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
SOON = ("onnx", "torch", "jax")  # listed once they are there
LINK = re.compile(r"(\]\()([^)\s#]+)([^)\s]*\))")

project = "upsample_rs"
author = copyright = "The upsample_rs authors"
version = release = upsample_rs.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["images"]

default_role = "literal"  # of `x` in a docstring
napoleon_use_rtype = False
napoleon_use_param = False
autodoc_typehints = "none"  # docstrings say the types, in words
toc_object_entries_show_parents = "hide"

myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 60
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"upsample_rs {release}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {page: [] for page in ("index", "getting-started", "benchmarks")}
html_theme_options = {
    "github_url": REPOSITORY,
    "logo": {"text": "upsample_rs"},
    "navbar_align": "left",
    "show_nav_level": 2,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}


def read(app: Any, page: str, source: list[str]) -> None:
    """Complete the text of one page before it is parsed."""
    text, folder = source[0], posixpath.join("docs", posixpath.dirname(page))
    if page in ROOT_PAGES:
        text = moved((ROOT / ROOT_PAGES[page]).read_text(encoding="utf-8"), "", page) + text
    elif not page.startswith("notebooks/"):
        text = moved(text, folder, page)
    if page == "guides":
        soon = [name for name in SOON if name not in app.env.found_docs]
        text = "\n".join(line for line in text.split("\n") if line not in soon)
    text = text.replace("\n\n```\n", "\n```\n")  # what ends a doctest is not shown
    source[0] = WIDE + text if page.startswith("from/") else text


def moved(text: str, folder: str, page: str) -> str:
    """Point the links of a file in `folder` to pages, or to the repository."""
    pages = {name: f"docs/{to}.md" for to, name in ROOT_PAGES.items()}
    here = posixpath.join("docs", posixpath.dirname(page))

    def link(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        path = pages.get(path, path)
        if not path.startswith("docs/"):
            return f"{before}{REPOSITORY}/blob/main/{path}{after}"
        return f"{before}{posixpath.relpath(path, here)}{after}"

    return LINK.sub(link, text)


def setup(app: Any) -> None:
    """Register what is done to pages."""
    app.connect("source-read", read)
