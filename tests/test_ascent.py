"""The rule of all ascents: which steps it accepts, how it shortens the others, and how it ends."""

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from support import finite_difference, model_of

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.likelihood.sums import moments
from dask_onestep.kernels.pilots.overdispersion import AlphaNewton
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.solve.ascent import ROUNDING, Ascent, Move, Newton, climb, ran_away, rose, shortening
from dask_onestep.kernels.solve.linear_algebra import factorize


def bowl(center, curvature):
    def objective(b):
        gap = center - b
        return Moments(1, 1.0, float(-0.5 * gap @ curvature @ gap), curvature @ gap, curvature)

    return objective


CENTER = np.array([1.0, -2.0, 3.0])
CURVATURE = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 5.0]])
NEWTON = Newton(intercept=False)


def maximize(objective, start, *, inside=None, max_iter=30, rule=NEWTON):
    return climb(Ascent.begin(start, objective(start), rule, max_iter), objective, inside)


def log_cosh(b):
    """Return −log cosh, whose Newton steps overshoot from |b| > 1.09 on."""
    value, slope = -np.logaddexp(b[0], -b[0]), -np.tanh(b[0])
    return Moments(1, 1.0, float(value), np.array([slope]), np.array([[1 / np.cosh(b[0]) ** 2]]))


def one_count(b):
    """Return the log-likelihood b − eᵇ of a Poisson count of 1."""
    with np.errstate(over="ignore"):
        mean = np.exp(b[0])
    return Moments(1, 1.0, float(b[0] - mean), np.array([1 - mean]), np.array([[mean]]))


def along_a_line(loglik, slope):
    """Return the sums at a point of a line along which the step is 1."""
    return Moments(1, 1.0, loglik, np.array([slope]), np.eye(1))


NOWHERE = Moments(1, 1.0, np.nan, np.full(3, np.nan), np.full((3, 3), np.nan))
STEP = np.ones(1)


def test_a_quadratic_takes_one_step():
    found = maximize(bowl(CENTER, CURVATURE), np.zeros(3))
    assert found.converged
    assert found.n_iter == 1
    np.testing.assert_allclose(found.coef, CENTER, rtol=1e-14)


def test_steps_stay_inside_a_region():
    inside = lambda b: np.linalg.norm(b) <= 2.0  # noqa: E731
    found = maximize(bowl(CENTER, CURVATURE), np.zeros(3), inside=inside)
    assert not found.converged
    assert inside(found.coef)
    # Halved against the boundary, the ascent ends close to it.
    assert np.linalg.norm(found.coef) > 1.9


def test_a_step_that_overshoots_is_shortened():
    # From b = 2 the full Newton step leads to −11.6, where the objective is lower.
    seen = []

    def watched(b):
        seen.append(b[0])
        return log_cosh(b)

    found = maximize(watched, np.array([2.0]))
    assert seen[1] < -11
    assert log_cosh(np.array([seen[1]])).loglik < log_cosh(np.array([2.0])).loglik
    assert -11 < seen[2] < 2
    assert found.converged
    assert abs(found.coef[0]) < 1e-8


def test_it_stops_where_it_is_told():
    found = maximize(bowl(CENTER, CURVATURE / 3), np.zeros(3), max_iter=0)
    assert not found.converged
    assert found.n_iter == 0
    np.testing.assert_array_equal(found.coef, 0)


# --- which steps are accepted -----------------------------------------------------------------


def test_rose():
    assert rose(1.0, 1.0)
    assert rose(-1e6 - 0.9e-5, -1e6)  # rounding
    assert not rose(-1e6 - 1.1e-5, -1e6)
    assert not rose(-1e6 - 1.0, -1e6)
    assert not rose(np.nan, 0.0)
    assert not rose(np.nan, -np.inf)
    assert not rose(-np.inf, 0.0)
    assert rose(-5.0, -np.inf)


@pytest.mark.parametrize("loglik", [-1e6, 1e6, -3.0])
def test_a_step_may_fall_by_rounding_and_no_more(loglik):
    start, rounding = along_a_line(loglik, 2.0), ROUNDING * abs(loglik)
    assert shortening(STEP, start, along_a_line(loglik - 0.9 * rounding, -1.9)) is None
    assert shortening(STEP, start, along_a_line(loglik - 1.1 * rounding, -1.9)) is not None
    # Nor may it be steeper at the end, downward, than it was at the start, upward, though it rose.
    assert shortening(STEP, start, along_a_line(loglik + 0.1, -2.0 - 0.9 * rounding)) is None
    assert shortening(STEP, start, along_a_line(loglik + 0.1, -2.0 - 1.1 * rounding)) is not None
    assert shortening(STEP, start, along_a_line(loglik, 1e9)) is None  # it still rises there


