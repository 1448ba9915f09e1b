"""Errors number blocks as the user's partitions are numbered, also where Dask reads several of them as one."""

import re

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep import GLMClassifier, GLMRegressor
from dask_onestep.kernels.records import Findings, Numbering


def test_blocks_and_partitions_are_named():
    found = Findings((("X contains NaN", 1, "Fix it."),), (2,))
    assert found.text() == "X contains NaN (1 row). In block 2. Fix it."
    assert found.text(Numbering(3, 10)) == "X contains NaN (1 row). In partitions 6 to 9. Fix it."
    several = Findings((("X contains NaN", 3, ""),), (0, 2), more=True)
    assert several.text() == "X contains NaN (3 rows). In blocks 0, 2, …."
    assert several.text(Numbering(3, 10)) == "X contains NaN (3 rows). In partitions 0 to 2, 6 to 9, …."
    assert Numbering(10, 11).name((0,)) == "partition 0"
    in_files = Findings((("X contains NaN", 1, ""),), (2,), sources=("row group 1 of a.parquet",))
    assert in_files.text(Numbering(3, 10)) == "X contains NaN (1 row). In row group 1 of a.parquet."
    both = in_files + Findings((("X contains NaN", 1, ""),), (3,), sources=("row group 0 of b.parquet",))
    assert both.text() == "X contains NaN (2 rows). In row group 1 of a.parquet, row group 0 of b.parquet."
    assert "In" not in Findings((("y has one class", 0, ""),), ()).text(Numbering(3, 10))


@pytest.mark.parametrize("formula", [None, "y ~ c1"])
@pytest.mark.parametrize("partition", [0, 4, 7, 9])
@pytest.mark.parametrize("columns", [["c1", "y"], None])
def test_a_missing_value_is_found_in_the_users_partition(tmp_path, formula, partition, columns):
    rng = np.random.default_rng(0)
    for number in range(10):
        frame = pd.DataFrame(rng.normal(size=(50, 21)), columns=["y", *(f"c{at}" for at in range(20))])
        if number == partition:
            frame.loc[3, "c1"] = np.nan
        frame.to_parquet(tmp_path / f"{number}.parquet")
    table = dd.read_parquet(str(tmp_path / "*.parquet"))
    table = table if columns is None else table[columns]
    with pytest.raises(ValueError, match=r"in column c1 \(1 row\)\. In (block|partition)") as raised:
        GLMRegressor(formula=formula).fit(table, None if formula else "y")
    named = str(raised.value).partition(". In ")[2].partition(".")[0].split()
    first, last = int(named[1]), int(named[-1])
    assert first <= partition <= last
    assert last - first < 5


@pytest.mark.parametrize("estimator", [GLMRegressor(), GLMRegressor(formula="y ~ x + g"), GLMClassifier(method="mle")])
@pytest.mark.parametrize("n_files", [1, 3])
def test_a_missing_value_in_a_file_is_found_there(tmp_path, estimator, n_files):
    rng = np.random.default_rng(0)
    for number in range(n_files):
        frame = pd.DataFrame({"x": rng.normal(size=50), "g": rng.choice(["a", "b"], 50), "y": np.arange(50) % 2})
        frame.loc[3, "x"] = np.nan if number == n_files - 1 else 0.0
        frame.to_parquet(tmp_path / f"{number}.parquet")
    first, last = tmp_path / "0.parquet", tmp_path / f"{n_files - 1}.parquet"
    place = f"In row group 0 of {first}." if n_files == 1 else f"In {first} to {last}."
    with pytest.raises(ValueError, match=f"in column x \\(1 row\\)\\. {re.escape(place)}"):
        estimator.fit(str(tmp_path / "*.parquet"), None if estimator.formula else "y")
