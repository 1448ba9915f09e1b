"""formulaic's specification of a formula: built from rows that contain every level, and applied to others."""

import ast
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.evaluation import EvaluationError, evaluating, what_is_wrong
from dask_onestep.kernels.designs.expressions import as_numbers, evaluate, is_numeric, only_numbers
from dask_onestep.kernels.designs.grammar import CODINGS, PARSING, checked
from dask_onestep.kernels.designs.parser import parse
from dask_onestep.kernels.designs.products import Coding, Product
from dask_onestep.kernels.designs.splines import Spline, spline_of
from dask_onestep.kernels.designs.terms import Factor, Terms

_VALUES = "<values>"


def specify_terms(terms: Terms, rows: pd.DataFrame, state: Mapping[str, Any] | None = None) -> Any:
    """Return formulaic's specification of a formula."""
    return _specified(_right_side(terms), terms, rows, dict(state or {}))


def transform_state(terms: Terms, rows: pd.DataFrame, known: Mapping[str, Any], n: float) -> dict[str, Any]:
    """Return the state of a formula's transforms, without the columns of its categories.

    Each transform uses the rows in which its own input is present, as in R.
    """
    from formulaic import Formula
    from formulaic.parser.types import Term

    parts = {part.expr: part for term in _right_side(terms) for part in term.factors}
    state = dict(known)
    for factor in terms.factors:
        if not factor.states:
            continue
        present = np.ones(len(rows), bool)
        for expression in factor.states:
            present &= np.isfinite(evaluate(expression, rows).to_numpy(np.float64, na_value=np.nan))
        found = _specified(Formula([Term([parts[factor.name]])]), terms, rows[present], dict(state)).transform_state
        for call, own in found.items():
            if call not in state and "norms2" in own:  # sums over a sample are scaled up to all rows
                own["norms2"] = {k: value * n / present.sum() for k, value in own["norms2"].items()}
        state |= found
    return state


@lru_cache
def _right_side(terms: Terms) -> Any:
    """Return the terms of a formula's right-hand side; formulaic looks them up in the result of `_evaluated`."""
    assert terms.formula is not None
    right = parse(terms.formula, terms.fit_intercept).right
    own = {factor.name for factor in terms.factors if not factor.states}
    for factor in (factor for term in right for factor in term.factors if factor.expr in own):
        factor.eval_method = "lookup"
    return right


