"""The design: how a block of a table becomes a matrix, the same for every block and every later table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.evaluation import EvaluationError, evaluating, what_is_wrong
from dask_onestep.kernels.parsing import parse
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.split_matrix import SplitMatrix
from dask_onestep.kernels.table import MAX_LEVELS, TOO_MANY_LEVELS, complete_cases, plain_columns, sorted_levels
from dask_onestep.kernels.terms import Factor, Terms, is_numeric, plain_integers, refusing_records
from dask_onestep.kernels.wide import WideFactor, are_wide, sparse_columns

__all__ = ["Design", "assemble", "make_design", "open_factors", "specify_terms"]

_SLICE_ROWS = 65_536
_PARTS = ("y", "weights", "offset", "groups")
# formulaic parses its terms at every block, and Python 3.11's parser, where two threads use it at once, can raise
# "SystemError: AST constructor recursion depth mismatch".
_PARSING = Lock()


@dataclass(frozen=True)
class Design:
    """A model specification, built once and applied to every block.

    Attributes
    ----------
    terms : Terms
        What is read of the table.
    names : tuple of str
        Names of the matrix's columns, the constant left out.
    levels : tuple of (Factor, Index)
        The levels of each categorical factor; the first is the reference of treatment coding.
    spec : ModelSpec or None
        formulaic's specification; None without a formula.
    wide : tuple of WideFactor
        Factors of so many levels that their columns stay sparse, and their products with numbers.
    """

    terms: Terms
    names: tuple[str, ...]
    levels: tuple[tuple[Factor, pd.Index], ...]
    spec: Any = None
    wide: tuple[WideFactor, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Memory of a row of the matrix, about."""
        held = sum(len(factor.columns) for factor in self.wide)
        return 8 * (len(self.names) - held) + 16 * len(self.wide)

    def enter(
        self, block: Any, missing: str
    ) -> tuple[np.ndarray | SplitMatrix, dict[str, Any], np.ndarray | None] | Findings:
        """Return a block as matrix and parts.

        Parameters
        ----------
        block : Block
            The block, `x` a frame.
        missing : {"raise", "drop", "keep"}
            Rows with gaps are findings, left out, or become rows of NaN.

        Returns
        -------
        matrix : ndarray or SplitMatrix of shape (m, p)
            The covariates.
        parts : dict
            y, weights, offset and groups of the same rows.
        kept : ndarray of shape (m,) or None
            Row numbers within the block, if rows were left out.
        """
        complete = complete_cases(block, self.terms, missing)
        if isinstance(complete, Findings):
            return complete
        whole = bool(complete.all())
        frame = block.x if whole else block.x[complete]
        if found := self._unseen(frame, block.number):
            return found
        try:
            matrix = self.matrix(frame)
        except EvaluationError as error:
            return what_is_wrong(error, self.terms, frame, self.spec.transform_state, (block.number,))
        parts = {name: getattr(block, name) for name in _PARTS}
        if block.y is None and self.terms.response is not None:
            parts["y"] = self.terms.response.values(block.x)
        if whole:
            return matrix, parts, None
        if missing == "drop":
            chosen = {name: None if part is None else part[complete] for name, part in parts.items()}
            return matrix, chosen, np.flatnonzero(complete)
        return _spread(matrix, complete), parts, None

    def matrix(self, frame: pd.DataFrame) -> np.ndarray | SplitMatrix:
        """Return the matrix of complete rows.

        Parameters
        ----------
        frame : DataFrame of shape (m, …)
            Rows without gaps or unseen levels.

        Returns
        -------
        ndarray or SplitMatrix of shape (m, p)
            float64, without the constant; split if there are wide factors.
        """
        if not self.wide:
            return self._dense(frame, self.spec, len(self.names))
        sparse_at = np.concatenate([factor.columns for factor in self.wide])
        dense_at = np.setdiff1d(np.arange(len(self.names)), sparse_at)
        spec = None if self.spec is None else _without(self.spec, self.wide)
        return SplitMatrix(
            self._dense(frame, spec, len(dense_at)), sparse_columns(self.wide, frame), dense_at, sparse_at
        )

    def _dense(self, frame: pd.DataFrame, spec: Any, width: int) -> np.ndarray:
        """Return the columns that are not sparse, written slice by slice."""
        out = np.empty((len(frame), width))
        if not width:
            return out
        known = _column_levels(self.levels)
        if spec is None:
            held = {factor.factor.name for factor in self.wide}
            columns = tuple(name for name in self.terms.columns if name not in held)
        else:
            read = {str(name) for name in spec.required_variables}
            columns = tuple(name for name in self.terms.columns if name in read)
        for start in range(0, len(frame), _SLICE_ROWS):
            rows = _plain_rows(frame.iloc[start : start + _SLICE_ROWS], columns, known)
            target = out[start : start + _SLICE_ROWS]
            if spec is None:
                _treatment(rows, target)
            else:
                target[:] = _apply(spec, rows)[:, int(self.terms.fit_intercept) :]
        return out

    def columns_of(self, term: str) -> tuple[str, ...]:
        """Return the matrix's columns that a term of the formula, or a column's own name, stands for.

        Parameters
        ----------
        term : str
            Such as ``"carrier"`` or ``"bs(distance, df=4)"``.

        Returns
        -------
        tuple of str
            Names of columns.

        Raises
        ------
        ValueError
            If it is neither.
        """
        if self.spec is None:
            terms = {c: tuple(n for n in self.names if n == c or n.startswith(f"{c}[T.")) for c in self.terms.columns}
        else:
            columns = self.spec.column_names
            terms = {str(key): tuple(columns[i] for i in at) for key, at in self.spec.term_indices.items()}
            terms.pop("1", None)
        if term in terms:
            return terms[term]
        if term in self.names:
            return (term,)
        raise ValueError(f"{term!r} is neither a term of the model, {', '.join(terms)}, nor a coefficient.")

    def _unseen(self, frame: pd.DataFrame, number: int) -> Findings | None:
        found: list[tuple[str, int, str]] = []
        for factor, levels in self.levels:
            values = factor.values(frame)
            if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.categories.equals(levels):
                continue
            strange = ~values.isin(levels).to_numpy()
            if strange.any():
                (example,) = values[strange].iloc[:1].tolist()
                what = f"{factor.name} has a level that fit did not see, {example!r}"
                found.append((what, int(strange.sum()), "Leave such rows out, or fit with that level."))
        return Findings(tuple(found), (number,)) if found else None


