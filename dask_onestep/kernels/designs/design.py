"""The design: how a block of a table becomes a matrix, in the same way for every block and every later table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Number
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.evaluation import EvaluationError, evaluating, what_is_wrong
from dask_onestep.kernels.designs.levels import LevelCodes
from dask_onestep.kernels.designs.parts import PARTS, TableLike, rows_where, taken
from dask_onestep.kernels.designs.products import DenseColumns, Product, are_coded, coded_columns, dense_columns
from dask_onestep.kernels.designs.specification import columns_specified, specified_columns, without_terms
from dask_onestep.kernels.designs.split_matrix import SplitMatrix, written
from dask_onestep.kernels.designs.table import complete_cases, plain_columns
from dask_onestep.kernels.designs.terms import Factor, Terms, plain_categories
from dask_onestep.kernels.matrices.symmetric import remaining
from dask_onestep.kernels.records import Findings

_SLICE_ROWS = 65_536
# Levels from which their block of an information matrix is stored as its diagonal.
MANY_LEVELS = 256


@dataclass(frozen=True)
class Design:
    """A model specification, built once and applied to every block.

    Attributes
    ----------
    terms : Terms
        What is read from the table.
    names : tuple of str
        Names of the matrix's columns, without the constant.
    levels : tuple of (Factor, Index)
        The levels of each categorical factor; the first is the reference of treatment coding.
    spec : ModelSpec or None
        formulaic's specification; None without a formula.
    products : tuple of Product
        The terms that are products of treatment-coded factors and numbers, or of splines and numbers, in the order of
        their columns.
    rest : ModelSpec or None
        formulaic's specification of the other terms, which it evaluates; None if there are none.
    unseen : {"raise", "reference"}
        Whether an unseen level is a finding, or gets zeros in all of its factor's columns.
    """

    terms: Terms
    names: tuple[str, ...]
    levels: tuple[tuple[Factor, pd.Index], ...]
    spec: Any = None
    products: tuple[Product, ...] = ()
    rest: Any = None
    unseen: str = "raise"

    @property
    def row_bytes(self) -> int:
        """Approximate memory of a row of the matrix."""
        coded = self.coded
        stored = sum(4 + 8 * bool(product.numbers) for product in coded)
        return 8 * (len(self.names) - sum(product.width for product in coded)) + stored

    @property
    def widest(self) -> Product | None:
        """The product of factors alone with the most columns, if it has at least `MANY_LEVELS`."""
        found = max((product for product in self.coded if not product.numbers), key=attrgetter("width"), default=None)
        return found if found is not None and found.width >= MANY_LEVELS else None

    @property
    def coded(self) -> tuple[Product, ...]:
        """The products whose columns are stored as codes."""
        return are_coded(self.products)

    def enter(
        self, block: Any, missing: str
    ) -> tuple[np.ndarray | DenseColumns | SplitMatrix, dict[str, Any], np.ndarray | None] | Findings:
        """Return a block as a matrix and the other row data.

        Parameters
        ----------
        block : Block
            The block, `x` a table.
        missing : {"raise", "drop", "keep"}
            Whether rows with missing values are findings, dropped, or become rows of NaN.

        Returns
        -------
        matrix : DenseColumns or SplitMatrix of shape (m, p)
            The covariates.
        parts : dict
            y, weights, offset and groups of the same rows.
        kept : ndarray of shape (m,) or None
            Row numbers within the block, if rows were dropped.
        """
        complete = complete_cases(block, self.terms, missing)
        if isinstance(complete, Findings):
            return complete
        rows = None if complete is None else rows_where(complete)
        codes = self.codes(block.x, rows)
        if found := self.unseen_levels(block.x, codes, rows):
            return replace(found, blocks=(block.number,))
        try:
            matrix = self.sliced(block.x, codes, rows)
        except EvaluationError as error:
            states = {} if self.spec is None else self.spec.transform_state
            return what_is_wrong(error, self.terms, taken(block.x, rows), states, (block.number,))
        return with_parts(block, self.terms, matrix, complete, rows, missing)

    def codes(self, frame: TableLike, rows: np.ndarray | None = None) -> dict[Factor, LevelCodes]:
        """Return the level of each row, or of some rows, of each categorical factor."""
        return {factor: LevelCodes.of(factor.values(frame, rows), known) for factor, known in self.levels}

    def matrix(
        self,
        frame: TableLike,
        codes: Mapping[Factor, LevelCodes] | None = None,
        rows: np.ndarray | None = None,
    ) -> np.ndarray | SplitMatrix:
        """Return the matrix of complete rows, whose levels are all known.

        Parameters
        ----------
        frame : Table or DataFrame
            The table.
        codes : mapping of Factor to LevelCodes, optional
            The levels, from `codes`.
        rows : ndarray of shape (m,) of int, optional
            The numbers of the rows without missing values or unseen levels, if these are not all.

        Returns
        -------
        ndarray or SplitMatrix of shape (m, p)
            float64, without the constant; split if there are factors of many levels.
        """
        return written(self.sliced(frame, self.codes(frame, rows) if codes is None else codes, rows))

    def sliced(
        self, frame: TableLike, codes: Mapping[Factor, LevelCodes], rows: np.ndarray | None
    ) -> DenseColumns | SplitMatrix:
        """Return the matrix, whose dense columns are written where slices of them are used."""
        coded = self.coded
        stored_at = np.concatenate([np.arange(0), *(product.columns for product in coded)])
        dense_at = remaining(stored_at, len(self.names))
        with evaluating():
            dense = self._dense(frame, codes, dense_at, rows)
            if not coded:
                return dense
            return SplitMatrix(dense, coded_columns(coded, frame, codes, rows), dense_at, stored_at)

    def _dense(
        self, frame: TableLike, codes: Mapping[Factor, LevelCodes], columns: np.ndarray, rows: np.ndarray | None
    ) -> DenseColumns:
        """Return the columns that are not coded; those that formulaic evaluates are written, slice by slice."""
        own = set(columns.tolist())
        products = [product for product in self.products if product.width and product.first in own]
        beyond = {product.term for product in products if not product.covers(frame, rows)}
        covered = [product for product in products if product.term not in beyond]
        found = dense_columns(covered, frame, codes, columns, rows)
        rest = self.rest
        if beyond:  # formulaic rejects rows beyond a spline's boundaries, or extrapolates
            rest = without_terms(self.spec, {product.term for product in self.products} - beyond)
        if rest is not None:
            known, read = column_levels(self.levels), columns_specified(rest, self.terms)
            for start in range(0, len(found), _SLICE_ROWS):
                at = slice(start, start + _SLICE_ROWS)
                plain = plain_rows(taken(frame, at if rows is None else rows[at]), read, known)
                found.others[at] = specified_columns(rest, self.terms, plain)[:, int(self.terms.fit_intercept) :]
        return found

    def unknown_rows(self, frame: TableLike) -> np.ndarray:
        """Return which rows have an unseen or missing level, of shape (m,)."""
        unknown = np.zeros(len(frame), dtype=bool)
        for codes in self.codes(frame).values():
            if (strange := codes.strange()) is not None:
                unknown |= strange
        return unknown

    @property
    def categorical(self) -> tuple[Factor, ...]:
        """The categorical factors."""
        return tuple(factor for factor, _ in self.levels)

    @property
    def by_term(self) -> dict[str, tuple[str, ...]]:
        """The matrix's columns of each term of the formula, or of each column of a table without one."""
        if self.spec is None:
            return {c: tuple(n for n in self.names if n == c or n.startswith(f"{c}[T.")) for c in self.terms.columns}
        columns = self.spec.column_names
        terms = {str(key): tuple(columns[i] for i in at) for key, at in self.spec.term_indices.items()}
        terms.pop("1", None)
        return terms

    @property
    def contained(self) -> frozenset[str]:
        """Terms whose factors are all among those of another term, as ``a`` in ``a:b``."""
        if self.spec is None:
            return frozenset()
        factors = {str(term): {factor.expr for factor in term.factors} for term in self.spec.term_indices}
        return frozenset(name for name, own in factors.items() if any(own < other for other in factors.values()))

    def columns_of(self, term: str) -> tuple[str, ...]:
        """Return the matrix's columns of a term such as ``"bs(distance, df=4)"``, or the column of this name.

        Raises
        ------
        ValueError
            If it is neither.
        """
        terms = self.by_term
        if term in terms:
            return terms[term]
        if term in self.names:
            return (term,)
        raise ValueError(f"{term!r} is neither a term of the model, {', '.join(terms)}, nor a coefficient.")

    def unseen_levels(
        self, frame: TableLike, codes: Mapping[Factor, LevelCodes], rows: np.ndarray | None = None
    ) -> Findings | None:
        """Return which factors have levels that are not known, in an unknown block; None if all are."""
        found: list[tuple[str, int, str]] = []
        names = {factor.name for factor, _ in self.levels}
        if self.unseen == "reference":  # codings other than treatment have none
            terms = () if self.rest is None else self.rest.formula
            names &= {factor.expr for term in terms for factor in term.factors}
        for factor, known in self.levels:
            if factor.name not in names or (strange := codes[factor].strange()) is None:
                continue
            (example,) = taken(factor.values(frame, rows), np.flatnonzero(strange)[:1]).tolist()
            what = f"{factor.name} has a level that fit did not see, {example!r}"
            remedy = "Drop these rows, or fit with that level."
            if factor.levels is not None:
                what, remedy = (
                    f"{factor.name} does not list the level {example!r}",
                    "Add it to levels=, or drop the rows.",
                )
            if _kind(example) not in {*map(_kind, known.tolist())}:
                remedy = f"Convert the column: in fit the levels had another type, such as {known[-1:].tolist()}."
            found.append((what, int(strange.sum()), remedy))
        return Findings(tuple(found), ()) if found else None


