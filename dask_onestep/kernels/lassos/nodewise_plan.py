"""How rows of Θ̂ are estimated from a Gram matrix of one block or of all blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.lassos.nodewise import NodewiseRows, nodewise_rows
from dask_onestep.kernels.lassos.penalty import penalized_variances, penalty_level

# Penalties of this fraction of the universal level leave little bias, and an inverse that all N rows determine well.
_SMALL = 0.1


@dataclass(frozen=True, slots=True)
class NodewisePlan:
    """How the rows of Θ̂ are estimated.

    Attributes
    ----------
    alpha : "auto", ndarray of shape (d,) or (), or None
        α of every coefficient as a covariate, 0 for the intercept, or one for all; None for a small fraction of
        √(2 log d/n) times the standard deviations of both columns.
    tol : float
        Tolerance on the duality gap.
    max_iter : int
        Maximum number of sweeps.
    """

    alpha: str | np.ndarray | None
    tol: float
    max_iter: int

    def rows(
        self, gram: np.ndarray, n: float, index: Sequence[int], names: tuple[str, ...], first: int
    ) -> NodewiseRows:
        """Return rows of the nodewise lasso on a Gram matrix of n rows."""
        if self.alpha is None:
            return self._standardized(gram, n, index, names)
        scaled = isinstance(self.alpha, str)
        if isinstance(self.alpha, str):
            free = np.arange(len(gram)) < first
            alpha = penalty_level(n, len(gram) - first) * np.sqrt(penalized_variances(gram, free))
        else:
            alpha = np.broadcast_to(self.alpha, len(gram))
        found = nodewise_rows(gram, index, alpha, scaled=scaled, tol=self.tol, max_iter=self.max_iter)
        _refuse_undefined(found, names)
        return found

    def _standardized(self, gram: np.ndarray, n: float, index: Sequence[int], names: tuple[str, ...]) -> NodewiseRows:
        """Return rows whose penalties are proportional to the standard deviations of both columns."""
        variance = np.diag(gram)
        scale = np.sqrt(np.where(variance > 0, variance, 1.0))
        alpha = np.full(len(gram), _SMALL * np.sqrt(2.0 * np.log(max(len(gram), 2)) / n))
        found = nodewise_rows(gram / np.outer(scale, scale), index, alpha, tol=self.tol, max_iter=self.max_iter)
        _refuse_undefined(found, names)
        own = scale[found.index]
        return replace(found, rows=found.rows * own[:, None] / scale, weights=found.weights * own**2)


def _refuse_undefined(found: NodewiseRows, names: tuple[str, ...]) -> None:
    if (empty := found.weights == 0).any():
        named = ", ".join(names[j] for j in found.index[empty])
        raise ValueError(
            f"the row of the inverse covariance is undefined for {named}: the column is constant in these rows, "
            "or a linear combination of unpenalized columns"
        )
