"""Blocks against the whole."""

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.kernels.likelihood.blocks import block_sums
from dask_onestep.plots.canvas import Display


class BlocksDisplay(Display):
    """Differences of blocks from the full data.

    Build it with `from_estimator`.

    Parameters
    ----------
    values : DataFrame of shape (K, d)
        One row per block, one column per coefficient.
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
    A block's score at β̂ shows for which coefficients its own estimate would differ from that of the full data.  The
    scores are approximately standard normal if one model holds in all blocks and rows are independent; of K·d
    scores some exceed 2 by chance.  Blocks that were formed by y, such as one block per class, differ by
    construction, which is no evidence against the model.

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
            of the covariate from those of the full data.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        BlocksDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `kind` is neither.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> from dask_onestep.plots import BlocksDisplay
        >>> BlocksDisplay.from_estimator(glm, X, y).values.shape
        (8, 3)
        """
        check_is_fitted(estimator)
        if kind not in ("score", "mean"):
            raise ValueError(f"kind={kind!r} must be 'score' or 'mean'.")
        record = estimator.record_
        data = {"sample_weight": sample_weight, "offset": offset}
        arguments = (np.nan_to_num(record.coef),)
        sums = estimator.total(block_sums, X, y, arguments=arguments, name="block-sums", **data).with_rows()
        dispersion, intercept = record.estimate.dispersion, record.model.has_intercept
        values = sums.means() if kind == "mean" else sums.scores(dispersion, intercept=intercept)
        frame = pd.DataFrame(values, index=pd.Index(sums.numbers, name="block"), columns=list(record.names))
        # The constant has the same mean in every block.
        constant = [name for name in frame if name in record.by_regressor.get("intercept", ())]
        frame = frame.drop(columns=constant) if kind == "mean" else frame
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

        Examples
        --------
        >>> import pandas as pd
        >>> from dask_onestep.plots import BlocksDisplay
        >>> values = pd.DataFrame({"x0": [0.1, -0.3], "x1": [2.0, -2.0]})
        >>> BlocksDisplay(values, "mean").plot().ax_.get_xlabel()
        'block'
        """
        # What has no score in any block, such as a level that is a block of its own, is left out.
        known = self.values.loc[:, self.values.notna().any()]
        known = known if known.shape[1] else self.values
        blocks, names = known.shape
        ax = self._axes(ax, (min(12.0, 3.0 + 0.3 * blocks), 1.6 + 0.35 * names))
        shown = known.to_numpy().T
        # At least 3, so that random variation stays pale.
        reach = max(3.0 if self.kind == "score" else 1.0, np.nanmax(np.abs(shown), initial=0.0))
        image = ax.imshow(shown, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", interpolation="nearest")
        every = max(1, -(-blocks // 24))
        ax.set_xticks(np.arange(blocks)[::every], labels=known.index[::every])
        ax.set_yticks(np.arange(names), labels=known.columns)
        ax.set_xlabel("block")
        words = {"score": "standardized score (z)", "mean": "standardized mean (z)"}
        ax.figure.colorbar(image, ax=ax, label=words[self.kind])
        return self
