"""Plots, as scikit-learn's displays: ``from_estimator``, then ``ax_`` and ``figure_``.

They need matplotlib (extra ``plots``), which is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from dask_onestep.kernels.block_sums import block_sums

__all__ = ["BlocksDisplay", "CoefficientDisplay", "PilotSizeDisplay"]

# Okabe and Ito's colours, told apart by the colour-blind; the marks differ besides.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")


class CoefficientDisplay:
    """Coefficients with their intervals, of one fit or of several side by side.

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
        """
        known = list(dict.fromkeys(name for table in self.tables.values() for name in table.index))
        if names is not None and (unknown := [name for name in names if name not in known]):
            raise ValueError(f"names has {unknown}, which are not coefficients. These are: {', '.join(known)}.")
        shown = [name for name in known if name != "intercept"] if names is None else list(names)
        step = 0.7 / len(self.tables)
        ax = _axes(ax, (6.4, 1.2 + len(shown) * max(0.35, 0.2 * len(self.tables))))
        ax.axvline(0.0, color="0.6", linewidth=1, zorder=0)
        for number, (fit, table) in enumerate(self.tables.items()):
            rows = table.reindex(shown)
            where = np.arange(len(shown)) + step * (number - (len(self.tables) - 1) / 2)
            arms = np.abs(rows[["ci_lower", "ci_upper"]].to_numpy().T - rows["coef"].to_numpy())
            style = {"color": _COLOURS[number % len(_COLOURS)], "fmt": _MARKS[number % len(_MARKS)]}
            ax.errorbar(rows["coef"], where, xerr=arms, label=fit, capsize=2, markersize=5, **style)
        ax.set_yticks(np.arange(len(shown)), labels=shown)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_xlabel(f"coefficient, with {self.level:.0%} interval")
        if list(self.tables) != [""]:
            ax.legend(frameon=False)
        return _finished(self, ax)


class BlocksDisplay:
    """Blocks against the whole: which of them differ, and in what.

    Build it with `from_estimator`.

    Parameters
    ----------
    values : DataFrame of shape (K, d)
        A row for each block, a column for each coefficient.
    kind : {"score", "mean"}
        What the values are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        What was drawn on.
    figure_ : matplotlib Figure
        Its figure.

    Notes
    -----
    A block's score at β̂ says in which coefficients the block would differ from the whole.  The scores
    are about standard normal where one model holds in all blocks and rows are independent; with K·d of
    them some exceed 2 by chance.  Blocks that were formed by y itself, such as one a class, differ by
    design: their scores say nothing against the model.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.plots import BlocksDisplay
    >>> X, y, coef = make_glm(4000, 3, family="binomial", sort=True)
    >>> glm = GLMClassifier().fit(X, y)
    >>> BlocksDisplay.from_estimator(glm, X, y, kind="mean").values["x0"].is_monotonic_increasing
    True
    """

    def __init__(self, values: pd.DataFrame, kind: str):
        self.values = values
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        kind: str = "score",
        sample_weight: Any = None,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Read the data and draw its blocks.  One pass.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            A fitted estimator.
        X, y, sample_weight, offset
            As for ``fit``.
        kind : {"score", "mean"}, default="score"
            Each block's score at β̂ in standard deviations, or its covariate means in standard deviations
            of the covariate from those of the whole.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        BlocksDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `kind` is neither, or the model is a multinomial logit.
        """
        check_is_fitted(estimator)
        if kind not in ("score", "mean"):
            raise ValueError(f"kind={kind!r} must be 'score' or 'mean'.")
        problem = estimator._problem(X, y, sample_weight, offset)
        if problem.model.outcomes:
            raise ValueError(
                "BlocksDisplay is of models with one linear predictor a row, and a multinomial logit has several. "
                "Fit two of the classes at a time."
            )
        estimate = estimator.estimate_
        sums = problem.value(problem.total(block_sums, np.nan_to_num(estimate.coef), name="block-sums")).with_rows()
        intercept = problem.model.has_intercept
        values = sums.means() if kind == "mean" else sums.scores(estimate.dispersion, intercept=intercept)
        frame = pd.DataFrame(values, index=pd.Index(sums.numbers, name="block"), columns=list(problem.model.names))
        # The constant has the same mean in every block.
        frame = frame.drop(columns="intercept", errors="ignore") if kind == "mean" else frame
        return cls(frame, kind).plot(ax=ax)

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
        """
        blocks, names = self.values.shape
        ax = _axes(ax, (min(12.0, 3.0 + 0.3 * blocks), 1.6 + 0.35 * names))
        shown = self.values.to_numpy().T
        # At the least 3, so that what chance gives stays pale.
        reach = max(3.0 if self.kind == "score" else 1.0, np.nanmax(np.abs(shown), initial=0.0))
        image = ax.imshow(shown, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        every = max(1, -(-blocks // 24))
        ax.set_xticks(np.arange(blocks)[::every], labels=self.values.index[::every])
        ax.set_yticks(np.arange(names), labels=self.values.columns)
        ax.set_xlabel("block")
        words = {"score": "score, in s.d.", "mean": "mean, in s.d."}
        ax.figure.colorbar(image, ax=ax, label=words[self.kind])
        return _finished(self, ax)


class PilotSizeDisplay:
    """Distance to the maximum-likelihood estimate against the size of the pilot.

    Build it with `from_estimator`.

    Parameters
    ----------
    distances : DataFrame
        Columns pilot_size, random_state, pilot and estimate: how far the pilot's own estimate and the
        method's are from the MLE, √((β̂ − β̂_mle)'C⁻¹(β̂ − β̂_mle)/d), in standard errors.
    method : str
        The method's name.
    n_samples : int
        N.

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
    >>> from dask_onestep.plots import PilotSizeDisplay
    >>> X, y, coef = make_glm(8000, 2, family="binomial")
    >>> display = PilotSizeDisplay.from_estimator(GLMClassifier(), X, y, pilot_sizes=[200, 800], repeats=1)
    >>> bool((display.distances["estimate"] < display.distances["pilot"]).all())
    True
    """

    def __init__(self, distances: pd.DataFrame, method: str, n_samples: int):
        self.distances = distances
        self.method = method
        self.n_samples = n_samples

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        pilot_sizes: Sequence[int] = (250, 500, 1000, 2000, 4000),
        repeats: int = 3,
        sample_weight: Any = None,
        offset: Any = None,
        ax: Any = None,
    ) -> Self:
        """Fit the estimator with pilots of several sizes, and its MLE, and draw how near they come.

        Passes: those of the method for each size and each repeat, and those of the MLE.  Fit a sample of
        the data, or persist it first.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            Fitted or not, with a method that draws a pilot; it is cloned.
        X, y, sample_weight, offset
            As for ``fit``.
        pilot_sizes : sequence of int
            The pilots' rows.
        repeats : int, default=3
            Pilots of each size, with ``random_state`` 0, 1, ….
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        PilotSizeDisplay
            What was drawn.
        """
        data = {"sample_weight": sample_weight, "offset": offset}
        best = clone(estimator).set_params(method="mle").fit(X, y, **data).estimate_
        rows = []
        for size in pilot_sizes:
            for seed in range(repeats):
                glm = clone(estimator).set_params(method__pilot_size=int(size), method__random_state=seed)
                found = glm.fit(X, y, **data).estimate_
                rows.append((size, seed, _distance(found.pilot_coef, best), _distance(found.coef, best)))
        frame = pd.DataFrame(rows, columns=["pilot_size", "random_state", "pilot", "estimate"])
        return cls(frame, type(glm.method).__name__, best.n_samples).plot(ax=ax)

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
        """
        ax = _axes(ax, (6.4, 4.2))
        sizes = np.sort(self.distances["pilot_size"].unique())
        for number, (column, label) in enumerate((("pilot", "the pilot's own estimate"), ("estimate", self.method))):
            style = {"color": _COLOURS[number], "marker": _MARKS[number]}
            ax.scatter(self.distances["pilot_size"], self.distances[column], alpha=0.5, s=22, **style)
            middle = self.distances.groupby("pilot_size")[column].median()
            ax.plot(middle.index, middle, label=label, markersize=6, **style)
        expected = np.sqrt(np.maximum(self.n_samples / sizes - 1.0, 0.0))
        ax.plot(sizes, expected, color="0.4", linestyle=":", label="expected of a pilot, √(N/n − 1)")
        ax.axhline(1.0, color="0.7", linewidth=1, zorder=0)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("rows of the pilot, n")
        ax.set_ylabel("distance to the MLE, in standard errors")
        ax.legend(frameon=False)
        return _finished(self, ax)


def _distance(coef: np.ndarray, best: Any) -> float:
    kept = np.isfinite(best.coef)
    gap = np.nan_to_num(coef)[kept] - best.coef[kept]
    return float(np.sqrt(gap @ np.linalg.solve(best.covariance[np.ix_(kept, kept)], gap) / kept.sum()))


def _axes(ax: Any, size: tuple[float, float]) -> Any:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'dask_onestep[plots]'.") from error
    return plt.subplots(figsize=size, layout="constrained")[1]


def _finished(display: Any, ax: Any) -> Any:
    ax.spines[["top", "right"]].set_visible(False)
    display.ax_, display.figure_ = ax, ax.figure
    return display
