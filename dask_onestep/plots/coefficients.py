"""Coefficients with their intervals."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import pandas as pd

from dask_onestep.plots.canvas import Intervals, checked_names


class CoefficientDisplay(Intervals):
    """Coefficients with their intervals, of one or several fits.

    Build it with `from_estimator`.

    Parameters
    ----------
    tables : dict from str to DataFrame
        Name of a fit to its ``coef_table``.
    level : float
        Level of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.plots import CoefficientDisplay
    >>> X, y, coef = make_glm(2000, 3, family="poisson")
    >>> fits = {name: GLMRegressor("poisson", method=name).fit(X, y) for name in ("one-step", "mle")}
    >>> display = CoefficientDisplay.from_estimator(fits)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['x0', 'x1', 'x2']
    """

    def __init__(self, tables: Mapping[str, pd.DataFrame], level: float):
        self.tables = dict(tables)
        self.level = level

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, level: float = 0.95, names: Sequence[str] | None = None, ax: Any = None
    ) -> Self:
        """Draw the coefficients of fitted estimators.  No pass.

        Parameters
        ----------
        estimator : GLMRegressor, GLMClassifier, or dict from str to these
            A fitted estimator, or several by name.
        level : float, default=0.95
            Level of the intervals.
        names : sequence of str, optional
            Coefficients to show; by default all but the intercept, whose scale is seldom that of the others.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        CoefficientDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If a name is not a coefficient of any fit.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> from dask_onestep.plots import CoefficientDisplay
        >>> CoefficientDisplay.from_estimator(glm, level=0.9).ax_.get_xlabel()
        'coefficient, with 90% interval'
        """
        fits = estimator if isinstance(estimator, Mapping) else {"": estimator}
        tables = {name: glm.coef_table(level) for name, glm in fits.items()}
        return cls(tables, level).plot(ax=ax, names=names)

    def plot(self, *, ax: Any = None, names: Sequence[str] | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.
        names : sequence of str, optional
            Coefficients to show.

        Returns
        -------
        self
            With ``ax_`` and ``figure_``.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> from dask_onestep.plots import CoefficientDisplay
        >>> display = CoefficientDisplay({"ours": glm.coef_table()}, 0.95).plot(names=["x1"])
        >>> [label.get_text() for label in display.ax_.get_yticklabels()]
        ['x1']
        """
        known = list(dict.fromkeys(name for table in self.tables.values() for name in table.index))
        shown = [name for name in known if name != "intercept"] if names is None else checked_names(names, known)
        ax = self._draw(ax, self.tables, "coef", shown, 0.0, f"coefficient, with {self.level:.0%} interval")
        if list(self.tables) != [""]:
            ax.legend(frameon=False)
        return self