def test_where_logliks_cancel_the_slope_shows_the_rise():
    start = along_a_line(-1e14, 2.0)
    for slope in (1.0, 0.0, -1.0):
        assert shortening(STEP, start, along_a_line(-1e14 - 0.9e9, slope)) is None
        assert shortening(STEP, start, along_a_line(-1e14 - 1.1e9, slope)) is not None
    for slope in (-1.01, -2.0, 1.01):
        assert shortening(STEP, start, along_a_line(-1e14 - 0.9e9, slope)) is not None
    assert shortening(STEP, along_a_line(-1e14, -2.0), along_a_line(-1e14 - 0.9e9, 0.0)) is not None  # downhill


def test_last_steps_on_huge_counts_are_accepted_though_their_loglik_falls():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 1))
    y = rng.poisson(1e13 * np.exp(0.1 * x[:, 0])).astype(float)
    rows, model = Rows(x, y), model_of("negative-binomial", "log", columns=1)
    found = maximize(lambda b: moments(rows, model, b), np.array([np.log(1e13), 0.1]), rule=Newton())
    assert found.converged
    fell = 0
    for away in np.linalg.solve(np.linalg.cholesky(found.sums.information).T, rng.standard_normal((2, 40))).T:
        # Newton's step from a standard error away gains a half, which is less than the log-likelihood's last digits.
        start, end = (moments(rows, model, at) for at in (found.coef + away, found.coef))
        assert shortening(-away, start, end) is None
        fell += not rose(end.loglik, start.loglik)
        # Three times as long it ends twice as far away as it began, and is steeper there.
        assert shortening(-3 * away, start, moments(rows, model, found.coef - 2 * away)) is not None
    assert fell > 0


def test_an_overshoot_that_rises_goes_back_to_where_the_cubic_is_greatest():
    start, step = np.array([-10.0]), np.array([12.2])
    before, after = one_count(start), one_count(start + step)
    assert after.loglik > before.loglik + 3
    assert after.score @ step < -before.score @ step
    fraction = shortening(step, before, after)
    t, cubic = hermite(before.loglik, before.score @ step, after.loglik, after.score @ step)
    assert fraction == pytest.approx(t[np.argmax(cubic)], abs=2e-5)
    assert one_count(start + fraction * step).loglik > after.loglik


def hermite(left, rise, right, fall):
    """Return points from 0 to 1, and the cubic of these ends and slopes there."""
    t = np.linspace(0, 1, 100_001)
    return t, (
        (2 * t**3 - 3 * t**2 + 1) * left
        + (t**3 - 2 * t**2 + t) * rise
        + (3 * t**2 - 2 * t**3) * right
        + (t**3 - t**2) * fall
    )


def test_of_both_ends_of_a_cubics_swing_the_upper_one_is_taken():
    for first, last, right in ((-1.0, -1.0, -4.0), (1.0, 2.0, -7.0)):
        fraction = shortening(STEP, along_a_line(-5.0, first), along_a_line(right, last))
        t, cubic = hermite(-5.0, first, right, last)
        inner = slice(1, -1)
        peaks = t[inner][(cubic[inner] > cubic[:-2]) & (cubic[inner] > cubic[2:])]
        assert fraction == pytest.approx(peaks.item(), abs=2e-5)


def test_of_a_quadratic_the_shortened_step_is_the_best_on_its_line():
    objective = bowl(CENTER, CURVATURE)
    away = np.array([0.3, -0.2, 0.5])
    for times in (2.5, 10.0, 700.0):
        before, after = objective(CENTER + away), objective(CENTER + away - times * away)
        assert shortening(-times * away, before, after) == pytest.approx(1 / times, rel=1e-9)
    # To no less than a thousandth at a time.
    assert shortening(-1e6 * away, before, objective(CENTER + away - 1e6 * away)) == 1e-3
    # Newton's step, and one of not more than twice its length, which ends no lower than it began.
    for times in (0.1, 1.0, 1.9):
        assert shortening(-times * away, before, objective(CENTER + away - times * away)) is None


