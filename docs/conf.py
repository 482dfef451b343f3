"""Sphinx configuration of the site; `make site` calls it through build_site.py."""

from importlib.util import find_spec

from medcal_nb import __version__

project = "MedCal workbook"
author = "The MedCal workbook authors"
copyright = "The MedCal workbook authors, MIT licence"
release = __version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]

# notebooks were executed by the study; the site only shows them
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_code_prompt_show = "Code"
nb_code_prompt_hide = "Code"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autosummary_generate = False  # build_site.py writes the pages
autodoc_typehints = "none"  # numpydoc's Parameters say the types
default_role = "py:obj"  # `ece` in a docstring is a link to it
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

highlight_language = "text"  # commands; Python is named where it stands
html_theme = "sphinx_book_theme"
html_title = "MedCal workbook"
# MathJax and its fonts come from the page's own host: what TeX to HTML needs of a package of them
MATHJAX = find_spec("sphinx-mathjax-offline").submodule_search_locations[0]
mathjax_path = "mathjax/tex-chtml.js"
html_static_path = ["_static", f"{MATHJAX}/static"]
exclude_patterns = [
    "mathjax/*svg*",
    "mathjax/mml-*",
    "mathjax/tex-*-*",
    "mathjax/output/svg",
]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the browser is set
html_theme_options = {
    "max_navbar_depth": 1,  # pages of the margin; functions are listed on their room's page
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_repository_button": False,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the margin has a search field already
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
