"""The benchmark of tables: its rows, and that its libraries fit the same model."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.tables import CASES, LIBRARIES, distance, draw, draw_rows, exact, plain, read, write


@pytest.mark.parametrize("case", ["numeric", "carriers", "spline"])
def test_libraries_fit_the_same_model(tmp_path, threads, case):
    write(tmp_path, 4000, 3)
    asked, path = CASES[case], str(tmp_path / "complete-4000-3.parquet")
    best = exact(asked, path)
    for name in ("dask_onestep, path", "dask_onestep, dask.dataframe", "glum", "statsmodels"):
        if LIBRARIES[name].can(asked, 4000, 8.0):
            assert distance(LIBRARIES[name].fit(asked, path)[0], best) < 0.01


def test_rows_are_as_the_cases_say(tmp_path):
    frame = draw_rows(3000, missing=True)
    assert frame["tail"].is_monotonic_increasing
    assert frame["carrier"].nunique() == 16
    assert 0 < frame["a"].isna().mean() < 0.05
    write(tmp_path, 3000, 4)
    kept = read(CASES["missing"], str(tmp_path / "missing-3000-4.parquet"), category=True)
    assert not kept.isna().any().any()
    assert len(kept) < 3000


def test_names_are_shared_and_other_coefficients_have_no_distance():
    assert plain(pd.Series({"Intercept": 1, "C(g)[T.b]": 2})) == {"intercept": 1.0, "g[b]": 2.0}
    assert np.isnan(distance({"x": 1.0}, ({"z": 1.0}, {"z": 1.0})))
    rows = [{"case": "numeric", "library": "glum", "cpu_seconds": 1.0}]
    assert draw(pd.DataFrame(rows)).axes
