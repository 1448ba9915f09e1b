"""What transforms keep of the full data: moments of all rows, and of a sample what moments do not tell."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.data import arrow
from dask_onestep.exceptions import UndefinedTermWarning
from dask_onestep.kernels.designs.states import CentralMoments, moment_states
from dask_onestep.kernels.designs.terms import formula_terms
from dask_onestep.kernels.pilots import candidates
from dask_onestep.kernels.pilots import profile as profiles
from dask_onestep.kernels.pilots.candidates import sample_rows
from dask_onestep.methods import draws

VALUES = np.random.default_rng(0).gamma(2.0, size=5000) * 30 + 400


def moments_of(values, order, cuts=()):
    total, *others = [CentralMoments.of(part, order) for part in np.split(values, sorted(cuts))]
    for part in others:
        total = total + part
    return total


@given(cuts=st.lists(st.integers(0, len(VALUES)), max_size=5))
def test_moments_of_any_blocks_are_those_of_all_rows(cuts):
    found = moments_of(VALUES, 6, cuts)
    assert found.n == len(VALUES)
    assert found.mean == pytest.approx(VALUES.mean(), rel=1e-14)
    powers = np.arange(7)[:, np.newaxis]
    spread = VALUES.std()
    exact = (((VALUES - VALUES.mean()) / spread) ** powers).sum(axis=1)
    np.testing.assert_allclose(found.sums / spread ** np.arange(7), exact, rtol=1e-12, atol=1e-8)


def test_missing_values_are_left_out():
    some = np.where(np.arange(len(VALUES)) % 7 == 0, np.nan, VALUES)
    assert CentralMoments.of(some, 2).n == np.isfinite(some).sum()
    assert CentralMoments.of(np.full(3, np.nan), 2).n == 0


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 8])
def test_poly_is_the_qr_of_all_rows(degree):
    # R's poly: columns 1 to k of the Q of (1, x, …, x^k), up to sign.
    terms = formula_terms(f"poly(x, {degree})", True)
    state = moment_states(terms, {"x": moments_of(VALUES, 2 * degree, [800, 801, 3000])})
    ((call, own),) = state.items()
    assert call == f"poly(x, {degree})"
    from formulaic.transforms import poly

    found = np.asarray(poly(VALUES, degree, _state=own))
    scaled = (VALUES - VALUES.mean()) / np.ptp(VALUES)
    exact = np.linalg.qr(np.vander(scaled, degree + 1, increasing=True))[0][:, 1:]
    exact *= np.sign((exact * found).sum(axis=0))
    np.testing.assert_allclose(found, exact, atol=5e-9)


def test_center_scale_and_standardize():
    moments = {"x": moments_of(VALUES, 2, [17])}
    state = moment_states(formula_terms("center(x) + scale(x) + standardize(x)", True), moments)
    assert state["center(x)"]["scale"] is None
    assert state["scale(x)"]["center"] == pytest.approx(VALUES.mean(), rel=1e-14)
    assert state["scale(x)"]["scale"] == pytest.approx(VALUES.std(ddof=1), rel=1e-12)
    assert state["standardize(x)"]["scale"] == pytest.approx(VALUES.std(ddof=0), rel=1e-12)


@pytest.mark.parametrize("call", ["poly(x, 2, raw=True)", "poly(x, 12)", "scale(x, ddof=0)", "bs(x, df=4)"])
def test_other_calls_are_left_to_the_sample(call):
    terms = formula_terms(call, True)
    assert moment_states(terms, {"x": moments_of(VALUES, 24)}) == {}


def table(n=6000):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.gamma(2.0, size=n), "z": rng.normal(size=n)})
    frame["y"] = rng.poisson(np.exp(0.1 * frame.x)).astype(float)
    return frame


@pytest.mark.parametrize("formula", ["y ~ poly(x, 3) + z", "y ~ poly(x, 12) + z"])
def test_coefficients_of_poly_do_not_depend_on_how_many_rows_are_sampled(formula, monkeypatch):
    frame = table()
    monkeypatch.setattr(profiles, "STATE_ROWS", 500)
    glm = GLMRegressor("poisson", formula=formula, method="mle").fit(dd.from_pandas(frame, npartitions=5))
    monkeypatch.setattr(profiles, "STATE_ROWS", 100_000)
    exact = GLMRegressor("poisson", formula=formula, method="mle").fit(frame)
    if "12" in formula:  # the polynomials of a sample, but of the same size
        assert np.linalg.norm(glm.coef_[:3]) == pytest.approx(np.linalg.norm(exact.coef_[:3]), rel=0.5)
    else:
        np.testing.assert_allclose(glm.coef_, exact.coef_, rtol=1e-7, atol=1e-8)
    assert glm.estimate_.loglik == pytest.approx(exact.estimate_.loglik, rel=1e-9)


def test_a_transform_sees_the_rows_in_which_its_own_input_is_present():
    # As R's model.frame, which evaluates scale(x) before it leaves out rows without z.
    frame = table(400)
    frame.loc[frame.x > 3, "z"] = np.nan
    glm = GLMRegressor("poisson", formula="y ~ scale(x) + z", missing="drop", method="mle").fit(frame)
    own = frame.assign(s=(frame.x - frame.x.mean()) / frame.x.std()).dropna()
    plain = GLMRegressor("poisson", formula="y ~ s + z", method="mle").fit(own)
    np.testing.assert_allclose(glm.coef_, plain.coef_, rtol=1e-10)
    assert glm.n_missing_ == frame.z.isna().sum()


def test_rows_of_weight_zero_have_no_part_in_a_state():
    frame = table(600)
    weight = (frame.x < 3).astype(float)
    glm = GLMRegressor("poisson", formula="y ~ poly(x, 2) + bs(z, df=4)", method="mle")
    one = glm.fit(frame, sample_weight=weight).coef_
    two = glm.fit(frame[weight > 0]).coef_
    np.testing.assert_allclose(one, two, rtol=1e-9)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("method", [OneStep(2000, steps=1), MLE()])
def test_where_states_decide_which_rows_are_usable_a_pass_more_counts_them(method):
    frame = table(3000)
    glm = GLMRegressor("poisson", formula="y ~ log(center(x)) + z", missing="drop", method=method).fit(frame)
    own = frame[frame.x > frame.x.mean()]
    own = own.assign(x=np.log(own.x - frame.x.mean()))
    plain = GLMRegressor("poisson", formula="y ~ x + z", method=method).fit(own)
    assert (glm.n_samples_, glm.n_missing_) == (len(own), 3000 - len(own))
    assert glm.n_passes_ == plain.n_passes_ + 1
    if isinstance(method, MLE):
        np.testing.assert_allclose(glm.coef_, plain.coef_, rtol=1e-9)


@pytest.mark.parametrize(
    "formula",
    ["y ~ scale(log(x)) + g", "y ~ bs(x, df=5) + z:g", "y ~ poly(x, 3)*g", "y ~ C(k) + scale(z)", "y ~ g + z"],
)
@pytest.mark.parametrize("missing", ["raise", "drop"])
@pytest.mark.usefixtures("quiet")  # a pilot of a few thousand rows warns under some of these
def test_a_formula_takes_no_pass_of_its_own(formula, missing):
    frame = table(8000).assign(g=lambda d: np.where(d.z > 0, "b", "a"), k=lambda d: (d.x > 2).astype(int))
    data = dd.from_pandas(frame, npartitions=4)
    rest = {"formula": formula, "missing": missing}
    assert GLMRegressor("poisson", method=OneStep(2000, steps=1), **rest).fit(data).n_passes_ == 2
    assert GLMRegressor("poisson", **rest).fit(data).n_passes_ == 1  # a small table is its own pilot
    plain = GLMRegressor("poisson", method="mle").fit(frame[["x"]], frame["y"])
    mle = GLMRegressor("poisson", method="mle", **rest).fit(data)
    assert mle.n_passes_ <= plain.n_passes_ + 1


@pytest.mark.parametrize("method", [OneStep(), OneStep(800), MLE()])
def test_rows_that_a_function_makes_nan_are_counted_by_term_in_the_first_pass_too(method):
    frame = table(3000).assign(g=lambda d: np.where(d.z > 0, "b", "a"))
    frame.loc[:4, "x"] = -1.0
    with pytest.warns(UndefinedTermWarning, match=r"log\(x\) \(5 rows\); 2,995 rows remain"):
        glm = GLMRegressor("poisson", formula="y ~ log(x) + g", missing="drop", method=method).fit(frame)
    assert (glm.n_samples_, glm.n_missing_) == (2995, 5)


@pytest.mark.slow
@pytest.mark.parametrize("order", [None, "g", "y", "uneven"])
@pytest.mark.parametrize("classify", [False, True])
@pytest.mark.parametrize("lengths", ["known", "unknown"])
@pytest.mark.usefixtures("synchronous", "quiet")
def test_rows_are_kept_for_the_levels_that_all_blocks_have(order, classify, lengths, tmp_path, monkeypatch):
    joined = []
    monkeypatch.setattr(arrow, "_SMALL_BLOCK_BYTES", 2**19)
    monkeypatch.setattr(draws, "pilot_of", lambda found: joined.append(found.pilot) or found.pilot)
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": rng.integers(0, 60, 150_000), "x": rng.normal(size=150_000)})
    mean = np.clip(1 + frame["x"] + 0.02 * frame["g"] + rng.logistic(size=len(frame)), 0, 3)
    frame = frame.assign(y=mean.astype(int) if classify else rng.poisson(np.exp(mean / 3))).astype({"g": str})
    if order == "uneven":
        frame.loc[: len(frame) * 3 // 4, "g"] = "0"
    elif order is not None:
        frame = frame.sort_values(order, kind="stable", ignore_index=True)
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=25_000)
    model = GLMClassifier("logit") if classify else GLMRegressor("poisson")
    model.set_params(formula="y ~ x + g", method=OneStep(pilot_bytes="1 MiB", steps=1))
    path = tmp_path / "rows.parquet"
    model.fit(path if lengths == "known" else dd.read_parquet(path, split_row_groups=True))
    assert model.n_passes_ == 2
    kept, size = joined[-1], model.estimate_.pilot_size
    assert size <= len(kept.keys) < (1.5 if lengths == "known" else 3) * size


@pytest.mark.parametrize("lengths", ["known", "unknown"])
@pytest.mark.parametrize("formula", ["y ~ x + center(z)", "y ~ x + cr(z, df=4) - 1", "y ~ bs(x, df=5) + log(z)"])
@pytest.mark.usefixtures("synchronous", "quiet")
def test_formulas_without_a_factor_take_two_passes_over_parts_of_files(lengths, formula, tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "_SMALL_BLOCK_BYTES", 2**16)
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.normal(size=40_000), "z": rng.gamma(2.0, size=40_000)})
    frame = frame.assign(y=rng.poisson(np.exp(0.3 * frame["x"])))
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path, row_group_size=5000)
    model = GLMRegressor("poisson", formula=formula, method=OneStep(pilot_bytes="100 KiB", steps=1))
    model.fit(path if lengths == "known" else dd.read_parquet(path, split_row_groups=True))
    assert model.n_passes_ == 2
    coef, close = model.coef_, 1e-8 if lengths == "known" else 0.05
    np.testing.assert_allclose(coef, model.fit(frame).coef_, rtol=0.0, atol=close, equal_nan=True)


@pytest.mark.parametrize("alike", ["levels", "ranges", "nothing"])
@pytest.mark.usefixtures("synchronous", "quiet")
def test_rows_are_kept_for_fewer_coefficients_where_parts_of_files_have_the_same_ranges(alike, tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(arrow, "_SMALL_BLOCK_BYTES", 2**19)
    monkeypatch.setattr(candidates, "sample_rows", lambda *given: (sent.append(sample_rows(*given)), sent[-1])[1])
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 60, 150_000) + 100
    if alike != "levels":
        codes = codes + 100 * (np.arange(len(codes)) // 25_000)
    words = codes.astype(str).astype(object)
    if alike == "ranges":
        words[::100], words[1::100] = "0", "9"
    frame = pd.DataFrame({"g": words, "x": rng.normal(size=len(codes)), "y": rng.poisson(1 + codes % 3)})
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=25_000)
    model = GLMRegressor("poisson", formula="y ~ x + g", method=OneStep(pilot_bytes="1 MiB", steps=1))
    model.fit(tmp_path / "rows.parquet")
    counts = {each.size.d for each in sent if each.n == 25_000 and each.size.checked}
    assert 60 < min(counts) <= max(counts) < 90 if alike != "nothing" else min(counts) > 360
    assert model.n_passes_ == (3 if alike == "ranges" else 2)  # the levels turned out to be six times as many
    memory = GLMRegressor("poisson", formula="y ~ x + g", method=OneStep(pilot_bytes="1 MiB", steps=1))
    memory.fit(frame)
    np.testing.assert_allclose(model.coef_, memory.coef_, rtol=1e-9, atol=1e-9)
