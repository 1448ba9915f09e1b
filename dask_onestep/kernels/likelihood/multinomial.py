"""The multinomial logit: log(p_c/p_0) = x'β_c for each class c except the first, all β_c in one vector.

y holds codes 0 … C − 1. β is (β_1', …, β_{C−1}')', of length (C − 1)·d; the score of a row is (1[y = c] − p_c)_c ⊗ x
and its information (diag(p) − pp') ⊗ xx', observed and expected alike. A hypothesis may fix some coefficients; sums are
then for the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, logsumexp, softmax

from dask_onestep.families import Family
from dask_onestep.families import Multinomial as MultinomialFamily
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.split_matrix import stack
from dask_onestep.kernels.likelihood.goodness import ClassWeights, FitSums
from dask_onestep.kernels.matrices.algebra import Slice
from dask_onestep.kernels.model import Model, Prediction
from dask_onestep.kernels.records import LogLikelihoods, Moments
from dask_onestep.kernels.rows.slices import slices
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.links import LINKS, LinkLike

_FAMILY = MultinomialFamily()


def probabilities(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of all classes except the first, and −log p_0."""
    top = np.maximum(eta.max(axis=1), 0.0)
    raised = np.exp(eta - top[:, None])
    total = raised.sum(axis=1) + np.exp(-top)
    return raised / total[:, None], top + np.log(total)


