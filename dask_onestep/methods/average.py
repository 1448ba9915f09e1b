"""One-shot averaging: the mean of the blocks' own maximum-likelihood estimates."""

from dataclasses import dataclass, replace

import numpy as np

from dask_onestep.kernels.likelihood.local_fit import LocalFits, LocalRatios, local_fit, local_ratio
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.rows.labels import check_classes
from dask_onestep.kernels.solve.linear_algebra import factorize
from dask_onestep.messages import catalogue
from dask_onestep.methods.arguments import check_choice
from dask_onestep.methods.conclusion import aliasing
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.method import Method
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class AverageEstimate(Estimate):
    """An `Estimate`, and the local fits that it averages, without blocks that have no rows.

    Attributes
    ----------
    n_blocks : int
        K, the blocks that have rows.
    block_size : ndarray of shape (K,)
        nₖ, their usable rows.
    block_coef : ndarray of shape (K, d)
        Local maximum-likelihood estimates; NaN for aliased columns.
    block_covariance : ndarray of shape (K, d, d)
        φ̂ₖ Iₖ⁻¹ of each block.
    block_dispersion : ndarray of shape (K,)
        φ̂ₖ.
    block_loglik : ndarray of shape (K,)
        ℓₖ at the local estimate, at φ = 1.

    Examples
    --------
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(2000, 2, family="poisson")
    >>> GLMRegressor("poisson", method="average").fit(X, y).estimate_.n_blocks
    8
    """

    n_blocks: int
    block_size: np.ndarray
    block_coef: np.ndarray
    block_covariance: np.ndarray
    block_dispersion: np.ndarray
    block_loglik: np.ndarray

    _coefficients = ("coef", "block_coef")
    _covariances = ("covariance", "block_covariance")


class Average(Method):
    """One-shot estimator: the average of the MLEs β̂ₖ of the blocks.

    β̂ = Σ wₖβ̂ₖ with weights wₖ = nₖ/N, or 1/K; its covariance is Σ wₖ² φ̂ₖIₖ⁻¹, which is valid if all blocks
    follow one model, even if their covariates differ.  The bias of a local MLE, of order 1/nₖ, does not average
    out, and the MLE of a block with a narrow range of the covariates is imprecise or does not exist.  If
    rows are not stored in random order, or blocks are small, `OneStep` is the better choice.

    Parameters
    ----------
    weights : {"size", "equal"}, default="size"
        nₖ/N, or 1/K; the same for blocks of equal size, as in the paper.

    Notes
    -----
    Passes: 1; a block sends O(d²) numbers.  If a block has too few rows, a single class, columns that are aliased
    within it, or separated classes, it has no local fit, and an error names it; it is not omitted, since the average
    of the other blocks estimates something else.  The dispersion is pooled within blocks, with N − Kd degrees of
    freedom.  The log-likelihood at β̂ and ``decrement_`` would take another pass, and are NaN.

    References
    ----------
    .. [1] Zhang, Duchi and Wainwright, "Communication-efficient algorithms for statistical
       optimization", JMLR 14 (2013); the one-shot estimator of Wang, Huang, Zhu, Wang, arXiv 2004.02414.

    Examples
    --------
    >>> from dask_onestep import Average, GLMClassifier
    >>> from dask_onestep.datasets import make_glm
    >>> X, y, coef = make_glm(10_000, 3, family="binomial", random_state=0)
    >>> glm = GLMClassifier(method=Average()).fit(X, y)
    >>> glm.n_passes_, glm.estimate_.block_coef.shape
    (1, (8, 4))
    """

    equivariant = True  # whether other columns of the same span give the same fit, so that QR may choose them

    def __init__(self, weights: str = "size"):
        self.weights = weights

    def plan(self, problem: Problem) -> Plan:
        """Return the plan of the average of the local estimates.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            It returns a handle of an `AverageEstimate`; computing it raises if a block has no local fit.
        """
        problem.refuse(cov_type=("nonrobust",), solver=("auto", "cholesky", "qr"))
        check_choice("weights", self.weights, "size", "equal")
        fits = yield problem.total(local_fit, name="local-fit")
        return problem.apply(_report, problem.model, fits, self.weights, name="average")

    def likelihood_ratio(self, problem: Problem, restricted: Problem) -> Plan:
        """Return the plan of the sum over the blocks of their own likelihood-ratio statistics: one pass.

        The average maximizes no likelihood of all rows; each block's estimate does that of its own.

        Parameters
        ----------
        problem, restricted : Problem
            The larger and the smaller model, on the same blocks.

        Returns
        -------
        Plan
            It returns the statistic and its degrees of freedom: χ²(K·s); for a family with a dispersion F(K·s, N − Kd),
            with the dispersion pooled within blocks.
        """
        larger = replace(restricted, model=problem.model, classes=problem.classes)
        sums = yield larger.total(local_ratio, restricted.model, name="local-ratio")
        return _ratio((yield Look(sums)))


def _ratio(sums: LocalRatios) -> tuple[float, float, float]:
    if sums.pearson is None:
        return 2.0 * sums.loglik, sums.df, float("nan")
    return sums.deviance / (sums.df * sums.pearson / sums.df_resid), sums.df, sums.df_resid


def _report(model: Model, fits: LocalFits, weights: str) -> AverageEstimate:
    count = len(fits.n)
    if count == 0:
        dropped = f" ({fits.n_missing} rows with missing values were dropped)" if fits.n_missing else ""
        raise catalogue.NO_ROWS.error(why=dropped)
    classes = check_classes(fits.labels)
    whole = factorize(fits.information.sum(axis=0), intercept=model.has_intercept)
    kept = _kept(model, fits, whole.kept)
    share = fits.n / fits.n.sum() if weights == "size" else np.full(count, 1 / count)
    within = fits.dispersion[:, None, None] * np.array(
        [factorize(information, intercept=model.has_intercept).inverse() for information in fits.information]
    )
    df_resid = float(fits.df_resid.sum())
    return AverageEstimate(
        coef=np.where(kept, share @ fits.coef, np.nan),
        covariance=np.tensordot(share**2, within, axes=1),
        dispersion=float(fits.df_resid @ fits.dispersion / df_resid),
        n_samples=fits.n_rows,
        df_resid=df_resid,
        n_iter=0,
        classes=classes,
        n_missing=fits.n_missing,
        warnings=aliasing(model, kept),
        solver="cholesky",
        condition=whole.condition,
        n_blocks=count,
        block_size=fits.n,
        block_coef=np.where(kept, fits.coef, np.nan),
        block_covariance=within,
        block_dispersion=fits.dispersion,
        block_loglik=fits.loglik,
    )


def _kept(model: Model, fits: LocalFits, kept: np.ndarray) -> np.ndarray:
    """Return the columns that have a coefficient: those of the full data, which every block must have too."""
    short = fits.kept != kept
    if short.any():
        names = [name for name, some in zip(model.names, short.any(axis=0), strict=True) if some]
        blocks = fits.numbers[short.any(axis=1)].tolist()
        raise catalogue.ALIASED_WITHIN_A_BLOCK.error(names=names, blocks=blocks)
    return kept
