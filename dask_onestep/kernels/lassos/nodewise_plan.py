"""How rows of Θ̂ are estimated from a Gram matrix of one block or of all blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dask_onestep.kernels.lassos.constant_row import constant_row
from dask_onestep.kernels.lassos.nodewise import NodewiseRows, nodewise_rows
from dask_onestep.kernels.lassos.penalty import penalised_variances, penalty_level

__all__ = ["NodewisePlan"]


@dataclass(frozen=True, slots=True)
class NodewisePlan:
    """How the rows of Θ̂ are estimated.

    Attributes
    ----------
    alpha : "auto" or ndarray of shape (d,)
        α of every coefficient as a covariate, 0 for the intercept.
    tol : float
        Tolerance on the duality gap.
    max_iter : int
        Maximum number of sweeps.
    """

    alpha: str | np.ndarray
    tol: float
    max_iter: int

    def rows(
        self, gram: np.ndarray, n: float, shift: np.ndarray, index: Sequence[int], names: tuple[str, ...], first: int
    ) -> NodewiseRows:
        """Return rows of the nodewise lasso on a Gram matrix of n rows.

        Parameters
        ----------
        gram : ndarray of shape (d, d)
            Information over n, of columns centered about `shift`.
        n : float
            Rows.
        shift : ndarray of shape (d,)
            What was subtracted from each column; zeros without an intercept.
        index : sequence of int
            The columns to regress on the others.
        names : tuple of str
            Names of the coefficients.
        first : int
            1 if the first is an intercept, which is never penalized.

        Returns
        -------
        NodewiseRows
            The rows for the uncentered columns, with the constant's elements about `shift`.

        Raises
        ------
        ValueError
            If a column is a combination of the others.
        """
        scaled = isinstance(self.alpha, str)
        if isinstance(self.alpha, str):
            free = np.arange(len(gram)) < first
            alpha = penalty_level(n, len(gram) - first) * np.sqrt(penalised_variances(gram, free))
        else:
            alpha = self.alpha
        # With an unpenalized constant a column's row does not depend on the shift, except the constant's own row.
        alone = first == 1 and bool(shift.any()) and 0 in index
        index = [j for j in index if not (alone and j == 0)]
        found = nodewise_rows(gram, index, alpha, scaled=scaled, tol=self.tol, max_iter=self.max_iter)
        if (empty := found.weights == 0).any():
            named = ", ".join(names[j] for j in found.index[empty])
            raise ValueError(
                f"the row of the inverse covariance is undefined for {named}: the column is constant in these rows, "
                "or a linear combination of unpenalized columns"
            )
        if alone:
            row = constant_row(gram, shift, alpha, scaled=scaled)
            parts = (np.zeros(1, dtype=np.intp), row.gamma[None], np.array([row.weight]), np.array([row.gap]))
            found = NodewiseRows(*parts, np.array([row.own])) + found
        return found
