"""From a formula's text to formulaic's `Formula`, once it is known to ask for no more than a machine can give.

formulaic multiplies out powers and products of terms while it parses, and evaluates arguments of its
transforms; so both are held to bounds, and to the grammar, before it sees them.
"""

from __future__ import annotations

from typing import Any

from dask_onestep.kernels.designs.grammar import checked, columns_made

__all__ = ["parse"]

_MOST_TERMS = 10_000
_MOST_FACTORS = 64
_LARGEST_POWER = 64
_MOST_COLUMNS = 2_000
_DOT = "'.' is not known here, since a model says what it reads: write the columns' names, as in 'y ~ x + C(g)'."


def parse(formula: str, fit_intercept: bool) -> Any:
    """Return formulaic's `Formula`.

    Parameters
    ----------
    formula : str
        The formula.
    fit_intercept : bool
        Whether it has an intercept where it says nothing of one.

    Returns
    -------
    Formula
        Terms, not yet tied to data.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    ValueError
        If the formula cannot be read, or asks for too much.
    """
    try:
        from formulaic import Formula
        from formulaic.errors import FormulaicError
        from formulaic.parser import DefaultFormulaParser
        from formulaic.parser.algos.tokenize import tokenize
    except ImportError as error:
        raise ImportError("formula= needs the package formulaic: pip install 'dask_onestep[formula]'.") from error
    if not isinstance(formula, str):
        raise TypeError(f"formula={formula!r} must be a string, such as 'y ~ x + C(g)'.")
    shown = repr(formula) if len(formula) <= 100 else f"{formula[:100]!r}…"
    parser = DefaultFormulaParser(include_intercept=fit_intercept)
    try:
        # Before formulaic parses it: to know which columns are needed, it evaluates arguments of transforms.
        for token in tokenize(formula):
            if token.kind is token.Kind.PYTHON:
                checked(token.token, token.token)
            elif token.token == ".":
                raise ValueError(f"formula={shown} cannot be read: {_DOT}")
        _check_terms(parser.get_ast(formula), shown)
        parsed = Formula.from_spec(formula, parser=parser)
    except RecursionError as error:
        raise ValueError("The formula is nested too deeply to be read.") from error
    except (FormulaicError, SyntaxError) as error:
        raise ValueError(f"formula={shown} cannot be read: {str(error).splitlines()[0]}") from error
    _check_columns(getattr(parsed, "rhs", parsed), shown)
    return parsed


def _check_terms(tree: Any, shown: str) -> None:
    """Raise if powers and products would be multiplied out into too many terms, or terms of too many factors."""
    nodes = [tree]
    for node in nodes:  # those within a node come after it
        nodes += getattr(node, "args", ())
    sizes: dict[int, tuple[int, int, int]] = {}
    for node in reversed(nodes):
        inside = [sizes[id(argument)] for argument in getattr(node, "args", ())]
        count, factors, _ = sizes[id(node)] = _size(node, inside, shown) if inside else (1, 1, 1)
        if count > _MOST_TERMS:
            raise ValueError(
                f"formula={shown} asks for {count:,} terms, more than {_MOST_TERMS:,}, before those that are alike are "
                "joined. Write the terms that are needed; a power above the number of its terms adds none."
            )
        if factors > _MOST_FACTORS:
            raise ValueError(
                f"formula={shown} asks for an interaction of {factors:,} factors, more than {_MOST_FACTORS}. Write "
                "interactions of fewer."
            )


def _size(node: Any, inside: list[tuple[int, int, int]], shown: str) -> tuple[int, int, int]:
    """Return how many terms a node becomes, how many factors one of them has at most, and names within it."""
    names = sum(name for _, _, name in inside)
    (left, most, below), *others = inside
    right, more, beside = others[0] if others else (0, 0, 0)
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
        case "in":
            return left + right, most + beside, names
    return sum(count for count, _, _ in inside), max(factors for _, factors, _ in inside), names


def _power(exponent: Any, shown: str) -> int:
    text = str(getattr(exponent, "token", ""))
    if not text.isdecimal() or not 1 <= int(text[:10]) <= _LARGEST_POWER:
        raise ValueError(
            f"formula={shown} cannot be read: ** of terms takes a whole number from 1 to {_LARGEST_POWER}. Write "
            "I(x**2) for the square of a column."
        )
    return int(text)


def _check_columns(terms: Any, shown: str) -> None:
    """Raise if splines and polynomials, and their products, make too many columns."""
    if isinstance(terms, tuple):
        return  # Several parts, which the caller refuses.
    count = 0
    for term in terms:
        made = 1
        for factor in term.factors:
            made *= columns_made(factor.expr) if factor.eval_method.value == "python" else 1
        count += made if made > 1 else 0
    if count > _MOST_COLUMNS:
        raise ValueError(
            f"formula={shown} asks for {count:,} columns of splines and polynomials, more than {_MOST_COLUMNS:,}. Take "
            "a smaller df or degree, or fewer products of them."
        )
