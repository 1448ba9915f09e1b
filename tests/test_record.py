"""The record of a fit: what it holds, what a pickle keeps of it, and that it needs no estimator."""

import copy
import dataclasses
import pickle
import warnings

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from support import finite_difference, slow

from dask_onestep import MLE, Average, GLMClassifier, GLMRegressor, OneStep, Pilot, Surrogate
from dask_onestep.datasets import make_glm
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.pilots import sample
from dask_onestep.storage import read_model, write_model


@pytest.mark.parametrize("solver", ["cholesky", "qr"])
@pytest.mark.parametrize("method", [MLE(), OneStep(500, steps=3)], ids=str)
def test_score_and_information_are_those_at_the_coefficients(method, solver, counts):
    X, y, _ = counts
    glm = GLMRegressor("poisson", method=method, solver=solver).fit(X, y)
    record = glm.record_
    exact = glm.total(moments, X, y, arguments=(record.coef,))
    np.testing.assert_allclose(record.information, exact.information, rtol=1e-5)
    np.testing.assert_allclose(record.sums.loglik, exact.loglik, rtol=1e-9)
    scale = np.sqrt(np.diag(exact.information))
    np.testing.assert_allclose(record.score / scale, exact.score / scale, atol=1e-3)

    def loglik(coef):
        return np.array([glm.total(moments, X, y, arguments=(coef,)).loglik])

    slope = finite_difference(loglik, record.coef, step=1e-5)[0]
    np.testing.assert_allclose(record.score / scale, slope / scale, atol=1e-2)


@pytest.mark.usefixtures("quiet", "threads")
@pytest.mark.parametrize("chunks", [300, 777, 4000])
def test_the_pilot_is_kept_with_its_keys(chunks):
    X, y, _ = make_glm(4000, 3, family="poisson", chunks=chunks, random_state=1)
    pilot = GLMRegressor("poisson", method=OneStep(200)).fit(X, y).record_.pilot
    assert pilot.has_rows
    assert pilot.n == 4000
    assert len(pilot.keys) == 200
    assert (pilot.positions[:, 0] == 0).all()
    x, response = X.compute(), y.compute()
    np.testing.assert_array_equal(pilot.x, x[pilot.positions[:, 1]])
    np.testing.assert_array_equal(pilot.y, response[pilot.positions[:, 1]])
    same = GLMRegressor("poisson", method=OneStep(200)).fit(x, response).record_.pilot
    np.testing.assert_array_equal(np.sort(pilot.keys), np.sort(same.keys))


@pytest.mark.usefixtures("quiet", "threads")
@pytest.mark.parametrize("missing", [False, True])
def test_of_a_formula_the_raw_rows_are_kept(missing):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=900), "g": rng.choice(list("abc"), 900), "row": np.arange(900.0)})
    frame["y"] = rng.poisson(np.exp(0.2 * frame.x)).astype(float)
    if missing:
        frame.loc[::7, "x"] = np.nan
    data = dd.from_pandas(frame, npartitions=3)
    glm = GLMRegressor("poisson", formula="y ~ x + g + row", method=OneStep(120), missing="drop").fit(data)
    pilot = glm.record_.pilot
    assert pilot.x is None
    assert pilot.raw.shape == (120, 4)
    rows = frame.iloc[pilot.raw["row"].astype(int)].reset_index(drop=True)
    kept = pilot.raw.reset_index(drop=True).astype({"g": object})  # strings are kept as categories
    pd.testing.assert_frame_equal(kept, rows[pilot.raw.columns], check_dtype=False)
    np.testing.assert_array_equal(pilot.y, rows["y"])
    # The design makes of them the rows that the pilot was fitted to.
    refit = GLMRegressor("poisson", formula="y ~ x + g + row", method="mle").fit(pilot.raw)
    np.testing.assert_allclose(glm.estimate_.pilot_coef, refit.estimate_.coef, rtol=1e-6, atol=1e-8)


