import numpy as np
import pytest
from lasso_reference import glm_lasso, sparse_data

from dask_onestep.families import Binomial
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.lasso import fit_null
from dask_onestep.kernels.lassos.penalty import Penalty
from dask_onestep.kernels.lassos.proximal_newton import Tolerance, solve_on_few
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import scores
from dask_onestep.kernels.model import Model
from dask_onestep.links import resolve_link


def _few(alpha, start):
    x, y, _ = sparse_data(400, 30, "binomial")
    rows, model = (
        Rows(x, y),
        Model(OnePredictor(Binomial(), resolve_link("logit")), tuple(f"x{j}" for j in range(30)), False),
    )
    within = Tolerance(1e-12, fit_null(rows, model).deviance, 10_000)
    slope = scores(rows, model, start).score / 400
    found = solve_on_few(rows, model, Penalty.of(np.full(30, alpha), 1.0), start, slope, within)
    return found, glm_lasso(x, y, np.full(30, alpha), "binomial")


@pytest.mark.parametrize("warm", [False, True])
def test_the_lasso_from_wherever_it_starts(warm):
    start = np.zeros(30)
    # Columns that have to leave, and one that is wanted with the other sign.
    start[[1, 20, 25]] = np.array([0.4, -0.3, 0.2]) * warm
    found, expected = _few(0.07, start)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert 0 < np.count_nonzero(found) < 15


def test_where_most_columns_may_enter_nothing_is_tried():
    start = np.zeros(30)
    assert _few(1e-4, start)[0] is start
