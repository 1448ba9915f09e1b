"""What a pass moves on a cluster: sums of the coefficients' size, whatever the rows."""

import pickle
from dataclasses import fields, replace

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from dask.sizeof import sizeof

from dask_onestep.families import Binomial
from dask_onestep.graph import gather, tree_sum
from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.likelihood.covariance import score_products
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import embedded_moments, moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import pilot_rows
from dask_onestep.kernels.pilots.pilot import fit_pilot
from dask_onestep.kernels.pilots.sample import PilotSize
from dask_onestep.kernels.rows.block import Joint, run_kernel
from dask_onestep.links import resolve_link

BLOCKS = 40


def model_of(d):
    return Model(OnePredictor(Binomial(), resolve_link("logit")), tuple(f"x{number}" for number in range(d - 1)))


def draw(rows, d, block_id=None):
    table = np.random.default_rng(block_id[0]).standard_normal((rows, d))
    table[:, 0] = table[:, 0] > 0
    return table


def one_pass(kernel, rows, d):
    table = da.map_blocks(draw, rows, d, chunks=((rows,) * BLOCKS, (d,)), dtype=float, meta=np.empty((0, 0)))
    return tree_sum(gather(table[:, 1:], table[:, 0]), kernel, model_of(d), np.zeros(d), name="pass")


def bytes_sent(client):
    return sum(client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())


@pytest.mark.parametrize("rows", [200, 2000])
@pytest.mark.parametrize(("kernel", "numbers"), [(moments, 50**2 + 50), (scores, 50)], ids=["moments", "scores"])
def test_a_pass_moves_at_most_one_record_a_block(client, kernel, numbers, rows):
    before = bytes_sent(client)
    total = one_pass(kernel, rows, 50).compute()
    moved = bytes_sent(client) - before
    assert total.n == BLOCKS * rows
    # Each record and each partial sum once at most: an object's few hundred bytes in addition to its numbers.
    assert moved <= (BLOCKS + 3) * (8 * numbers + 700)
    assert 8 * numbers + 700 < rows * 50 * 8  # a block that moved would show


@pytest.mark.parametrize("d", [5, 20, 100])
def test_records_are_of_the_size_of_the_coefficients(d):
    x, y = np.zeros((1000, d - 1)), np.arange(1000) % 2.0
    # The information matrix is sent as its upper triangle.
    for kernel, numbers, n_sent in ((moments, d**2 + d, d * (d + 1) // 2 + d), (scores, d, d)):
        record = kernel(Rows(x, y), model_of(d), np.zeros(d))
        sent = len(pickle.dumps(record, protocol=5))
        assert 8 * n_sent < sent < 8 * n_sent + 700
        assert 8 * numbers < sizeof(record) < 8 * numbers + 700


def test_dask_knows_what_a_pilot_weighs():
    rng = np.random.default_rng(0)
    rows = Rows(rng.standard_normal((3000, 4)), rng.integers(0, 2, 3000).astype(float))
    sample = pilot_rows(rows, model_of(5), PilotSize(1000, 5), 0)
    held = sum(
        getattr(sample, f.name).nbytes for f in fields(sample) if isinstance(getattr(sample, f.name), np.ndarray)
    )
    assert held >= 1000 * 5 * 8
    assert held < sizeof(sample) < held + 2000
    table = pd.DataFrame(dict.fromkeys("ab", rows.x[:, 0])).assign(c=pd.Categorical.from_codes([0] * 3000, ["d"]))
    assert sizeof(replace(sample, raw=table)) == sizeof(sample) + 3 * 3000 * 8 - sizeof(None)
    levels = pd.Index(["d"] * 1000, dtype=object)
    assert sizeof(replace(sample, labels=(levels,))) - sizeof(replace(sample, labels=())) == levels.nbytes + 8
    fit = fit_pilot(sample, model_of(5))
    # A row has its covariates and response once, its key, its position, and its residual, weight and predictor.
    assert 1000 * 11 * 8 < sizeof(fit) < 1000 * 11 * 8 + 20_000


def test_dask_weighs_records_of_several_models_and_of_clusters():
    x, y = np.zeros((1000, 48)), np.arange(1000) % 2.0
    model, groups = model_of(49), np.arange(1000) % 500
    joint = Joint(tuple((embedded_moments, replace(model, fixed=((name, 0.0),)), 1) for name in ("x0", "x1")))
    each = run_kernel(Block(x, y, None, None, None), joint, model, None, (np.zeros(48), None) * 2)
    assert [part.n for part in each.parts] == [1000, 1000]
    clustered = score_products(Rows(x, y, groups=groups), model, np.zeros(49), "cluster")
    # Information matrices are held in full, although they are sent as triangles.
    for record, held in ((each, 2 * 8 * (48**2 + 48)), (clustered, len(pickle.dumps(clustered, protocol=5)))):
        assert 0.9 < sizeof(record) / held < 1.2
