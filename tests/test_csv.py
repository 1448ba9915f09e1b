"""CSV files as other programs write them: separators, encodings, codes of missing values, headers; and directories."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from test_cli import errors_of, run

from dask_onestep import GLMRegressor
from dask_onestep.data.files import CsvFormat, open_table


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"größe": rng.normal(size=300), "month": rng.integers(1, 5, 300)})
    frame["y"] = frame["größe"] + frame["month"] + rng.normal(size=300)
    return frame


def coefficients(path, *options):
    result = run("fit", "y ~ größe + C(month)", path, "--quiet", *options)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(("sep", "typed"), [(";", ";"), ("\t", "\\t"), ("\t", "\t"), ("|", "|")])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16"])
def test_separators_and_encodings_give_the_same(tmp_path, frame, sep, typed, encoding):
    frame.to_csv(tmp_path / "plain.csv", index=False)
    frame.to_csv(tmp_path / "other.csv", index=False, sep=sep, encoding=encoding)
    expected = coefficients(tmp_path / "plain.csv")
    assert coefficients(tmp_path / "other.csv", "--sep", typed, "--encoding", encoding) == expected
    frame.to_csv(tmp_path / "other.dat", index=False, sep=sep, encoding=encoding)
    assert coefficients(tmp_path / "other.dat", "--sep", typed, "--encoding", encoding) == expected


@pytest.mark.parametrize(("sep", "shown"), [(";", "';'"), ("\t", r"'\t'"), ("|", "'|'")])
def test_another_separator_is_named(tmp_path, frame, sep, shown):
    frame.to_csv(tmp_path / "a.csv", index=False, sep=sep)
    text = errors_of(run("fit", "y ~ month", tmp_path / "a.csv", "--quiet"))
    assert f"seems to be separated by {shown}. Pass --sep {shown}" in text


def test_another_encoding_is_named(tmp_path, frame):
    frame.to_csv(tmp_path / "head.csv", index=False, encoding="latin-1")
    assert "is not UTF-8 text. Pass --encoding" in errors_of(run("fit", "y ~ month", tmp_path / "head.csv", "--quiet"))
    assert "is not ASCII text" in errors_of(
        run("fit", "y ~ month", tmp_path / "head.csv", "--quiet", "--encoding", "ascii")
    )
    text = errors_of(run("fit", "y ~ month", tmp_path / "head.csv", "--quiet", "--encoding", "latin1000"))
    assert "unknown encoding 'latin1000'" in text
    # Far below what is looked at first.
    n = 100_000
    far = pd.DataFrame({"s": ["a"] * (n - 1) + ["ö"], "y": np.arange(n) % 7})
    far.to_csv(tmp_path / "far.csv", index=False, encoding="latin-1")
    assert "is not of utf-8 text: pass --encoding" in errors_of(run("fit", "y ~ s", tmp_path / "far.csv", "--quiet"))


def test_codes_of_missing_values(tmp_path, frame):
    coded = frame.rename(columns={"größe": "x"}).astype({"x": object, "month": object})
    coded.loc[::10, "x"] = "-999"
    coded.loc[5::10, "month"] = "unknown"
    coded.to_csv(tmp_path / "a.csv", index=False)
    options = ["--na-values", "-999", "--na-values", "unknown", "--missing", "drop", "--method", "mle"]
    result = run("fit", "y ~ x + C(month)", tmp_path / "a.csv", "--quiet", *options)
    assert result.exit_code == 0, result.output
    known = coded[(coded["x"] != "-999") & (coded["month"] != "unknown")].astype(float)
    expected = smf.ols("y ~ x + C(month)", known).fit()
    (row,) = [line for line in result.stdout.splitlines() if line.startswith("x ")]
    assert float(row.split()[1]) == pytest.approx(expected.params["x"], abs=1e-3)
    assert "rows dropped:                        60" in result.stdout
    assert "  4  " in result.stdout
    assert "\n  4.0" not in result.stdout  # integers with missing values keep their names


def test_missing_values_among_true_and_false(tmp_path, frame):
    flags = pd.array(np.where(frame.index % 10 == 0, None, frame["month"] > 2), dtype="boolean")
    frame.assign(flag=flags).to_csv(tmp_path / "a.csv", index=False)
    known = frame.assign(flag=frame["month"] > 2)[frame.index % 10 != 0]
    for formula, other in (
        ("y ~ I(3 - flag)", "y ~ I(3 - flag)"),
        ("y ~ C(flag)", "y ~ I(flag * 1)"),
        ("y ~ flag",) * 2,
    ):
        glm = GLMRegressor(formula=formula, missing="drop").fit(tmp_path / "a.csv")
        params = smf.ols(other, known.astype({"flag": float})).fit().params
        np.testing.assert_allclose([glm.intercept_, *glm.coef_], params, rtol=1e-9)


def test_text_stays_text_in_blocks_where_all_of_it_are_numbers(tmp_path):
    rng = np.random.default_rng(0)
    levels = np.repeat([["a", "1", "0"], ["01", "", "0"], ["1", "01", ""]], 40, axis=1)
    y = rng.normal(size=levels.shape)
    for number in range(3):
        pd.DataFrame({"g": levels[number], "y": y[number]}).to_csv(tmp_path / f"{number}.csv", index=False)
    glm = GLMRegressor(formula="y ~ 0 + g", missing="drop").fit(tmp_path / "*.csv")
    shown = pd.Series(y.ravel()).groupby(levels.ravel()).mean().drop("")
    assert glm.coef_table().index.tolist() == ["g[0]", "g[01]", "g[1]", "g[a]"]
    np.testing.assert_allclose(glm.coef_, shown, rtol=1e-12)


@pytest.mark.parametrize("first", [1, 0])
@pytest.mark.parametrize("values", [["a", "b"], [1, 2], [1.5, 2.5], [True, False]], ids=str)
def test_a_column_without_values_in_the_first_file_has_the_type_of_later_ones(tmp_path, first, values):
    rng = np.random.default_rng(3)
    whole = pd.DataFrame({"y": rng.normal(size=90), "z": rng.normal(size=90), "h": values * 45}).astype({"h": object})
    whole.loc[: max(first, 1) - 1, "h"] = None
    for number, rows in enumerate((slice(0, first), slice(first, 30), slice(30, 90))):
        whole[rows].to_csv(tmp_path / f"{number}.csv", index=False)
    formula = "y ~ z + C(h)"
    of_files = GLMRegressor(formula=formula, missing="drop").fit(str(tmp_path / "*.csv"))
    wanted = GLMRegressor(formula=formula, missing="drop").fit(whole.infer_objects())
    assert of_files.n_samples_ == 89
    np.testing.assert_allclose(of_files.coef_table(), wanted.coef_table(), rtol=1e-9)
    named = [name.replace("2.0", "2") for name in wanted.coef_table().index]
    assert [name.replace("2.0", "2") for name in of_files.coef_table().index] == named


@pytest.mark.parametrize("empty", [1, 2])
def test_a_later_file_of_no_bytes_has_no_rows(tmp_path, empty):
    """Also where the types of columns without values in the first file are looked for."""
    rows = pd.DataFrame({"y": [1.0, 3.0, 2.0, 5.0], "z": range(4), "note": None})
    for number in range(3):
        rows.to_csv(tmp_path / f"{number}.csv", index=False)
    (tmp_path / f"{empty}.csv").write_text("")
    of_files = GLMRegressor(formula="y ~ z").fit(str(tmp_path / "*.csv"))
    assert of_files.n_samples_ == 8
    np.testing.assert_allclose(of_files.coef_, GLMRegressor(formula="y ~ z").fit(rows).coef_, rtol=1e-12)


def test_columns_of_the_same_name_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,a,y\n" + "".join(f"{i},{2 * i},{i % 7}\n" for i in range(50)))
    assert "several columns are named 'a'" in errors_of(run("fit", "y ~ a", tmp_path / "a.csv", "--quiet"))
    with pytest.raises(ValueError, match="several columns are named 'a'"):
        GLMRegressor(formula="y ~ a").fit(str(tmp_path / "a.csv"))
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "a.csv.gz", index=False, header=["a", "a", "y"])
    assert "several columns are named 'a'" in errors_of(run("fit", "y ~ a", tmp_path / "a.csv.gz", "--quiet"))


def test_columns_that_are_not_used_are_not_parsed(tmp_path):
    n = 100_000
    frame = pd.DataFrame({"x": np.arange(n) % 11, "y": np.arange(n) % 7, "other": np.arange(n).astype(str)})
    frame.loc[n - 1, "other"] = "a word where numbers were"
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert run("fit", "y ~ x", tmp_path / "a.csv", "--quiet").exit_code == 0
    assert list(open_table(str(tmp_path / "a.csv")).frame(["x", "y"])[0].columns) == ["x", "y"]


def test_one_character_separates(tmp_path, frame):
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert "must be one character" in errors_of(run("fit", "y ~ month", tmp_path / "a.csv", "--sep", ";;", "--quiet"))
    assert open_table(str(tmp_path / "a.csv"), CsvFormat(",")).columns == ("größe", "month", "y")


def test_directories_hold_files_and_partitions_alone(tmp_path, frame):
    frame = frame.rename(columns={"größe": "x"})
    frame.to_parquet(tmp_path / "parts", partition_cols=["month"])
    assert run("fit", "y ~ x + C(month)", tmp_path / "parts", "--quiet").exit_code == 0
    (tmp_path / "parts" / "_delta_log").mkdir()
    (tmp_path / "parts" / ".ipynb_checkpoints").mkdir()
    assert run("fit", "y ~ x", tmp_path / "parts", "--quiet").exit_code == 0
    (tmp_path / "parts" / "old").mkdir()
    text = errors_of(run("fit", "y ~ x", tmp_path / "parts", "--quiet"))
    assert (
        f"its subdirectory 'old' is not a partition such as year=2020. Name the files, such as {tmp_path}/parts/old/*"
        in text
    )
    assert "is not a partition" in errors_of(run("fit", "y ~ x", "/", "--quiet"))


@pytest.mark.parametrize(
    "url", ["reference://a.csv", "jlab://host/a.csv", "generic://a.csv", "dask://a.csv", "dir://a"]
)
def test_urls_that_stand_for_other_files_are_refused(url):
    scheme = url.partition("://")[0]
    assert f"{scheme}:// refers to other files" in errors_of(run("fit", "y ~ x", url, "--quiet"))


def test_an_error_names_the_files_of_the_rows(tmp_path, frame):
    for number in range(4):
        frame.assign(y=frame["y"].where(frame.index != 5, np.nan) if number == 2 else frame["y"]).to_csv(
            tmp_path / f"{number}.csv", index=False
        )
    with pytest.raises(ValueError, match=r"missing value \(1 row\)\. In \S*2\.csv\. Use missing='drop'"):
        GLMRegressor(formula="y ~ month").fit(f"{tmp_path}/*.csv")