def open_factors(terms: Terms, dtypes: Mapping[str, Any]) -> tuple[Factor, ...]:
    """Return the categorical factors whose levels the dtypes do not tell.

    Parameters
    ----------
    terms : Terms
        What the model reads.
    dtypes : mapping of str to dtype
        Dtypes of the columns; categorical only where the categories are known.

    Returns
    -------
    tuple of Factor
        Those that a pass must look at.
    """
    return tuple(factor for factor in _categorical(terms, dtypes) if _told_levels(factor, dtypes) is None)


def make_design(terms: Terms, dtypes: Mapping[str, Any], seen: Any) -> Design:
    """Return the design of a table.

    Parameters
    ----------
    terms : Terms
        What the model reads.
    dtypes : mapping of str to dtype
        Dtypes of the columns.
    seen : Profile or None
        What a pass has shown; None if none was needed.

    Returns
    -------
    Design
        The design.

    Raises
    ------
    ValueError
        If no row is complete, or the formula does not fit the columns.
    """
    if seen is not None and seen.n == 0:
        raise ValueError("Found array with 0 sample(s): no row has all that the formula uses.")
    looked_at = {} if seen is None else dict(zip(seen.factors, seen.levels, strict=True))
    levels: list[tuple[Factor, pd.Index]] = []
    for factor in _categorical(terms, dtypes):
        told = _told_levels(factor, dtypes)
        if told is not None and len(told) > MAX_LEVELS:
            raise ValueError(f"{factor.name} has {len(told):,} categories, more than {MAX_LEVELS:,}. {TOO_MANY_LEVELS}")
        with refusing_records(factor):
            levels.append((factor, sorted_levels(factor.values(looked_at[factor])) if told is None else told))
    if terms.formula is None:
        return assemble(terms, tuple(levels), None)
    known = _column_levels(levels)
    empty = pd.DataFrame({name: _empty(dtypes[name]) for name in terms.columns})
    rows = _plain_rows(empty if seen is None else seen.level_rows(), terms.columns, known)
    spec = specify_terms(terms, rows)
    if seen is not None and seen.states:
        state = specify_terms(terms, _plain_rows(seen.state_rows(), terms.columns, known)).transform_state
        spec = spec.update(transform_state=state)
    _check_kinds(spec, {factor.name for factor, _ in levels}, terms, dtypes)
    return assemble(terms, tuple(levels), spec)


