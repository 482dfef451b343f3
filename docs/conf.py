"""Sphinx configuration of the site; `make site` calls it through build_site.py."""

import html
import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

from medcal_nb import __version__

project = "MedCal workbook"
author = "The MedCal workbook authors"
copyright = "The MedCal workbook authors, MIT licence"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autosummary_generate = False  # a function has no page of its own
autodoc_typehints = "none"  # docstrings say the types
napoleon_use_rtype = False  # what is returned and its type on one line
default_role = "py:obj"  # `ece` in a docstring is a link to it
html_math_renderer = "mathml"

highlight_language = "text"  # commands; Python is named where it stands
html_theme = "sphinx_book_theme"
html_title = "MedCal workbook"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_use_index = False  # the pages of functions list them, and the search finds them
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the browser is set
html_theme_options = {
    "max_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_repository_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the margin has a search field already
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

logger = logging.getLogger(__name__)
#: what the theme puts around a table
BOX = '<div class="pst-scrollable-table-container">'


def setup(app):
    """Formulas as MathML, which browsers set themselves; tables that a telephone can show."""
    block = (formula, None)
    app.add_html_math_renderer("mathml", (formula, None), block)
    app.connect("html-page-context", tables)
    app.connect("autodoc-process-docstring", link_pages)


def formula(writer, node):
    is_block = isinstance(node, nodes.math_block)
    try:
        writer.body.append(tex2mathml(node.astext(), as_block=is_block))
    except MathError as error:
        logger.warning("a formula that MathML lacks: %s", error, location=node)
    raise nodes.SkipNode


def tables(app, pagename, templatename, context, doctree):
    """Set tables so that their columns are seen: see `table`."""
    body = context.get("body", "")
    pattern = f"(?s)({re.escape(BOX)})?<table(.*?)>(.*?)</table>"
    context["body"] = re.sub(pattern, table, body)


def table(match):
    """Return a table in a box that scrolls, intervals whole, cells with their columns' names.

    By these site.js turns rows into cards where a screen is too narrow; a table whose cells go
    over several rows or columns has none, and is scrolled.
    """
    box, attributes, content = match.groups()
    head, mark, rows = content.partition("</thead>")
    labels = [
        html.escape(html.unescape(re.sub("<.*?>", "", label)).strip())
        for label in re.findall(r"(?s)<th\b.*?>(.*?)</th>", head)
    ]
    rows = re.sub(r" (\[[^][<>]*\])", r' <span class="interval">\1</span>', rows)
    rows = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", rows)
    if labels and "span=" not in content:
        rows = re.sub(r"(?s)<tr\b.*?</tr>", lambda row: labelled(row[0], labels), rows)
        attributes += " data-cards"
    whole = f"<table{attributes}>{head}{mark}{rows}</table>"
    return f"{box}{whole}" if box else f"{BOX}{whole}</div>"


def labelled(row, labels):
    """Return a row of a table whose cells name their columns, what a cell says as one block."""
    names = iter(labels)

    def cell(match):
        kind, attributes, content = match.groups()
        label = next(names, "")
        return f'<{kind}{attributes} data-label="{label}"><div>{content}</div></{kind}>'

    return re.sub(r"(?s)<(t[hd])\b([^>]*)>(.*?)</\1>", cell, row)


def link_pages(app, what, name, obj, options, lines):
    """Turn names of files of docs/ into links."""
    lines[:] = [re.sub(r"docs/(\w+)\.md", r":doc:`/docs/\1`", line) for line in lines]