def _evaluated(formula: Any, terms: Terms, rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return what formulaic codes: columns, numeric ones as float64, and the values of expressions."""
    names = {factor.expr for term in formula for factor in term.factors}
    factors = [factor for factor in terms.factors if factor.name in names]
    columns = dict.fromkeys(c for f in factors if f.source is None or f.states for c in f.columns)
    frame = pd.DataFrame({name: _column(rows[name], name) for name in columns}, index=rows.index)
    expressions = [factor for factor in factors if factor.source is not None and not factor.states]
    return frame, {factor.name: _coded(factor, factor.values(rows)) for factor in expressions}


def _column(values: pd.Series, name: str) -> pd.Series | np.ndarray:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values
    return np.asarray(only_numbers(values, name), np.float64)


def _coded(factor: Factor, values: pd.Series) -> Any:
    """Return the values of an expression in formulaic's form: numbers, or a category with its coding."""
    if not factor.coded:
        return as_numbers(values)
    from formulaic.transforms import TRANSFORMS

    tree = checked(factor.name, factor.name)
    call = tree.body
    assert isinstance(call, ast.Call)
    call.args[0] = ast.Name(_VALUES, ast.Load())
    if factor.missing is not None:  # the categories of the values include its level
        call.keywords = [keyword for keyword in call.keywords if keyword.arg not in ("levels", "missing")]
    known = {"C": TRANSFORMS["C"], "contr": TRANSFORMS["contr"], _VALUES: values}
    tree = ast.fix_missing_locations(_Codings().visit(tree))
    return eval(compile(tree, "<formula>", "eval"), {"__builtins__": {}}, known)


class _Codings(ast.NodeTransformer):
    """Replaces patsy's names of codings, such as ``Treatment(reference="b")``, by formulaic's."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        coding = CODINGS.get(node.id)
        return node if coding is None else ast.Attribute(ast.Name("contr", ast.Load()), coding, ast.Load())

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        self.generic_visit(node)
        return ast.keyword("base" if node.arg == "reference" else node.arg, node.value)


def _specified(formula: Any, terms: Terms, rows: pd.DataFrame, state: dict[str, Any]) -> Any:
    try:
        with PARSING, evaluating():
            frame, values = _evaluated(formula, terms, rows)
            with np.errstate(all="ignore"):
                matrix = formula.get_model_matrix(
                    frame, context=values, na_action="ignore", output="numpy", transform_state=state
                )
    except EvaluationError as error:
        found = what_is_wrong(error, terms, rows, state, ())
        raise ValueError(f"formula={terms.formula!r} does not fit the columns: {found.text()}") from error
    _check_scales(matrix.model_spec.transform_state)
    return matrix.model_spec


def _check_scales(states: Mapping[str, Any]) -> None:
    """Raise an error if a transform divides by the standard deviation of a constant."""
    for call, state in states.items():
        if state.get("scale") is not None and not np.greater(state["scale"], 0.0).all():
            raise ValueError(
                f"{call} in the formula divides by a standard deviation of 0: its argument is constant, so its effect "
                "cannot be estimated. Drop the term."
            )


def columns_specified(spec: Any, terms: Terms) -> tuple[str, ...]:
    """Return the columns of a table that a specification (perhaps of some terms) reads, in the formula's order."""
    names = {factor.expr for term in spec.formula for factor in term.factors}
    return tuple(dict.fromkeys(column for f in terms.factors if f.name in names for column in f.columns))


def specified_columns(spec: Any, terms: Terms, rows: pd.DataFrame) -> np.ndarray:
    """Return the matrix of rows without missing values or unseen levels: float64, including any constant."""
    with evaluating():
        frame, values = _evaluated(spec.formula, terms, rows)
        with PARSING:
            return np.asarray(spec.get_model_matrix(frame, context=values), dtype=np.float64)


def without_terms(spec: Any, terms: Collection[str]) -> Any:
    """Return a specification without some of its terms, coded as before; None if only the constant remains."""
    others = [term for term in spec.terms if str(term) not in terms]
    return spec.subset(others) if any(str(term) != "1" for term in others) else None


def check_kinds(spec: Any, categorical: set[str], terms: Terms, dtypes: Mapping[str, Any]) -> None:
    """Raise a ValueError if formulaic treats a factor as categorical whose levels are unknown.

    This happens if blocks have different types, or a factor's values are not numeric. `categorical` has the factors
    with known levels.
    """
    for factor in terms.factors:
        kind, _ = spec.encoder_state.get(factor.name, (None, None))
        if kind is not None and kind.value == "categorical" and factor.name not in categorical:
            words = [name for name in factor.columns if not is_numeric(dtypes[name])]
            if not words:
                columns = ", ".join(factor.columns)
                raise ValueError(
                    f"Blocks differ in {columns}: numeric by its dtype, but strings in a block. Fix these blocks."
                )
            raise ValueError(
                f"{factor.name!r} in the formula is not numeric: {words} are not numeric columns. If its values are "
                f"categories, write C({factor.name})."
            )


def specified_products(spec: Any, terms: Terms, levels: Mapping[Factor, pd.Index]) -> tuple[Product, ...]:
    """Return the terms that are products of treatment-coded factors and numbers, or of a spline and numbers.

    They are in the order of the columns. Terms with another coding, with another transform that has a state, of factors
    and splines, or with a number written in the formula are excluded: formulaic evaluates their columns.
    """
    parts = _parts(spec, terms, levels)
    found: list[Product] = []
    at = -int(terms.fit_intercept)
    for structure in spec.structure:
        products = [_product(scoped, parts, str(structure.term)) for scoped in structure.scoped_terms]
        whole = [product for product in products if product is not None]
        # formulaic merges columns of the same name, as levels named "b" and "T.b" may give.
        if len(whole) == len(products) and sum(product.width for product in whole) == len(structure.columns):
            starts = accumulate((product.width for product in whole), initial=at)
            found += [replace(product, first=start) for product, start in zip(whole, starts, strict=False)]
        at += len(structure.columns)
    return tuple(found)


def _parts(spec: Any, terms: Terms, levels: Mapping[Factor, pd.Index]) -> dict[str, Coding | Factor | Spline]:
    """Return the possible parts of products by name: factors (with reference, if any), numbers and splines."""
    from formulaic.transforms.contrasts import TreatmentContrasts

    parts: dict[str, Coding | Factor | Spline] = {}
    for factor in terms.factors:
        kind, state = spec.encoder_state.get(factor.name, (None, {}))
        if factor in levels and "contrasts" in state:
            contrasts, known = state["contrasts"].contrasts, list(state["categories"])
            if type(contrasts) is TreatmentContrasts and known and known == list(levels[factor]):
                base = contrasts.get_drop_field(known, reduced_rank=False)
                parts[factor.name] = Coding(factor, levels[factor], known.index(base))
        elif kind is not None and kind.value == "numerical":
            part = spline_of(factor, spec.transform_state) if factor.states else factor
            parts |= {} if part is None else {factor.name: part}
    return parts


def _product(scoped: Any, parts: Mapping[str, Coding | Factor | Spline], term: str) -> Product | None:
    """Return one of the products of a term, None if it has any other part."""
    held = [(parts.get(part.factor.expr), part.reduced) for part in scoped.factors]
    codings = [part if reduced else replace(part, reference=None) for part, reduced in held if isinstance(part, Coding)]
    slopes = [part for part, _ in held if isinstance(part, Factor)]
    splines = [part for part, _ in held if isinstance(part, Spline)]
    others = len(codings) + len(slopes) + len(splines) < len(held) or scoped.scale != 1
    if not held or others or len(splines) > 1 or (splines and codings):
        return None
    return Product(tuple(codings), 0, term, tuple(slopes), *splines)
