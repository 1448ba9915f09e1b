import numpy as np
import pytest
from scipy.stats import norm

from dask_onestep.kernels.penalty import Penalty, penalty_level


@pytest.mark.parametrize("p", [2, 10, 200, 5000])
def test_penalty_level_solves_its_equation_below_the_universal_level(p):
    level = penalty_level(2.0, p)
    assert p * norm.sf(level) == pytest.approx(level**4 + 2 * level**2)
    assert level < np.sqrt(2 * np.log(p))


def test_value_is_the_elastic_nets():
    penalty = Penalty.of(np.array([0.0, 0.2, 0.5]), 0.25)
    np.testing.assert_allclose(penalty.alpha, [0.0, 0.2, 0.5])
    expected = 0.2 * (0.25 * 2 + 0.75 * 2**2 / 2) + 0.5 * (0.25 * 1 + 0.75 * 1 / 2)
    assert penalty.value(np.array([9.0, -2.0, 1.0])) == pytest.approx(expected)
