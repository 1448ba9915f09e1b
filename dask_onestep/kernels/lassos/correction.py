"""The debiasing correction of an average of lassos, with the covariance and diagnostics of the result."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from dask_onestep.kernels.lassos.local_lassos import LocalLassos
from dask_onestep.kernels.lassos.nodewise import NodewiseRows, approximate_inverse
from dask_onestep.kernels.lassos.shift import coefficients_about, score_about
from dask_onestep.kernels.records import Moments, Record
from dask_onestep.kernels.solve.ascent import Ascent, climb


@dataclass(frozen=True, slots=True, eq=False)
class Debiased(Record):
    """A debiased estimate.

    The estimate and the matrices Θ̂ and R refer to the original columns. The scores and Σ̂ refer to columns centered
    about m, which is equivalent and keeps their digits.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂.
    theta : ndarray of shape (d, d)
        Θ̂.
    response : ndarray of shape (d, d)
        R, the derivative of β̂ in the noise of the score per row: Θ̂ after one round, Θ̂ + (I − Θ̂Σ̂)Θ̂ after two.
    shift : ndarray of shape (d,)
        m, as in `LocalLassos`.
    gram : ndarray of shape (d, d)
        Σ̂, the information per row, from the last pass that computed it.
    missed : ndarray of shape (d,)
        The estimated error of β̂ from the quadratic approximations at the lassos; zeros after a second round.
    rounds : int
        Corrections made.
    shortened : int
        How many corrections were shortened.
    overflowed : bool
        Whether some row's mean at `coef` overflows, so that no further round could be made.
    """

    coef: np.ndarray
    theta: np.ndarray
    response: np.ndarray
    shift: np.ndarray
    gram: np.ndarray
    missed: np.ndarray
    rounds: int = 1
    shortened: int = 0
    overflowed: bool = False

    @property
    def inverse_covariance(self) -> np.ndarray:
        """Θ̂ for scores of the original columns."""
        if not self.shift.any():
            return self.theta
        theta = self.theta.copy()
        theta[:, 0] -= self.theta @ self.shift
        return theta

    def through_gram(self, values: np.ndarray) -> np.ndarray:
        """Return Σ̂ times coefficients of the original columns, of shape (d,) or (d, k)."""
        return self.gram @ coefficients_about(values, self.shift)


def debias(local: LocalLassos, nodewise: NodewiseRows) -> Debiased:
    """Return β̂ = b̄ + Θ̂ḡ, equation (4.1) of Lee, Liu, Sun and Taylor."""
    theta = coefficients_about(approximate_inverse(nodewise), -local.shift)
    coef = (local.coef + theta @ score_about(local.gradient, local.shift)) / local.share
    missed = theta @ score_about(local.remainder, local.shift) / local.share
    return Debiased(coef, theta, theta, local.shift, local.information / local.weight, missed)


def debias_again(last: Debiased, sums: Moments) -> Debiased:
    """Return β̂ + Θ̂ s(β̂)/n: a further round, with the score of all rows at the current estimate.

    The bias that Θ̂ leaves, I − Θ̂Σ̂ times the bias before, is multiplied by I − Θ̂Σ̂ once more. A round that would
    lower the log-likelihood, according to its quadratic approximation at β̂, is shortened.
    """
    here, gradient = replace(last, gram=sums.information / sums.weight), sums.score / sums.weight
    with np.errstate(all="ignore"):
        spread = last.theta @ here.through_gram(last.response)
        within = np.isfinite(gradient).all() and np.isfinite(np.square(spread)).all()  # the covariance contains squares
    if not within:
        return replace(last, overflowed=True)
    move = last.theta @ gradient
    towards = coefficients_about(move, last.shift)
    line = _Line(float(gradient @ towards), float(towards @ here.gram @ towards))
    round_ = climb(Ascent.once(np.zeros(1), line.at(np.zeros(1)), np.ones(1)), line.at)
    length = float(round_.coef[0])
    response = last.response + length * (last.theta - spread)
    return replace(
        here,
        coef=last.coef + length * move,
        response=response,
        missed=np.zeros_like(move),
        rounds=last.rounds + 1,
        shortened=last.shortened + int(length < 1.0),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """Quadratic approximation of a log-likelihood along a direction, with slope `rise` and curvature `bend` at 0."""

    rise: float
    bend: float

    def at(self, length: np.ndarray) -> Moments:
        """Return its moments at one length."""
        slope = self.rise - self.bend * length
        gain = float((self.rise + slope) @ length) / 2
        return Moments(1, 1.0, gain, slope, np.array([[self.bend]]))


def covariance(estimate: Debiased, local: LocalLassos, phi: float) -> np.ndarray:
    """Return φ̂ R Σ̂ R'/n, R the estimate's response to the noise: φ̂ Θ̂Σ̂Θ̂'/n after one round."""
    whole = local.noise is None
    spread = (estimate.response @ (estimate.gram if whole else local.noise)) @ estimate.response.T
    spread += spread.T
    spread *= phi / 2 / (local.weight if whole else local.share**2)
    return spread


def expected_coverage(estimate: Debiased, average: np.ndarray, std_err: np.ndarray, level: float = 0.95) -> float:
    """Return the expected fraction of clearly nonzero coefficients that their intervals cover; NaN if there are none.

    The remaining bias is about (I − RΣ̂)(b̄ − β), R the response, minus the error of the quadratic approximations. β̂
    replaces β where it exceeds √(2 log d) standard errors, and b̄ − β is set to 0 elsewhere. Since β̂ is itself biased
    toward b̄, the result is optimistic. An interval whose center is off by b standard errors covers with probability
    Φ(z − b) − Φ(−z − b).
    """
    clear = np.abs(estimate.coef) > np.sqrt(2 * np.log(max(len(average), 2))) * std_err
    if not clear.any():
        return float("nan")
    shrinkage = np.where(clear, average - estimate.coef, 0.0)
    if estimate.shift.any():
        # The intercept is not shrunk for centered columns; for the original columns it compensates the others'
        # shrinkage.
        shrinkage[0] = -estimate.shift @ shrinkage
    bias = shrinkage - estimate.response @ estimate.through_gram(shrinkage) - estimate.missed
    off, z = bias[clear] / std_err[clear], norm.isf((1 - level) / 2)
    return float(np.mean(norm.cdf(z - off) - norm.cdf(-z - off)))