def assemble(terms: Terms, levels: tuple[tuple[Factor, pd.Index], ...], spec: Any) -> Design:
    """Return a design of its parts.

    Parameters
    ----------
    terms : Terms
        What the model reads.
    levels : tuple of (Factor, Index)
        The levels of each categorical factor.
    spec : ModelSpec or None
        formulaic's specification; None without a formula.

    Returns
    -------
    Design
        The design, its columns named.
    """
    if spec is None:
        names = _treatment_names(terms, dict(_column_levels(levels)))
        effects = [
            WideFactor(
                factor, index, tuple(i for i, n in enumerate(names) if n.startswith(f"{factor.name}[T.")), factor.name
            )
            for factor, index in levels
        ]
        return Design(terms, names, levels, wide=_wide(effects))
    names = tuple(spec.column_names[int(terms.fit_intercept) :])
    return Design(terms, names, levels, spec, _wide(_effects(terms, dict(levels), spec)))


def _effects(terms: Terms, levels: Mapping[Factor, pd.Index], spec: Any) -> list[WideFactor]:
    """Return a formula's terms of one category each: its main effect, or its product with numbers."""
    known = {factor.name: factor for factor in terms.factors}
    kinds = {name: kind.value for name, (kind, _) in spec.encoder_state.items()}
    effects = []
    for term, columns in spec.term_indices.items():
        parts = [known.get(part.expr) for part in term.factors]
        categories = [part for part in parts if part and part in levels]
        # A transform with a state may have several columns, and is formulaic's to evaluate.
        slopes = [part for part in parts if part and not part.states and kinds.get(part.name) == "numerical"]
        if len(categories) == 1 and len(slopes) == len(parts) - 1:
            (factor,) = categories
            at = tuple(column - int(terms.fit_intercept) for column in columns)
            effects.append(WideFactor(factor, levels[factor], at, str(term), tuple(slopes)))
    return effects


def _wide(effects: Sequence[WideFactor]) -> tuple[WideFactor, ...]:
    """Return the effects that are treatment-coded and better sparse."""
    return are_wide(
        [
            effect
            for effect in effects
            # A coding of its own may leave out another level than the first, or fill all columns.
            if "contr." not in effect.factor.name
            and len(effect.levels) > 1
            and len(effect.columns) in (len(effect.levels) - 1, len(effect.levels))
        ]
    )


def _without(spec: Any, wide: tuple[WideFactor, ...]) -> Any:
    """Return a specification without the terms that are held sparse."""
    held = {effect.term for effect in wide}
    return spec.subset([term for term in spec.terms if str(term) not in held])


def _spread(matrix: np.ndarray | SplitMatrix, complete: np.ndarray) -> np.ndarray | SplitMatrix:
    """Return complete rows in their places, and rows of NaN in those between."""
    if isinstance(matrix, SplitMatrix):
        return matrix.spread(complete)
    spread = np.full((len(complete), matrix.shape[1]), np.nan)
    spread[complete] = matrix
    return spread


