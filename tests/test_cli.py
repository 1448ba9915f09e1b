"""The command line: its examples run, mistakes are one line, and files agree with the fit."""

import json
import re
import shlex
from functools import partial
from glob import glob
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from distributed import LocalCluster
from sklearn.base import clone
from typer.main import get_command
from typer.testing import CliRunner

from dask_onestep import GLMRegressor, compare
from dask_onestep.cli import app
from dask_onestep.storage import read_model, read_table

runner = CliRunner()


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"dep_time": rng.normal(10, 3, 900), "distance": rng.gamma(2, 3, 900)})
    frame["origin"] = np.sort(rng.choice(["EWR", "JFK", "LGA"], 900))
    frame["delayed"] = (rng.random(900) < 1 / (1 + np.exp(1 - frame["dep_time"] / 10))).astype(float)
    frame["status"] = np.where(frame["delayed"] == 1, "late", "on time")
    frame.loc[::30, "dep_time"] = np.nan
    for number in range(3):
        frame[number * 300 : (number + 1) * 300].to_parquet(tmp_path / f"{number}.parquet")
    frame.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path


def run(*words):
    return runner.invoke(app, [str(word) for word in words])


def parts(folder):
    return [folder / f"{number}.parquet" for number in range(3)]


def test_fit_writes_what_statsmodels_finds(folder):
    output, report = folder / "model.json", folder / "report.html"
    formula = "delayed ~ dep_time + distance + origin"
    options = ["--family", "binomial", "--missing", "drop", "--method", "mle", "--output", output, "--report", report]
    result = run("fit", formula, *parts(folder), *options)
    assert result.exit_code == 0, result.output
    model = json.loads(output.read_text())
    schema = json.loads(files("dask_onestep").joinpath("model.schema.json").read_text())
    jsonschema.validate(model, schema)
    frame = pd.read_csv(folder / "all.csv").dropna()
    expected = smf.glm(formula, frame, family=sm.families.Binomial()).fit(tol=1e-14)
    params = expected.params.rename({"Intercept": "intercept"})
    for row in model["coefficients"]:
        assert row["coef"] == pytest.approx(params[row["name"]], rel=1e-5)
    assert (model["n_samples"], model["n_missing"]) == (len(frame), 30)
    assert model["levels"] == {"origin": ["EWR", "JFK", "LGA"]}
    assert re.search("^origin\n  EWR [(]reference[)]\n  JFK  .*\n  LGA  ", result.stdout, re.MULTILINE)
    assert "Response: P(delayed = 1)" in result.stdout
    assert "time:" not in result.stdout  # the same fit prints the same
    assert "pass 1" in result.stderr
    assert "<td>&emsp;LGA</td>" in report.read_text()


@pytest.mark.parametrize(("name", "options"), [("model.json", []), ("model.pkl", ["--trust-pickle"])])
def test_predict_writes_the_mean_of_each_row(folder, name, options):
    model, predicted = folder / name, folder / "predicted.csv"
    fitted = run(
        "fit", "delayed ~ distance + origin", folder / "all.csv", "--family", "binomial", "--quiet", "--output", model
    )
    assert fitted.exit_code == 0, fitted.output
    assert fitted.stderr == ""
    assert run("predict", model, *parts(folder), "--output", predicted, *options).exit_code == 0
    frame = pd.read_csv(folder / "all.csv")
    glm = read_model(str(model), trust_pickle=True)
    np.testing.assert_allclose(pd.read_csv(predicted)["mean"], glm.predict(frame), rtol=1e-12)


