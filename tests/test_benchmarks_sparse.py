import numpy as np
import pandas as pd
import pytest

from benchmarks import debiased_coverage
from benchmarks.sparse.recovery import ACTIVE, METHODS, RESULTS, Cell, fit, summarize


def test_the_table_says_of_each_row_what_the_docs_say():
    table = pd.read_csv(RESULTS)
    assert len(table) == 18
    assert (table["l2"] < table["l2 naive"]).all()
    unwarned = table[table.warned == 0]
    assert len(unwarned) >= 2
    assert ((unwarned["from"] <= 0.95) & (unwarned["to"] >= 0.95)).all()
    assert table["coverage idle"].between(0.93, 0.98).all()
    # Whoever is far off has been warned in most draws.
    assert (table.loc[table["to"] < 0.90, "warned"] > 0.5).all()


def test_a_cell_is_summed_up():
    cell = Cell("gaussian", 8, 100)
    draws = [fit(cell, seed, name, method) for seed in range(2) for name, method in METHODS.items()]
    table = summarize(pd.DataFrame(draws))
    assert table["method"].tolist() == list(METHODS)
    assert (table["draws"] == 2).all()
    one = [draw for draw in draws if draw["method"] == "one communication"]
    held = sum(draw["active held"] for draw in one) / (2 * ACTIVE)
    assert table.loc[0, "coverage active"] == pytest.approx(held)
    assert table.loc[0, "l2"] == pytest.approx(np.mean([draw["l2"] for draw in one]))


def test_the_defaults_cover_in_every_cell():
    table = pd.read_csv(debiased_coverage.RESULTS)
    cells = {
        (family, rows, blocks)
        for family in ("gaussian", "binomial")
        for rows in (2000, 20_000)
        for blocks in (1, 4, 16)
    }
    assert set(table[["family", "rows", "blocks"]].itertuples(index=False, name=None)) == cells
    assert (table["replications"] == 200).all()
    assert (table[["nonzero", "zero"]] >= 0.93).all(axis=None)
    assert (table[["nonzero_least", "zero_least"]] >= 0.88).all(axis=None)
    assert (table["passes"] == table["family"].map({"gaussian": 1, "binomial": 4})).all()


def test_a_cell_of_the_coverage_is_summed_up():
    found = debiased_coverage.run(debiased_coverage.Cell("gaussian", 2000, 81, 4), 2)
    assert found["passes"] == 1
    assert 0.8 < found["zero"] <= 1.0
    assert found["nonzero_least"] in (0.0, 0.5, 1.0)
