"""Calls in the wrong order, with the wrong arguments, or on other data than before."""

import dask.array as da
import numpy as np
from catalogue import ARRAY, FORMS, FRAME, NUMPY, answered, base, case, in_form, like, reference, refused
from sklearn.exceptions import NotFittedError

from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep

T, B, P = base(), base("binomial"), base("poisson")
O = T.with_(offset=np.linspace(0, 1, 120))


def option(name, ends, **options):
    case("parameters", name, T, ends, lambda: GLMRegressor(**options), forms=(NUMPY,) if name != "method" else FORMS)


option("family", refused("'gausian'", "gaussian"), family="gausian")
option("link", refused("'loggit'", "logit"), link="loggit")
option("method", refused("one-stp", "one-step"), method="one-stp")
option("a method's class", refused("OneStep()", error=(TypeError, ValueError)), method=OneStep)
option("method of another kind", refused("estimate", error=(TypeError, ValueError)), method=3)
option("covariance", refused("Unknown cov_type 'HC9'", "'HC1'"), cov_type="HC9")
option("solver", refused("Unknown solver 'lu'", "'cholesky'"), solver="lu")
option("missing", refused("Unknown missing 'ignore'", "'drop'"), missing="ignore")
option("weight type", refused("Unknown weight_type 'aweights'", "'frequency'"), weight_type="aweights")
option("clusters without groups", refused("cov_type='cluster' needs groups"), cov_type="cluster")
for size in (0, -5, 1.5, 0.0, True, "large", None, np.nan):
    option(f"pilot_size={size!r}", refused("pilot_size=", "'auto', a number of rows"), method=OneStep(pilot_size=size))
for steps in (0, -1, 1.5, True, "all"):
    option(f"steps={steps!r}", refused("steps=", "integer ≥ 1, or 'auto'"), method=OneStep(steps=steps))
option("correction", refused("correction='full' must be None or 'pilot'"), method=OneStep(correction="full"))
option("tol", refused("tol=0", "positive"), method=OneStep(tol=0))
option("random_state", refused("random_state=-1", "negative"), method=OneStep(random_state=-1))
option("max_iter", refused("max_iter=0", "positive"), method=MLE(max_iter=0))
option("start", refused("start='zero'", "'pilot' or None"), method=MLE(start="zero"))
option(
    "formula without names", refused("formula= requires named columns", "DataFrame", error=TypeError), formula="y ~ x0"
)


def use(name, ends, act, model=GLMRegressor, table=T, forms=FORMS):
    case("usage", name, table, ends, model, act=act, forms=forms)


def then(action):
    def act(model, X, y, **others):
        return action(model.fit(X, y, **others), X, y)

    return act


for name in ("predict", "coef_table", "summary", "wald_test", "score"):
    use(
        f"{name} before fit",
        refused("not fitted", error=NotFittedError),
        lambda m, X, y, name=name: getattr(m, name)(
            *{"predict": (X,), "score": (X, y), "wald_test": (["x0"],)}.get(name, ())
        ),
    )
use("fit twice", like(T), then(lambda m, X, y: m.fit(X, y)))
use(
    "fit again on other columns",
    answered(lambda m: np.testing.assert_allclose(m.coef_, reference(T.with_(x=T.x[:, :1])).params[1:], rtol=1e-6)),
    then(lambda m, X, y: m.fit(X[:, :1] if not hasattr(X, "columns") else X[["x0"]], y)),
)
use("fewer columns at predict", refused("2 features"), then(lambda m, X, y: m.predict(X[:, :1])), forms=(ARRAY, NUMPY))
use(
    "a column missing at predict",
    refused("present in fit: ['x1']"),
    then(lambda m, X, y: m.predict(X[["x0"]])),
    forms=(FRAME,),
)
use(
    "a column more at predict",
    refused("['z'] were not present in fit"),
    then(lambda m, X, y: m.predict(X.assign(z=1.0))),
    forms=(FRAME,),
)
use(
    "an array after a frame, of other width",
    refused("features"),
    then(lambda m, X, y: m.predict(da.from_array(T.x[:, :1]))),
    forms=(FRAME,),
)


def _same(found):
    fit = reference(T)
    np.testing.assert_allclose(found, fit.fittedvalues, rtol=1e-6)


use(
    "columns in another order at predict",
    answered(_same),
    then(lambda m, X, y: m.predict(X[["x1", "x0"]]).compute()),
    forms=(FRAME,),
)
use(
    "NaN at predict",
    refused("column x0 (1 row)"),
    then(lambda m, X, y: np.asarray(m.predict(in_form(form_of(X), T.put("x", (3, 0), np.nan))[0]))),
)
use(
    "offset forgotten at predict",
    refused("fitted with offset", "must also be passed here"),
    then(lambda m, X, y: m.predict(X)),
    table=O,
)
use(
    "weight forgotten at residuals",
    refused("fitted with sample_weight"),
    then(lambda m, X, y: m.residuals(X, y)),
    table=T.with_(weights=np.ones(120)),
)
use("a null that is no coefficient", refused("'x9'"), then(lambda m, X, y: m.wald_test(["x9"])))
use("a null of another model", refused("'x9'"), then(lambda m, X, y: m.likelihood_ratio_test(X, y, null={"x9": 0.0})))
use("a null of NaN", refused("nan", "finite"), then(lambda m, X, y: m.wald_test({"x0": np.nan})))
use("an empty null", refused("null"), then(lambda m, X, y: m.wald_test([])))
use("a level of 95", refused("level=95", "between 0 and 1"), then(lambda m, X, y: m.coef_table(level=95)))
use(
    "a lazy fit that must look",
    refused("fit_delayed", "Use fit"),
    lambda m, X, y: m.fit_delayed(X, y),
    lambda: GLMRegressor(method=MLE()),
)
use(
    "labels that fit has not seen, scored",
    answered(lambda share: np.testing.assert_equal(share, 0.0)),
    then(lambda m, X, y: m.score(X, in_form(form_of(X), B.with_(y=np.full(120, "maybe")))[1])),
    GLMClassifier,
    B.with_(y=np.where(B.y == 1, "yes", "no")),
)
use(
    "labels that fit has not seen, tested",
    refused("labels that are not among the classes ['no', 'yes'] (e.g. 'maybe') (120 rows)"),
    then(lambda m, X, y: m.fit_statistics(X, in_form(form_of(X), B.with_(y=np.full(120, "maybe")))[1])),
    GLMClassifier,
    B.with_(y=np.where(B.y == 1, "yes", "no")),
)
use(
    "groups without clusters",
    refused("groups was passed, but cov_type='nonrobust' does not use it"),
    lambda m, X, y: m.fit(X, y, groups=np.arange(120)),
    forms=(ARRAY, NUMPY),
)
use(
    "one group",
    refused("at least two groups"),
    lambda m, X, y: m.fit(X, y, groups=np.zeros(120)),
    lambda: GLMRegressor(cov_type="cluster"),
    forms=(ARRAY, NUMPY),
)


def form_of(X):
    return NUMPY if isinstance(X, np.ndarray) else FRAME if hasattr(X, "columns") else ARRAY
