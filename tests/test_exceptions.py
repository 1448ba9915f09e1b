"""Each warning is documented at the place that its text points to."""

import inspect
import pydoc
import re
from pathlib import Path

import numpy as np
import pytest

import dask_onestep
from dask_onestep import GLMRegressor, exceptions
from dask_onestep.exceptions import AliasingWarning, FitWarning

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "warnings.md"
CATEGORIES = [getattr(exceptions, name) for name in exceptions.__all__ if name.endswith("Warning")]
KINDS = [category for category in CATEGORIES if category is not FitWarning]


def sections():
    """Return the text of the page's sections, by anchor: a heading in lower case, with hyphens."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {head.lower().replace(" ", "-"): text for head, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("category", KINDS, ids=lambda category: category.__name__)
def test_the_page_has_cause_and_remedy_of_each_warning(category):
    text = sections()[category.anchor]
    assert f"dask_onestep.exceptions.{category.__name__}`" in text
    assert "**Cause.**" in text
    assert "**Remedy.**" in text


def test_the_page_has_no_section_of_a_warning_that_is_none():
    assert set(sections()) == {category.anchor for category in KINDS} | {"errors"}


def test_no_fit_issues_a_warning_without_a_category_of_its_own():
    package = Path(dask_onestep.__file__).parent
    for path in [*(package / "methods").rglob("*.py"), *(package / "estimators").rglob("*.py")]:
        assert not re.findall(r"\(\s*(?:User|Convergence|Runtime)Warning,", path.read_text()), path.name


@pytest.mark.parametrize("category", KINDS, ids=lambda category: category.__name__)
def test_help_says_what_to_do(category):
    assert re.search(r"^What to do: \w", inspect.getdoc(category), re.MULTILINE)


def test_the_text_that_is_issued_and_the_summary_end_with_where_help_is():
    x = np.arange(8.0)
    with pytest.warns(AliasingWarning, match=r"\(Docs: help\(dask_onestep.exceptions.AliasingWarning\)\)$") as said:
        glm = GLMRegressor(method="mle").fit(np.column_stack([x, -x]), x**2)
    (place,) = re.findall(r"help\((.*)\)\)$", str(said[0].message))
    assert pydoc.locate(place) is AliasingWarning  # it exists
    text = str(glm.summary())
    assert place in "".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert place in glm.summary()._repr_html_()