def _kind(level: Any) -> str:
    """Return the kind of a level; levels of different kinds are never equal."""
    if isinstance(level, (bool, np.bool_)):
        return "boolean"
    return "number" if isinstance(level, Number) else type(level).__name__


def with_parts(
    block: Any, terms: Terms, matrix: Any, complete: np.ndarray | None, rows: np.ndarray | None, missing: str
) -> tuple[Any, dict[str, Any], np.ndarray | None]:
    """Return the matrix of a block's complete rows with the other row data, as `Design.enter` does."""
    parts = {name: getattr(block, name) for name in PARTS[1:]}
    if block.y is None and terms.response is not None:
        parts["y"] = terms.response.values(block.x)
    if (offset := terms.offset(block.x)) is not None:
        parts["offset"] = offset.to_numpy() + (0.0 if parts["offset"] is None else np.asarray(parts["offset"]))
    if complete is None:
        return matrix, parts, None
    if missing == "drop":
        return matrix, {name: taken(part, rows) for name, part in parts.items()}, rows
    return _spread(matrix, complete), parts, None


def _spread(matrix: Any, complete: np.ndarray) -> np.ndarray | SplitMatrix:
    """Return complete rows in their places, with rows of NaN between them."""
    if isinstance(matrix, SplitMatrix):
        return matrix.spread(complete)
    spread = np.full((len(complete), matrix.shape[1]), np.nan)
    spread[complete] = matrix
    return spread


def column_levels(levels: Iterable[tuple[Factor, pd.Index]]) -> dict[str, pd.Index]:
    """Return the levels, by column, of columns that are themselves factors or arguments of ``C(...)``."""
    pairs = tuple(levels)
    coded = {factor.source: index for factor, index in pairs if factor.source in factor.columns}
    return coded | {factor.name: index for factor, index in pairs if factor.source is None}


def plain_rows(frame: TableLike, columns: tuple[str, ...], levels: Mapping[str, pd.Index]) -> pd.DataFrame:
    """Return the columns, in this order, in the form that formulaic and the coding here use."""
    return plain_columns(plain_categories(frame, levels), columns, levels)


def treatment_names(terms: Terms, levels: Mapping[str, pd.Index]) -> tuple[str, ...]:
    """Return the names of the matrix's columns without a formula: a column's own, or one per level except the first."""
    names: list[str] = []
    for column in terms.columns:
        names += [f"{column}[T.{level}]" for level in levels[column][1:]] if column in levels else [column]
    return tuple(names)
