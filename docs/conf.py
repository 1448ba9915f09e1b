"""Configuration of the documentation: ``make docs``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The pages document, and execute, the checkout they lie in.
sys.path.insert(0, str(ROOT))
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
]
nitpicky = True
# A single name in a docstring's backticks may be a parameter's, which is no target; other packages' names are plain,
# since their inventories would have to be fetched.
nitpick_ignore_regex = [
    ("py:obj", r"\w+"),
    ("py:obj", r"(dask|distributed|numpy|pandas|scipy|sklearn|statsmodels)\..+"),
]
exclude_patterns = ["_build", "_scripts"]
templates_path = ["_templates"]
bibtex_bibfiles = ["references.bib"]
default_role = "autolink"  # a name in backticks links where it can, and is plain where not

# Docstrings state types in words, with shapes; the signature need not repeat them.
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
# Every page is executed anew: a cached output would outlive the code that made it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
# Tables, such as those of the benchmarks, are not in the default, CommonMark.
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
}
html_sidebars = {"index": [], "start": [], "gallery": [], "notebooks/*": []}
html_static_path = ["_static"]
html_css_files = ["custom.css"]


def skip(app, what, name, obj, skip, options):
    """Leave out scikit-learn's metadata requests, which each estimator is given by a descriptor."""
    return True if (name.startswith("set_") and name.endswith("_request")) or name == "get_metadata_routing" else None


def setup(app):
    """Connect the hook, and let pages be executed side by side."""
    app.connect("autodoc-skip-member", skip)
    # It copies files once the build has ended and reads none, but does not say so; without it pages are read in turn.
    app.extensions["sphinx-mathjax-offline"].parallel_read_safe = True
