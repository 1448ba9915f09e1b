"""Names that are unknown: the error lists what there is and suggests what was meant."""

import numpy as np
import pandas as pd
import pytest

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.choices import listed, suggestion

Y = np.arange(20) % 2


@pytest.mark.parametrize(
    ("estimator", "meant"),
    [
        (GLMRegressor("Poisson"), "poisson"),
        (GLMRegressor("negative_binomial"), "negative-binomial"),
        (GLMRegressor("inverse gaussian"), "inverse-gaussian"),
        (GLMRegressor(method="onestep"), "one-step"),
        (GLMRegressor(method="one_step"), "one-step"),
        (GLMRegressor(method="MLE"), "mle"),
        (GLMClassifier("logitt"), "logit"),
        (GLMClassifier("Probit"), "probit"),
        (GLMRegressor(cov_type="hc1"), "HC1"),
        (GLMRegressor(missing="dropped"), "drop"),
    ],
)
def test_what_was_meant_is_suggested(estimator, meant):
    with pytest.raises(ValueError, match=f"Unknown .*; must be one of .* Did you mean '{meant}'[?]$"):
        estimator.fit(np.arange(20.0)[:, None], Y)


def test_nothing_is_suggested_where_nothing_is_near():
    assert suggestion("newton", ["one-step", "mle"]) == ""
    with pytest.raises(ValueError, match=r"Unknown link 'zzz'; must be one of [^?]*\.$"):
        GLMRegressor(link="zzz").fit(np.arange(20.0)[:, None], Y)


def test_a_column_that_is_not_there_is_told_with_the_nearest():
    frame = pd.DataFrame({"temp": np.arange(20.0), "riders": np.arange(20) % 7})
    with pytest.raises(
        ValueError, match=r"\['tmp'\], which are not columns\..*\['riders', 'temp'\]\. Did you mean 'temp'"
    ):
        GLMRegressor("poisson", formula="riders ~ tmp").fit(frame)
    many = frame.assign(**{f"c{number}": 0.0 for number in range(35)})
    with pytest.raises(ValueError, match=r"'c2'.*\] and 17 more\. Did you mean 'temp'"):
        GLMRegressor("poisson", formula="riders ~ tmp").fit(many)


def test_long_lists_are_cut():
    assert listed(range(3)) == "[0, 1, 2]"
    assert listed(range(37)).endswith("19] and 17 more")