def test_an_elastic_net_and_its_cross_validation(folder):
    words = [
        "fit",
        "delayed ~ dep_time + distance + origin",
        *parts(folder),
        "--family",
        "binomial",
        "--missing",
        "drop",
    ]
    single = run(*words, "--quiet", "--method", "elastic-net", "--alpha", 0.02, "--l1-ratio", 1)
    assert single.exit_code == 0, single.output
    assert re.search(r"alpha: +0\.02\b", single.stdout)
    assert re.search(r"l1 ratio: +1\b", single.stdout)
    chosen = run(*words, "--quiet", "--method", "elastic-net-cv", "--l1-ratio", 0.3)
    assert chosen.exit_code == 0, chosen.output
    assert re.search(r"l1 ratio: +0\.3\b", chosen.stdout)
    assert "duality gap" in chosen.stdout


def test_terms_are_tested_by_the_likelihood_ratio(folder):
    formula = "delayed ~ dep_time + distance + origin"
    options = ["--family", "binomial", "--missing", "drop", "--method", "mle", "--quiet", "--term", "origin"]
    result = run("test", formula, *parts(folder), *options)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(folder / "all.csv").dropna()
    large = smf.glm(formula, frame, family=sm.families.Binomial()).fit()
    small = smf.glm("delayed ~ dep_time + distance", frame, family=sm.families.Binomial()).fit()
    assert f"chi2(2) = {2 * (large.llf - small.llf):.4g}, p = " in result.stdout
    assert run("test", formula, *parts(folder), *options, "--term", "none").exit_code == 1


def test_labels_are_classified(folder):
    model, predicted = folder / "model.json", folder / "predicted"
    words = ["fit", "status ~ distance", *parts(folder), "--family", "binomial", "--output", model, "--pilot-size", 300]
    assert run(*words).exit_code == 0
    assert list(read_model(str(model)).classes_) == ["late", "on time"]
    assert run("predict", model, folder / "all.csv", "--output", f"{predicted}.csv").exit_code == 0
    shares = pd.read_csv(f"{predicted}.csv", index_col=0)
    np.testing.assert_allclose(shares["late"] + shares["on time"], 1.0)


def test_what_cannot_be_predicted_to_its_end_leaves_nothing(folder):
    model, written = folder / "model.json", folder / "predicted.csv"
    assert run("fit", "delayed ~ origin", folder / "all.csv", "--quiet", "--output", model).exit_code == 0
    written.write_text("mine")
    frame = pd.read_csv(folder / "all.csv")
    frame.loc[899, "origin"] = "SFO"
    frame.iloc[:450].to_parquet(folder / "new0.pq")
    frame.iloc[450:].to_parquet(folder / "new1.pq")
    text = errors_of(
        run("predict", model, folder / "new0.pq", folder / "new1.pq", "--output", written, "--overwrite", "--quiet")
    )
    assert "origin has a level that fit did not see, 'SFO' (1 row)" in text
    assert written.read_text() == "mine"
    assert errors_of(run("predict", model, folder / "new1.pq", "--output", folder / "out", "--quiet"))
    assert not list(folder.glob("*out*")) + list(folder.glob(".*"))


def test_a_pilot_size_may_be_written_as_a_power_of_ten(folder):
    words = ["fit", "delayed ~ distance", folder / "all.csv", "--quiet", "--pilot-size", "5e2"]
    assert re.search(r"pilot rows: +500\b", run(*words).stdout, re.MULTILINE)


def test_workers_are_started_and_give_the_same(folder):
    words = ["fit", "delayed ~ distance", *parts(folder), "--family", "binomial", "--quiet", "--output"]
    assert run(*words, folder / "a.json").exit_code == 0
    assert run(*words, folder / "b.json", "--workers", 1).exit_code == 0
    assert (folder / "a.json").read_text() == (folder / "b.json").read_text()


def example_of(command):
    """Return the example in a command's help, as a line."""
    shown = " ".join(run(command, "--help").output.split())
    return f"dask-onestep {shown.split('Example: dask-onestep ', 1)[1]}"


def of_help():
    return [example_of(command) for command in ("fit", "test", "compare", "select", "predict", "effects", "demo")]


