"""Residuals of data of any size: means by bins, and a random sample of rows."""

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.choices import unknown_choice
from dask_onestep.kernels.pilots.residual_sums import residual_sums
from dask_onestep.plots.canvas import Display, points


class ResidualsDisplay(Display):
    """Mean residuals by bins of the linear predictor or of a column, above the residuals of a random sample of rows.

    Build it with `from_estimator`.

    Parameters
    ----------
    table : DataFrame
        One row per bin; columns x and residual (means of the bin), std_err, n.
    points : ndarray of shape (k, 2)
        x and residual of the sampled rows.
    kind : str
        Which residuals.
    against : str
        What x is.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Notes
    -----
    Under a correct model the means are 0 up to two standard errors, but those of deviance residuals, which have other
    means for binary data and small counts.  A trend shows a missing term, a curve a missing curvature or another link.
    The single residuals of binary and count data lie on lines, and their pattern tells little.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.plots import ResidualsDisplay
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> display = ResidualsDisplay.from_estimator(GLMRegressor("poisson").fit(X, y), X, y, n_bins=8)
    >>> display.table["n"].tolist(), display.points.shape
    ([250.0, 250.0, 250.0, 250.0, 250.0, 250.0, 250.0, 250.0], (1000, 2))
    """

    def __init__(self, table: pd.DataFrame, points: np.ndarray, kind: str, against: str):
        self.table = table
        self.points = points
        self.kind = kind
        self.against = against

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        kind: str = "pearson",
        against: str | None = None,
        n_bins: int = 20,
        n_points: int = 1000,
        random_state: int = 0,
        sample_weight: Any = None,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Read the data and draw the residuals.  One pass.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            A fitted estimator, not of more than two classes.
        X, y, sample_weight, offset
            As for ``fit``; these may be other rows.
        kind : {"response", "pearson", "deviance", "working"}, default="pearson"
            Which residuals, as for ``residuals``.
        against : str, optional
            A numeric column that the model uses; by default the linear predictor.
        n_bins : int, default=20
            Number of bins, of about equal numbers of rows.
        n_points : int, default=1000
            Rows of the sample; the same ones for any chunking, where the numbers of rows are known.
        random_state : int, default=0
            Seed of the sample.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        ResidualsDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `kind` or `against` is unknown, the column is not numeric, or there are more than two classes.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import ResidualsDisplay
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> ResidualsDisplay.from_estimator(glm, X, y, against="x0").ax_.get_xlabel()
        'x0'
        """
        check_is_fitted(estimator)
        record = estimator.record_
        if record.model.likelihood.n_predictors > 1:
            raise ValueError(
                "ResidualsDisplay is for one linear predictor per row, not for more than two classes. Fit one class "
                "against the rest."
            )
        if kind not in (kinds := record.model.likelihood.residual_kinds):
            raise ValueError(unknown_choice("kind", kind, map(repr, kinds)))
        if against is not None and against not in (known := _numeric_columns(record)):
            raise ValueError(unknown_choice("against", against, map(repr, known), where=" among numeric columns"))
        sums = estimator.total(
            residual_sums,
            X,
            y,
            arguments=(np.nan_to_num(record.coef), kind, against, n_points, random_state),
            name="residual-bins",
            sample_weight=sample_weight,
            offset=offset,
        )
        count, value, residual, square = sums.bins.merged(sums.bins.sums[:, 0], n_bins).T
        mean = residual / count
        spread = np.sqrt(np.maximum(square / count - mean**2, 0.0) / count)
        table = pd.DataFrame({"x": value / count, "residual": mean, "std_err": spread, "n": count})
        return cls(table, sums.points, kind, "linear predictor" if against is None else against).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        self
            With ``ax_`` and ``figure_``.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from dask_onestep.plots import ResidualsDisplay
        >>> table = pd.DataFrame({"x": [0.0, 1.0], "residual": [0.1, -0.1], "std_err": [0.1, 0.1], "n": [9.0, 9.0]})
        >>> ResidualsDisplay(table, np.zeros((3, 2)), "pearson", "dose").plot().ax_.get_ylabel()
        'pearson residual; means with 2 standard errors'
        """
        ax = self._axes(ax, (6.4, 4.0))
        ax.axhline(0.0, color="0.6", linewidth=1, zorder=0)
        ax.scatter(self.points[:, 0], self.points[:, 1], s=6, color="0.7", linewidths=0, zorder=1)
        ax.errorbar(self.table["x"], self.table["residual"], yerr=2 * self.table["std_err"], **points(0))
        ax.set(xlabel=self.against, ylabel=f"{self.kind} residual; means with 2 standard errors")
        return self


def _numeric_columns(record: Any) -> list[str]:
    """Return the columns that a model reads and that are not factors."""
    design = record.design
    if design is None:
        return list(record.model.columns)
    factors = {name for factor, _ in design.levels for name in factor.columns}
    return [name for name in design.terms.columns if name not in factors]
