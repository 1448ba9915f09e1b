"""Every way of building a collection that Dask documents gives the fit of the same rows in memory."""

from __future__ import annotations

import dask
import dask.array as da
import dask.bag as db
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from dask_onestep import MLE, GLMRegressor, OneStep

PARTS = range(4)


def load(number):
    rng = np.random.default_rng(number)
    frame = pd.DataFrame({"a": rng.standard_normal(40), "b": rng.standard_normal(40)})
    return frame.assign(y=frame["a"] - frame["b"] + rng.standard_normal(40))


def load_values(number):
    return load(number).to_numpy()


def same(part, *others):
    return part


def files(path, kind):
    for number in PARTS:
        target = path / f"{number}.{kind}"
        load(number).to_parquet(target) if kind == "parquet" else load(number).to_csv(target, index=False)
    return str(path / f"*.{kind}")


def stacked(path):
    da.to_npy_stack(str(path / "stack"), da.from_array(WHOLE.to_numpy(), chunks=(40, 3)))
    return da.from_npy_stack(str(path / "stack"))


META = load(0).iloc[:0]
WHOLE = pd.concat([load(number) for number in PARTS], ignore_index=True)
SHAPE = {"shape": (40, 3), "dtype": float}

FRAMES = {
    "from_delayed": lambda path: dd.from_delayed([dask.delayed(load)(n) for n in PARTS], meta=META),
    "from_delayed without meta": lambda path: dd.from_delayed([dask.delayed(load)(n) for n in PARTS]),
    "from_delayed, not verified": lambda path: dd.from_delayed(
        [dask.delayed(load)(n) for n in PARTS], meta=META, verify_meta=False
    ),
    "from_delayed of a chain": lambda path: dd.from_delayed(
        [dask.delayed(same)(dask.delayed(load)(n)) for n in PARTS], meta=META, verify_meta=False
    ),
    "from_map": lambda path: dd.from_map(load, PARTS, meta=META),
    "from_pandas": lambda path: dd.from_pandas(WHOLE, npartitions=4),
    "from_dict": lambda path: dd.from_dict(WHOLE.to_dict("list"), npartitions=4),
    "from_array": lambda path: dd.from_array(WHOLE.to_numpy(), chunksize=40, columns=list("aby")),
    "from_dask_array": lambda path: dd.from_dask_array(da.from_array(WHOLE.to_numpy(), chunks=(40, 3)), list("aby")),
    "a bag": lambda path: db.from_sequence(WHOLE.to_dict("records"), npartitions=4).to_dataframe(META),
    "read_parquet": lambda path: dd.read_parquet(files(path, "parquet")),
    "read_csv": lambda path: dd.read_csv(files(path, "csv")),
    "concat": lambda path: dd.concat([dd.from_pandas(load(n), npartitions=1) for n in PARTS]),
    "repartition": lambda path: dd.from_pandas(WHOLE, npartitions=8).repartition(npartitions=4),
    "persist": lambda path: dd.from_map(load, PARTS, meta=META).persist(),
}
ARRAYS = {
    "from_array": lambda path: da.from_array(WHOLE.to_numpy(), chunks=(40, 2)),
    "from_delayed": lambda path: da.concatenate(
        [da.from_delayed(dask.delayed(load_values)(n), **SHAPE) for n in PARTS]
    ),
    "from_delayed of shared data": lambda path: da.concatenate(
        [da.from_delayed(dask.delayed(WHOLE.to_numpy())[40 * n : 40 * n + 40], **SHAPE) for n in PARTS]
    ),
    "map_blocks": lambda path: da.map_blocks(
        lambda block_id: load_values(block_id[0]), chunks=((40,) * 4, 3), dtype=float, meta=np.empty((0, 0))
    ),
    "block": lambda path: da.block([[da.from_array(load_values(n), chunks=40)] for n in PARTS]),
    "a frame's values": lambda path: dd.from_map(load, PARTS, meta=META).to_dask_array(lengths=True),
    "values of unknown length": lambda path: dd.from_map(load, PARTS, meta=META).to_dask_array(),
    "rechunk": lambda path: da.from_array(WHOLE.to_numpy(), chunks=(30, 1)).rechunk((40, 3)),
    "persist": lambda path: da.from_array(WHOLE.to_numpy(), chunks=(40, 3)).persist(),
    "to_npy_stack": stacked,
}
# With a client: what lies on its workers.
OF_FUTURES = {
    "from_delayed": lambda client: dd.from_delayed(client.map(load, PARTS), meta=META),
    "from_delayed, not verified": lambda client: dd.from_delayed(client.map(load, PARTS), meta=META, verify_meta=False),
    "scattered": lambda client: dd.from_delayed(client.scatter([load(n) for n in PARTS]), meta=META),
    "delayed of futures": lambda client: dd.from_delayed(
        [dask.delayed(same)(future) for future in client.map(load, PARTS)], meta=META, verify_meta=False
    ),
    "from_map": lambda client: dd.from_map(same, client.map(load, PARTS), meta=META),
    "an argument of map_partitions": lambda client: dd.from_map(load, PARTS, meta=META).map_partitions(
        same, client.submit(load, 0), meta=META
    ),
    "persist": lambda client: client.persist(dd.from_map(load, PARTS, meta=META)),
    "arrays of futures": lambda client: da.concatenate(
        [da.from_delayed(future, **SHAPE) for future in client.map(load_values, PARTS)]
    ),
    "arrays of delayed futures": lambda client: da.concatenate(
        [da.from_delayed(dask.delayed(same)(future), **SHAPE) for future in client.map(load_values, PARTS)]
    ),
    "an argument of map_blocks": lambda client: da.from_array(WHOLE.to_numpy(), chunks=(40, 3)).map_blocks(
        same, client.submit(load, 0), dtype=float, meta=np.empty((0, 0))
    ),
}


def split(rows):
    return (rows[["a", "b"]], rows["y"]) if isinstance(rows, dd.DataFrame) else (rows[:, :2], rows[:, 2])


def assert_fitted(rows):
    exact = GLMRegressor(method=MLE()).fit(WHOLE[["a", "b"]], WHOLE["y"])
    for glm in (
        GLMRegressor(method=MLE()).fit(*split(rows)),
        GLMRegressor(method=OneStep(pilot_size=60)).fit(*split(rows)),
        GLMRegressor(method=OneStep(pilot_size=60)).fit_delayed(*split(rows)).compute(),
    ):
        np.testing.assert_allclose(glm.record_.coef, exact.record_.coef, rtol=1e-9)
        np.testing.assert_allclose(glm.covariance_, exact.covariance_, rtol=1e-9)


@pytest.mark.parametrize("way", FRAMES)
def test_frames(threads, tmp_path, way):
    assert_fitted(FRAMES[way](tmp_path))


@pytest.mark.parametrize("way", ARRAYS)
def test_arrays(threads, tmp_path, way):
    assert_fitted(ARRAYS[way](tmp_path))


@pytest.mark.parametrize("way", ["from_delayed, not verified", "from_delayed of a chain", "a bag", "persist"])
def test_frames_on_a_cluster(client, tmp_path, way):
    assert_fitted(FRAMES[way](tmp_path))


@pytest.mark.parametrize("way", OF_FUTURES)
def test_data_on_workers(client, way):
    assert_fitted(OF_FUTURES[way](client))
