"""Average effects with their intervals, and predicted responses against a column."""

from typing import Any, Self

import dask
import numpy as np
import pandas as pd

from dask_onestep.choices import suggestion
from dask_onestep.data.inputs import as_frame
from dask_onestep.messages import catalogue
from dask_onestep.plots.canvas import Display, Intervals, arms, points, style

_KINDS = ("slopes", "comparisons")
_NUMBERS = ("estimate", "std_err", "z", "t", "p_value", "ci_lower", "ci_upper")


class EffectsDisplay(Intervals):
    """Average effects with their intervals, by groups of rows.

    Build it with `from_estimator`, or from a table of ``avg_slopes`` or ``avg_comparisons``.

    Parameters
    ----------
    table : DataFrame
        The effects.
    level : float
        Level of the intervals.
    null : float, default=0.0
        The value without an effect: 1 for ratios.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.plots import EffectsDisplay
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMClassifier().fit(X, y)
    >>> display = EffectsDisplay(glm.avg_slopes(X), 0.95).plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['x0: dY/dX', 'x1: dY/dX']
    """

    def __init__(self, table: pd.DataFrame, level: float, null: float = 0.0):
        self.table = table
        self.level = level
        self.null = null

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        variables: Any = None,
        by: Any = None,
        *,
        kind: str = "slopes",
        level: float = 0.95,
        ax: Any = None,
        **options: Any,
    ) -> Self:
        """Draw the average effects of a fitted estimator.  Passes as `avg_slopes` or `avg_comparisons` has.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            A fitted estimator.
        X, variables, by
            As for ``avg_slopes`` or ``avg_comparisons``.
        kind : {"slopes", "comparisons"}, default="slopes"
            Which of the two.
        level : float, default=0.95
            Level of the intervals.
        ax : matplotlib Axes, optional
            Where to draw.
        **options
            Other arguments of the method, such as ``comparison="ratio"`` or ``offset=``.

        Returns
        -------
        EffectsDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `kind` is unknown.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import EffectsDisplay
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> display = EffectsDisplay.from_estimator(glm, X, kind="comparisons", level=0.9)
        >>> display.ax_.get_xlabel()
        'average effect on the response, with 90% interval'
        """
        if kind not in _KINDS:
            raise ValueError(f"Unknown kind {kind!r}; must be one of {', '.join(map(repr, _KINDS))}.")
        method = estimator.avg_slopes if kind == "slopes" else estimator.avg_comparisons
        table = method(X, variables, by, level=level, **options)
        null = 1.0 if options.get("comparison") in ("ratio", "oddsratio") else 0.0
        return cls(table, level, null).plot(ax=ax)

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
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import EffectsDisplay
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> table = glm.avg_comparisons(X, {"x0": (0, 1)}, comparison="ratio")
        >>> EffectsDisplay(table, 0.95, null=1.0).plot().ax_.get_yticklabels()[0].get_text()
        'x0: 1 / 0'
        """
        table = self.table.set_index(self.table["term"] + ": " + self.table["contrast"])
        shown = list(dict.fromkeys(table.index))
        label = f"average effect on the response, with {self.level:.0%} interval"
        ax = self._draw(ax, _series(table), "estimate", shown, self.null, label)
        _legend(ax, self.table)
        return self


class PredictionsDisplay(Display):
    """The mean predicted response against one column, of all rows or by groups of rows, with intervals.

    Build it with `from_estimator`.

    Parameters
    ----------
    table : DataFrame
        What ``avg_predictions`` returns for one column, with its values in the column ``value``.
    variable : str
        The column.
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
    >>> from dask_onestep.plots import PredictionsDisplay
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> glm = GLMRegressor("poisson").fit(X, y)
    >>> display = PredictionsDisplay.from_estimator(glm, X, "x0")
    >>> display.ax_.get_xlabel()
    'x0'
    """

    def __init__(self, table: pd.DataFrame, variable: str, level: float):
        self.table = table
        self.variable = variable
        self.level = level

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        variable: str,
        by: Any = None,
        *,
        values: Any = 30,
        level: float = 0.95,
        ax: Any = None,
        **options: Any,
    ) -> Self:
        """Draw the mean predicted response with a column set to a sequence of values for all rows.

        One pass; one more for the extremes of a numeric column where `values` is a number.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            A fitted estimator.
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Rows to average over.
        variable : str
            The column on the x axis; of a factor all levels are shown.
        by : str or list of str, optional
            Groups of rows, a line for each.
        values : int or array-like, default=30
            The column's values, or how many between its extremes.
        level : float, default=0.95
            Level of the intervals, each of which is for one value.
        ax : matplotlib Axes, optional
            Where to draw.
        **options
            Other arguments of ``avg_predictions``, such as ``offset=``.

        Returns
        -------
        PredictionsDisplay
            What was drawn.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import PredictionsDisplay
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> display = PredictionsDisplay.from_estimator(glm, X, "x0", values=[-1, 0, 1])
        >>> display.table["value"].tolist()
        [-1, 0, 1]
        """
        levels = _levels(estimator, variable)
        if levels is not None:
            grid = levels if isinstance(values, int) else list(values)
        elif isinstance(values, int):
            grid = np.linspace(*_extremes(estimator, X, variable), values).tolist()
        else:
            grid = np.asarray(values).tolist()
        table = estimator.avg_predictions(X, {variable: grid}, by, level=level, **options)
        repeats = len(table) // len(grid)
        table.insert(2, "value", pd.Series(grid).repeat(repeats).reset_index(drop=True))
        return cls(table, variable, level).plot(ax=ax)

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
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import PredictionsDisplay
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> table = glm.avg_predictions(X, {"x0": [0, 1]}).assign(value=[0, 1])
        >>> len(PredictionsDisplay(table, "x0", 0.95).plot().ax_.get_lines())
        1
        """
        ax = self._axes(ax, (6.4, 4.0))
        numeric = pd.api.types.is_numeric_dtype(self.table["value"])
        values = list(dict.fromkeys(self.table["value"]))
        series = _series(self.table)
        step = 0.5 / len(series)
        for number, (name, rows) in enumerate(series.items()):
            look = style(number)
            if numeric:
                ax.fill_between(rows["value"], rows["ci_lower"], rows["ci_upper"], alpha=0.2, color=look["color"], lw=0)
                ax.plot(rows["value"], rows["estimate"], color=look["color"], label=name)
                continue
            where = [values.index(value) + step * (number - (len(series) - 1) / 2) for value in rows["value"]]
            ax.errorbar(where, rows["estimate"], yerr=arms(rows, "estimate"), label=name, **points(number))
        if not numeric:
            ax.set_xticks(np.arange(len(values)), labels=[str(value) for value in values])
        ax.set(xlabel=self.variable, ylabel=f"mean predicted response, with {self.level:.0%} interval")
        _legend(ax, self.table)
        return self


