"""Configuration of the documentation: ``make docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The pages document and execute this checkout.
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_extensions")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

import dask_onestep  # noqa: E402

project = "dask_onestep"
author = "The dask_onestep developers"
copyright = author
version = release = dask_onestep.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
    "sphinxcontrib.bibtex",
    "message_list",
]
nitpicky = True
# A single name in a docstring's backticks may be a parameter, which is not a target; names of other packages are not
# linked, because their inventories would have to be downloaded.
nitpick_ignore_regex = [
    ("py:obj", r"\w+"),
    ("py:obj", r"(dask|distributed|numpy|pandas|scipy|sklearn|statsmodels)\..+"),
]
exclude_patterns = ["_build", "_scripts"]
templates_path = ["_templates"]
bibtex_bibfiles = ["references.bib"]
default_role = "autolink"  # a name in backticks is a link if it can be resolved

# Docstrings state types and shapes; the signature does not repeat them.
autodoc_typehints = "none"
autosummary_generate = True
toc_object_entries_show_parents = "hide"  # the class is the title of the page
numpydoc_show_class_members = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
# Execute every page: cached outputs could be outdated.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
# The default, CommonMark, has no tables.
nb_render_markdown_format = "myst"

html_theme = "pydata_sphinx_theme"
html_title = "dask_onestep"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 3,  # methods of a class
}
_ALONE = ("index", "start", "gallery", "notebooks/*", "benchmarks/index", "glossary", "references", "contributing")
html_sidebars = {page: [] for page in _ALONE}  # pages without neighbors
html_static_path = ["_static"]
html_css_files = ["custom.css"]


def skip(app, what, name, obj, skip, options):
    """Omit scikit-learn's metadata requests, which a descriptor adds to each estimator."""
    return True if (name.startswith("set_") and name.endswith("_request")) or name == "get_metadata_routing" else None


def setup(app):
    """Connect the hook, and allow parallel reading."""
    app.connect("autodoc-skip-member", skip)
    # The extension only copies files after the build, but does not declare that it is safe for parallel reading.
    app.extensions["sphinx-mathjax-offline"].parallel_read_safe = True
