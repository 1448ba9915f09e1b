"""States of center, scale, standardize and poly, computed from moments of all rows.

For n values with mean c and central moments m_j = Σ(x − c)^j / (n σ^j), the monic orthogonal polynomials of
z = (x − c)/σ follow from the three-term recurrence π_{k+1} = (z − α_k)π_k − β_k π_{k−1}, whose inner products are sums
of m_j.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.grammar import STATEFUL, called
from dask_onestep.kernels.designs.terms import Terms
from dask_onestep.kernels.records import Record

# Beyond this degree the moments lose too many digits, and the rows of a sample are used instead.
_MAX_DEGREE = 8
_CONSTANT = 1e-14  # spread, as a fraction of the mean, that is rounding
_SOME = 256  # rows that mostly show that there are many different values
_DDOF = {"center": 1, "scale": 1, "standardize": 0}


@dataclass(frozen=True, eq=False)
class CentralMoments(Record):
    """The sums of powers of values about their mean.

    Attributes
    ----------
    mean : float
        The mean of n values.
    sums : ndarray of shape (order + 1,)
        Σ(xᵢ − mean)^j for j = 0, 1, …; the first is n, the second 0 up to rounding.
    distinct : ndarray
        Different values, if there are at most order / 2 of them; otherwise more of them than that.
    """

    mean: float
    sums: np.ndarray
    distinct: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, order: int) -> CentralMoments:
        """Return the moments of values; NaN and infinite values are ignored."""
        values = values[np.isfinite(values)]
        mean = float(values.mean()) if len(values) else 0.0
        powers = np.cumprod(np.broadcast_to(values - mean, (order, len(values))), axis=0)
        some = np.unique(values[:_SOME])
        distinct = some if len(some) > order // 2 else np.unique(values)
        return cls(mean, np.array([float(len(values)), *powers.sum(axis=1)]), distinct[: order // 2 + 1])

    @property
    def n(self) -> float:
        """Number of values."""
        return float(self.sums[0])

    def __add__(self, other: CentralMoments) -> CentralMoments:
        n = self.n + other.n
        mean = self.mean + (other.mean - self.mean) * other.n / n if n else 0.0
        distinct = np.union1d(self.distinct, other.distinct)[: len(self.sums) // 2 + 1]
        return CentralMoments(mean, self._about(mean) + other._about(mean), distinct)

    def _about(self, mean: float) -> np.ndarray:
        """Return the sums about another mean, by the binomial formula (Pébay, 2008)."""
        shift, sums = self.mean - mean, self.sums
        return np.array([sum(comb(j, i) * shift ** (j - i) * sums[i] for i in range(j + 1)) for j in range(len(sums))])


def moment_orders(terms: Terms) -> dict[str, int]:
    """Return which expressions need moments, and up to which order."""
    orders: dict[str, int] = {}
    for _, expression, degree in _calls(terms):
        orders[expression] = max(orders.get(expression, 0), 2 * degree)
    return orders


def moment_states(terms: Terms, moments: Mapping[str, CentralMoments]) -> dict[str, dict[str, Any]]:
    """Return the states of transforms, by their calls, as formulaic keeps them."""
    return {ast.unparse(node): _state(node, moments[expression], degree) for node, expression, degree in _calls(terms)}


def _calls(terms: Terms) -> Iterator[tuple[ast.Call, str, int]]:
    """Yield calls whose state depends on moments of an expression without state, the expression, and the degree."""
    for factor in terms.factors:
        if not factor.states or factor.source is None:
            continue
        for node in ast.walk(ast.parse(factor.source, mode="eval")):
            if not isinstance(node, ast.Call) or called(node) not in (*_DDOF, "poly") or not node.args:
                continue
            nested = any(called(inner) in STATEFUL for inner in ast.walk(node.args[0]))
            degree = _degree(node)
            if not nested and degree is not None:
                yield node, ast.unparse(node.args[0]), degree


def _degree(node: ast.Call) -> int | None:
    """Return the degree of a polynomial, 1 for another transform; None if options need other sums."""
    if called(node) != "poly":
        return 1 if len(node.args) == 1 and not node.keywords else None
    given = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "degree")]
    if len(node.args) > 2 or any(keyword.arg != "degree" for keyword in node.keywords):
        return None
    degree = ast.literal_eval(given[0]) if given else 1
    return degree if 1 <= degree <= _MAX_DEGREE else None


def _state(node: ast.Call, moments: CentralMoments, degree: int) -> dict[str, Any]:
    name = str(called(node))
    if name == "poly":
        if moments.n and moments.sums[2] <= moments.n * (_CONSTANT * moments.mean) ** 2:
            raise ValueError(
                f"{ast.unparse(node)} in the formula is a polynomial of a constant, so its effect cannot be estimated. "
                "Drop the term."
            )
        call, column = ast.unparse(node), ast.unparse(node.args[0])
        if 0 < (count := len(moments.distinct)) <= degree:
            raise ValueError(
                f"{call} in the formula has degree {degree}, and {column} has {count} different values, which "
                f"determine polynomials of degree {count - 1} at most. Use poly({column}, {count - 1}), or C({column})."
            )
        state = _polynomials(moments, degree)
        if len(state["norms2"]) <= degree:
            raise ValueError(
                f"{call} in the formula cannot be computed: some values of {column} are so far from the others that "
                "only these matter in its powers. Use a lower degree, or a transform such as log."
            )
        return state
    spread = None if name == "center" else float(np.sqrt(moments.sums[2] / (moments.n - _DDOF[name])))
    return {"ddof": _DDOF[name], "center": moments.mean, "scale": spread}


def _polynomials(moments: CentralMoments, degree: int) -> dict[str, dict[int, float]]:
    """Return the recurrence and the squared norms of monic orthogonal polynomials, up to the first that rounds to 0."""
    spread = float(np.sqrt(moments.sums[2] / moments.n)) or 1.0
    standard = moments.sums / moments.n / spread ** np.arange(len(moments.sums))

    def product(left: np.ndarray, right: np.ndarray) -> float:
        both = np.convolve(left, right)
        return float(both @ standard[: len(both)])

    alpha, norms = {}, {}
    last, current = np.zeros(1), np.ones(1)
    for k in range(degree + 1):
        norm = product(current, current)
        if norm <= 0:
            break
        norms[k] = norm
        if k == degree:
            break
        shifted = np.append(0.0, current)
        alpha[k] = product(shifted, current) / norms[k]
        beta = norms[k] / norms[k - 1] if k else 0.0
        following = shifted - alpha[k] * np.append(current, 0.0)
        following[: len(last)] -= beta * last
        last, current = current, following
    return {
        "alpha": {k: moments.mean + spread * value for k, value in alpha.items()},
        "norms2": {k: moments.n * spread ** (2 * k) * value for k, value in norms.items()},
    }
