"""The likelihood of models with one linear predictor per row: a family and a link."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dask_onestep.families import Binomial, Family, Gaussian
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.goodness import FitSums, NullDeviance
from dask_onestep.kernels.matrices.algebra import NO_ROWS, Slice
from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct, filled, is_finite
from dask_onestep.kernels.model import Model, Prediction
from dask_onestep.kernels.records import LogLikelihoods, Moments
from dask_onestep.kernels.rows.slices import gram_of, slices, zero_gram
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.links import LinkLike, mean_and_derivative, second_derivative

# Relative distance between a link's mean at η = 1,000 and its limit, if the limit is finite.
_CLOSE = 0.05


@dataclass(frozen=True)
class OnePredictor:
    """A generalized linear model of one mean per row, g(μ) = x'β + offset.

    A user-defined likelihood without a family, such as a robust loss, is a subclass that overrides `working`,
    `row_log_likelihood` and `deviances`, and has `natural` False.

    Attributes
    ----------
    family : Family
        The distribution of y.
    link : LinkLike
        g.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep.families import Poisson
    >>> from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
    >>> from dask_onestep.links import resolve_link
    >>> poisson = OnePredictor(Poisson(), resolve_link("log"))
    >>> mean, residual, weight = poisson.working(np.array([2.0]), np.array([0.0]))
    >>> mean.tolist(), residual.tolist(), weight.tolist()
    ([1.0], [1.0], [1.0])
    """

    family: Family
    link: LinkLike

    n_predictors: ClassVar[int] = 1
    stages: ClassVar[tuple] = ()
    takes_offset: ClassVar[bool] = True
    eliminates: ClassVar[bool] = True
    residual_kinds: ClassVar[tuple[str, ...]] = ("response", "pearson", "deviance", "working")

    @property
    def natural(self) -> bool:
        """Whether η is the natural parameter of the family."""
        natural = self.family.natural_link
        return natural is not None and getattr(self.link, "name", None) == natural

    @property
    def quadratic(self) -> bool:
        """Whether the log-likelihood is quadratic in β: the gaussian family with the identity link."""
        return type(self.family.base) is Gaussian and self.natural

    @property
    def separable(self) -> bool:
        """Whether separation is possible: the link has a finite mean as η → ∞ or η → −∞."""
        return any(self.end(sign) is not None for sign in (-1.0, 1.0))

    def end(self, sign: float) -> tuple[float, float] | None:
        """Return the mean as η goes to infinity in the direction `sign`; None if it is not finite.

        The second value is 1 if the mean is approached from below, −1 if from above. Rows whose y is that mean, or
        beyond it, have a likelihood that increases without bound.
        """
        with np.errstate(all="ignore"):
            on_the_way, near, end = np.asarray(self.link.inverse(sign * np.array([1.0, 1e3, 1e6])), dtype=np.float64)
        if not (np.isfinite(end) and abs(end - near) < _CLOSE and self.family.valid_mean(on_the_way)):
            return None
        return float(end), float(np.sign(end - on_the_way))

    def coefficient_names(self, regressors: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the coefficients, which are those of the design's columns."""
        return regressors

    # Rows

    def working(self, y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return μ, (y − μ)μ'/V(μ) and μ'²/V(μ) of each row.

        Parameters
        ----------
        y, eta : ndarray of shape (m,)
            Response and linear predictor.

        Returns
        -------
        mean, residual, weight : ndarray of shape (m,)
            The mean; the derivative of the log-likelihood in η; the expected information in η.
        """
        mean, derivative = mean_and_derivative(self.link, eta)
        return mean, *self._residual_and_weight(y, mean, derivative)

    def row_log_likelihood(
        self, y: np.ndarray, eta: np.ndarray, mean: np.ndarray, information: np.ndarray
    ) -> np.ndarray:
        """Return log p(y; μ) at φ = 1 for rows of weight 1; −inf where μ is not a mean of the family.

        Parameters
        ----------
        y, eta, mean : ndarray
            Response, linear predictor and mean, of shapes that broadcast.
        information : ndarray
            The expected information in η; used only where η is the natural parameter, where it is dμ/dη.

        Returns
        -------
        ndarray
            Log-likelihoods.
        """
        if self.natural:
            return self.family.natural_log_likelihood(y, eta, mean, information)
        valid = self.family.valid_mean(mean)
        if valid.all():
            return self.family.log_likelihood(y, mean)
        loglik = self.family.log_likelihood(y, np.where(valid, mean, 1.0))
        return np.where(valid, loglik, -np.inf)

    def deviances(self, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return the deviance of each row at φ = 1."""
        return self.family.deviance(y, mean)

    def responses(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of each row and its derivative in η, of shape (m, 1) and (m, 1, 1); η of shape (m, 1)."""
        mean, derivative = mean_and_derivative(self.link, eta[:, 0])
        return mean[:, None], derivative[:, None, None]

    def row_log_likelihoods(self, part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return the log-likelihood of each row at β, for weight 1."""
        alike = model.has_intercept and part.offset is None and not coef[1:].any()
        eta = coef[:1] if alike else part.linear_predictor(coef)
        return self.row_log_likelihood(part.y, eta, *mean_and_derivative(self.link, eta))

    def row_residuals(self, part: Slice, model: Model, coef: np.ndarray) -> np.ndarray:
        """Return the derivative of each row's log-likelihood in its linear predictor."""
        return self.working(part.y, part.linear_predictor(coef))[1]

    def row_curvatures(self, part: Slice, model: Model, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the residual of each row, and the expected and observed information in its linear predictor."""
        eta = part.linear_predictor(coef)
        mean, residual, expected = self.working(part.y, eta)
        return residual, expected, expected if self.natural else self.observed(part.y, eta, mean)

    def observed(self, y: np.ndarray, eta: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return the observed information in η, minus the derivative of the residual."""
        if type(self).working is not OnePredictor.working:  # not defined by family and link
            step = 1e-5 * np.maximum(np.abs(eta), 1e-3)
            return (self.working(y, eta - step)[1] - self.working(y, eta + step)[1]) / (2.0 * step)
        slope, variance = self.link.inverse_derivative(eta), self.family.variance(mean)
        change = second_derivative(self.link, eta) - slope**2 * self.family.variance_derivative(mean) / variance
        found = (slope**2 - (y - mean) * change) / variance
        return np.where(slope == 0, 0.0, found)  # where the mean has reached the end of its range

    def information_derivative(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """Return the derivative in η of the expected information in η, μ'²/V(μ)."""
        if type(self).working is not OnePredictor.working:  # not defined by family and link
            step = 1e-5 * np.maximum(np.abs(eta), 1e-3)
            return (self.working(y, eta + step)[2] - self.working(y, eta - step)[2]) / (2.0 * step)
        mean, slope = mean_and_derivative(self.link, eta)
        with np.errstate(all="ignore"):
            ratio = slope / self.family.variance(mean)
            change = ratio * (
                2.0 * second_derivative(self.link, eta) - slope * ratio * self.family.variance_derivative(mean)
            )
        return np.where(slope == 0, 0.0, change)  # where the mean has reached the end of its range

    def row_state(self, part: Slice, model: Model, coef: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return each row's weighted residual and observed information, and its linear predictor."""
        eta = part.linear_predictor(coef)
        mean, residual, expected = self.working(part.y, eta)
        observed = expected if self.natural else self.observed(part.y, eta, mean)
        return part.weighted(residual), part.weighted(observed), eta

    def row_changes(
        self, before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the part of each row's weighted residual that is nonlinear in the step, the residual, and x'δ."""
        (start, observed, eta), (residual, _, end) = before, after
        ahead = end - eta
        return residual - start + observed * ahead, residual, ahead

    def moved(self, y: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how far each row's linear predictor moves, and how far in the wrong direction."""
        move = moves[:, 0]
        rises = np.where(move > 0, self._rises(y, 1.0), self._rises(y, -1.0))
        return np.abs(move), np.where(rises, 0.0, np.abs(move))

    def _rises(self, y: np.ndarray, sign: float) -> np.ndarray:
        """Return which rows' log-likelihood increases without bound as η goes to infinity in a direction."""
        end = self.end(sign)
        return np.zeros(len(y), bool) if end is None else (y - end[0]) * end[1] >= 0

    # Sums over rows

    def view(self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Rows:
        """Return the rows unchanged: there are no stages."""
        return rows

    def moments(
        self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any, of_rows: np.ndarray = NO_ROWS
    ) -> Moments:
        """Return log-likelihood, score and expected information at β; of a natural parameter, `of_rows` too."""
        return self._sum_slices(self.view(rows, model, coef, *earlier), model, coef, of_rows=of_rows)

    def observed_moments(self, rows: Rows, model: Model, coef: np.ndarray, *earlier: Any) -> Moments:
        """Return the same and, where it is not the expected information, the observed information."""
        if self.natural or self.stages:
            return self.moments(rows, model, coef, *earlier)
        return self._sum_slices(self.view(rows, model, coef, *earlier), model, coef, observed=True)

    def initial_moments(self, rows: Rows, model: Model) -> Moments:
        """Return the sums of the first weighted least-squares fit, with the family's starting values as means."""
        return self._sum_slices(rows, model, None)

    def log_likelihoods(self, rows: Rows, model: Model, coefs: np.ndarray) -> LogLikelihoods:
        """Return log-likelihoods and deviances at several β, one per row of `coefs`."""
        loglik, deviance = np.zeros(len(coefs)), np.zeros(len(coefs))
        with np.errstate(all="ignore"):
            for part in slices(rows, model):
                eta = part.linear_predictor(coefs.T)
                mean, derivative = mean_and_derivative(self.link, eta)
                y = part.y[:, None]
                weights = part.row_weights
                loglik += np.dot(weights, self.row_log_likelihood(y, eta, mean, derivative))
                deviance += np.dot(weights, self.deviances(y, mean))
        return LogLikelihoods(len(rows), loglik, deviance)

    def _residual_and_weight(
        self, y: np.ndarray, mean: np.ndarray, derivative: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.natural:
            return y - mean, derivative
        quotient = derivative / self.family.variance(mean)
        return (y - mean) * quotient, derivative * quotient

    def _sum_slices(
        self,
        rows: Rows,
        model: Model,
        coef: np.ndarray | None,
        *,
        observed: bool = False,
        of_rows: np.ndarray = NO_ROWS,
    ) -> Moments:
        d = len(model.names)
        chi2: tuple = (0.0, np.zeros(d)) if self.family.has_dispersion else (None, None)
        sums: list | None = None
        with np.errstate(all="ignore"):  # non-finite values show in the sums
            for part in slices(rows, model, natural=coef is not None and self.natural):
                found = self._slice_sums(part, coef, observed, of_rows[:, part.rows])
                # The first slice's sums become the total: with 1,000 columns, a second matrix costs more than the rows.
                sums = list(found) if sums is None else [_added(a, b) for a, b in zip(sums, found, strict=True)]
        if sums is None:
            curvature = zero_gram(model) if observed else None
            sums = [0.0, np.zeros(d), zero_gram(model), *chi2, self._constant(rows.y, rows.weights), curvature]
        loglik, score, information, pearson, gradient, constant, curvature = sums
        return Moments(
            len(rows),
            rows.total_weight,
            loglik,
            score,
            information,
            pearson,
            gradient,
            response=np.array([rows.y.sum(), _weighted_sum(rows.y, rows.weights)]),
            constant=constant,
            observed=curvature,
        )

    def _slice_sums(self, part: Slice, coef: np.ndarray | None, observed: bool, of_rows: np.ndarray) -> tuple:
        """Return ℓ, score, information, Pearson χ², its gradient, the constant and observed information of a slice."""
        y, weights, family = part.y, part.weights, self.family
        summed = part.natural_sums(family, coef, of_rows=of_rows) if self.natural and coef is not None else None
        if summed is not None:
            loglik, score, information = summed
            # For the gaussian family χ² is Σ w(y − η)², the log-likelihood times −2.
            pearson, gradient = (-2.0 * loglik, -2.0 * score) if self.quadratic else (None, None)
            base = family.log_base_measure(y)
            constant = 0.0 if base is None else _weighted_sum(base, weights)
            known = None if family.has_dispersion else constant
            return loglik + constant, score, information, pearson, gradient, known, None
        if coef is None:
            mean = family.initial_mean(y, np.ones_like(y) if weights is None else weights)
            eta = self.link.link(mean)
            # For natural links μ' is V(μ), which needs no exponential.
            derivative = family.variance(mean) if self.natural else self.link.inverse_derivative(eta)
            residual, weight = self._residual_and_weight(y, mean, derivative)
            residual = residual + weight * (eta if part.offset is None else eta - part.offset)
            loglik = -np.inf
        else:
            eta = part.linear_predictor(coef)
            mean, residual, weight = self.working(y, eta)
            loglik = _weighted_sum(self.row_log_likelihood(y, eta, mean, weight), weights)
        if of_rows.size:
            of_rows[:] = _weighted(residual, weights), _weighted(weight, weights), eta
        # For the gaussian family the working weights are the given ones.
        score, information = part.weighted_sum_and_gram(
            _weighted(residual, weights), weights if self.quadratic else _weighted(weight, weights)
        )
        pearson, gradient = None, None
        if family.has_dispersion:
            unit = np.square(y - mean) / family.variance(mean)
            pearson = _weighted_sum(unit, weights)
            if self.quadratic:
                gradient = -2.0 * score
            else:
                slope = self._pearson_slope(eta, mean, residual, unit)
                gradient = part.weighted_sum(_weighted(slope, weights))
        curvature = part.gram(_weighted(self.observed(y, eta, mean), weights)) if observed else None
        return loglik, score, information, pearson, gradient, self._constant(y, weights), curvature

    def _constant(self, y: np.ndarray, weights: np.ndarray | None) -> float | None:
        """Return the terms of ℓ(β) that do not depend on β; None where they are not separate, or not needed."""
        if not self.natural or self.family.has_dispersion:
            return None
        base = self.family.log_base_measure(y)
        return 0.0 if base is None else _weighted_sum(base, weights)

    def _pearson_slope(self, eta: np.ndarray, mean: np.ndarray, residual: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Return the derivative of (y − μ)²/V(μ) in η: −2(y − μ)μ'/V − (y − μ)²V'μ'/V²."""
        change = self.family.variance_derivative(mean) / self.family.variance(mean) * self.link.inverse_derivative(eta)
        return -2.0 * residual - unit * change

    def fit_sums(
        self, rows: Rows, model: Model, coef: np.ndarray, dispersion: float, null_intercept: float | None
    ) -> FitSums:
        """Return the sums for log-likelihood, deviances and Pearson's χ²."""
        family, link = self.family, self.link
        loglik = deviance = pearson = 0.0
        offset_null = None if null_intercept is None else 0.0
        with np.errstate(all="ignore"):
            for part in slices(rows, model):
                mean = link.inverse(part.linear_predictor(coef))
                weights = part.row_weights
                if model.weight_type == "frequency":
                    likelihood = family.weighted_log_likelihood(part.y, mean, np.ones_like(weights), dispersion)
                    loglik += float(np.dot(weights, likelihood))
                else:
                    loglik += float(family.weighted_log_likelihood(part.y, mean, weights, dispersion).sum())
                deviance += float(np.dot(weights, self.deviances(part.y, mean)))
                pearson += float(np.dot(weights, np.square(part.y - mean) / family.variance(mean)))
                if offset_null is not None:
                    level = np.full(len(part.y), null_intercept)
                    null_mean = link.inverse(level if part.offset is None else level + part.offset)
                    offset_null += float(np.dot(weights, self.deviances(part.y, null_mean)))
        null = NullDeviance.of(family, rows.y, rows.row_weights)
        return FitSums(len(rows), rows.total_weight, loglik, deviance, pearson, null, offset_null)

    # Predictions and residuals

    def prediction_width(self, kind: str) -> int:
        """Return the number of columns of a kind of prediction, 0 if it has one value per row."""
        return 2 if kind in ("mean_std", "interval", "proba", "proba_std") else 0

    def residual_width(self, kind: str) -> int:
        """Return the number of columns of a kind of residual, 0 if it has one value per row."""
        return 0

    def predict(self, rows: Rows, model: Model, asked: Prediction) -> np.ndarray:
        """Return predictions of rows."""
        eta, spread = _linear(rows, model, asked.coef, asked.covariance)
        if asked.kind == "linear":
            return eta
        if asked.kind == "interval":
            ends = self.link.inverse(np.stack([eta - asked.quantile * spread, eta + asked.quantile * spread], axis=1))
            return np.sort(ends if asked.label else 1.0 - ends, axis=1)  # a link may be decreasing, as inverse is
        mean = self.link.inverse(eta)
        if asked.kind == "mean":
            return mean
        if asked.kind in ("mean_std", "proba_std"):
            error = np.abs(self.link.inverse_derivative(eta)) * spread
            return np.column_stack([mean, error] if asked.kind == "mean_std" else [error, error])
        if asked.kind == "proba":
            return np.column_stack([1.0 - mean, mean])
        assert asked.classes is not None
        return asked.classes[(mean > 0.5).astype(np.intp)]

    def residuals(self, rows: Rows, model: Model, coef: np.ndarray, kind: str) -> np.ndarray:
        """Return residuals of rows, for weight 1."""
        eta, _ = _linear(rows, model, coef, None)
        y = rows.y
        with np.errstate(all="ignore"):
            mean = self.link.inverse(eta)
            match kind:
                case "response":
                    return y - mean
                case "working":
                    return (y - mean) / self.link.inverse_derivative(eta)
                case "pearson":
                    return (y - mean) / np.sqrt(self.family.variance(mean))
                case _:
                    return np.sign(y - mean) * np.sqrt(np.maximum(self.deviances(y, mean), 0.0))

    # Starts

    def safe_start(self, rows: Rows, model: Model) -> np.ndarray | None:
        """Return coefficients with fitted means near the mean of y, in the domain of the link; None if none found.

        The first weighted least-squares fit may leave the domain of a link such as identity or inverse, where R's
        ``glm`` asks for starting values. The domain is an interval of η, so all points between this one and another
        inside it are inside, too.
        """
        if not len(rows):
            return None
        mean = self.family.initial_mean(np.atleast_1d(np.average(rows.y, weights=rows.row_weights)), np.ones(1))
        target = self.link.link(mean)
        level = _constant(rows, model)
        if level is None:
            return None
        offset = np.zeros(1) if rows.offset is None else rows.offset
        for shift in (offset.mean(), offset.max(), offset.min()):
            coef = (target - shift) * level
            with np.errstate(all="ignore"):
                means = (self.link.inverse(part.linear_predictor(coef)) for part in slices(rows, model))
                if all(self.family.valid_mean(mean).all() for mean in means):
                    return coef
        return None

    def null_coefficients(self, rows: Rows, model: Model) -> np.ndarray:
        """Return the coefficients with which every fitted mean is the mean of y."""
        coef = np.zeros(len(model.names))
        if model.has_intercept:
            mean = np.average(rows.y, weights=rows.row_weights)
            coef[0] = self.link.link(self.family.initial_mean(np.asarray(mean), np.asarray(float(len(rows)))))
        return coef

    def with_prior(self, rows: Rows, model: Model, leverage: np.ndarray) -> Rows:
        """Return the rows with the weak prior of Clogg et al.: `leverage` more observations of the mean per row.

        Together they hold at least half an event, and half a row without one.
        """
        weights = rows.row_weights
        mean = (np.dot(weights, rows.y) + 0.5) / (weights.sum() + 1.0)
        least = 0.5 / max(float(np.dot(weights, leverage)), 1.0)
        mean = np.clip(mean, least, 1.0 - least if isinstance(self.family.base, Binomial) else None)
        return replace(rows, y=(rows.y + leverage * mean) / (1.0 + leverage), weights=weights * (1.0 + leverage))


def _linear(
    rows: Rows, model: Model, coef: np.ndarray, covariance: np.ndarray | DiagonalPlusProduct | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return η, and its standard error if a covariance is given; NaN coefficients are treated as 0."""
    coef, eta, spread = np.nan_to_num(coef), np.empty(len(rows)), np.empty(len(rows))
    covariance = None if covariance is None else filled(covariance)
    with one_blas_thread():
        for part in slices(rows, model):
            eta[part.rows] = part.linear_predictor(coef)
            if covariance is not None:
                spread[part.rows] = np.sqrt(np.maximum(part.quadratic_forms(covariance), 0.0))
    return eta, spread


def _added(total: Any, part: Any) -> Any:
    if total is not None:
        total += part
    return total


def _weighted(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return values if weights is None else weights * values


def _weighted_sum(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(values.sum() if weights is None else np.dot(weights, values))


def _constant(rows: Rows, model: Model) -> np.ndarray | None:
    """Return coefficients with x'β = 1 (the constant's, or by least squares) for all rows; None on overflow."""
    d = len(model.names)
    if model.has_intercept:
        return np.eye(1, d)[0]
    total = np.zeros(d)
    with np.errstate(all="ignore"):
        gram = gram_of(rows, model, lambda part: None)
        for part in slices(rows, model):
            total += part.weighted_sum(np.ones(len(part.y)))
    return factorize(gram, intercept=False).solve(total) if is_finite(gram) else None
