"""The formulas of debiased sparse estimation in plain NumPy, column by column, as the design states them."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from sklearn.linear_model import Lasso

from dask_onestep import DebiasedLasso

MEAN = {"gaussian": lambda eta: eta, "binomial": expit, "poisson": np.exp}
DERIVATIVE = {"gaussian": np.ones_like, "binomial": lambda eta: expit(eta) * expit(-eta), "poisson": np.exp}
DRAW = {
    "gaussian": lambda rng, mean: mean + rng.standard_normal(mean.shape),
    "binomial": lambda rng, mean: rng.binomial(1, mean).astype(float),
    "poisson": lambda rng, mean: rng.poisson(mean).astype(float),
}


def paper(*args, **options):
    """The debiased lasso of one communication, as the paper has it."""
    return DebiasedLasso(*args, **{"nodewise": "partition", "steps": 1} | options)


def sparse_data(n, p, family="gaussian", *, active=3, size=0.5, correlation=0.3, seed=0):
    """Correlated covariates, and a response that depends only on the first few."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((n, p))
    x = np.empty((n, p))
    x[:, 0] = steps[:, 0]
    for j in range(1, p):
        x[:, j] = correlation * x[:, j - 1] + np.sqrt(1 - correlation**2) * steps[:, j]
    coef = np.zeros(p)
    coef[:active] = size * (-1.0) ** np.arange(active)
    return x, DRAW[family](rng, MEAN[family](x @ coef)), coef


def with_constant(x):
    return np.column_stack([np.ones(len(x)), x])


def quadratic_lasso(x, y, alpha):
    """‖y − Xb‖²/(2n) + Σ α_j|b_j| by scikit-learn, columns scaled to one penalty; α_j = 0 by projection."""
    free = alpha == 0
    basis = np.linalg.qr(x[:, free])[0]
    left_x, left_y = x[:, ~free], y
    left_x, left_y = left_x - basis @ (basis.T @ left_x), left_y - basis @ (basis.T @ left_y)
    coef = np.zeros(x.shape[1])
    if (~free).any():
        fit = Lasso(alpha=1.0, fit_intercept=False, tol=1e-12, max_iter=200_000)
        coef[~free] = fit.fit(left_x / alpha[~free], left_y).coef_ / alpha[~free]
    coef[free] = np.linalg.lstsq(x[:, free], y - x[:, ~free] @ coef[~free], rcond=None)[0]
    return coef


def glm_lasso(x, y, alpha, family):
    """−ℓ(β)/n + Σ α_j|β_j| by reweighted lassos on the rows."""
    coef = np.zeros(x.shape[1])
    if (alpha == 0).any() and family != "gaussian":
        mean = y.mean()
        coef[0] = np.log(mean / (1 - mean)) if family == "binomial" else np.log(mean)
    for _ in range(100):
        eta = x @ coef
        weight = DERIVATIVE[family](eta)
        response = eta + (y - MEAN[family](eta)) / weight
        root = np.sqrt(weight)
        last, coef = coef, quadratic_lasso(root[:, None] * x, root * response, alpha)
        if np.abs(coef - last).max() < 1e-12:
            break
    return coef


def nodewise_row(x, j, alpha):
    """Row j of the approximate inverse covariance of a weighted design."""
    n, p = x.shape
    others = np.arange(p) != j
    gamma = quadratic_lasso(x[:, others], x[:, j], alpha[others])
    weight = np.sum((x[:, j] - x[:, others] @ gamma) ** 2) / n + alpha[others] @ np.abs(gamma)
    row = np.zeros(p)
    row[j], row[others] = 1.0, -gamma
    return row / weight


def debiased(blocks, alpha, family, nodewise_alpha=None):
    """b̄ + Θ̂ḡ with equal weights, row j of Θ̂ from one block, ⌈p/K⌉ rows per block."""
    nodewise_alpha = alpha if nodewise_alpha is None else nodewise_alpha
    p, share = blocks[0][0].shape[1], -(-blocks[0][0].shape[1] // len(blocks))
    coefs, gradients, theta = [], [], []
    for k, (x, y) in enumerate(blocks):
        coef = glm_lasso(x, y, alpha, family)
        eta = x @ coef
        coefs.append(coef)
        gradients.append(x.T @ (y - MEAN[family](eta)) / len(y))
        weighted = np.sqrt(DERIVATIVE[family](eta))[:, None] * x
        theta += [nodewise_row(weighted, j, nodewise_alpha) for j in range(k * share, min((k + 1) * share, p))]
    average, gradient = np.mean(coefs, axis=0), np.mean(gradients, axis=0)
    return average + np.array(theta) @ gradient, average, gradient, np.array(theta)
