"""Strata of the pilot: who is drawn with which probability, whatever the chunks, and what that makes of sums."""

import warnings
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support import model_of

from dask_onestep import GLMClassifier, OneStep
from dask_onestep.families import Binomial
from dask_onestep.kernels.designs.assembly import make_design
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.designs.terms import column_terms
from dask_onestep.kernels.likelihood.maximum import fit_rows
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import sample_rows
from dask_onestep.kernels.pilots.curvature import Curvature
from dask_onestep.kernels.pilots.pilot import fit_pilot
from dask_onestep.kernels.pilots.sample import PilotSize
from dask_onestep.kernels.pilots.strata import StrataRule, _counts, _joined_levels, _smallest, extremes
from dask_onestep.links import resolve_link

N = 6000


def table(seed=0):
    rng = np.random.default_rng(seed)
    shares = [0.6, 0.3, 0.09, 0.01]
    frame = pd.DataFrame({"g": pd.Categorical(rng.choice(list("abcd"), N, p=shares)), "x": rng.standard_t(3, N)})
    y = (rng.random(N) < np.where(frame["g"] == "d", 0.2, 0.01)).astype(float)
    return frame, y


def designed(frame):
    terms = column_terms(tuple(frame.columns), True)
    design = make_design(terms, dict(frame.dtypes), None)
    return Model(OnePredictor(Binomial(), resolve_link("logit")), design.names, design=design)


FRAME, Y = table()
MODEL = designed(FRAME)
X = np.asarray(MODEL.design.matrix(FRAME))


def rows_of(start, stop, known=True):
    raw = FRAME.iloc[start:stop]
    return Rows(X[start:stop], Y[start:stop], start=start if known else None, raw=raw)


def drawn(seed, cuts=(0, N), total=N, n_blocks=1):
    size = PilotSize("auto", len(MODEL.names), total, strata=StrataRule.of(MODEL, n_blocks))
    parts = [sample_rows(rows_of(*pair), size, seed) for pair in pairwise(cuts)]
    whole = parts[0].join(*parts[1:]) if len(parts) > 1 else parts[0]
    return whole.drawn()


@given(st.lists(st.integers(0, N), max_size=6), st.booleans())
@settings(max_examples=15)
def test_any_chunks_draw_the_same_rows_with_the_same_probabilities(cuts, known):
    total = N if known else None  # or the size is learned by the pass
    one, many = drawn(3, total=total), drawn(3, (0, *sorted(cuts), N), total=total)
    np.testing.assert_array_equal(many.positions, one.positions)
    np.testing.assert_array_equal(many.inclusion.probabilities, one.inclusion.probabilities)
    np.testing.assert_array_equal(many.inclusion.weights, one.inclusion.weights)


def test_rare_classes_and_levels_and_extreme_rows_are_drawn():
    pilot = drawn(0)
    size = pilot.size.sampled(N)
    share = size / N
    y, codes = pilot.y, pilot.raw["g"].cat.codes.to_numpy()
    assert y.sum() > 2 * share * Y.sum()
    assert (codes == 3).sum() > 2 * share * (FRAME["g"] == "d").sum()
    ends = np.argsort(FRAME["x"].to_numpy())
    assert {*ends[:5], *ends[-5:]} <= {*pilot.positions[:, 1]}
    assert len(pilot.keys) < 2 * size


@pytest.mark.slow
def test_every_row_is_drawn_as_often_as_its_probability_says():
    draws = 400
    counts, told = np.zeros(N), np.zeros(N)
    totals = []
    for seed in range(draws):
        pilot = drawn(seed)
        at, probability = pilot.positions[:, 1], pilot.inclusion.probabilities
        counts[at] += 1
        told[at] += 1 / probability
        totals.append([(1 / probability).sum(), (pilot.y / probability).sum()])
    # Each row counts once on average: Σ 1/π over the draws that hold it is the number of draws.
    rare = (Y == 1) | (FRAME["g"] == "d").to_numpy()
    for rows in (rare, ~rare):
        z = (told[rows].mean() - draws) / (told[rows].std() / np.sqrt(rows.sum()))
        assert abs(z) < 4
    error = np.std(totals, axis=0) / np.sqrt(draws)
    assert (np.abs(np.mean(totals, axis=0) - [N, Y.sum()]) < 4 * error + 1e-9 * N).all()


