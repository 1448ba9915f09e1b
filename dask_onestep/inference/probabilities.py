"""Predicted probabilities compared with what happened: discrimination, calibration, the Hosmer-Lemeshow test."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from dask_onestep.choices import unknown_choice
from dask_onestep.inference.statistics import TestResult
from dask_onestep.inference.tables import check_level
from dask_onestep.kernels.likelihood.binned import BinnedSums

_STRATEGIES = ("quantile", "uniform")


@dataclass(frozen=True, repr=False, eq=False)
class ProbabilityDiagnostics:
    """Predicted probabilities of a class compared with what happened, from sums by predicted probability.

    Attributes
    ----------
    bins : BinnedSums
        Weights of events, of other rows, and of predicted events.  Each distinct probability has its own bin if these
        are no more than 16,384; then all results are exact.
    label : object
        The class whose probability is predicted.

    Examples
    --------
    >>> from dask_onestep import GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> found = GLMClassifier().fit(X, y).probability_diagnostics(X, y)
    >>> bool(0.5 < found.auc < 1), found.auc_error
    (True, 0.0)
    """

    bins: BinnedSums
    label: object = 1

    def __repr__(self) -> str:
        what = f"label={self.label!r}: {self.events:,.6g} of {self.weight:,.6g}, AUC {self.auc:.6g}"
        kind = "distinct probabilities" if self.bins.exact else "bins"
        return f"{type(self).__name__}({what}, {len(self.bins.keys):,} {kind})"

    @property
    def events(self) -> float:
        """Weight of the rows of the class."""
        return float(self.bins.sums[:, 0].sum())

    @property
    def weight(self) -> float:
        """Weight of all rows."""
        return float(self.bins.sums[:, :2].sum())

    @property
    def auc(self) -> float:
        """Area under the ROC curve: the fraction of pairs in which the event is predicted higher, ties by half."""
        events, others, _ = self.bins.sums.T
        below = np.cumsum(others) - others
        return self._of_pairs(np.dot(events, below + others / 2))

    @property
    def auc_error(self) -> float:
        """Bound of the error of `auc`, from pairs of rows in one bin; 0 if each distinct probability has its own."""
        if self.bins.exact:
            return 0.0
        events, others, _ = self.bins.sums.T
        return self._of_pairs(np.dot(events, others) / 2)

    def _of_pairs(self, weight: float) -> float:
        """Return the fraction that a weight is of all pairs of an event and another row; NaN if there are none."""
        pairs = self.events * (self.weight - self.events)
        return float(weight / pairs) if pairs > 0 else float("nan")

    def roc_curve(self) -> pd.DataFrame:
        """Return the ROC curve.

        Returns
        -------
        DataFrame
            Columns threshold, fpr and tpr, the fractions of other rows and of events whose prediction is at least the
            threshold; from infinity down.  NaN where there are no other rows, or no events.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> found = GLMClassifier().fit(X, y).probability_diagnostics(X, y)
        >>> found.roc_curve()[["fpr", "tpr"]].iloc[[0, -1]].to_numpy().tolist()
        [[0.0, 0.0], [1.0, 1.0]]
        """
        events, others, predicted = self.bins.sums[::-1].T
        with np.errstate(invalid="ignore"):
            tpr, fpr = (np.cumsum(each) / each.sum() for each in (events, others))
        threshold = predicted / (events + others)
        return pd.DataFrame(
            {
                "threshold": np.concatenate([[np.inf], threshold]),
                "fpr": np.concatenate([[0.0], fpr]),
                "tpr": np.concatenate([[0.0], tpr]),
            }
        )

    def calibration_curve(self, n_bins: int = 10, strategy: str = "quantile", *, level: float = 0.95) -> pd.DataFrame:
        """Return the fraction of events by predicted probability.

        Parameters
        ----------
        n_bins : int, default=10
            Number of groups; those without rows are omitted.
        strategy : {"quantile", "uniform"}, default="quantile"
            Whether the groups are of equal weight, or of equal width.
        level : float, default=0.95
            Level of Wilson's intervals, with weights as numbers of rows.

        Returns
        -------
        DataFrame
            Columns predicted (the mean prediction), observed (the fraction of events), weight, ci_lower, ci_upper.

        Raises
        ------
        ValueError
            If the strategy is unknown, or the level is not between 0 and 1.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> found = GLMClassifier().fit(X, y).probability_diagnostics(X, y)
        >>> found.calibration_curve(5)["weight"].tolist()
        [400.0, 400.0, 400.0, 400.0, 400.0]
        """
        if strategy not in _STRATEGIES:
            raise ValueError(unknown_choice("strategy", strategy, map(repr, _STRATEGIES)))
        check_level(level)
        sums = self.bins.sums
        if strategy == "quantile":
            groups = self.bins.merged(sums[:, :2].sum(axis=1), n_bins)
        else:
            # As scikit-learn has it: a prediction at a border is of the lower group.
            mean = sums[:, 2] / sums[:, :2].sum(axis=1)
            place = np.searchsorted(np.linspace(0.0, 1.0, n_bins + 1)[1:-1], mean)
            groups = np.add.reduceat(sums, np.flatnonzero(np.diff(place, prepend=-1)), axis=0)
        events, weight, predicted = groups[:, 0], groups[:, :2].sum(axis=1), groups[:, 2]
        z, observed = stats.norm.isf((1.0 - level) / 2.0), events / weight
        center = (observed + z**2 / (2 * weight)) / (1 + z**2 / weight)
        half = z / (1 + z**2 / weight) * np.sqrt(observed * (1 - observed) / weight + (z / (2 * weight)) ** 2)
        return pd.DataFrame(
            {
                "predicted": predicted / weight,
                "observed": observed,
                "weight": weight,
                "ci_lower": center - half,
                "ci_upper": center + half,
            }
        )

    def hosmer_lemeshow_test(self, n_groups: int = 10, *, in_sample: bool = True) -> TestResult:
        """Return the Hosmer-Lemeshow test of calibration.

        Rows are grouped by predicted probability, ties together, into groups of about equal size (as Stata's
        ``estat gof, group(10)``), and observed numbers of events are compared with predicted ones.

        Parameters
        ----------
        n_groups : int, default=10
            Number of groups g.
        in_sample : bool, default=True
            Whether the model was fitted to these rows; then χ² has g − 2 degrees of freedom, otherwise g.

        Returns
        -------
        TestResult
            Σ (O − E)²/(E(1 − E/n)) over the groups against χ².  With very many rows it rejects deviations of no
            practical importance; compare `calibration_curve`.

        Raises
        ------
        ValueError
            If there are too few groups for a test.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> found = GLMClassifier().fit(X, y).probability_diagnostics(X, y)
        >>> found.hosmer_lemeshow_test().df
        8
        """
        groups = self.bins.merged(self.bins.sums[:, :2].sum(axis=1), n_groups)
        lost = 2 if in_sample else 0
        if len(groups) <= lost:
            raise ValueError(
                f"The predictions make {len(groups)} groups (n_groups={n_groups}), and the test needs at least "
                f"{lost + 1}. Use more groups; a model with so few distinct predictions is saturated."
            )
        events, weight, predicted = groups[:, 0], groups[:, :2].sum(axis=1), groups[:, 2]
        statistic = float((np.square(events - predicted) / (predicted * (1.0 - predicted / weight))).sum())
        fewer = f"Ties leave {len(groups)} of {n_groups} groups." if len(groups) < n_groups else ""
        return TestResult.of(
            statistic, len(groups) - lost, null="calibrated probabilities", test="Hosmer-Lemeshow", note=fewer
        )