def test_where_no_cubic_tells_a_step_is_halved():
    start = along_a_line(-5.0, 2.0)
    for end in (along_a_line(np.nan, 0.0), along_a_line(-np.inf, 0.0), along_a_line(0.0, np.nan)):
        assert shortening(STEP, start, end) == 0.5
        assert shortening(STEP, None, end) == 0.5
    assert shortening(STEP, None, along_a_line(-1e300, -1e300)) is None  # any finite point is better than none
    assert shortening(STEP, along_a_line(-5.0, -1.0), along_a_line(-7.0, -1.0)) == 0.5  # it falls all the way
    with np.errstate(over="ignore"):
        assert shortening(np.full(1, 1e300), along_a_line(-5.0, 1e300), along_a_line(-7.0, -1e300)) == 0.5


# --- the rule ---------------------------------------------------------------------------------


def test_newtons_step_its_decrement_and_its_end():
    at = Moments(100, 100.0, -140.0, np.zeros(2), np.eye(2), 100.0, np.zeros(2))

    def arrived(decrement, last=np.inf, sums=at, tol=1e-16):
        sums = replace(sums, score=np.array([np.sqrt(decrement), 0.0]))
        move = Newton(tol=tol)(np.zeros(2), sums, last)
        assert move.decrement == pytest.approx(decrement)
        return move.arrived

    assert arrived(1e-17)
    assert not arrived(1e-15)
    assert arrived(1e-15, tol=1e-15)
    assert arrived(1e-15, last=0.9e-15)  # falls no more: rounding
    assert not arrived(1e-15, last=4e-15)
    assert not arrived(1e-3, last=1e-4)  # too large for rounding
    assert not arrived(0.0, sums=Moments(1, 1.0, -np.inf, np.zeros(2), np.eye(2)))
    # λ² is measured in d·φ̂.
    for pearson in (100.0, 1e6):
        unit = 2 * 1e-16 * pearson / 100
        assert arrived(0.95 * unit, sums=replace(at, pearson=pearson))
        assert not arrived(1.05 * unit, sums=replace(at, pearson=pearson))
    move = Newton(intercept=False)(np.zeros(3), bowl(CENTER, CURVATURE)(np.zeros(3)), np.inf)
    np.testing.assert_allclose(move.step, CENTER, rtol=1e-14)
    assert move.decrement == pytest.approx(CENTER @ CURVATURE @ CENTER)
    np.testing.assert_allclose(move.factor.inverse(), np.linalg.inv(CURVATURE), rtol=1e-12)


def test_the_intercept_is_the_yardstick_only_where_there_is_one():
    # A year: all but 1e-11 of its length is the constant's.
    year = 2013 + np.linspace(-0.01, 0.01, 100)
    design = np.column_stack([np.ones(100), year])
    sums = Moments(100, 100.0, -1.0, np.ones(2), design.T @ design)
    assert Newton(intercept=True)(np.zeros(2), sums, np.inf).factor.kept.tolist() == [True, True]
    assert Newton(intercept=False)(np.zeros(2), sums, np.inf).factor.kept.tolist() == [True, False]


def test_the_decrement_of_the_last_step_is_what_the_next_is_held_against():
    seen = []

    def rule(coef, sums, last):
        seen.append(last)
        return NEWTON(coef, sums, last)

    found = maximize(one_count, np.array([1.0]), rule=rule)
    assert seen[0] == np.inf
    expected, b = [], 1.0
    while len(expected) < found.n_iter:
        expected.append((1 - np.exp(b)) ** 2 / np.exp(b))
        b += (1 - np.exp(b)) / np.exp(b)
    np.testing.assert_allclose(seen[1:], expected, rtol=1e-6)


# --- how an ascent ends -----------------------------------------------------------------------


def test_arrived():
    objective = bowl(CENTER, CURVATURE)
    start = Ascent.begin(np.zeros(3), objective(np.zeros(3)), NEWTON)
    assert (start.climbing, start.converged, start.stopped, start.n_iter) == (True, False, False, 0)
    end = start.observe(objective(start.proposal))
    assert (end.climbing, end.converged, end.stopped, end.n_iter) == (False, True, False, 1)
    np.testing.assert_array_equal(end.coef, start.proposal)
    assert end.sums.loglik == objective(end.coef).loglik
    assert Ascent.begin(end.coef, end.sums, NEWTON).converged


