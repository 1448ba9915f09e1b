"""Coefficients of the sparse methods against their penalty."""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from dask_onestep.exceptions import CoverageWarning
from dask_onestep.graph.progress import each_shown
from dask_onestep.methods import AverageLasso, DebiasedLasso, resolve_method
from dask_onestep.plots.canvas import Paths


class RegularizationDisplay(Paths):
    """Coefficients of a sparse method against its penalty α, with the lasso beneath and intervals.

    Build it with `from_estimator`.

    Parameters
    ----------
    coefficients : DataFrame
        Columns alpha, name, average (the lasso, or the mean of those of blocks), coef, ci_lower and ci_upper (what the
        method returns of it, and NaN for intervals where it has none); a row for each α and each coefficient.
    method : str
        The method's name.
    level : float
        Level of the intervals.
    alpha : float, optional
        The penalty that the estimator itself takes, averaged over blocks and columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Notes
    -----
    A debiased coefficient should hardly depend on α over a wide range of it, while the lasso's shrinks:
    where the solid lines bend, the correction no longer undoes what the penalty does.

    Examples
    --------
    >>> from dask_onestep import DebiasedLasso, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.plots import RegularizationDisplay
    >>> X, y, coef = make_glm(8000, 5, coef=[0.0, 1.0, -0.5, 0.0, 0.0, 0.0], chunks=4000)
    >>> glm = GLMRegressor(method=DebiasedLasso())
    >>> display = RegularizationDisplay.from_estimator(glm, X, y, alphas=[0.02, 0.2])
    >>> table = display.coefficients.set_index(["alpha", "name"])
    >>> bool(table.loc[(0.2, "x0"), "average"] < 0.9 < table.loc[(0.2, "x0"), "coef"])
    True
    """

    def __init__(self, coefficients: pd.DataFrame, method: str, level: float, alpha: float | None = None):
        self.coefficients = coefficients
        self.method = method
        self.level = level
        self.alpha = alpha

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        alphas: Sequence[float] | None = None,
        level: float = 0.95,
        names: Sequence[str] | None = None,
        sample_weight: Any = None,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Fit the estimator with several penalties, and draw its coefficients.

        Passes: those of the method, for each penalty and once for the estimator's own.  Persist the data first, or use
        a sample of it; with ``verbose=True`` of the estimator the progress is shown.  A `CoverageWarning` is issued
        only for the estimator's own penalty.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            An estimator with `DebiasedLasso` or `AverageLasso`; it is cloned.
        X, y, sample_weight, offset
            As for ``fit``.
        alphas : sequence of float, optional
            The penalties; by default nine, from a tenth of the estimator's own to ten times as much.
        level : float, default=0.95
            Level of the intervals.
        names : sequence of str, optional
            Coefficients to draw in color; by default the six largest of the average lasso.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        RegularizationDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the method has no penalty, a penalty is not a positive number, or a name is not a coefficient.

        Examples
        --------
        >>> from dask_onestep import AverageLasso, GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import RegularizationDisplay
        >>> X, y, coef = make_glm(2000, 2)
        >>> glm = GLMRegressor(method=AverageLasso())
        >>> display = RegularizationDisplay.from_estimator(glm, X, y, alphas=[0.01, 0.1])
        >>> display.coefficients["alpha"].unique().tolist()
        [0.01, 0.1]
        """
        own = clone(estimator).set_params(method=clone(resolve_method(estimator.method)))
        if not isinstance(own.method, (AverageLasso, DebiasedLasso)):
            raise ValueError(
                "RegularizationDisplay requires a penalized method, DebiasedLasso or AverageLasso; PathDisplay draws "
                "the path of ElasticNetCV."
            )
        data = {"sample_weight": sample_weight, "offset": offset}
        estimate = own.fit(X, y, **data).record_.estimate
        penalized = estimate.alpha[estimate.alpha > 0]
        alpha = float(penalized.mean()) if len(penalized) else None
        grid = _checked(alphas, alpha)
        tables = []
        own.set_params(verbose=False)
        for value in each_shown(grid.tolist(), "fits by penalty", shown=estimator.verbose):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CoverageWarning)
                glm = clone(own).set_params(method__alpha=value).fit(X, y, **data)
            table = glm.coef_table(level)[["coef", "ci_lower", "ci_upper"]]
            tables.append(table.assign(alpha=value, average=glm.record_.estimate.average_coef).rename_axis("name"))
        columns = ["alpha", "name", "average", "coef", "ci_lower", "ci_upper"]
        frame = pd.concat(tables).reset_index()[columns]
        return cls(frame, type(own.method).__name__, level, alpha).plot(ax=ax, names=names)

    def plot(self, *, ax: Any = None, names: Sequence[str] | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.
        names : sequence of str, optional
            Coefficients to draw in color; the others are gray.

        Returns
        -------
        self
            With ``ax_`` and ``figure_``.

        Examples
        --------
        >>> import pandas as pd
        >>> from dask_onestep.plots import RegularizationDisplay
        >>> path = pd.DataFrame({"alpha": [0.1, 1.0], "name": "x0", "average": [0.8, 0.0], "coef": [0.8, 0.0]})
        >>> path = path.assign(ci_lower=float("nan"), ci_upper=float("nan"))
        >>> RegularizationDisplay(path, "AverageLasso", 0.95).plot().ax_.get_xlabel()
        'penalty α'
        """
        shown = self.coefficients[self.coefficients["name"] != "intercept"]
        wide: Any = shown.set_index(["alpha", "name"]).unstack()  # noqa: PD010
        known = shown["name"].unique()
        ax, colors = self._draw(ax, wide["coef"].reindex(columns=known), wide["average"][known].abs().max(), names)
        debiased = bool(np.isfinite(wide["ci_lower"].to_numpy()).any())
        for name, color in colors.items() if debiased else ():
            ax.plot(wide.index, wide["average"][name], color=color, linestyle="--", linewidth=1)
            ax.fill_between(
                wide.index, wide["ci_lower"][name], wide["ci_upper"][name], color=color, alpha=0.2, linewidth=0
            )
        if self.alpha is not None:
            ax.axvline(self.alpha, color="0.4", linestyle=":", linewidth=1, label="the fit's own α")
        if debiased:
            ax.plot([], [], color="0.2", label=f"debiased, with {self.level:.0%} interval")
            ax.plot([], [], color="0.2", linestyle="--", linewidth=1, label="average of the lassos")
        return self._legend(ax)


def _checked(alphas: Sequence[float] | None, alpha: float | None) -> np.ndarray:
    if alphas is None:
        if alpha is None:
            raise ValueError("alphas is required, since the estimator's own penalty is 0.")
        return alpha * np.geomspace(0.1, 10.0, 9)
    grid = np.asarray(alphas, dtype=float)
    if grid.ndim != 1 or not len(grid) or not (np.isfinite(grid) & (grid > 0)).all():
        raise ValueError(f"alphas={alphas!r} must be positive (the axis is logarithmic).")
    return np.unique(grid)
