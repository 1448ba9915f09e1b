"""The reference lists every public name."""

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
MODULES = (
    "",
    ".datasets",
    ".exceptions",
    ".families",
    ".fit_statistics",
    ".graph",
    ".inference",
    ".links",
    ".methods",
    ".plots",
    ".report",
    ".storage",
    ".summaries",
)


def listed():
    """Return the names that the reference lists, by module."""
    found, module = {}, ""
    for line in (DOCS / "reference" / "index.md").read_text().splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            found.setdefault(module, set()).add(line.strip())
    return found


@pytest.mark.parametrize("suffix", MODULES)
def test_the_reference_lists_every_public_name(suffix):
    module = importlib.import_module(f"dask_onestep{suffix}")
    # Constants, such as METHODS, have no page; names that the top level has too are listed there.
    public = {name for name in module.__all__ if not name.isupper() or callable(getattr(module, name))}
    if suffix:
        public -= set(importlib.import_module("dask_onestep").__all__)
    assert listed()[module.__name__] == public
