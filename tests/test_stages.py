"""What a real client sees of a fit: names of stages, and a span for each pass within the user's own."""

import re
from pathlib import Path

import pytest
from dask.utils import key_split
from distributed import span

from dask_onestep import Average, DebiasedLasso, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.datasets import make_glm

TREE = ("", "-plan", "-partial", "-aggregate")


PAGE = Path(__file__).resolve().parent.parent / "docs" / "how_to" / "dashboard.md"


def data(family="binomial"):
    # Twenty blocks, more than the tree joins at once.
    return make_glm(4000, 2, family=family, chunks=200, random_state=3)[:2]


def stages(client, fit, name):
    """Return the names of the tasks that the scheduler ran for a fit, and of the spans within one of its own."""
    before = len(client.get_task_stream())
    with span(name):
        fit()
    ran = {key_split(record["key"]) for record in client.get_task_stream()[before:]}
    return ran, {within[1:] for within in client.run_on_scheduler(spans) if within[0] == name and len(within) > 1}


def spans(dask_scheduler):
    return set(dask_scheduler.extensions["spans"].spans_search_by_name)


@pytest.fixture
def stream(client):
    # The plugin that records tasks starts with the first question.
    client.get_task_stream()
    return client


def test_one_step_speaks_of_its_stages(stream):
    X, y = data()
    model = GLMClassifier(method=OneStep(800), cov_type="HC0")
    ran, spanned = stages(stream, lambda: model.fit(X, y), "one-step")
    passes = {f"{name}{part}" for name in ("pilot-sample", "moments", "score-products") for part in TREE}
    # Loads are inside the blocks' tasks, so nothing else is seen.
    passes |= {"pilot-sample-check", "pilot-sample-sum"}  # of the first pass, with which the others are compared
    assert ran == passes | {"pilot-fit", "classes", "newton-step", "one-step", "coefficients", "decrement"}
    assert spanned == {
        ("dask_onestep",),
        ("dask_onestep", "pilot-sample"),
        ("dask_onestep", "moments"),
        ("dask_onestep", "score-products"),
    }


def test_average_speaks_of_local_fits(stream):
    X, y = data("poisson")
    ran, spanned = stages(stream, lambda: GLMRegressor("poisson", method=Average()).fit(X, y), "average")
    assert ran == {*(f"local-fit{part}" for part in (*TREE, "-check", "-sum")), "average"}
    assert ("dask_onestep", "local-fit") in spanned


def test_the_debiased_lasso_speaks_of_lassos_and_their_correction(stream):
    X, y, _ = make_glm(4000, 3, chunks=1000, random_state=3)
    method = DebiasedLasso(0.02, nodewise="partition", steps=2)
    ran, spanned = stages(stream, lambda: GLMRegressor(method=method).fit(X, y), "sparse")
    assert {"lasso", "lasso-total", "nodewise-rows", "debias", "moments", "debiased-lasso"} <= ran
    assert {("dask_onestep", "lasso"), ("dask_onestep", "moments")} <= spanned
    assert not unexplained(ran)


def test_the_lasso_of_all_rows_speaks_of_its_pilot_and_corrections(stream):
    X, y, _ = make_glm(4000, 3, family="poisson", chunks=1000, random_state=3)
    ran, spanned = stages(stream, lambda: GLMRegressor("poisson", method=DebiasedLasso()).fit(X, y), "pooled")
    assert {"pilot-sample", "pilot-rows", "pilot-lasso", "lasso", "gram", "nodewise", "nodewise-rows", "debias"} <= ran
    assert {("dask_onestep", "pilot-sample"), ("dask_onestep", "moments")} <= spanned
    assert not unexplained(ran)


def test_the_page_of_the_dashboard_explains_every_stage(stream):
    X, y = data()
    ran, _ = stages(stream, lambda: GLMClassifier(method=OneStep(800), cov_type="HC0").fit(X, y), "explained")
    assert not unexplained(ran)
    assert unexplained({"moments-aggregate", "no-such-stage"}) == {"no-such-stage"}


def unexplained(ran):
    """Return the stages that the page's table does not name; a tree's own parts are named with its first."""
    rows = re.findall(r"^\| (`.+?) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    return {
        name
        for name in ran
        if name not in named and re.sub("-(plan|partial|aggregate|check|sum)$", "", name) not in named
    }