def of_page(name):
    """Return the examples of a page of the documentation, in order."""
    text = (Path(__file__).resolve().parent.parent / name).read_text()
    return re.findall(r"^dask-onestep .*$", text, re.MULTILINE)


EXAMPLES = {
    "help": of_help,
    "README": partial(of_page, "README.md"),
    "command_line": partial(of_page, "docs/how_to/command_line.md"),
    "saving": partial(of_page, "docs/how_to/saving.md"),
}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask's own, of pandas 3.1
@pytest.mark.parametrize("where", EXAMPLES)
def test_every_example_runs(folder, monkeypatch, where):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("dask_onestep.cli.demo.LocalCluster", partial(LocalCluster, processes=False))
    frame = pd.read_csv("all.csv").assign(carrier=lambda f: f["origin"].str[0], air_time=lambda f: 8 * f["distance"])
    for place in ("flights", "new"):
        Path(place).mkdir()
        frame.to_parquet(f"{place}/0.parquet")
    examples = EXAMPLES[where]()
    assert examples
    for example in examples:
        words = shlex.split(example)[1:]
        # A shell expands the globs.
        result = run(*(found for word in words for found in (glob(word) or [word])))
        assert result.exit_code == 0, f"{example}\n{result.output}"
        for option in ("--output", "--report"):
            assert (
                words[0] == "predict"
                or option not in words
                or Path(words[words.index(option) + 1]).stat().st_size > 1000
            )
        if words[0] == "predict":
            output = words[words.index("--output") + 1]
            written = pd.read_csv if output.endswith(".csv") else pd.read_parquet
            assert len(written(output)) == len(frame)


def test_every_command_has_an_example():
    assert set(get_command(app).commands) == {example.split()[1] for example in of_help()}