@pytest.mark.usefixtures("quiet")
def test_rows_beyond_the_limit_are_not_kept(monkeypatch, binary):
    X, y, _ = binary
    monkeypatch.setattr(sample, "PILOT_BYTES", 300 * 4 * 8 - 1)
    pilot = GLMClassifier(method=OneStep(300)).fit(X, y).record_.pilot
    assert not pilot.has_rows
    assert len(pilot.keys) == len(pilot.positions) == 300


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("scheduler_name", ["threads", slow("client")])
def test_a_pickle_drops_the_rows_unless_asked(request, scheduler_name, tmp_path):
    request.getfixturevalue(scheduler_name)
    X, y, _ = make_glm(2000, 3, family="binomial", chunks=500, random_state=1)
    glm = GLMClassifier(method=OneStep(300)).fit(X, y)
    assert glm.record_.pilot.has_rows
    again = pickle.loads(pickle.dumps(glm))
    assert not again.record_.pilot.has_rows
    np.testing.assert_array_equal(again.record_.pilot.keys, glm.record_.pilot.keys)
    np.testing.assert_array_equal(again.record_.information, glm.record_.information)
    assert again.estimate_.pilot is None
    assert pickle.loads(pickle.dumps(glm.record_.with_pickled_rows())).pilot.has_rows
    for asked in (False, True):
        write_model(glm, str(tmp_path / "model.pkl"), pilot_rows=asked)
        assert read_model(str(tmp_path / "model.pkl"), trust_pickle=True).record_.pilot.has_rows is asked
    assert glm.record_.pilot.has_rows


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("method", [OneStep(300), MLE(), Pilot(300), Surrogate("pilot", pilot_size=300)], ids=str)
def test_every_method_with_a_pilot_keeps_it(method, binary):
    X, y, _ = binary
    record = GLMClassifier(method=method).fit(X, y).record_
    assert record.pilot.has_rows
    assert record.sums is not None
    assert record.method == type(method).__name__


def test_a_method_without_a_pilot_has_none(binary):
    X, y, _ = binary
    record = GLMClassifier(method=Average()).fit(X, y).record_
    assert record.pilot is None
    assert record.score is None


def test_a_record_is_frozen(binary):
    X, y, _ = binary
    record = GLMClassifier().fit(X, y).record_
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.method = "MLE"


def test_a_model_of_json_has_a_record_without_sums(tmp_path, binary):
    X, y, _ = binary
    glm = GLMClassifier().fit(X, y)
    path = str(tmp_path / "model.json")
    write_model(glm, path)
    record = read_model(path).record_
    assert record.names == glm.record_.names
    assert record.sums is None
    assert record.pilot is None
    assert record.df_denom is not None


def test_a_delayed_fit_has_a_record(synchronous):
    X, y, _ = make_glm(2000, 3, family="binomial", chunks=500)
    glm = GLMClassifier().fit_delayed(X, y).compute()
    assert glm.record_.pilot.has_rows
    assert glm.n_passes_ == 1


@pytest.mark.parametrize("module", ["report", "plots", "storage", "cli", "inference"])
def test_what_people_see_reads_no_private_attribute(module):
    import re
    from pathlib import Path

    import dask_onestep

    root = Path(dask_onestep.__file__).parent
    files = [root / f"{module}.py"] if (root / f"{module}.py").exists() else sorted((root / module).rglob("*.py"))
    private = re.compile(r"\b(?!self\b|cls\b|super\b)\w+\._(?!meta\b|_)\w+")
    found = [f"{file.name}: {hit}" for file in files for hit in private.findall(file.read_text(encoding="utf-8"))]
    found = [hit for hit in found if "dask_onestep._version" not in hit and "_mimebundle" not in hit]
    assert files
    assert not found


def test_warnings_of_the_table_are_notes_of_the_record():
    frame = pd.DataFrame({"x": np.arange(60.0), "g": ["a"] * 60, "y": np.arange(60.0) % 7})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        record = GLMRegressor(formula="y ~ x + g").fit(frame).record_
    assert next(text for _, text in record.notes).startswith("g has only one level")
    assert len(said) == len(record.notes)


def test_copies_keep_the_pilots_rows_and_arrays_cannot_be_changed(binary):
    x, y, _ = binary
    glm = GLMClassifier(method=OneStep(200, random_state=0)).fit(x, y)
    assert copy.deepcopy(glm).record_.pilot.has_rows
    before = glm.record_.coef.copy()
    for array in (glm.record_.coef, glm.record_.covariance, glm.record_.score, glm.record_.information):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    glm.coef_[...] = 0.0
    np.testing.assert_array_equal(glm.record_.coef, before)