def _categorical(terms: Terms, dtypes: Mapping[str, Any]) -> list[Factor]:
    return [f for f in terms.factors if f.coded or (f.source is None and not is_numeric(dtypes[f.name]))]


def _told_levels(factor: Factor, dtypes: Mapping[str, Any]) -> pd.Index | None:
    if factor.levels is not None:
        return pd.Index(factor.levels)
    column = factor.name if factor.source is None else factor.source
    dtype = dtypes.get(column)
    return dtype.categories if isinstance(dtype, pd.CategoricalDtype) else None


def _column_levels(levels: Any) -> dict[str, pd.Index]:
    """Return the levels of columns that are factors as they are, or within ``C(...)``."""
    coded = {factor.source: index for factor, index in levels if factor.source in factor.columns}
    return coded | {factor.name: index for factor, index in levels if factor.source is None}


def _plain_rows(frame: pd.DataFrame, columns: tuple[str, ...], levels: Mapping[str, pd.Index]) -> pd.DataFrame:
    return plain_columns(plain_integers(frame, levels), columns, levels)


def _empty(dtype: Any) -> pd.Series:
    return pd.Series([], dtype=dtype)


def specify_terms(terms: Terms, rows: pd.DataFrame) -> Any:
    """Return formulaic's specification of a formula.

    Parameters
    ----------
    terms : Terms
        The formula's.
    rows : DataFrame
        Rows that show every level.

    Returns
    -------
    ModelSpec
        The specification; the state of transforms is of these rows.

    Raises
    ------
    ValueError
        If the formula does not fit the columns.
    """
    assert terms.formula is not None
    formula = parse(terms.formula, terms.fit_intercept)
    try:
        with _PARSING, evaluating():
            whole = getattr(formula, "rhs", formula)
            matrix = whole.get_model_matrix(rows, context={}, na_action="ignore", output="numpy")
    except EvaluationError as error:
        found = what_is_wrong(error, terms, rows, {}, ())
        raise ValueError(f"formula={terms.formula!r} does not fit the columns: {found.text()}") from error
    return matrix.model_spec


def _apply(spec: Any, rows: pd.DataFrame) -> np.ndarray:
    with _PARSING, evaluating():
        return np.asarray(spec.get_model_matrix(rows, context={}), dtype=np.float64)


def _check_kinds(spec: Any, categorical: set[str], terms: Terms, dtypes: Mapping[str, Any]) -> None:
    for factor in terms.factors:
        kind, _ = spec.encoder_state.get(factor.name, (None, None))
        if kind is not None and kind.value == "categorical" and factor.name not in categorical:
            words = [name for name in factor.columns if not is_numeric(dtypes[name])]
            if not words:
                columns = ", ".join(factor.columns)
                raise ValueError(f"Blocks differ in {columns}: numbers by its dtype, words in a block. Mend them.")
            raise ValueError(
                f"{factor.name!r} in the formula gives no numbers, and {words} are not numeric columns. Where its "
                f"values are meant as categories, write C({factor.name}), so that its levels are counted."
            )


def _treatment_names(terms: Terms, levels: Mapping[str, pd.Index]) -> tuple[str, ...]:
    names: list[str] = []
    for column in terms.columns:
        names += [f"{column}[T.{level}]" for level in levels[column][1:]] if column in levels else [column]
    return tuple(names)


def _treatment(rows: pd.DataFrame, out: np.ndarray) -> None:
    at = 0
    for name in rows.columns:
        column = rows[name]
        if not isinstance(column.dtype, pd.CategoricalDtype):
            out[:, at] = column
            at += 1
            continue
        width = len(column.cat.categories) - 1
        out[:, at : at + width] = column.cat.codes.to_numpy()[:, np.newaxis] == np.arange(1, width + 1)
        at += width