@pytest.mark.parametrize("most", [0, 1, 3])
def test_too_many_steps(most):
    found = maximize(one_count, np.array([1.0]), max_iter=most)
    assert (found.n_iter, found.stopped, found.converged, found.climbing) == (most, True, False, False)
    # It stands where the last step led, and its sums are from there.
    assert found.sums.loglik == one_count(found.coef).loglik
    b = 1.0
    for _ in range(most):
        b += np.exp(-b) - 1
    assert found.coef[0] == pytest.approx(b, rel=1e-14)


def test_an_arrival_by_the_last_step_is_an_arrival():
    found = maximize(bowl(CENTER, CURVATURE), np.zeros(3), max_iter=1)
    assert (found.converged, found.stopped) == (True, False)
    assert maximize(bowl(CENTER, CURVATURE), found.coef, max_iter=0).converged


def test_too_many_rejections():
    objective = bowl(CENTER, CURVATURE)
    ascent = start = Ascent.begin(np.zeros(3), objective(np.zeros(3)), NEWTON)
    for number in range(1, 31):
        assert ascent.climbing
        ascent = ascent.observe(NOWHERE)
        assert ascent.n_shortened == number
        np.testing.assert_array_equal(ascent.proposal, start.proposal / 2**number)
    assert (ascent.stopped, ascent.converged, ascent.climbing, ascent.n_iter) == (True, False, False, 0)
    np.testing.assert_array_equal(ascent.coef, start.coef)
    assert ascent.sums is start.sums
    outside = maximize(objective, np.zeros(3), inside=lambda b: not b.any())
    assert (outside.stopped, outside.n_shortened) == (True, 30)
    assert not outside.coef.any()


def test_rejections_are_of_the_present_step_alone():
    objective = bowl(CENTER, CURVATURE)
    ascent = Ascent.begin(np.zeros(3), objective(np.zeros(3)), NEWTON)
    for number in range(4):
        for _ in range(3):
            ascent = ascent.observe(NOWHERE)
        assert ascent.cut == (number > 0)  # it is of the step that led here
        ascent = ascent.observe(objective(ascent.proposal))
        assert ascent.cut
        assert (ascent.n_shortened, ascent.stopped) == (0, False)
    assert ascent.n_iter == 4
    # An eighth of the way each time.
    np.testing.assert_allclose(ascent.coef, CENTER * (1 - (7 / 8) ** 4), rtol=1e-12)
    ascent = ascent.observe(objective(ascent.proposal))
    assert (ascent.converged, ascent.cut) == (True, False)


def test_ran_away():
    full, lost = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    start = Ascent.begin(np.zeros(2), Moments(1, 1.0, -9.0, np.ones(2), full), NEWTON)
    end = start.observe(Moments(1, 1.0, -1.0, np.full(2, 0.1), lost))
    assert (end.stopped, end.converged, end.climbing, end.n_iter) == (True, False, False, 0)
    # It stands where the rows still tell the columns apart.
    np.testing.assert_array_equal(end.coef, 0)
    assert end.sums is start.sums
    assert end.factor.rank == 2
    # What was an alias from the start is one to the end.
    alias = Ascent.begin(np.zeros(2), Moments(1, 1.0, -9.0, np.ones(2), lost), NEWTON)
    end = alias.observe(Moments(1, 1.0, -1.0, np.zeros(2), lost))
    assert (end.converged, end.factor.rank) == (True, 1)
    # So is one of a model that entered there, whose first sums are those at the first point that is finite.
    entered = Ascent.enter(np.zeros(2), np.ones(2), NEWTON).observe(Moments(1, 1.0, -9.0, np.ones(2), lost))
    np.testing.assert_array_equal(entered.first, lost)
    assert entered.observe(Moments(1, 1.0, -1.0, np.zeros(2), lost)).converged


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_ran_away_depends_on_no_unit(scale):
    now = np.array([[1.0, 1.0], [1.0, 1.0]])
    for apart, expected in ((1.0, True), (1e-6, True), (1e-10, False)):  # 1e-10 is an alias, up to rounding
        before = now + np.diag([0.0, apart])
        assert ran_away(scale * before, scale * now, factorize(scale * now)) == expected
    # A column that is as far from an alias as at the start has not lost anything.
    near = now + np.diag([0.0, 1e-12])
    assert not ran_away(scale * near, scale * near, factorize(scale * near))


