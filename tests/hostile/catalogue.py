"""What a case of hostile input is: a table, a model, and how it must end.

A case ends in the right answer, which statsmodels gives for the same rows, or in an error or a
warning whose text is asserted.  Each is tried on every form of data that can hold it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from dask_onestep import GLMClassifier, GLMRegressor

SIZES = (50, 30, 40)
ARRAY, FRAME, NUMPY = "array", "frame", "numpy"
FORMS = (ARRAY, FRAME, NUMPY)


@dataclass(frozen=True)
class Table:
    """Rows in memory, before they take a form."""

    x: Any
    y: Any
    weights: Any = None
    offset: Any = None
    sizes: tuple[int, ...] = SIZES

    def with_(self, **parts: Any) -> Table:
        """Return the table with parts replaced; a function is given the old part's copy."""
        new = {name: part(np.array(getattr(self, name))) if callable(part) else part for name, part in parts.items()}
        return replace(self, **new)

    def put(self, part: str, at: Any, value: Any) -> Table:
        """Return the table with some values of one part replaced."""
        array = np.array(getattr(self, part))
        if array.dtype.kind != "f" or not isinstance(value, float):
            array = array.astype(object)
        array[at] = value
        return replace(self, **{part: array})

    def rows(self, mask: Any) -> Table:
        """Return some of the rows, as one block."""
        cut = {
            name: None if (p := getattr(self, name)) is None else p[mask] for name in ("x", "y", "weights", "offset")
        }
        return Table(**cut, sizes=(len(cut["x"]),))


def base(family: str = "gaussian", seed: int = 0) -> Table:
    """Return 120 sound rows of two covariates."""
    rng = np.random.default_rng((family.encode()[0], seed))
    x = rng.standard_normal((sum(SIZES), 2))
    eta = 0.3 + x @ [0.5, -0.4]
    y = {
        "gaussian": lambda: eta + rng.standard_normal(len(x)),
        "binomial": lambda: (rng.random(len(x)) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": lambda: rng.poisson(np.exp(eta)).astype(float),
        "gamma": lambda: rng.gamma(3.0, np.exp(eta) / 3.0),
    }[family]()
    return Table(x, y)


def names_of(width: int) -> list[str]:
    return [f"x{number}" for number in range(width)]


def in_form(form: str, table: Table) -> tuple[Any, Any, dict[str, Any]]:
    """Return X, y and the other parts as a user would hold them."""
    parts = {"y": table.y, "sample_weight": table.weights, "offset": table.offset}
    if form == NUMPY:
        made = {name: part for name, part in parts.items() if part is not None}
        return table.x, made.pop("y", None), made
    if form == ARRAY:
        x = da.from_array(np.asarray(table.x), chunks=(table.sizes, -1))
        made = {
            name: da.from_array(np.asarray(p), chunks=(table.sizes, *np.shape(p)[1:]))
            for name, p in parts.items()
            if p is not None
        }
        return x, made.pop("y", None), made
    x = table.x if isinstance(table.x, pd.DataFrame) else pd.DataFrame(table.x, columns=names_of(table.x.shape[1]))
    made = {
        name: partitions(pd.Series(part, index=x.index), table.sizes)
        for name, part in parts.items()
        if part is not None
    }
    return partitions(x, table.sizes), made.pop("y", None), made


def partitions(data: Any, sizes: tuple[int, ...]) -> Any:
    """Cut pandas data into partitions of the given sizes."""
    edges = np.cumsum((0, *sizes))
    pieces = [data.iloc[start:stop] for start, stop in pairwise(edges)]
    return dd.from_map(lambda piece: piece, pieces, meta=data.iloc[:0])


_FAMILIES = {
    "gaussian": sm.families.Gaussian,
    "binomial": sm.families.Binomial,
    "poisson": sm.families.Poisson,
    "gamma": sm.families.Gamma,
}


def reference(table: Table, family: str = "gaussian") -> Any:
    """Return statsmodels' fit, in float64, of the rows whose weight is not zero, which it would count."""
    if table.weights is not None:
        table = table.rows(np.asarray(table.weights) != 0)
    x = np.asarray(table.x, dtype=np.float64)
    other = {"var_weights": table.weights, "offset": table.offset}
    other = {name: np.asarray(part, np.float64) for name, part in other.items() if part is not None}
    design = np.column_stack([np.ones(len(x)), x])
    return sm.GLM(np.asarray(table.y, np.float64), design, family=_FAMILIES[family](), **other).fit(tol=1e-13)


def agrees(model: Any, fit: Any, rtol: float = 1e-6) -> None:
    """Assert coefficients and standard errors of a second source."""
    found = np.append(np.ravel(model.intercept_), np.ravel(model.coef_))
    np.testing.assert_allclose(found, fit.params, rtol=rtol, atol=rtol * np.abs(fit.params).max())
    np.testing.assert_allclose(np.sqrt(np.diag(model.covariance_)), fit.bse, rtol=max(rtol, 1e-6))


@dataclass(frozen=True)
class Refused:
    """The case ends in an error that says all of these; `block` is the block it must name."""

    says: tuple[str, ...]
    block: int | None = None
    error: type[Exception] | tuple[type[Exception], ...] = ValueError

    def run(self, act: Callable[[], Any], form: str) -> None:
        with pytest.raises(self.error) as caught:
            act()
        said = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
        for text in self.says:
            assert text in said, said
        if self.block is not None:
            assert f"In block {0 if form == NUMPY else self.block}." in said, said


@dataclass(frozen=True)
class Answered:
    """The case ends in an answer that a check accepts, after these warnings and no others."""

    check: Callable[[Any], None]
    warns: tuple[str, ...] = ()

    def run(self, act: Callable[[], Any], form: str) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = act()
        said = [str(each.message) for each in caught]
        for text in self.warns:
            assert any(text in each for each in said), said
        assert len(said) <= len(self.warns), said
        self.check(model)


def refused(*says: str, block: int | None = None, error: Any = ValueError) -> Refused:
    return Refused(says, block, error)


def answered(check: Callable[[Any], None], *warns: str) -> Answered:
    return Answered(check, warns)


def like(table: Table, family: str = "gaussian", *, rtol: float = 1e-6, warns: tuple[str, ...] = ()) -> Answered:
    """The case ends in statsmodels' answer for a table."""
    return Answered(lambda model: agrees(model, reference(table, family), rtol), warns)


def handing(change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[..., Any]:
    """Fit on what a user makes of X and y before."""
    return lambda model, X, y, **others: model.fit(*change(X, y), **others)


@dataclass(frozen=True)
class Case:
    """One case."""

    kind: str
    name: str
    table: Table
    ends: Refused | Answered
    model: Callable[[], Any] = GLMRegressor
    forms: tuple[str, ...] = FORMS
    act: Callable[..., Any] = field(default=lambda model, X, y, **others: model.fit(X, y, **others))

    def run(self, form: str) -> None:
        X, y, others = in_form(form, self.table)
        self.ends.run(lambda: self.act(self.model(), X, y, **others), form)


CASES: list[Case] = []


def case(
    kind: str, name: str, table: Table, ends: Refused | Answered, model: Any = GLMRegressor, **options: Any
) -> None:
    """Enter a case in the catalogue; a family's name stands for its regressor."""
    if isinstance(model, str):
        family = model
        model = GLMClassifier if family == "labels" else lambda: GLMRegressor(family)
    assert all((each.kind, each.name) != (kind, name) for each in CASES), (kind, name)
    CASES.append(Case(kind, name, table, ends, model, **options))
