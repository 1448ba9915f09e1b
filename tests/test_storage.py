"""Models as files: JSON predicts what the model does and runs nothing; pickles say whose they are."""

import json
import pickle
from contextlib import nullcontext
from importlib.resources import files

import jsonschema
import numpy as np
import pandas as pd
import pytest

from dask_onestep import MLE, GLMClassifier, GLMRegressor
from dask_onestep.exceptions import AliasingWarning
from dask_onestep.families import NegativeBinomial, Tweedie
from dask_onestep.storage import model_record, read_model, write_model
from dask_onestep.storage.schema import check_record

pytestmark = pytest.mark.usefixtures("threads")


def table(n=400, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.gamma(2.0, 2.0, n)})
    frame["g"] = rng.choice(["a", "b", "<c>"], n)
    frame["month"] = rng.integers(1, 5, n)
    frame["flag"] = rng.random(n) < 0.3
    frame["size"] = pd.Categorical(rng.choice(["L", "M", "S"], n), categories=["S", "M", "L"])
    frame["y"] = rng.poisson(np.exp(0.3 * frame["x"] + 0.2 * (frame["g"] == "b"))).astype(float)
    frame["word"] = np.where(frame["y"] > 1, "many", "few")
    return frame


COLUMNS = ["x", "z", "g", "month", "flag", "size"]
MODELS = {
    "columns": (GLMRegressor("poisson"), "y"),
    "formula": (GLMRegressor("poisson", formula="y ~ x * g + C(month) + flag + size"), None),
    "splines": (GLMRegressor("poisson", formula="y ~ bs(np.log(z), df=5) + cr(x, df=4) + scale(month)"), None),
    "polynomials": (GLMRegressor("poisson", formula="y ~ 0 + poly(x, degree=3) + {z > 2} + C(g, contr.sum)"), None),
    "levels told": (GLMRegressor("poisson", formula="y ~ C(month, levels=[4, 3, 2, 1]) + center(x)"), None),
    "classes": (GLMClassifier("probit", cov_type="HC1"), "word"),
    "true and false": (GLMClassifier(method=MLE()), "flag"),
    "many classes": (GLMClassifier(), "month"),
    "a family's parameter": (GLMRegressor(NegativeBinomial(alpha=0.5), fit_intercept=False), "y"),
    "a link": (GLMRegressor(Tweedie(power=1.4), "sqrt"), "y"),
    "aliased": (GLMRegressor(formula="y ~ x + I(2 * x)"), None),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_json_predicts_what_the_model_does(tmp_path, name):
    estimator, y = MODELS[name]
    path = str(tmp_path / "model.json")
    taken = [y] if y else ["y"]
    glm = estimator.fit(table()[[*(c for c in COLUMNS if c != y), *taken]], y)
    write_model(glm, path)
    record = json.loads((tmp_path / "model.json").read_text())
    jsonschema.validate(record, json.loads(files("dask_onestep").joinpath("model.schema.json").read_text()))
    kept = read_model(path)
    later = table(50, seed=1)[[c for c in COLUMNS if c != y]]
    for predict in ("predict", "predict_proba", "decision_function"):
        if hasattr(glm, predict):
            np.testing.assert_array_equal(getattr(kept, predict)(later), getattr(glm, predict)(later))
    pd.testing.assert_frame_equal(kept.coef_table(), glm.coef_table())
    assert kept.wald_test([glm.coef_table().index[1]]).statistic == pytest.approx(
        glm.wald_test([glm.coef_table().index[1]]).statistic, nan_ok=True
    )
    assert kept.summary().verdict == glm.summary().verdict
    assert list(getattr(kept, "feature_names_in_", ())) == list(getattr(glm, "feature_names_in_", ()))
    write_model(kept, str(tmp_path / "again.json"))
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["predictor"] == record["predictor"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_json_keeps_options_and_counts(tmp_path):
    frame = table()
    frame.loc[:6, "z"] = np.nan
    glm = GLMRegressor(
        Tweedie(power=1.4),
        "sqrt",
        method=MLE(),
        cov_type="cluster",
        weight_type="frequency",
        solver="qr",
        formula="y ~ 1 + x + z",
        missing="drop",
    ).fit(frame, sample_weight=frame["month"], groups=frame["size"].astype(str))
    write_model(glm, str(tmp_path / "model.json"))
    kept = read_model(str(tmp_path / "model.json"))
    for name, option in glm.get_params(deep=False).items():
        if name not in ("family", "method"):
            assert getattr(kept, name) == option, name
    assert kept.family.power == 1.4
    assert kept.estimate_.n_missing == 7
    names = ("n_samples", "n_iter", "n_passes", "dispersion", "df_resid", "condition", "loglik", "n_clusters", "solver")
    for name in (*names, "warnings", "loglik_estimated"):
        assert getattr(kept.estimate_, name) == getattr(glm.estimate_, name), name
    for name in ("decrement", "distance_bound"):
        np.testing.assert_equal(getattr(kept.estimate_, name), getattr(glm.estimate_, name))
    ours, theirs = glm.record_, kept.record_
    assert (ours.inputs.had_weight, ours.method, ours.cov_type) == (
        theirs.inputs.had_weight,
        theirs.method,
        theirs.cov_type,
    )
    assert (ours.model.weight_type, ours.model.missing) == (theirs.model.weight_type, theirs.model.missing)


def test_json_of_a_factor_with_a_single_level_predicts(tmp_path):
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0], "g": ["a", "a", "a"]})
    with pytest.warns(AliasingWarning, match="only one level"):
        glm = GLMRegressor(formula="y ~ g").fit(frame)
    write_model(glm, str(tmp_path / "model.json"))
    np.testing.assert_allclose(read_model(str(tmp_path / "model.json")).predict(frame), 7 / 3)