def test_columns_that_separated_rows_tell_apart_ran_away_and_aliases_did_not():
    # Column 2 is column 1 but in the last five rows, whose y are all 1: their weights tend to 0.
    x = np.tile([[0.0], [1.0]], (20, 2))
    x[-5:, 1] += 1.0
    y = np.r_[np.tile([0.0, 1.0, 1.0, 0.0, 1.0], 7), np.ones(5)]
    model = model_of("binomial")

    def climb_up(x):
        rows = Rows(x, y)
        return maximize(lambda b: moments(rows, model, b), np.zeros(3), rule=Newton(), max_iter=100)

    found = climb_up(x)
    assert found.stopped
    assert 15 < found.n_iter < 50
    assert found.factor.kept.all()
    assert found.coef[2] > 15
    ahead = moments(Rows(x, y), model, found.coef + 20 * np.array([0.0, -1.0, 1.0])).information
    assert ran_away(found.first, ahead, factorize(ahead))
    alias = climb_up(x[:, [0, 0]])
    assert alias.converged
    assert alias.factor.kept.tolist() == [True, True, False]


def test_rank_0():
    flat = Moments(1, 1.0, -9.0, np.zeros(2), np.zeros((2, 2)))
    start = Ascent.begin(np.ones(2), flat, NEWTON)
    assert (start.stopped, start.converged, start.climbing) == (True, False, False)
    np.testing.assert_array_equal(start.coef, 1)
    # So of one that enters where no row tells anything, and of one that gets there.
    entered = Ascent.enter(np.zeros(2), np.ones(2), NEWTON).observe(flat)
    assert (entered.stopped, entered.converged) == (True, False)
    begun = Ascent.begin(np.zeros(2), Moments(1, 1.0, -10.0, np.ones(2), np.eye(2)), NEWTON).observe(flat)
    assert (begun.stopped, begun.converged) == (True, False)


def test_nothing_to_climb_in_is_an_arrival():
    nothing = Moments(1, 1.0, -9.0, np.zeros(0), np.zeros((0, 0)))
    assert Ascent.begin(np.zeros(0), nothing, NEWTON).converged


def test_an_information_that_is_not_finite_is_an_error():
    wrong = replace(bowl(CENTER, CURVATURE)(np.zeros(3)), information=np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="The information matrix holds NaN or infinity"):
        Ascent.begin(np.zeros(3), wrong, NEWTON)


# --- other beginnings -------------------------------------------------------------------------


def test_it_enters_nearer_to_the_inside_until_sums_are_finite():
    objective = bowl(CENTER, CURVATURE)
    inside, asked = np.array([1e6, 0.2, 0.3]), np.array([0.1, 1.0 / 3, -7.0])
    assert (inside + (asked - inside) != asked).any()
    ascent = Ascent.enter(inside, asked, NEWTON, 5)
    assert (ascent.climbing, ascent.sums, ascent.first) == (True, None, None)
    np.testing.assert_array_equal(ascent.proposal, asked)  # to the last bit
    for number in range(1, 4):
        ascent = ascent.observe(NOWHERE)
        assert (ascent.climbing, ascent.sums) == (True, None)
        np.testing.assert_allclose(ascent.proposal, inside + (asked - inside) / 2**number, rtol=1e-15)
    entered = ascent.observe(objective(ascent.proposal))  # not held against anything
    np.testing.assert_array_equal(entered.coef, ascent.proposal)
    assert entered.sums.loglik == objective(ascent.proposal).loglik
    np.testing.assert_array_equal(entered.first, CURVATURE)
    # It is no step, and leaves as many as were granted.
    assert (entered.n_iter, entered.n_shortened, entered.cut, entered.max_iter) == (0, 0, True, 5)
    assert entered.observe(objective(entered.proposal)).converged
    straight = Ascent.enter(inside, asked, NEWTON).observe(objective(asked))
    np.testing.assert_array_equal(straight.coef, asked)
    assert (straight.n_iter, straight.cut) == (0, False)


def test_it_does_not_enter_where_nothing_is_finite():
    ascent = Ascent.enter(np.zeros(3), np.ones(3), NEWTON)
    while ascent.climbing:
        ascent = ascent.observe(NOWHERE)
    assert (ascent.sums, ascent.stopped, ascent.converged, ascent.n_shortened) == (None, True, False, 30)


