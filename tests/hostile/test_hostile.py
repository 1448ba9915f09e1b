"""The catalogue of hostile input, case by case, on each form of data."""

from collections import Counter

import blocks  # noqa: F401  each module enters its cases
import callables  # noqa: F401
import dask
import designs  # noqa: F401
import names  # noqa: F401
import pytest
import responses  # noqa: F401
import shapes  # noqa: F401
import usage  # noqa: F401
import values  # noqa: F401
from catalogue import CASES, FORMS


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize(
    ("case", "form"),
    [pytest.param(case, form, id=f"{case.kind}: {case.name} [{form}]") for case in CASES for form in case.forms],
)
def test_case(case, form):
    case.run(form)


def test_the_catalogue_is_complete():
    kinds = Counter(case.kind for case in CASES)
    assert sum(kinds.values()) >= 120, kinds
    forms = {kind: {form for case in CASES if case.kind == kind for form in case.forms} for kind in kinds}
    assert all(forms[kind] == set(FORMS) for kind in kinds), forms
