"""The size of the pilot against the distance to the maximum-likelihood estimate."""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from dask_onestep.exceptions import FitWarning
from dask_onestep.graph.progress import each_shown
from dask_onestep.plots.canvas import Display, style


class PilotSizeDisplay(Display):
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
        """Fit the estimator with pilots of several sizes, and its MLE, and draw the distances between them.

        ``steps="auto"`` is replaced by one step, and warnings of the fits are not issued.

        Passes: those of the method for each size and each repeat, and those of the MLE.  Use a sample of the data, or
        persist the data first; with ``verbose=True`` of the estimator the progress is shown.

        Parameters
        ----------
        estimator : GLMRegressor or GLMClassifier
            An estimator whose method draws a pilot; it is cloned.
        X, y, sample_weight, offset
            As for ``fit``.
        pilot_sizes : sequence of int
            Numbers of rows of the pilots.
        repeats : int, default=3
            Number of pilots of each size, with ``random_state`` 0, 1, ….
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        PilotSizeDisplay
            What was drawn.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> from dask_onestep.plots import PilotSizeDisplay
        >>> display = PilotSizeDisplay.from_estimator(glm, X, y, pilot_sizes=[400], repeats=2)
        >>> display.distances["random_state"].tolist()
        [0, 1]
        """
        data = {"sample_weight": sample_weight, "offset": offset}
        quiet = clone(estimator).set_params(verbose=False)
        best = clone(quiet).set_params(method="mle").fit(X, y, **data).record_.estimate
        rows, glm = [], clone(quiet).set_params(method__random_state=0)
        if glm.get_params().get("method__steps") == "auto":
            glm.set_params(method__steps=1)
        pilots = [(size, seed) for size in pilot_sizes for seed in range(repeats)]
        for size, seed in each_shown(pilots, "fits by pilot size", shown=estimator.verbose):
            glm.set_params(method__pilot_size=int(size), method__random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FitWarning)
                found = glm.fit(X, y, **data).record_.estimate
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

        Examples
        --------
        >>> import pandas as pd
        >>> from dask_onestep.plots import PilotSizeDisplay
        >>> distances = pd.DataFrame({"pilot_size": [100, 400], "pilot": [9.0, 5.0], "estimate": [0.9, 0.2]})
        >>> PilotSizeDisplay(distances, "OneStep", 10_000).plot().ax_.get_yscale()
        'log'
        """
        ax = self._axes(ax, (6.4, 4.2))
        sizes = np.sort(self.distances["pilot_size"].unique())
        for number, (column, label) in enumerate((("pilot", "pilot estimate"), ("estimate", self.method))):
            ax.scatter(self.distances["pilot_size"], self.distances[column], alpha=0.5, s=22, **style(number))
            middle = self.distances.groupby("pilot_size")[column].median()
            ax.plot(middle.index, middle, label=label, markersize=6, **style(number))
        expected = np.sqrt(np.maximum(self.n_samples / sizes - 1.0, 0.0))
        ax.plot(sizes, expected, color="0.4", linestyle=":", label="expected for the pilot, √(N/n − 1)")
        ax.axhline(1.0, color="0.7", linewidth=1, zorder=0)
        ax.set(xscale="log", yscale="log")
        ax.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
        ax.minorticks_off()
        ax.set(xlabel="rows of the pilot, n", ylabel="distance to the MLE, in standard errors")
        ax.legend(frameon=False)
        return self


def _distance(coef: np.ndarray, best: Any) -> float:
    kept = np.isfinite(best.coef)
    gap = np.nan_to_num(coef)[kept] - best.coef[kept]
    return float(np.sqrt(gap @ np.linalg.solve(best.covariance[np.ix_(kept, kept)], gap) / kept.sum()))
