"""The flights of 2013: in memory, and from Parquet files that are written once."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dask_onestep import GLMClassifier
from dask_onestep.datasets import flights, load_flights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("data") / "flights"
    load_flights(out_of_core=True, data_home=home)
    return home


@pytest.fixture
def no_source(monkeypatch):
    def refuse():
        raise AssertionError("the source was read")

    monkeypatch.setattr(flights, "_read_flights", refuse)


def test_files_are_by_month_in_row_groups_and_written_once(folder, no_source):
    files = sorted(file.name for file in folder.iterdir())
    assert files == [f"2013-{month:02d}.parquet" for month in range(1, 13)]
    january = pq.ParquetFile(folder / files[0])
    assert [january.metadata.row_group(i).num_rows for i in range(january.num_row_groups)] == [10_000, 10_000, 7_004]
    assert load_flights(out_of_core=True, data_home=folder).npartitions == 12


def test_the_table_on_disk_is_the_one_in_memory(folder):
    expected = load_flights().compute()
    lazy = load_flights(out_of_core=True, data_home=folder)
    assert isinstance(lazy, dd.DataFrame)
    pd.testing.assert_frame_equal(lazy.compute(), expected)


def test_a_fit_reads_its_columns_alone_and_a_file_a_block(folder, no_source, monkeypatch):
    table = load_flights(out_of_core=True, data_home=folder)
    used = table[["air_time", "delayed"]]
    assert sorted(used.optimize().columns) == ["air_time", "delayed"]
    # January is read only from its file: the others may be missing.
    assert (used.partitions[0].compute().index == np.arange(27_004)).all()
    glm = GLMClassifier(missing="drop").fit(used, "delayed")
    assert (glm.n_samples_, glm.n_passes_) == (327_346, 1)


def test_the_model_of_the_examples_is_that_in_memory(folder, no_source):
    x, y = load_flights(out_of_core=True, data_home=folder, return_X_y=True)
    rows, response = dask.compute(x, y)
    frame = pd.read_parquet(folder).dropna(subset=["dep_time", "sched_arr_time", "air_time", "distance", "delayed"])
    np.testing.assert_allclose(rows["dep_time"], frame["dep_time"] / 100)
    np.testing.assert_allclose(rows["air_time"], frame["air_time"])
    np.testing.assert_array_equal(response, frame["delayed"])
    assert len(rows) == 327_346


def test_the_default_place_is_of_the_environment(tmp_path, monkeypatch, folder, no_source):
    monkeypatch.setenv("DASK_ONESTEP_DATA", str(folder.parent))
    assert load_flights(out_of_core=True).npartitions == 12


def test_a_write_that_broke_off_is_done_again_and_other_files_are_left_alone(tmp_path, monkeypatch):
    few = pd.DataFrame({"month": np.repeat(np.arange(1, 13), 2), "arr_delay": np.tile([1.0, np.nan], 12)})
    monkeypatch.setattr(flights, "_read_flights", lambda: few)
    (tmp_path / "2013-01.parquet").write_bytes(b"")
    assert len(load_flights(out_of_core=True, data_home=tmp_path)) == 24
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "notes.txt").write_text("mine")
    with pytest.raises(
        ValueError, match=r"holds other files, such as notes.txt: use a separate directory for data_home="
    ):
        load_flights(out_of_core=True, data_home=tmp_path / "strange")
    with pytest.raises(ValueError, match="pass both, or neither"):
        load_flights(data_home=tmp_path)
