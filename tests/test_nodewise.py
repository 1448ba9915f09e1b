import numpy as np
import pytest
from lasso_reference import nodewise_row, quadratic_lasso, sparse_data, with_constant
from statsmodels.stats.regularized_covariance import _calc_approx_inv_cov, _calc_nodewise_row, _calc_nodewise_weight

from dask_onestep.kernels.lassos import nodewise
from dask_onestep.kernels.lassos.nodewise import _row, approximate_inverse, nodewise_rows


def _theta(x, alpha, **options):
    return approximate_inverse(nodewise_rows(x.T @ x / len(x), range(x.shape[1]), alpha, **options))


@pytest.mark.parametrize("alpha", [0.02, 0.1, 0.5])
def test_equals_statsmodels_wherever_its_lasso_is_at_the_optimum(alpha):
    # It never revisits a coefficient that it has zeroed.
    x, _, _ = sparse_data(300, 8)
    rows = [_calc_nodewise_row(x, j, alpha) for j in range(8)]
    exact = [j for j in range(8) if _kkt(x, j, rows[j], alpha) < 1e-9]
    assert len(exact) >= 4
    weights = np.array([_calc_nodewise_weight(x, rows[j], j, alpha) for j in range(8)])
    reference = _calc_approx_inv_cov(np.array(rows), weights)
    np.testing.assert_allclose(_theta(x, np.full(8, alpha))[exact], reference[exact], atol=1e-6)


def _kkt(x, j, gamma, alpha):
    others = np.delete(x, j, axis=1)
    slope = others.T @ (x[:, j] - others @ gamma) / len(x)
    return np.where(gamma != 0, abs(slope - alpha * np.sign(gamma)), np.maximum(abs(slope) - alpha, 0)).max()


def test_one_alpha_per_column_and_an_unpenalized_intercept():
    x, _, _ = sparse_data(200, 6)
    design = with_constant(x) * np.sqrt(np.random.default_rng(0).uniform(0.1, 1, 200))[:, None]
    alpha = np.r_[0.0, np.linspace(0.02, 0.1, 6)]
    expected = np.array([nodewise_row(design, j, alpha) for j in range(7)])
    np.testing.assert_allclose(_theta(design, alpha), expected, atol=1e-6)


def test_more_columns_than_rows():
    x, _, _ = sparse_data(30, 50)
    alpha = np.full(50, 0.3)
    expected = np.array([nodewise_row(x, j, alpha) for j in (0, 17, 49)])
    found = approximate_inverse(nodewise_rows(x.T @ x / 30, [0, 17, 49], alpha))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_penalty_is_the_inverse():
    x, _, _ = sparse_data(100, 6)
    np.testing.assert_allclose(_theta(x, np.zeros(6)), np.linalg.inv(x.T @ x / 100), atol=1e-12)


def test_weight_is_the_residual_and_the_penalty():
    x, _, _ = sparse_data(100, 6)
    alpha = np.full(6, 0.1)
    found = nodewise_rows(x.T @ x / 100, range(6), alpha)
    for j, (gamma, weight) in enumerate(zip(found.rows, found.weights, strict=True)):
        assert gamma[j] == 0
        assert weight == pytest.approx(np.mean((x[:, j] - x @ gamma) ** 2) + 0.1 * np.abs(gamma).sum(), rel=1e-9)


def test_the_inverse_misses_the_identity_by_at_most_alpha():
    # Equation (10) of van de Geer et al.: |Σ̂θ_j − e_j| ≤ α/τ_j².
    x, _, _ = sparse_data(60, 40)
    gram, alpha = x.T @ x / 60, np.full(40, 0.2)
    found = nodewise_rows(gram, range(40), alpha)
    miss = np.abs(approximate_inverse(found) @ gram - np.eye(40))
    assert (miss <= 0.2 / found.weights[:, None] + 1e-8).all()


# Sweeps over all columns at once solve the rows of uncorrelated columns, coordinate descent the others.
@pytest.mark.parametrize(("correlation", "together"), [(0.0, True), (0.9, False)])
def test_scaled_rows_are_a_fixed_point_of_their_noise(correlation, together, monkeypatch):
    x, _, _ = sparse_data(400, 8, correlation=correlation)
    x = x * np.array([1.0, 10.0, 0.1, 1.0, 3.0, 1.0, 1.0, 1.0])
    gram, level, alone = x.T @ x / 400, 0.04, []

    def counted(*arguments):
        alone.append(arguments[1])
        return _row(*arguments)

    monkeypatch.setattr(nodewise, "_row", counted)
    found = nodewise_rows(gram, range(8), level * np.sqrt(np.diag(gram)), scaled=True)
    assert (not alone) == together
    for j, gamma in enumerate(found.rows):
        noise = np.sqrt(np.mean((x[:, j] - x @ gamma) ** 2))
        others = np.arange(8) != j
        alpha = level * noise * np.sqrt(np.diag(gram))[others]
        expected = quadratic_lasso(x[:, others], x[:, j], alpha)
        np.testing.assert_allclose(gamma[others], expected, atol=2e-3 * np.abs(expected).max())
        assert gamma[j] == 0
        weight = noise**2 + alpha @ np.abs(gamma[others])
        assert found.weights[j] == pytest.approx(weight, rel=1e-3)
    assert np.count_nonzero(found.rows) > 4


def test_rows_join_in_any_order_and_the_gram_matrix_is_left_alone():
    x, _, _ = sparse_data(100, 5)
    gram, alpha = x.T @ x / 100, np.r_[0.0, np.full(4, 0.1)]
    before = gram.copy()
    joined = nodewise_rows(gram, [3, 4], alpha) + nodewise_rows(gram, [0, 1, 2], alpha)
    np.testing.assert_array_equal(gram, before)
    np.testing.assert_allclose(approximate_inverse(joined), _theta(x, alpha), atol=1e-7)


def test_a_column_that_others_explain_has_weight_zero():
    x, _, _ = sparse_data(100, 3)
    design = np.column_stack([x, np.zeros(100)])
    assert nodewise_rows(design.T @ design / 100, [3], np.full(4, 0.1)).weights[0] == 0.0
    twice = np.column_stack([x, 2 * x[:, 0]])
    assert nodewise_rows(twice.T @ twice / 100, [3], np.r_[0.0, 0.1, 0.1, 0.1]).weights[0] == 0.0
