"""Discrimination and calibration of predicted probabilities."""

from typing import Any, Self

from dask_onestep.inference.probabilities import ProbabilityDiagnostics
from dask_onestep.plots.canvas import Display, arms, points, style


class RocCurveDisplay(Display):
    """The receiver operating characteristic of predicted probabilities, with the area under it.

    Build it with `from_estimator`, or from the result of ``probability_diagnostics``.

    Parameters
    ----------
    diagnostics : ProbabilityDiagnostics
        Sums by predicted probability.

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
    >>> from dask_onestep.plots import RocCurveDisplay
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> RocCurveDisplay.from_estimator(GLMClassifier().fit(X, y), X, y).ax_.get_xlabel()
    'false positive rate'
    """

    def __init__(self, diagnostics: ProbabilityDiagnostics):
        self.diagnostics = diagnostics

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, *, ax: Any = None, **options: Any) -> Self:
        """Read the data and draw the curve.  One pass.

        Parameters
        ----------
        estimator : GLMClassifier
            A fitted estimator.
        X, y
            As for ``fit``; these may be other rows.
        ax : matplotlib Axes, optional
            Where to draw.
        **options
            Other arguments of ``probability_diagnostics``, such as ``label=`` or ``sample_weight=``.

        Returns
        -------
        RocCurveDisplay
            What was drawn.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import RocCurveDisplay
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> display = RocCurveDisplay.from_estimator(GLMClassifier().fit(X, y), X, y)
        >>> display.ax_.get_legend().get_texts()[0].get_text()[:6]
        'AUC = '
        """
        return cls(estimator.probability_diagnostics(X, y, **options)).plot(ax=ax)

    def plot(self, *, ax: Any = None, name: str = "") -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.
        name : str, default=""
            What the legend calls the curve.

        Returns
        -------
        self
            With ``ax_`` and ``figure_``.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import RocCurveDisplay
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> found = GLMClassifier().fit(X, y).probability_diagnostics(X, y)
        >>> RocCurveDisplay(found).plot(name="train").ax_.get_legend().get_texts()[0].get_text()[:12]
        'train: AUC ='
        """
        ax = self._axes(ax, (4.8, 4.8))
        curve = self.diagnostics.roc_curve()
        number = len(ax.get_lines())
        if not number:
            ax.plot([0.0, 1.0], [0.0, 1.0], color="0.6", linewidth=1, zorder=0)
        label = f"{name}: " * bool(name) + f"AUC = {self.diagnostics.auc:.3f}"
        ax.plot(curve["fpr"], curve["tpr"], color=style(max(number - 1, 0))["color"], label=label)
        ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        ax.legend(frameon=False, loc="lower right")
        return self


class CalibrationDisplay(Display):
    """The fraction of events against the predicted probability, with intervals.

    Build it with `from_estimator`, or from the result of ``probability_diagnostics``.

    Parameters
    ----------
    diagnostics : ProbabilityDiagnostics
        Sums by predicted probability.
    n_bins : int, default=10
        Number of groups of rows.
    strategy : {"quantile", "uniform"}, default="quantile"
        Whether the groups are of equal weight, or of equal width.

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
    >>> from dask_onestep.plots import CalibrationDisplay
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> CalibrationDisplay.from_estimator(GLMClassifier().fit(X, y), X, y).ax_.get_ylabel()
    'fraction of y = 1.0'
    """

    def __init__(self, diagnostics: ProbabilityDiagnostics, n_bins: int = 10, strategy: str = "quantile"):
        self.diagnostics = diagnostics
        self.n_bins = n_bins
        self.strategy = strategy

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        n_bins: int = 10,
        strategy: str = "quantile",
        ax: Any = None,
        **options: Any,
    ) -> Self:
        """Read the data and draw the curve.  One pass.

        Parameters
        ----------
        estimator : GLMClassifier
            A fitted estimator.
        X, y
            As for ``fit``; these may be other rows.
        n_bins : int, default=10
            Number of groups of rows.
        strategy : {"quantile", "uniform"}, default="quantile"
            Whether the groups are of equal weight, or of equal width.
        ax : matplotlib Axes, optional
            Where to draw.
        **options
            Other arguments of ``probability_diagnostics``, such as ``label=`` or ``sample_weight=``.

        Returns
        -------
        CalibrationDisplay
            What was drawn.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import CalibrationDisplay
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> display = CalibrationDisplay.from_estimator(GLMClassifier().fit(X, y), X, y, strategy="uniform")
        >>> display.ax_.get_xlabel()
        'predicted probability'
        """
        return cls(estimator.probability_diagnostics(X, y, **options), n_bins, strategy).plot(ax=ax)

    def plot(self, *, ax: Any = None, level: float = 0.95) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw.
        level : float, default=0.95
            Level of the intervals.

        Returns
        -------
        self
            With ``ax_`` and ``figure_``.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> from dask_onestep.plots import CalibrationDisplay
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> found = GLMClassifier().fit(X, y).probability_diagnostics(X, y)
        >>> len(CalibrationDisplay(found, n_bins=5).plot().ax_.containers)
        1
        """
        ax = self._axes(ax, (4.8, 4.8))
        curve = self.diagnostics.calibration_curve(self.n_bins, self.strategy, level=level)
        ends = curve[["predicted", "observed", "ci_lower", "ci_upper"]].to_numpy()
        reach = [max(0.0, ends.min() - 0.02), min(1.0, ends.max() + 0.02)]
        ax.plot(reach, reach, color="0.6", linewidth=1, zorder=0)
        options = points(0) | {"linestyle": "solid", "linewidth": 1}
        ax.errorbar(curve["predicted"], curve["observed"], yerr=arms(curve, "observed"), **options)
        ax.set(xlabel="predicted probability", ylabel=f"fraction of y = {self.diagnostics.label}")
        return self
