"""From a formula's text to formulaic's `Formula`, after checks of its size and grammar.

formulaic expands powers and products of terms while it parses, and evaluates arguments of its transforms; so both are
checked before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dask_onestep.kernels.designs.grammar import EXPOSURE, OFFSET, called, checked, columns_made, columns_read
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy, instruction, joined

_MOST_TERMS = 10_000
_MOST_FACTORS = 64
_LARGEST_POWER = 64
_MOST_COLUMNS = 2_000
_LONGEST = 100_000
_DEEPEST = 50
_DOT = "'.' stands for the other columns of a table, which is not available here: write their names, as in 'y ~ x + "
"C(g)'."
_BAR = instruction(
    "'|' has no meaning here; random effects, such as (1 | g), are not supported. Write + C(g) for fixed effects of "
    "the levels of g, or use {0} with {1} for rows that are correlated within levels.",
    Remedy("cov_type", "cluster"),
    Remedy("groups", "g"),
)

_NESTED = "%in% has several meanings, in R that of ':' alone. Write a:b, or a/b for a + a:b."


@dataclass(frozen=True)
class Parsed:
    """A formula's parts, in formulaic's form.

    Attributes
    ----------
    left : tuple of Term
        Terms of the left-hand side.
    right : Formula
        Terms of the right-hand side, without offsets.
    offsets : tuple of str
        The terms ``offset(...)`` and ``exposure(...)``.
    """

    left: tuple[Any, ...]
    right: Any
    offsets: tuple[str, ...]


def with_columns(formula: str, columns: Sequence[str]) -> str:
    """Return a formula with ``.`` replaced by all columns except those on the left-hand side, as in R.

    `columns` are those of the table, without weights, offset or groups.
    """
    dots = _dots(formula)
    if not dots:
        return formula
    left, tilde, _ = formula.partition("~")
    taken = {name for token in (_tokens(left) if tilde else ()) for name in _names(token)}
    others = [f"`{name}`" for name in columns if name not in taken]
    for token in reversed(dots):
        formula = f"{formula[: token.source_start]}({' + '.join(others) or '0'}){formula[token.source_end + 1 :]}"
    return formula


def has_dot(formula: str) -> bool:
    """Return whether a formula has a ``.``, which stands for columns of the table."""
    return bool(_dots(formula))


def _dots(formula: str) -> list[Any]:
    if not isinstance(formula, str) or "." not in formula:
        return []
    _check_size(formula)
    return [token for token in _tokens(formula) if token.token == "."]


def _tokens(formula: str) -> Iterator[Any]:
    try:
        from formulaic.parser.algos.tokenize import tokenize
    except ImportError as error:
        raise catalogue.MISSING_EXTRA.error(
            what="formula=", package="the package formulaic", extra="formula"
        ) from error
    return iter(tokenize(formula))


def _names(token: Any) -> tuple[str, ...]:
    if token.kind is token.Kind.PYTHON:
        return columns_read(checked(token.token, token.token))
    return (token.token,) if token.kind is token.Kind.NAME else ()


def _check_size(formula: str) -> None:
    """Raise an error if a formula is so long, or nested so deeply, that parsing takes long."""
    if len(formula) > _LONGEST:
        raise ValueError(
            f"The formula, {formula[:40]!r}…, has {len(formula):,} characters, more than {_LONGEST:,}. Write fewer "
            "terms, or pass the columns without a formula."
        )
    if (count := formula.count("+") + 1) > _MOST_TERMS:
        raise ValueError(
            f"The formula, {formula[:40]!r}…, asks for {count:,} terms, more than {_MOST_TERMS:,}. Write fewer "
            "terms, or pass the columns without a formula."
        )
    depth = deepest = 0
    for sign in formula:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise ValueError(
            f"The formula, {formula[:40]!r}…, is nested too deeply: {deepest} brackets, at most {_DEEPEST}."
        )


def parse(formula: str, fit_intercept: bool) -> Parsed:
    """Return the parts of a formula, without reference to data."""
    if not isinstance(formula, str):
        raise TypeError(f"formula={formula!r} must be a string, such as 'y ~ x + C(g)'.")
    _check_size(formula)
    tokens = _tokens(formula)
    from formulaic import Formula
    from formulaic.errors import FormulaicError
    from formulaic.parser import DefaultFormulaParser

    shown = repr(formula) if len(formula) <= 100 else f"{formula[:100]!r}…"
    parser = DefaultFormulaParser(include_intercept=fit_intercept)
    try:
        # Before formulaic parses it, since that evaluates arguments of transforms to find the needed columns.
        for token in tokens:
            if token.kind is token.Kind.PYTHON:
                checked(token.token, token.token)
            elif token.token == ".":
                raise ValueError(f"formula={shown} cannot be read: {_DOT}")
            elif token.kind is token.Kind.OPERATOR and "|" in token.token:
                raise ValueError(joined([f"formula={shown} cannot be read:", _BAR]))
            elif token.kind is token.Kind.OPERATOR and token.token.strip("% ") == "in":
                raise ValueError(f"formula={shown} cannot be read: {_NESTED}")
        _check_terms(parser.get_ast(formula), shown)
        parsed = Formula.from_spec(formula, parser=parser)
    except RecursionError as error:
        raise ValueError("The formula is nested too deeply to be read.") from error
    except (FormulaicError, SyntaxError) as error:
        raise ValueError(f"formula={shown} cannot be read: {str(error).splitlines()[0]}") from error
    left, right = (tuple(parsed.lhs), parsed.rhs) if hasattr(parsed, "rhs") else ((), parsed)
    if isinstance(right, tuple) or not hasattr(type(right), "required_variables"):
        raise ValueError(f"formula={shown} has several parts; a GLM has one right-hand side.")
    offsets = _taken_out(right, shown)
    _check_columns(right, shown)
    return Parsed(left, right, offsets)


def _taken_out(right: Any, shown: str) -> tuple[str, ...]:
    """Remove ``offset(...)`` and ``exposure(...)`` from a right-hand side, and return their arguments."""
    offsets = []
    for term in [term for term in right if any(_is_offset(factor) for factor in term.factors)]:
        if len(term.factors) > 1:
            raise ValueError(
                f"formula={shown}: offsets and exposures have no interactions; write + offset(...) as a term of its "
                "own."
            )
        offsets.append(term.factors[0].expr)
        right.remove(term)
    return tuple(offsets)


def _is_offset(factor: Any) -> bool:
    return factor.eval_method.value == "python" and called(checked(factor.expr, factor.expr).body) in (OFFSET, EXPOSURE)


def _check_terms(tree: Any, shown: str) -> None:
    """Raise an error if powers and products would expand to too many terms, or terms with too many factors."""
    nodes = [tree]
    for node in nodes:  # nodes within a node come after it
        nodes += getattr(node, "args", ())
    sizes: dict[int, tuple[int, int, int]] = {}
    for node in reversed(nodes):
        inside = [sizes[id(argument)] for argument in getattr(node, "args", ())]
        count, factors, _ = sizes[id(node)] = _size(node, inside, shown) if inside else (1, 1, 1)
        if count > _MOST_TERMS:
            raise ValueError(
                f"formula={shown} asks for {count:,} terms, more than {_MOST_TERMS:,}, before duplicates are merged. "
                "Write the terms that are needed; a power above the number of its terms adds none."
            )
        if factors > _MOST_FACTORS:
            raise ValueError(
                f"formula={shown} asks for an interaction of {factors:,} factors, more than {_MOST_FACTORS}. Write "
                "interactions of fewer."
            )


def _size(node: Any, inside: list[tuple[int, int, int]], shown: str) -> tuple[int, int, int]:
    """Return a node's number of terms, the maximum number of factors in a term, and names within it."""
    names = sum(name for _, _, name in inside)
    (left, most, below), *others = inside
    right, more, _ = others[0] if others else (0, 0, 0)
    match node.operator.symbol:
        case "**":
            power = _power(node.args[1], shown)
            return left**power, min(most * power, names), names
        case "*":
            return left * right + left + right, most + more, names
        case ":":
            return left * right, most + more, names
        case "/":
            return left + right, below + more, names
    return sum(count for count, _, _ in inside), max(factors for _, factors, _ in inside), names


def _power(exponent: Any, shown: str) -> int:
    text = str(getattr(exponent, "token", ""))
    if not text.isdecimal() or not 1 <= int(text[:10]) <= _LARGEST_POWER:
        raise ValueError(
            f"formula={shown} cannot be read: ** of terms requires an integer from 1 to {_LARGEST_POWER}. Write "
            "I(x**2) for the square of a column."
        )
    return int(text)


def _check_columns(terms: Any, shown: str) -> None:
    """Raise an error if splines, polynomials and their products have too many columns."""
    count = 0
    for term in terms:
        made = 1
        for factor in term.factors:
            made *= columns_made(factor.expr) if factor.eval_method.value == "python" else 1
        count += made if made > 1 else 0
    if count > _MOST_COLUMNS:
        raise ValueError(
            f"formula={shown} asks for {count:,} columns of splines and polynomials, more than {_MOST_COLUMNS:,}. Use "
            "a smaller df or degree, or fewer products of them."
        )