def _series(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each group and class, by name."""
    keys = [name for name in table.columns if name not in ("term", "contrast", "value", *_NUMBERS)]
    if not keys:
        return {"": table}
    return {
        ", ".join(map(str, np.atleast_1d(np.asarray(key, dtype=object)))): rows
        for key, rows in table.groupby(keys if len(keys) > 1 else keys[0], sort=False, observed=True)
    }


def _legend(ax: Any, table: pd.DataFrame) -> None:
    keys = [name for name in table.columns if name not in ("term", "contrast", "value", *_NUMBERS)]
    if keys:
        ax.legend(frameon=False, title=", ".join(keys))


def _levels(estimator: Any, variable: str) -> list[Any] | None:
    """Return the levels of a column that is a factor."""
    design = estimator.record_.design
    for factor, levels in () if design is None else design.levels:
        if variable in (factor.name, factor.source):
            return levels.tolist()
    return None


def _extremes(estimator: Any, X: Any, variable: str) -> tuple[float, float]:
    """Return the least and the greatest value of a numeric column."""
    columns = estimator.record_.columns
    if variable not in columns:
        said = {"name": variable, "names": list(columns), "hint": suggestion(variable, columns)}
        raise catalogue.NOT_A_VARIABLE.error(**said)
    X = as_frame(X, {}, (), [variable])[0]
    if hasattr(X, "columns"):
        ends = X[variable].min(), X[variable].max()
    else:
        column = (X if hasattr(X, "shape") else np.asarray(X))[:, columns.index(variable)]
        ends = np.nanmin(column), np.nanmax(column)
    low, high = dask.compute(*ends)
    return float(low), float(high)