def test_one_step_that_is_given():
    objective = bowl(CENTER, CURVATURE)
    start = np.zeros(3)
    given = Ascent.once(start, objective(start), CENTER)
    np.testing.assert_array_equal(given.move.step, CENTER)
    assert given.move.decrement == np.inf  # it is unknown
    whole = climb(given, objective)
    np.testing.assert_array_equal(whole.coef, CENTER)
    assert (whole.converged, whole.n_iter, whole.cut, whole.move.decrement) == (True, 1, False, 0.0)
    cut = climb(Ascent.once(start, objective(start), 5 * CENTER), objective)
    np.testing.assert_allclose(cut.coef, CENTER, rtol=1e-12)
    assert (cut.converged, cut.n_iter, cut.cut) == (True, 1, True)
    none = climb(Ascent.once(start, objective(start), CENTER), lambda b: NOWHERE)
    assert (none.stopped, none.converged) == (True, False)
    np.testing.assert_array_equal(none.coef, start)


def test_another_step_takes_the_place_of_the_rules():
    objective = bowl(CENTER, CURVATURE)
    ascent = Ascent.begin(np.zeros(3), objective(np.zeros(3)), NEWTON)
    other = ascent.along(np.array([0.5, -0.5, 0.5]))
    np.testing.assert_array_equal(other.proposal, [0.5, -0.5, 0.5])
    np.testing.assert_array_equal(other.observe(NOWHERE).proposal, [0.25, -0.25, 0.25])
    # The next one is the rule's own again, and what the rule knew of the last one stays.
    assert other.move.decrement == ascent.move.decrement
    reached = other.observe(objective(other.proposal))
    np.testing.assert_allclose(reached.proposal, CENTER, rtol=1e-12)
    # Also of an ascent whose rule knows its target to the last bit.
    np.testing.assert_array_equal(Ascent.enter(np.zeros(3), CENTER, NEWTON).along(np.ones(3)).proposal, 1.0)


def test_the_maximum_of_a_concave_function_is_found_from_far_away():
    for start in (-6.0, -3.0, 0.5, 2.0, 20.0):
        found = maximize(one_count, np.array([start]), max_iter=60)
        assert found.converged, start
        assert abs(found.coef[0]) < 1e-8
    slope = finite_difference(lambda b: one_count(b).loglik, np.array([0.7]))
    np.testing.assert_allclose(one_count(np.array([0.7])).score, slope, rtol=1e-6)


# --- a state is a value -----------------------------------------------------------------------


def states():
    objective = bowl(CENTER, CURVATURE)
    begun = Ascent.begin(np.zeros(3), objective(np.zeros(3)), NEWTON)
    return {
        "begun": begun,
        "shortened": begun.observe(NOWHERE),
        "along": begun.along(np.full(3, 0.1)),
        "arrived": begun.observe(objective(begun.proposal)),
        "entering": Ascent.enter(np.full(3, 0.1), CENTER, NEWTON),
        "once": Ascent.once(np.zeros(3), objective(np.zeros(3)), CENTER),
        "in alpha": Ascent.begin(np.zeros(3), objective(np.zeros(3)), AlphaNewton(intercept=False)),
    }


@pytest.mark.parametrize("state", states())
def test_an_ascent_is_frozen(state):
    ascent = states()[state]
    for name in ("coef", "step", "n_iter", "stopped", "sums"):
        with pytest.raises(FrozenInstanceError):
            setattr(ascent, name, None)
    with pytest.raises(FrozenInstanceError):
        ascent.move.arrived = True
    with pytest.raises(FrozenInstanceError):
        NEWTON.tol = 1.0
    before = pickle.dumps(ascent)
    first, again = (ascent.observe(bowl(CENTER, CURVATURE)(ascent.proposal)) for _ in range(2))
    np.testing.assert_array_equal(first.proposal, again.proposal)
    ascent.observe(NOWHERE)
    assert pickle.dumps(ascent) == before


@pytest.mark.parametrize("state", states())
def test_an_ascent_travels(state):
    ascent, objective = states()[state], bowl(CENTER, CURVATURE)
    copy = pickle.loads(pickle.dumps(ascent))
    assert (copy.rule, copy.n_iter, copy.n_shortened) == (ascent.rule, ascent.n_iter, ascent.n_shortened)
    assert (copy.climbing, copy.converged, copy.stopped) == (ascent.climbing, ascent.converged, ascent.stopped)
    assert copy.proposal.tobytes() == ascent.proposal.tobytes()
    there = objective(ascent.proposal)
    assert copy.observe(there).proposal.tobytes() == ascent.observe(there).proposal.tobytes()
    assert isinstance(copy.move, Move)
