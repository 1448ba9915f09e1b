"""The path of an elastic net, and its cross-validation, against the penalty."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.plots.canvas import COLORS, Display, Paths


class PathDisplay(Paths):
    """Coefficients of an elastic net against its penalty α.

    Build it with `from_estimator`.

    Parameters
    ----------
    path : DataFrame
        Coefficients by name, one row per α, which is the index.
    alpha, alpha_1se : float, optional
        The penalties that cross-validation chose.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from dask_onestep import ElasticNetCV, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.plots import PathDisplay
    >>> X, y, coef = make_glm(2000, 4)
    >>> glm = GLMRegressor(method=ElasticNetCV(20)).fit(X, y)
    >>> PathDisplay.from_estimator(glm).path.shape
    (20, 5)
    """

    def __init__(self, path: pd.DataFrame, alpha: float | None = None, alpha_1se: float | None = None):
        self.path = path
        self.alpha = alpha
        self.alpha_1se = alpha_1se

    @classmethod
    def from_estimator(cls, estimator: Any, *, names: Sequence[str] | None = None, ax: Any = None) -> Self:
        """Draw the path of a fitted estimator, at the l1 ratio that was chosen.  No pass.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            Fitted with `ElasticNetCV`.
        names : sequence of str, optional
            Coefficients to draw in color; by default the six largest.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        PathDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the estimator has no path, or a name is not a coefficient.

        Examples
        --------
        >>> from dask_onestep import ElasticNetCV, GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import PathDisplay
        >>> X, y, coef = make_glm(2000, 4)
        >>> glm = GLMRegressor(method=ElasticNetCV(20)).fit(X, y)
        >>> PathDisplay.from_estimator(glm, names=["x1"]).ax_.get_xscale()
        'log'
        """
        _require_path(estimator, cls)
        return cls(_chosen(estimator.path_, estimator), estimator.alpha_, estimator.alpha_1se_).plot(ax=ax, names=names)

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
        >>> from dask_onestep.plots import PathDisplay
        >>> path = pd.DataFrame({"x0": [0.0, 0.5]}, index=pd.Index([1.0, 0.1], name="alpha"))
        >>> PathDisplay(path, alpha=0.1).plot().ax_.get_xlabel()
        'penalty α'
        """
        slopes = self.path.drop(columns="intercept", errors="ignore")
        ax, _ = self._draw(ax, slopes, slopes.abs().max(), names)
        _draw_choices(ax, self.alpha, self.alpha_1se)
        return self._legend(ax)


class CrossValidationDisplay(Display):
    """Mean deviance of held-out rows against the penalty α, with its standard error.

    Build it with `from_estimator`.

    Parameters
    ----------
    results : DataFrame
        Columns deviance, std_err and n_nonzero, one row per α, which is the index.
    alpha, alpha_1se : float, optional
        The penalties that cross-validation chose.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from dask_onestep import ElasticNetCV, GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.plots import CrossValidationDisplay
    >>> X, y, coef = make_glm(2000, 4)
    >>> glm = GLMRegressor(method=ElasticNetCV(20)).fit(X, y)
    >>> CrossValidationDisplay.from_estimator(glm).ax_.get_ylabel()
    'mean deviance of held-out rows'
    """

    def __init__(self, results: pd.DataFrame, alpha: float | None = None, alpha_1se: float | None = None):
        self.results = results
        self.alpha = alpha
        self.alpha_1se = alpha_1se

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the cross-validation of a fitted estimator, at the l1 ratio that was chosen.  No pass.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            Fitted with `ElasticNetCV`.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        CrossValidationDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the estimator has no path.

        Examples
        --------
        >>> from dask_onestep import ElasticNetCV, GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import CrossValidationDisplay
        >>> X, y, coef = make_glm(2000, 4)
        >>> glm = GLMRegressor(method=ElasticNetCV(20)).fit(X, y)
        >>> len(CrossValidationDisplay.from_estimator(glm).results)
        20
        """
        _require_path(estimator, cls)
        results = _chosen(estimator.cv_results_, estimator)
        return cls(results, estimator.alpha_, estimator.alpha_1se_).plot(ax=ax)

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
        >>> import pandas as pd
        >>> from dask_onestep.plots import CrossValidationDisplay
        >>> columns = {"deviance": [1.2, 1.0], "std_err": [0.1, 0.1], "n_nonzero": [0, 3]}
        >>> results = pd.DataFrame(columns, index=pd.Index([1.0, 0.1], name="alpha"))
        >>> CrossValidationDisplay(results, 0.1, 1.0).plot().ax_.get_xlabel()
        'penalty α'
        """
        ax = self._axes(ax, (7.0, 4.4))
        ax.errorbar(
            self.results.index,
            self.results["deviance"],
            yerr=self.results["std_err"],
            color="0.7",
            marker="o",
            markersize=4,
            markerfacecolor=COLORS[0],
            markeredgecolor=COLORS[0],
            linestyle="none",
        )
        _draw_choices(ax, self.alpha, self.alpha_1se, self.results["n_nonzero"])
        ax.set_ylabel("mean deviance of held-out rows")
        ax.legend(frameon=False)
        return self


def _require_path(estimator: Any, display: type) -> None:
    check_is_fitted(estimator)
    if not hasattr(estimator, "path_"):
        raise ValueError(f"{display.__name__} requires a fit with ElasticNetCV, which has a path of penalties.")


def _chosen(table: pd.DataFrame, estimator: Any) -> pd.DataFrame:
    """Return the rows of the l1 ratio that was chosen, by α."""
    return table.loc[estimator.l1_ratio_] if table.index.nlevels > 1 else table


def _draw_choices(ax: Any, alpha: float | None, alpha_1se: float | None, counts: pd.Series | None = None) -> None:
    """Draw the chosen penalties on a logarithmic axis, with the number of nonzero coefficients at each if known."""
    for value, text, line in ((alpha, "smallest deviance", "--"), (alpha_1se, "one standard error", ":")):
        if value is None or not value > 0:
            continue
        count = "" if counts is None else f", {int(counts.iloc[np.abs(counts.index - value).argmin()])} nonzero"
        ax.axvline(value, color="0.4", linestyle=line, linewidth=1, label=f"{text}: α = {value:.3g}{count}")
    ax.set(xscale="log", xlabel="penalty α")