@dataclass(frozen=True)
class Multinomial:
    """The likelihood for labels of several classes, with one linear predictor for each class except the first.

    Attributes
    ----------
    labels : tuple of str
        The classes except the first, in order.
    family : Family
        Properties of the distribution that inference needs.
    link : LinkLike
        The logit.

    Examples
    --------
    >>> from dask_onestep.kernels.likelihood.multinomial import Multinomial
    >>> Multinomial(("cedar", "oak")).coefficient_names(("intercept", "x0"))
    ('cedar:intercept', 'cedar:x0', 'oak:intercept', 'oak:x0')
    """

    labels: tuple[str, ...]
    family: Family = _FAMILY
    link: LinkLike = LINKS["logit"]

    stages: ClassVar[tuple] = ()
    takes_offset: ClassVar[bool] = False
    natural: ClassVar[bool] = True
    quadratic: ClassVar[bool] = False
    separable: ClassVar[bool] = True
    residual_kinds: ClassVar[tuple[str, ...]] = ("response", "pearson", "deviance")

    @property
    def n_predictors(self) -> int:
        """Number of linear predictors per row, C − 1."""
        return len(self.labels)

    def coefficient_names(self, regressors: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the coefficients, class by class."""
        return tuple(f"{label}:{name}" for label in self.labels for name in regressors)

    # Rows

    def linear_predictors(self, part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return x'β_c of each class except the first, of shape (m, C − 1)."""
        return part.times(self._by_class(model, coef, dict(model.fixed)).T)

    def _by_class(self, model: Model, coef: np.ndarray, held: Mapping[str, float]) -> np.ndarray:
        """Return all coefficients, one row per class except the first; fixed ones have the given values, or 0."""
        if model.fixed:
            full = np.array([held.get(name, 0.0) for name in model.all_names])
            full[model.free] = coef
            coef = full
        return coef.reshape(self.n_predictors, model.width)

    def is_class(self, y: np.ndarray) -> np.ndarray:
        """Return indicators (0.0 or 1.0) of each class except the first."""
        return (y[:, None] == np.arange(1, self.n_predictors + 1)).astype(np.float64)

    def responses(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return p_c of every class and ∂p_c/∂η_a = p_c(1[c = a] − p_a), of shape (m, C) and (m, C, C − 1)."""
        others, _ = probabilities(eta)
        p = softmax(np.column_stack([np.zeros(len(eta)), eta]), axis=1)
        is_own = np.eye(self.n_predictors + 1)[:, 1:]
        return p, p[:, :, None] * (is_own - others[:, None, :])

    def row_log_likelihoods(self, part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return log p_y of each row."""
        eta = self.linear_predictors(part, model, coef)
        return (self.is_class(part.y) * eta).sum(axis=1) - probabilities(eta)[1]

    def row_residuals(self, part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return 1[y = c] − p_c of each row: the score of a row of weight 1 is this ⊗ x."""
        probability, _ = probabilities(self.linear_predictors(part, model, coef))
        return self.is_class(part.y) - probability

    def row_curvatures(self, part: Slice, model: Model, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return each row's residuals, and diag(p) − pp' twice, as expected and as observed information."""
        probability, _ = probabilities(self.linear_predictors(part, model, coef))
        curvature = probability[:, :, None] * (np.eye(self.n_predictors) - probability[:, None, :])
        return self.is_class(part.y) - probability, curvature, curvature

    def row_state(self, part: Slice, model: Model, coef: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return each row's weighted residuals and probabilities, the latter as they are, and linear predictors."""
        eta = self.linear_predictors(part, model, coef)
        p, _ = probabilities(eta)
        return part.weighted(self.is_class(part.y) - p), part.weighted(p), p, eta

    def row_changes(
        self, before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the part of each row's weighted residuals that is nonlinear in the step, the residuals, and x'δ."""
        (start, weighted, p, eta), (residual, *_, end) = before, after
        ahead = end - eta
        return residual - start + weighted * (ahead - (p * ahead).sum(axis=1, keepdims=True)), residual, ahead

    def moved(self, y: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far the log odds of each row's class move, and how far in the wrong direction."""
        moves = np.column_stack([np.zeros(len(y)), moves])
        ahead = moves[np.arange(len(y)), y.astype(np.intp)][:, None] - moves
        return np.abs(ahead).max(axis=1), -ahead.min(axis=1)

    # Sums over rows

    def view(self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Rows:
        """Return the rows unchanged: there are no stages."""
        return rows

    def moments(self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Moments:
        """Return log-likelihood, score and information at β."""
        d, others = model.width, self.n_predictors
        size = others * d
        score, information, loglik = np.zeros((d, others)), np.zeros((size, size)), 0.0
        with np.errstate(all="ignore"):  # non-finite values show in the sums
            for part in slices(rows, model):
                weights = part.row_weights
                eta = self.linear_predictors(part, model, coef)
                probability, normalizer = probabilities(eta)
                hit = self.is_class(part.y)
                loglik += float(np.dot(weights, (hit * eta).sum(axis=1) - normalizer))
                score += part.weighted_sum(weights[:, None] * (hit - probability))
                curvature = probability[:, :, None] * (np.eye(others) - probability[:, None, :])
                information += part.gram(weights[:, None, None] * curvature)
        free = model.free
        return Moments(len(rows), rows.total_weight, loglik, score.T.ravel()[free], information[np.ix_(free, free)])

    observed_moments = moments

    def initial_moments(self, rows: Rows, model: Model) -> Moments:
        """Return the moments at 0, where the first step starts."""
        return self.moments(rows, model, np.zeros(len(model.names)))

    def log_likelihoods(self, rows: Rows, model: Model, coefs: np.ndarray) -> LogLikelihoods:
        """Return log-likelihoods and deviances at several β, one per row of `coefs`."""
        total = np.zeros(len(coefs))
        with np.errstate(all="ignore"):
            for part in slices(rows, model):
                total += [np.dot(part.row_weights, self.row_log_likelihoods(part, model, coef)) for coef in coefs]
        return LogLikelihoods(len(rows), total, -2.0 * total)

    def fit_sums(
        self, rows: Rows, model: Model, coef: np.ndarray, dispersion: float, null_intercept: float | None
    ) -> FitSums:
        """Return the sums for log-likelihood, deviances and Pearson's χ²; there is neither dispersion nor offset."""
        loglik = pearson = 0.0
        for part in slices(rows, model):
            weights = part.row_weights
            hit = self.row_log_likelihoods(part, model, coef)
            loglik += float(np.dot(weights, hit))
            # Σ_c (1[y = c] − p_c)²/p_c = 1/p_y − 1.
            pearson += float(np.dot(weights, np.expm1(-hit)))
        null = ClassWeights(np.bincount(rows.y.astype(np.intp), rows.row_weights, minlength=self.n_predictors + 1))
        return FitSums(len(rows), rows.total_weight, loglik, -2.0 * loglik, pearson, null, None)

    # Predictions and residuals

    def prediction_width(self, kind: str) -> int:
        """Return the number of columns of a kind of prediction, 0 if it has one value per row."""
        return 2 if kind == "interval" else 0 if kind == "label" else self.n_predictors + 1

    def residual_width(self, kind: str) -> int:
        """Return the number of columns of a kind of residual, 0 if it has one value per row."""
        return 0 if kind == "deviance" else self.n_predictors + 1

    def predict(self, rows: Rows, model: Model, asked: Prediction) -> np.ndarray:
        """Return predictions of rows."""
        coef = np.nan_to_num(asked.coef)
        with one_blas_thread():
            eta = self.class_predictors(rows, model, coef)
            if asked.covariance is not None and asked.kind in ("proba_std", "interval"):
                covariance = np.nan_to_num(asked.covariance)
                if asked.kind == "proba_std":
                    return self._probability_errors(rows, model, eta, covariance)
                return self._probability_ends(rows, model, eta, covariance, asked.label, asked.quantile)
        if asked.kind == "proba":
            return softmax(eta, axis=1)
        if asked.kind == "linear":
            return eta
        assert asked.classes is not None
        if (missing := int(np.isnan(eta).any(axis=1).sum())) > 0:
            raise ValueError(
                f"{missing} rows have missing values and therefore no label; predict_proba returns NaN for them."
            )
        return asked.classes[eta.argmax(axis=1)]

    def residuals(self, rows: Rows, model: Model, coef: np.ndarray, kind: str) -> np.ndarray:
        """Return residuals of rows for weight 1.

        "response" is 1[y = c] − p_c, of shape (m, C); "pearson" divides it by √p_c, so the squares sum to Pearson's χ²;
        "deviance" is √(−2 log p_y), of shape (m,), whose squares sum to the deviance.
        """
        eta = self.class_predictors(rows, model, np.nan_to_num(coef))
        log_p = eta - logsumexp(eta, axis=1, keepdims=True)
        if kind == "deviance":
            chosen = log_p[np.arange(len(rows)), rows.y.astype(np.intp)]
            return np.sqrt(np.maximum(-2.0 * chosen, 0.0))
        residual = np.column_stack([rows.y == 0, self.is_class(rows.y)]) - np.exp(log_p)
        return residual if kind == "response" else residual * np.exp(-0.5 * log_p)

    def class_predictors(self, rows: Rows, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return the log odds of every class relative to the first, of shape (m, C); those of the first are 0."""
        eta = np.zeros((len(rows), self.n_predictors + 1))
        for part in slices(rows, model):
            eta[part.rows, 1:] = self.linear_predictors(part, model, coef)
        return eta

    def _probability_errors(self, rows: Rows, model: Model, eta: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """Return the standard error of every class's probability, by the delta method.

        ∂p_c/∂η_a = p_c(1[c = a] − p_a), and Cov(η_a, η_b) = x'V_ab x, V_ab the covariance of β̂_a and β̂_b.
        """
        p = softmax(eta, axis=1)
        variance = np.zeros_like(p)
        for part in slices(rows, model):
            here = p[part.rows]
            for a, b, joint in self._joint_variances(part, model, covariance):
                variance[part.rows] += joint[:, None] * _slope(here, a) * _slope(here, b)
        return np.sqrt(np.maximum(variance, 0.0))

    def _probability_ends(
        self, rows: Rows, model: Model, eta: np.ndarray, covariance: np.ndarray, label: int, quantile: float
    ) -> np.ndarray:
        """Return an interval for one class's probability, from the asymptotic normality of its log odds.

        The log odds are η_c − log Σ_{k≠c} exp η_k; their derivative in η_a is 1 for a = c, otherwise −p_a/(1 − p_c).
        """
        rest = np.delete(eta, label, axis=1)
        odds = eta[:, label] - logsumexp(rest, axis=1)
        slope = np.insert(-softmax(rest, axis=1), label, 1.0, axis=1)
        variance = np.zeros(len(rows))
        for part in slices(rows, model):
            for a, b, joint in self._joint_variances(part, model, covariance):
                variance[part.rows] += joint * slope[part.rows, a] * slope[part.rows, b]
        half = quantile * np.sqrt(np.maximum(variance, 0.0))
        return expit(np.stack([odds - half, odds + half], axis=1))

    def _joint_variances(
        self, part: Slice, model: Model, covariance: np.ndarray
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield Cov(η_a, η_b) of each row for each pair of classes a ≥ b ≥ 1, doubled where they differ."""
        blocks = covariance.reshape(self.n_predictors, model.width, self.n_predictors, model.width)
        for a in range(self.n_predictors):
            for b in range(a + 1):
                joint = part.quadratic_forms(blocks[a, :, b])
                yield a + 1, b + 1, joint if a == b else 2.0 * joint

    # Starts

    def safe_start(self, rows: Rows, model: Model) -> np.ndarray | None:
        """Return 0, at which every class has the same probability."""
        return np.zeros(len(model.names))

    def null_coefficients(self, rows: Rows, model: Model) -> np.ndarray:
        """Return 0."""
        return np.zeros(len(model.names))

    def with_prior(self, rows: Rows, model: Model, leverage: np.ndarray) -> Rows:
        """Return the rows with the weak prior of Clogg et al.: each row also has every class, by its frequency."""
        weights = rows.row_weights
        codes = np.arange(self.n_predictors + 1, dtype=np.float64)
        counts = np.array([weights[rows.y == code].sum() + 0.5 for code in codes])
        copies = len(codes) + 1
        return replace(
            rows,
            x=stack([rows.x] * copies),
            y=np.concatenate([rows.y, np.repeat(codes, len(rows))]),
            weights=np.concatenate([weights, *(leverage * part * weights for part in counts / counts.sum())]),
            kept=None,
        )


def _slope(p: np.ndarray, a: int) -> np.ndarray:
    """Return ∂p_c/∂η_a for every class c."""
    slope = -p * p[:, a : a + 1]
    slope[:, a] += p[:, a]
    return slope