def errors_of(result):
    """Return the one line of a user's mistake."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert result.stderr.splitlines()[-1] == line
    return line


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_unlike_the_others_is_named_with_its_column(folder, kind):
    frame = pd.read_csv(folder / "all.csv").dropna()
    for name, table in {
        "whole": frame,
        "lacks": frame.drop(columns="distance"),
        "words": frame.assign(distance=frame["distance"].map("{:.1f} miles".format)),
    }.items():
        getattr(table, f"to_{kind}")(folder / f"{name}.{kind}")
    whole, lacks, words = (folder / f"{name}.{kind}" for name in ("whole", "lacks", "words"))
    fit = ["fit", "delayed ~ distance + origin", "--family", "binomial", "--quiet"]
    text = errors_of(run(*fit, whole, lacks))
    assert f"{lacks} has no column 'distance', which {whole} has" in text
    assert "column 'distance' is float64 in" in errors_of(run(*fit, whole, words))
    # Columns that the model does not read are nobody's business.
    assert run("fit", "delayed ~ dep_time", whole, lacks, "--quiet").exit_code == 0


def test_words_far_down_a_csv_file_are_one_line(folder):
    x = np.arange(100_000.0).astype(str)
    x[-1] = "many"
    pd.DataFrame({"x": x, "y": 1.0}).to_csv(folder / "long.csv", index=False)
    text = errors_of(run("fit", "y ~ x", folder / "long.csv", "--quiet"))
    words = pd.Series(["many"]).dtype  # object before pandas 3
    assert (
        f"column x has type {words}, but its first rows have float64; could not convert string to float: 'many'" in text
    )
    assert "fix the file" in text


def test_gaps_and_fractions_far_down_a_csv_file_are_read(folder):
    n = 100_000
    late = np.where(np.arange(n) % 3 == 0, "True", "False").astype(object)
    late[-1] = None
    month = pd.Series(np.arange(n) % 3 + 1, dtype="Int64")
    month.iloc[-2] = pd.NA
    count = (np.arange(n) % 7).astype(str)
    count[-3] = "2.5"
    pd.DataFrame({"late": late, "month": month, "count": count, "unread": "a"}).to_csv(folder / "l.csv", index=False)
    output = folder / "model.json"
    words = ["--family", "binomial", "--missing", "drop", "--quiet", "--output", output]
    result = run("fit", "late ~ C(month) + count", folder / "l.csv", *words)
    assert result.exit_code == 0, result.output
    model = json.loads(output.read_text())
    assert (model["n_samples"], model["n_missing"]) == (n - 2, 2)
    assert [row["name"] for row in model["coefficients"]] == ["intercept", "C(month)[T.2]", "C(month)[T.3]", "count"]


def test_a_fault_of_the_package_keeps_its_traceback(folder, monkeypatch):
    def fail(*arguments, **options):
        raise KeyError("a name of ours")

    monkeypatch.setattr("dask_onestep.cli.commands.show_model", fail)
    result = run("fit", "delayed ~ distance", *parts(folder), "--quiet")
    assert isinstance(result.exception, KeyError)
    assert "please report it" in result.exception.__notes__[0]
    assert "error:" not in result.stderr


MISTAKES = [
    (["fit", "delayed ~ dep_time", "{}/all.csv"], "in column dep_time (30 rows)"),
    (["fit", "delayed ~ nothing", "{}/all.csv"], "which are not columns"),
    (["fit", "delayed ~ dep_time", "{}/none.csv"], "there is no file"),
    (["fit", "delayed ~ dep_time", "{}/all.csv", "{}/0.parquet"], "several kinds"),
    (["fit", "delayed ~ __import__('os').getcwd()", "{}/all.csv"], "formula"),
    (["fit", "delayed ~ I(open('x'))", "{}/all.csv"], "open is not allowed"),
    (["fit", "~ distance", "{}/all.csv"], "no left-hand side"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--family", "none"], "none"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--method", "none"], "none"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--pilot-size", "many"], "neither a number of rows nor a fraction"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--method", "mle", "--pilot-size", "50"], "is not an option of"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--penalty", "jeffreys"], "--penalty is not an option of"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--alpha", "0.1"], "--alpha is not an option of --method one-step"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--output", "{}/model.txt"], ".json"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--scheduler", "tcp://x:1", "--workers", "1"], "mutually exclusive"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--output", "{}/none/model.json"], "there is no directory"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--report", "{}/none/report.html"], "there is no directory"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--weights", "none"], "--weights none is not a column"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--cov-type", "cluster"], "--cov-type cluster needs --groups"),
    (["fit", "delayed ~ distance", "{}/all.csv", "--missing", "remove"], "Unknown missing 'remove'"),
    (["fit", "status ~ distance", "{}/all.csv"], "status holds labels, not numbers: --family binomial"),
    (["fit", "delayed ~ np.log(origin)", "{}/all.csv"], "['origin'] are not numeric columns"),
    (["predict", "{}/all.csv", "{}/all.csv", "--output", "{}/out.csv"], "must end in .json"),
    (["predict", "{}/model.json", "{}/all.csv", "--output", "{}/out.json"], "must end in .csv, or name a directory"),
    (["predict", "{}/model.json", "{}/all.csv", "--output", "{}"], "is a directory with other files than predictions"),
    (["predict", "{}/model.pkl", "{}/all.csv", "--output", "{}/out.csv"], "pass --trust-pickle"),
    (["predict", "{}/none.json", "{}/all.csv", "--output", "{}/out.csv"], "there is no file"),
    (["fit", "delayed ~ Q(open('{}/pwned', 'w'))", "{}/all.csv"], "Q is not allowed"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_mistakes_are_one_line_and_exit_code_one(folder, words, said):
    assert said in errors_of(run(*(word.format(folder) for word in words)))


def test_predicting_beyond_a_splines_range_is_one_line(folder):
    model, later, written = folder / "model.json", folder / "later.parquet", folder / "predicted.csv"
    words = ["fit", "delayed ~ bs(distance, df=4)", folder / "all.csv", "--quiet", "--output", model]
    assert run(*words).exit_code == 0
    frame = pd.read_csv(folder / "all.csv")
    frame.loc[[3, 5], "distance"] = [-1.0, 900.0]
    frame.to_parquet(later)
    said = errors_of(run("predict", model, later, "--output", written, "--quiet"))
    assert "distance has values beyond 0." in said
    assert "the range of bs(distance, df=4) (2 rows). Drop these rows, or fit with lower_bound=" in said
    assert not written.exists()


def test_what_a_fit_says_speaks_in_options(folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"tail": rng.standard_normal(20_000)})
    frame["delayed"] = (rng.random(20_000) < 1e-3).astype(float)
    frame.to_parquet(folder / "tail.parquet")
    report, output = folder / "report.html", folder / "model.json"
    options = [
        "--family",
        "binomial",
        "--method",
        "pilot",
        "--pilot-size",
        "300",
        "--quiet",
        "--report",
        report,
        "--output",
        output,
    ]
    result = run("fit", "delayed ~ tail", folder / "tail.parquet", *options)
    assert result.exit_code == 0, result.output
    # What a browser shows.
    page = re.sub(r"<style>.*?</style>|<code>.*?</code>|<[^>]*>", "", report.read_text())
    for text in (result.stderr, page):
        assert "--pilot-size" in text
        assert not re.search(r"pilot_size|steps=|method='|decrement_", text)
    assert "--pilot-size" not in json.loads(output.read_text())["warnings"][0]  # it speaks of Python's arguments


def test_a_command_line_that_cannot_be_read_is_exit_code_two():
    assert run("fit", "--nothing").exit_code == 2
    assert run("fit").exit_code == 2


def test_tables_are_lazy_and_of_any_kind(folder):
    assert len(read_table([str(folder / "*.parquet")])) == 900
    assert len(read_table([f"file://{folder}/all.csv"])) == 900


def test_effects_are_those_of_the_estimator(folder):
    model = folder / "model.json"
    formula = "delayed ~ bs(dep_time, df=4) + distance * origin"
    run("fit", formula, *parts(folder), "--family", "binomial", "--missing", "drop", "--output", model)
    glm, frame = read_model(str(model)), pd.read_csv(folder / "all.csv")
    calls = {
        ("--by", "origin"): glm.avg_slopes(frame, by="origin"),
        ("--kind", "comparisons", "--variable", "origin", "--comparison", "ratio"): glm.avg_comparisons(
            frame, "origin", comparison="ratio"
        ),
        ("--kind", "predictions", "--by", "origin", "--by", "status", "--level", "0.9"): glm.avg_predictions(
            frame, by=["origin", "status"], level=0.9
        ),
    }
    for options, expected in calls.items():
        result = run("effects", model, *parts(folder), *options, "--quiet")
        assert result.exit_code == 0, result.output
        head, *lines = result.stdout.splitlines()
        ends = ["[0.05", "0.95]"] if "--level" in options else ["[0.025", "0.975]"]
        assert head.split()[-4:] == ["z", "P>|z|", *ends]
        assert len(lines) == len(expected)
        for line, row in zip(lines, expected.itertuples(), strict=True):
            estimate, std_err = (float(cell) for cell in line.split()[-6:-4])
            assert abs(estimate - row.estimate) <= 0.01 * row.std_err
            assert abs(std_err - row.std_err) <= 0.01 * row.std_err
            assert line.startswith(row.term)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--by", "nowhere"], "no file has.*nowhere|nowhere"),
        (["--variable", "nowhere"], "'nowhere' is not a variable of the model; must be one of distance"),
        (["--kind", "odds"], "Unknown --kind odds; must be one of slopes, comparisons, predictions"),
        (["--comparison", "ratio"], "--comparison is not an option of --kind slopes"),
    ],
)
def test_effects_that_cannot_be_had_are_one_line(folder, options, text):
    model = folder / "model.json"
    run("fit", "delayed ~ distance", *parts(folder), "--family", "binomial", "--output", model)
    result = run("effects", model, *parts(folder), *options)
    assert result.exit_code == 1
    assert re.search(text, result.stderr)
    assert len(result.stderr.splitlines()) <= 2


def test_models_are_compared_as_in_python(folder):
    formulas = ["delayed ~ distance", "delayed ~ distance + origin", "delayed ~ dep_time"]
    options = ["--family", "binomial", "--missing", "drop", "--method", "mle", "--quiet"]
    chosen = [word for formula in formulas[:2] for word in ("--formula", formula)]
    result = run("compare", *parts(folder), *chosen, *options)
    assert result.exit_code == 0, result.output
    frame = pd.read_csv(folder / "all.csv")
    glm = GLMRegressor("binomial", method="mle", missing="drop")
    models = [clone(glm).set_params(formula=formula).fit(frame) for formula in formulas]
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["model", "n", "df", "loglik", "aic", "bic", "lr_statistic", "lr_df", "p_value"]
    expected = compare(models[:2]).iloc[1]
    assert first.startswith(f"{formulas[0]} ")
    assert second.startswith(formulas[1])
    numbers = [float(cell.replace(",", "")) for cell in second.removeprefix(formulas[1]).split()]
    np.testing.assert_allclose(numbers, expected[head.split()[1:]].astype(float), rtol=0.02)
    assert numbers[3] == round(expected["aic"], 2)
    # Models of other rows have no common table.
    text = errors_of(run("compare", *parts(folder), *chosen, "--formula", formulas[2], *options))
    assert "to 870: fit both to the same rows" in text


def test_models_with_a_dispersion_are_compared_by_another_pass_and_remarks_are_notes(folder):
    formulas = ["np.exp(delayed) ~ distance", "np.exp(delayed) ~ origin"]
    chosen = [word for formula in formulas for word in ("--formula", formula)]
    result = run("compare", folder / "all.csv", *chosen, "--family", "gamma", "--link", "log", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["model", "n", "df", "loglik", "aic", "bic", "deviance"]
    assert f"note: {formulas[1]}: Not nested" in result.stderr
    with_offset = run("compare", folder / "all.csv", *chosen, "--offset", "np.log(distance)", "--quiet")
    assert with_offset.exit_code == 0, with_offset.output


def test_clusters_of_several_columns_and_few_of_them(folder):
    options = ["--family", "binomial", "--quiet", "--cov-type", "cluster"]
    words = ["fit", "delayed ~ distance", folder / "all.csv", *options]
    one = run(*words, "--groups", "origin")
    assert re.search(r"clusters: +3\b", one.stdout)
    assert "note: With 3 clusters the standard errors of --cov-type cluster" in one.stderr
    two = run(*words, "--groups", "origin", "--groups", "status", "--missing", "drop")
    assert re.search(r"clusters: +3 and 2\b", two.stdout), two.output


def test_a_report_has_effects_on_request(folder):
    words = ["fit", "delayed ~ distance", folder / "all.csv", "--family", "binomial", "--quiet", "--effects"]
    assert run(*words, "--report", folder / "report.html").exit_code == 0
    assert "Average effects" in (folder / "report.html").read_text()
    assert "--effects is an option of --report" in errors_of(run(*words))


@pytest.fixture
def counts(tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=500), "s": rng.choice(list("wxyz"), 500), "k": rng.integers(1, 9, 500)})
    frame["duration"] = rng.gamma(2.0, 2.0, 500)
    frame["riders"] = rng.poisson(frame["duration"] * np.exp(0.3 * frame["x"]))
    frame.to_parquet(tmp_path / "a.parquet")
    return tmp_path, frame


def test_an_offset_may_be_an_expression(counts):
    folder, frame = counts
    words = ["fit", "riders ~ x", folder / "a.parquet", "--family", "poisson", "--method", "mle", "--quiet"]
    result = run(*words, "--offset", "np.log(duration)", "--output", folder / "model.json")
    assert result.exit_code == 0, result.output
    expected = smf.glm("riders ~ x", frame, family=sm.families.Poisson(), offset=np.log(frame["duration"])).fit(
        tol=1e-14
    )
    kept = json.loads((folder / "model.json").read_text())
    assert [row["coef"] for row in kept["coefficients"]] == pytest.approx(expected.params.tolist(), rel=1e-6)
    done = run("predict", folder / "model.json", folder / "a.parquet", "--output", folder / "p.csv", "--quiet")
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(pd.read_csv(folder / "p.csv")["mean"], expected.fittedvalues, rtol=1e-6)


def test_several_classes_are_remarked_on(counts):
    folder, _ = counts
    result = run("fit", "s ~ x", folder / "a.parquet", "--family", "binomial", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        "note: s has 4 classes, ['w', 'x', 'y', 'z']: the model is a multinomial logit, with the log odds of each "
        "class relative to 'w'.\n"
    )


def test_numbers_are_labels_on_request(counts):
    folder, _ = counts
    text = errors_of(run("fit", "k ~ x", folder / "a.parquet", "--family", "binomial", "--quiet"))
    assert "Labels of classes are fitted with --classify" in text
    result = run("fit", "k ~ x", folder / "a.parquet", "--classify", "--quiet", "--output", folder / "model.json")
    assert result.exit_code == 0, result.output
    assert json.loads((folder / "model.json").read_text())["classes"] == list(range(1, 9))


def test_a_term_that_is_not_there_is_found_before_a_row_is_read(counts, monkeypatch):
    folder, _ = counts

    def fail(*arguments, **options):
        raise AssertionError("rows were read")

    monkeypatch.setattr("dask_onestep.estimators.base.run", fail)
    test = [
        "test",
        "riders ~ x*s + bs(duration, df=4)",
        folder / "a.parquet",
        "--family",
        "poisson",
        "--quiet",
        "--term",
    ]
    text = errors_of(run(*test, "durations"))
    assert "--term durations is not in the formula. Its terms are ['x', 's', 'bs(duration, df=4)', 'x:s']." in text
    for term in ("s", "x:s", "s[T.x]", "x:s[T.x]", "bs(duration, df=4)", "bs(duration, df=4)[2]", "1"):
        assert isinstance(run(*test, term).exception, AssertionError), term


def test_a_dot_stands_for_the_other_columns(counts):
    folder, _ = counts
    words = ["--family", "poisson", "--method", "mle", "--quiet", "--offset", "np.log(duration)"]
    dotted = run("fit", "riders ~ . - k - duration", folder / "a.parquet", *words)
    assert dotted.exit_code == 0, dotted.output
    assert dotted.stdout == run("fit", "riders ~ x + s", folder / "a.parquet", *words).stdout


def test_select_prints_and_writes_the_submodel_of_a_stored_model(folder):
    model, small = folder / "model.json", folder / "small.json"
    words = ["fit", "delayed ~ dep_time + distance + origin", folder / "all.csv", "--missing", "drop"]
    result = run(*words, "--family", "binomial", "--method", "mle", "--penalty", "jeffreys", "--output", model)
    assert result.exit_code == 0, result.output
    result = run("select", model, "--criterion", "bic", "--output", small)
    assert result.exit_code == 0, result.output
    expected = read_model(str(model)).select("bic")
    np.testing.assert_array_equal(read_model(str(small)).record_.coef, expected.record_.coef)
    assert 0 < np.count_nonzero(expected.record_.coef) < 5
    assert str(expected.submodel_test_).split(":")[0] in result.output
    assert "must be one of 'dbic'" in run("select", model, "--criterion", "cp").output
