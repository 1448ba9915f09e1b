"""The reference lists every public name."""

import doctest
import importlib
import inspect
import re
from itertools import chain
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

from dask_onestep import GLMClassifier, GLMRegressor

DOCS = Path(__file__).resolve().parent.parent / "docs"
MODULES = (
    "",
    ".datasets",
    ".exceptions",
    ".families",
    ".inference.fit_statistics",
    ".graph",
    ".inference",
    ".links",
    ".methods",
    ".plots",
    ".report",
    ".storage",
    ".inference.summaries",
)


def listed():
    """Return the names that the reference lists, by module."""
    found, module = {}, ""
    for line in chain.from_iterable(
        page.read_text().splitlines() for page in sorted((DOCS / "reference").glob("*.md"))
    ):
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


@pytest.mark.parametrize("estimator", [GLMRegressor, GLMClassifier])
def test_the_page_of_an_estimator_lists_each_method_once(estimator):
    name = estimator.__name__
    page = (DOCS / "reference" / "estimators" / f"glm_{name[3:].lower()}.md").read_text()
    inherited = {each for each in dir(BaseEstimator) if not each.startswith("_")}
    public = [
        each
        for each in dir(estimator)
        if not each.startswith("_") and each not in inherited and not each.startswith("set_")
        if callable(getattr(estimator, each))
    ]
    assert sorted(re.findall(rf"^   ~{name}\.(\w+)$", page, re.MULTILINE)) == sorted(public)


def public_objects():
    """Return every public function and class, with the public methods of estimators and displays, by name."""
    found = {}
    for suffix in MODULES:
        module = importlib.import_module(f"dask_onestep{suffix}")
        for name in module.__all__:
            thing = getattr(module, name)
            if not getattr(thing, "__module__", "").startswith("dask_onestep"):
                continue
            found[name] = thing
            if inspect.isclass(thing) and ("fit" in dir(thing) or name.endswith("Display")):
                found |= {f"{name}.{method}": function for method, function in methods_of(thing)}
    return found


def methods_of(thing):
    """Return the public methods that this package gives a class, its own and those of its mixins."""
    for name, function in inspect.getmembers(thing, callable):
        if not name.startswith("_") and getattr(function, "__module__", "").startswith("dask_onestep"):
            yield name, function


@pytest.mark.parametrize("name", (found := public_objects()))
def test_every_public_name_has_an_example(name):
    # The doctests of all modules are collected with the tests, so that what is there runs.
    assert doctest.DocTestParser().get_examples(inspect.getdoc(found[name]) or ""), f"{name} has no example"