def test_weights_of_a_level_and_class_sum_to_the_rows_seen():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"g": rng.choice(list("abcd"), N), "h": rng.choice(list("efg"), N, p=[0.7, 0.29, 0.01])})
    frame = frame.assign(x=rng.normal(size=N)).astype({"g": "category", "h": "category"})
    y = (rng.random(N) < np.where(frame["h"] == "f", 0.4, 0.2)).astype(float)
    model = designed(frame)
    size = PilotSize("auto", len(model.names), N, strata=StrataRule.of(model, 1))
    pilot = sample_rows(Rows(np.asarray(model.design.matrix(frame)), y, start=0, raw=frame), size, 0).drawn()
    weights = pilot.inclusion.weights * N / len(pilot.y)
    for factor in ("g", "h"):
        found = pd.Series(weights).groupby([pilot.raw[factor].to_numpy(), pilot.y]).sum()
        np.testing.assert_allclose(found, frame.groupby([frame[factor], y], observed=True).size(), rtol=1e-6)
    certain = pilot.inclusion.probabilities == 1
    assert certain.any()
    np.testing.assert_allclose(weights[certain], 1.0)  # they stand for no other row
    # Without weights for levels the sums would differ by the standard error of a count.
    assert np.std(weights * pilot.inclusion.probabilities) > 0.01