def test_json_of_an_array_predicts(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    glm = GLMRegressor().fit(X, X @ [1.0, 2.0, 3.0] + rng.normal(size=200), offset=np.ones(200))
    write_model(glm, str(tmp_path / "model.json"))
    kept = read_model(str(tmp_path / "model.json"))
    np.testing.assert_array_equal(kept.predict(X, offset=np.zeros(200)), glm.predict(X, offset=np.zeros(200)))
    with pytest.raises(ValueError, match="fitted with offset"):
        kept.predict(X)


@pytest.mark.parametrize(
    "formula", ["y ~ C(month // 2)", "y ~ when"], ids=["levels of an expression", "levels that are dates"]
)
def test_what_json_cannot_hold_is_said(tmp_path, formula):
    frame = table()
    frame["when"] = pd.Categorical(pd.to_datetime("2020-01-01") + pd.to_timedelta(frame["month"], unit="D"))
    glm = GLMRegressor(formula=formula).fit(frame)
    write_model(glm, str(tmp_path / "model.json"))
    with pytest.raises(ValueError, match=r"can be read but not predict.*Write the model as \.pkl"):
        read_model(str(tmp_path / "model.json"))


def test_no_row_of_the_data_is_kept(tmp_path):
    frame = table()
    write_model(GLMRegressor(formula="y ~ bs(z, df=5) + g").fit(frame), str(tmp_path / "model.json"))
    text = (tmp_path / "model.json").read_text()
    # Knots are quantiles and the range; no more of z is there.
    assert sum(repr(value) in text for value in frame["z"]) <= 4


def _spoilt(record, **changes):
    record["predictor"]["design"] |= changes
    return record


def _changed(record, part, **changes):
    return record | {part: record[part] | changes}


def _coefficient(record, **changes):
    return record | {"coefficients": [record["coefficients"][0] | changes, *record["coefficients"][1:]]}


HOSTILE = {
    "a formula that writes": lambda r: _spoilt(r, formula="y ~ x + Q(open('canary', 'w'))"),
    "a response that writes": lambda r: _spoilt(r, formula="Q(open('canary', 'w')) ~ x"),
    "another formula": lambda r: _spoilt(r, formula="y ~ z"),
    "a formula of another type": lambda r: _spoilt(r, formula=["y ~ x"]),
    "levels of nothing": lambda r: _spoilt(r, factors=["h"], levels=[["a"]]),
    "a state that is none": lambda r: _spoilt(r, state={"pairs": [1]}),
    "another estimator": lambda r: r | {"predictor": r["predictor"] | {"estimator": "os.system"}},
    "another family": lambda r: r | {"family": "os.system"},
    "a parameter too many": lambda r: r | {"predictor": r["predictor"] | {"family_parameters": {"exec": 1}}},
    "another link": lambda r: r | {"link": "__class__"},
    "another method": lambda r: r | {"method": "open"},
    "fewer coefficients": lambda r: r | {"coefficients": r["coefficients"][:1]},
    "a ragged covariance": lambda r: r | {"covariance": [[1.0], [1.0, 2.0]]},
    "strings for numbers": lambda r: r | {"dispersion": "open('canary', 'w')"},
    "nothing to predict with": lambda r: r | {"predictor": {}},
    "an integer beyond any double": lambda r: r | {"dispersion": 10**400},
    "an infinite number": lambda r: r | {"dispersion": float("inf")},
    "a negative dispersion": lambda r: r | {"dispersion": -1.0},
    "coefficients in another order": lambda r: r | {"coefficients": r["coefficients"][::-1]},
    "columns in another order": lambda r: _changed(r, "predictor", columns=r["predictor"]["columns"][::-1]),
    "an infinite coefficient": lambda r: _coefficient(r, coef=float("inf")),
    "a huge coefficient": lambda r: _coefficient(r, coef=10**400),
    "a coefficient that is true": lambda r: _coefficient(r, coef=True),
    "a coefficient as a string": lambda r: _coefficient(r, coef="1.0"),
    "coefficients of another type": lambda r: r | {"coefficients": {"name": "x"}},
    "a covariance with a column too many": lambda r: r | {"covariance": [[*row, 0.0] for row in r["covariance"]]},
    "a covariance of strings": lambda r: r | {"covariance": [["a"] * len(row) for row in r["covariance"]]},
    "no rows": lambda r: r | {"n_samples": -5},
    "half a row": lambda r: r | {"n_samples": 1.5},
    "classes of lists": lambda r: r | {"classes": [["a"], ["b"]]},
    "200,000 levels": lambda r: _spoilt(r, levels=[[f"g{number}" for number in range(200_000)]]),
    "9,000 levels of few columns": lambda r: _spoilt(r, levels=[[f"g{number}" for number in range(9_000)]]),
    "an interaction of few columns": lambda r: _spoilt(r, formula="y ~ x + g + C(x):g"),
    "a product of levels": lambda r: _spoilt(
        r, formula="y ~ x + g:h", factors=["g", "h"], levels=[["a", "b", "c", "d"], ["a", "b", "c", "d"]]
    ),
    "levels of lists": lambda r: _spoilt(r, levels=[[["a"], ["b"]]]),
    "a state of strings": lambda r: _spoilt(r, state={"pairs": [["x", {"array": ["a"]}]]}),
    "a formula without end": lambda r: _spoilt(r, formula="y ~ x + " + "g + " * 100_000 + "g"),
    "a response that is a number": lambda r: _changed(r, "predictor", response=3),
    "features that do not count": lambda r: _changed(r, "predictor", n_features=-1),
    "a predictor of another type": lambda r: r | {"predictor": [1]},
    "warnings of another type": lambda r: r | {"warnings": 3},
    "another schema": lambda r: r | {"schema": "dask_onestep.model/2"},
    "a list": lambda r: [r],
}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A model's record, and how to write it changed, with or without a digest of its own."""
    monkeypatch.chdir(tmp_path)
    write_model(GLMRegressor(formula="y ~ x + g").fit(table()), "model.json")

    def write(changed, *, digest):
        changed = {name: value for name, value in changed.items() if digest or name != "digest"}
        (tmp_path / "model.json").write_text(json.dumps(changed))

    return json.loads((tmp_path / "model.json").read_text()), write


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE)
def test_json_runs_nothing_and_is_checked(tmp_path, kept, spoil):
    record, write = kept
    changed = spoil(record)
    if isinstance(changed, dict):
        write(changed, digest=False)  # whoever means harm leaves it out
    else:
        (tmp_path / "model.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match=r"model\.json holds no model"):
        read_model("model.json")
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


def test_numbers_beyond_any_double_are_refused(tmp_path, kept):
    text = (tmp_path / "model.json").read_text()
    value = json.dumps(kept[0]["coefficients"][1]["coef"])
    for large in ("1e999", "-1e999", "Infinity", "NaN", "1" + "0" * 400, "9" * 5000):
        (tmp_path / "model.json").write_text(text.replace(value, large))
        with pytest.raises(ValueError, match=r"holds no model that can be read: the number .* is too large"):
            read_model("model.json")


def test_accidental_damage_is_found(kept):
    record, write = kept
    write(record, digest=True)
    assert read_model("model.json").coef_[0] == record["coefficients"][1]["coef"]
    for changed in (
        _coefficient(record, coef=record["coefficients"][0]["coef"] + 1e-12),
        record | {"n_samples": record["n_samples"] + 1},
        {name: value for name, value in record.items() if name != "version"},
    ):
        write(changed, digest=True)
        with pytest.raises(ValueError, match="digest does not match"):
            read_model("model.json")
        write(changed, digest=False)  # edited by hand
        read_model("model.json")


def test_a_file_too_large_is_not_read(kept, monkeypatch):
    monkeypatch.setattr("dask_onestep.storage.models._MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="more than a model of 1,000 bytes"):
        read_model("model.json")


@pytest.mark.parametrize("name", ["none.json", "none.pkl"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"^there is no file .*{name}$"):
        read_model(str(tmp_path / name), trust_pickle=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_our_checks_agree_with_jsonschema(name):
    estimator, y = MODELS[name]
    taken = [y] if y else ["y"]
    record = model_record(estimator.fit(table()[[*(c for c in COLUMNS if c != y), *taken]], y))
    schema = json.loads(files("dask_onestep").joinpath("model.schema.json").read_text())
    changes = [{}, {"n_samples": 2.5}, {"n_samples": -1}, {"level": "a"}, {"cov_type": "none"}, {"levels": {"x": 3}}]
    changes += [{"classes": [None]}, {"coefficients": [{}]}, {"covariance": [[True]]}, {"predictor": {}}]
    for change in changes:
        changed = record | change
        valid = jsonschema.Draft202012Validator(schema).is_valid(changed)
        assert valid is (not change)
        with nullcontext() if valid else pytest.raises(ValueError, match=r"is |has |missing"):
            check_record(changed)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00", "NaN"])
def test_what_is_not_json_is_said(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ValueError, match=r"model\.json (is not JSON|holds no model)"):
        read_model(str(tmp_path / "model.json"))


class Bomb:
    def __reduce__(self):
        return open, ("canary", "w")


def test_pickles_are_read_on_request_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"can execute arbitrary code.*trust_pickle=True"):
        read_model("model.pkl")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pkl"]
    (tmp_path / "model.pkl").write_bytes(b"no pickle")
    with pytest.raises(ValueError, match="holds no model that can be read"):
        read_model("model.pkl", trust_pickle=True)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match="holds a dict, not a fitted model"):
        read_model("model.pkl", trust_pickle=True)


def test_a_pickle_of_another_version_says_so(tmp_path, monkeypatch):
    glm = GLMRegressor(formula="y ~ x").fit(table())
    with monkeypatch.context() as patch:
        patch.setattr("dask_onestep.estimators.base.__version__", "0.0.1")
        write_model(glm, str(tmp_path / "model.pkl"))
    with pytest.warns(UserWarning, match=r"pickled by dask_onestep 0\.0\.1 and is loaded by .*Fit it again, or store"):
        read_model(str(tmp_path / "model.pkl"), trust_pickle=True)
    # Its own are read without a word, and the mark is not left on the estimator.
    write_model(glm, str(tmp_path / "model.pkl"))
    kept = read_model(str(tmp_path / "model.pkl"), trust_pickle=True)
    assert vars(kept).keys() == vars(glm).keys()


def test_a_pickle_from_before_versions_were_written_says_so():
    glm = GLMRegressor().fit(np.arange(20.0)[:, None], np.arange(20.0) % 3)
    state = glm.__getstate__()
    del state["_pickled_by"]
    old = GLMRegressor()
    with pytest.warns(UserWarning, match="pickled by dask_onestep an unknown version"):
        old.__setstate__(state)
    assert old.coef_ == glm.coef_
