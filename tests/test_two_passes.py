"""Formulas of every kind under every family take two passes."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.families import resolve_family
from dask_onestep.links import resolve_link

ROWS = 20_000
FORMULAS = {
    "numbers": "x + z",
    "factor": "x + g",
    "number by factor": "x * g",
    "factor by factor": "g * h + x",
    "number by number": "x * z",
    "B-spline": "bs(age, df=5) + g",
    "natural spline": "cr(age, df=5, constraints='center') + h",
    "polynomial": "poly(age, 3) + x",
    "center and scale": "center(x) * scale(z) + h",
    "logarithm": "log(z) + h",
    "coded number": "C(k) + x",
    "offset": "x + g + offset(t)",
}
FAMILIES = {"gaussian": None, "binomial": None, "poisson": None, "gamma": "log", "multinomial": None}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=ROWS),
            "z": rng.gamma(4.0, size=ROWS),
            "age": rng.gamma(9.0, 5.0, ROWS),
            "k": rng.integers(0, 3, ROWS),
            "g": rng.choice(list("abcd"), ROWS, p=[0.4, 0.3, 0.2, 0.1]),
            "h": rng.choice(list("uvw"), ROWS, p=[0.5, 0.3, 0.2]),
            "t": rng.uniform(-0.5, 0.5, ROWS),
            "w": rng.uniform(0.5, 2.0, ROWS),
        }
    )
    eta = (
        0.3 * frame["x"] - 0.05 * (frame["z"] - 4) + 0.01 * (frame["age"] - 45) + 0.2 * (frame["g"] == "b") + frame["t"]
    )
    frame["gaussian"] = eta + rng.normal(size=ROWS)
    frame["binomial"] = (rng.random(ROWS) < 1 / (1 + np.exp(-eta))).astype(float)
    frame["poisson"] = rng.poisson(np.exp(eta)).astype(float)
    frame["gamma"] = rng.gamma(2.0, np.exp(eta) / 2)
    utilities = rng.gumbel(size=(ROWS, 3)) + np.outer(eta, [0.0, 1.0, -0.5])
    return frame.assign(multinomial=utilities.argmax(axis=1))


def fitted(table, family, formula, method, *, missing="raise", **parts):
    options = {"formula": f"{family} ~ {formula}", "method": method, "missing": missing}
    glm = GLMClassifier(**options) if family == "multinomial" else GLMRegressor(family, FAMILIES[family], **options)
    return glm.fit(dd.from_pandas(table, npartitions=3, sort=False), **parts)


# A multinomial model has no offset.
PAIRS = [(kind, family) for kind in FORMULAS for family in FAMILIES if (kind, family) != ("offset", "multinomial")]


@pytest.mark.parametrize(("kind", "family"), PAIRS)
@pytest.mark.usefixtures("quiet")
def test_one_step_reads_the_data_twice(kind, family, table):
    glm = fitted(table, family, FORMULAS[kind], OneStep(pilot_bytes=1, steps=1))
    assert glm.n_passes_ == 2
    assert np.isfinite(glm.estimate_.distance_bound)


@pytest.mark.parametrize("family", ["binomial", "gamma"])
@pytest.mark.usefixtures("quiet")
def test_weights_and_missing_values_take_no_pass(family, table):
    holes = table.assign(x=table["x"].mask(np.arange(ROWS) % 7 == 0))
    method = OneStep(pilot_bytes=1, steps=1)
    glm = fitted(holes, family, "x * h + log(z)", method, missing="drop", sample_weight="w")
    assert (glm.n_passes_, glm.n_samples_) == (2, int(holes["x"].notna().sum()))


@pytest.mark.parametrize(("family", "link"), [("gamma", "log"), ("binomial", "probit"), ("negative-binomial", "log")])
@pytest.mark.parametrize("seed", range(3))
def test_other_links_than_the_canonical_one_take_two_passes(family, link, seed):
    """By expected information alone gamma fits of this kind took three."""
    rng = np.random.default_rng(seed)
    x, link = rng.normal(size=(60_000, 3)), resolve_link(link)
    mean = link.inverse(0.2 + x @ [0.3, -0.2, 0.1])
    draws = {"gamma": lambda: rng.gamma(2.0, mean / 2), "binomial": lambda: 1.0 * (rng.random(len(mean)) < mean)}
    y = draws.get(family, lambda: rng.poisson(mean).astype(float))()
    glm = GLMRegressor(resolve_family(family), link, method=OneStep(pilot_bytes=1)).fit(x, y)
    exact = GLMRegressor(resolve_family(family), link, method=MLE()).fit(x, y)
    away = np.abs(glm.estimate_.coef - exact.estimate_.coef) / np.sqrt(np.diag(exact.covariance_))
    assert glm.n_passes_ == 2 < exact.n_passes_
    assert away.max() <= glm.estimate_.distance_bound < 0.1