def test_chunks_of_sorted_rows_draw_the_same_pilot(synchronous):
    """All events lie in the last blocks, which hold as many of them as if other blocks had as many."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200_000, 2)), np.repeat([0.0, 1.0], [198_000, 2_000])
    positions = []
    for chunk, passes in ((200_000, 2), (25_000, 4), (3_000, 4)):
        data = da.from_array(x, chunks=(chunk, 2)), da.from_array(y, chunks=chunk)
        glm = GLMClassifier(method=OneStep(pilot_bytes=1)).fit(*data)
        assert glm.n_passes_ == passes  # in one block they are rare; of others the pilot is drawn once more
        assert glm.record_.pilot.y.sum() == 2000
        positions.append(glm.record_.pilot.positions)
    assert all((each == positions[0]).all() for each in positions)


def test_strata_may_hold_all_rows_of_a_block_that_is_too_large_to_be_held():
    rows = rows_of(0, 900)
    size = PilotSize("auto", len(MODEL.names), None, 1000, 640, StrataRule.of(MODEL, 2))
    parts = sample_rows(rows, size, 0), sample_rows(rows_of(900, 1000), size, 0)
    assert size.enough(len(rows)) < len(parts[0].keys) == len(rows)  # of which extreme values are the rest
    assert len(parts[0].join(parts[1]).drawn().keys) == 1000


def test_nothing_rare_is_a_simple_random_sample():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20_000, 2)), (rng.random(20_000) < 0.4).astype(float)
    model = model_of("binomial")
    strata = StrataRule.of(model, 1)
    plain, stratified = (
        sample_rows(Rows(x, y), PilotSize("auto", 3, 20_000, strata=rule), 1).drawn() for rule in (None, strata)
    )
    np.testing.assert_array_equal(plain.keys, stratified.keys)
    assert stratified.inclusion.weights == pytest.approx(1.0)
    assert StrataRule.of(model_of("gaussian"), 1) is None  # one step is exact from any pilot


@pytest.mark.slow
def test_the_variance_of_what_is_foretold_is_that_of_the_draws():
    rows = rows_of(0, N)
    coef = fit_rows(rows, MODEL).coef
    step = np.array([0.3, 0.1, -0.2, 0.2, 0.1])
    exact = scores(rows, MODEL, coef + step).score - scores(rows, MODEL, coef).score
    exact = exact + moments(rows, MODEL, coef).information @ step
    found, told = [], []
    for seed in range(150):
        pilot = fit_pilot(drawn(seed), MODEL)
        pilot = replace(pilot, coef=coef, moments=moments(pilot.rows, MODEL, coef), states=None)
        curvature = Curvature(MODEL, pilot, coef, moments(rows, MODEL, coef))
        foretold = curvature(step).score - curvature.sums.score + curvature.sums.information @ step
        found.append(foretold - exact)
        error = curvature.sampling_error(step)
        told.append(error.square - np.outer(error.mean, error.mean))
    found, told = np.array(found), np.mean(told, axis=0)
    kept = np.diag(told) > 1e-9 * np.diag(told).max()
    ratio = (found.var(axis=0) + found.mean(axis=0) ** 2)[kept] / np.diag(told)[kept]
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], 150) / 150
    # The rows of dense strata are not centered, so that the variance is reported too large rather than too small.
    assert (ratio < high * 1.3).all()
    assert (ratio > low / 5).all()


def test_the_automatic_pilot_of_one_step_holds_the_rare_class(synchronous):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30_000, 1)), np.zeros(30_000)
    y[rng.choice(30_000, 60, replace=False)] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        glm = GLMClassifier(method=OneStep(pilot_bytes=0)).fit(x, y)
    pilot = glm.record_.pilot
    assert len(pilot.y) < 15_000
    assert pilot.y.sum() > 40
    np.testing.assert_allclose((1 / pilot.probabilities)[pilot.y == 1].sum(), 60, rtol=1e-6)


def test_levels_of_several_samples_are_joined():
    parts = [SimpleNamespace(known=(pd.Index(list(levels)),)) for levels in ("ab", "cb", "ab")]
    (levels,), (places,) = _joined_levels(parts)
    assert levels.tolist() == ["a", "b", "c"]
    assert [each.tolist() for each in places] == [[0, 1], [2, 1], [0, 1]]


@pytest.mark.parametrize("dtype", [float, np.int64])
@pytest.mark.parametrize("rows", [30, 700, 50_000])
def test_extremes_are_the_lowest_and_highest_values_of_each_random_part_and_of_equal_ones_the_first(rows, dtype):
    rng = np.random.default_rng(rows)
    keys = rng.integers(0, 2**64, rows, dtype=np.uint64)
    few = rng.integers(0, 9, rows).astype(dtype)
    columns = (rng.normal(size=rows), few, np.where(np.arange(rows) < rows - 40, 4, few))  # the last has late ends
    most = StrataRule((), ("a", "b"), False, 1).of_tail()
    found = iter(extremes(columns, keys, most))
    for column in columns:
        for part in (1.0, 1 / 4, 1 / 16, 1 / 64):
            inside = np.flatnonzero(keys < part * 2.0**64)
            values = column[inside].astype(float)
            expected = {*inside[np.argsort(values, kind="stable")[:most]]}
            expected |= {*inside[np.argsort(-values, kind="stable")[:most]]}
            index, share = next(found)
            assert share == part
            assert index.tolist() == sorted(expected)
    assert next(found, None) is None


@pytest.mark.parametrize("rows", [700, 50_000])
@pytest.mark.parametrize("share", [0.005, 0.3, 0.999])
def test_missing_values_are_no_extremes(rows, share):
    rng = np.random.default_rng(rows)
    keys, column = rng.integers(0, 2**64, rows, dtype=np.uint64), rng.normal(size=rows)
    column[rng.random(rows) < share] = np.nan
    order = np.argsort(column)[: np.count_nonzero(column == column)]
    index, _ = next(extremes([column], keys, 100))
    assert index.tolist() == sorted({*order[:100], *order[-100:]})


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("sizes", [(), (7,), (3, 5, 4), (900, 40, 3)], ids=str)
def test_strata_are_counted_as_by_a_table_of_each_factor(sizes, n_classes):
    rng = np.random.default_rng(0)
    levels = [rng.integers(0, size, 40_000).astype(np.int32) for size in sizes]
    of_class = rng.integers(0, n_classes, 40_000).astype(np.uint8 if n_classes == 2 else np.intp)
    by_class, *by_level = _counts(of_class, n_classes, levels, sizes)
    np.testing.assert_array_equal(by_class, [np.bincount(of_class)])
    for codes, size, found in zip(levels, sizes, by_level, strict=True):
        expected = pd.crosstab(codes, of_class).reindex(range(size), fill_value=0)
        np.testing.assert_array_equal(found, expected)


def test_no_keys_have_no_smallest_ones():
    none = np.empty(0, np.uint64)
    rows, _ = _smallest(none, lambda index: np.empty(0, np.intp)[index], np.full(2, 3), np.full(2, 1))
    assert len(rows) == 0


@pytest.mark.parametrize("most", [(0, 5, 30), (3, 3, 3), (0, 400, 0)], ids=str)
def test_the_smallest_keys_of_each_group_are_found_below_its_end(most):
    rng = np.random.default_rng(0)
    keys, ids = rng.integers(0, 2**64, 5000, dtype=np.uint64), rng.choice(3, 5000, p=[0.9, 0.08, 0.02])
    counts = np.bincount(ids)
    for ends in (None, np.array([2**60, 2**62, 2**63], np.uint64)):
        rows, bounds = _smallest(keys, lambda index: ids[index], np.array(most), counts, ends)
        expected = []
        for group, wanted in enumerate(most):
            own = np.flatnonzero((ids == group) & (keys < (2**64 - 1 if ends is None else ends[group])))
            own = own[np.argsort(keys[own])]
            expected += own[:wanted].tolist()
            assert wanted >= len(own) or bounds[group] <= keys[own[wanted]]
        assert sorted(rows) == sorted(expected)


def test_the_smallest_keys_are_found_where_fewer_are_small_than_is_probable():
    keys = (np.concatenate([np.linspace(0.033, 0.034, 150), np.linspace(0.5, 1, 4850, endpoint=False)]) * 2**64).astype(
        np.uint64
    )
    rows, (bound,) = _smallest(keys, lambda index: np.zeros(5000, np.intp)[index], np.array([100]), np.array([5000]))
    assert rows.tolist() == list(range(100))
    assert keys[99] < bound <= keys[100]
