"""Bytes that workers send each other, by pass and block, compared with a record's size: ``python -m benchmarks.moved``.

Two worker processes, as many blocks as `--blocks`; what is sent over sockets is counted by the workers themselves.  A
record of the sums is sent once at most, and where it was made on the worker that adds it, never.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

from benchmarks.record import Record
from dask_onestep.families import Binomial
from dask_onestep.graph import gather, tree_sum
from dask_onestep.kernels.lassos.gram import gram_sums
from dask_onestep.kernels.likelihood.covariance import score_products
from dask_onestep.kernels.likelihood.multinomial import Multinomial
from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
from dask_onestep.kernels.likelihood.sums import embedded_moments, moments, scores
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.candidates import pilot_rows
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize
from dask_onestep.kernels.records import Joined, Sums
from dask_onestep.kernels.rows.block import Joint
from dask_onestep.links import LINKS

_GROUPS, _CLASSES, _PILOT = 50, 3, 200


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moved", description=__doc__)
    parser.add_argument("--columns", type=int, nargs="+", default=[5, 20, 50], help="coefficients d")
    parser.add_argument("--blocks", type=int, default=64)
    parser.add_argument("--rows", type=int, default=2_000, help="of a block")
    parser.add_argument("--what", nargs="+", default=list(_PASSES), choices=list(_PASSES))
    parser.add_argument("--output", type=Path, help="a CSV to write")
    parser.add_argument("--resume", action="store_true", help="keep what the CSV has, and add what it has not")
    options = parser.parse_args(arguments)
    record = Record(options.output, resume=options.resume)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.run(_weigh_as_sent)
        for d in options.columns:
            for what in options.what:
                about = {"what": what, "d": d, "blocks": options.blocks, "rows": options.rows}
                if not record.has(about):
                    record.add(about, measure(client, **about))
    print(record.table[[*about, "bytes", "numbers", "times"]].to_string(index=False, float_format="%.3g"))


def measure(client: Client, *, what: str, d: int, blocks: int, rows: int) -> dict[str, float]:
    """Return the bytes sent for a block, the numbers it has to send, and how many times eight of them were sent."""
    table = da.map_blocks(_draw, rows, d, chunks=((rows,) * blocks, (d + 1,)), dtype=float, meta=np.empty((0, 0)))
    x, response, groups = table[:, 2:], table[:, 0] > 0, table[:, 1] // (1 / _GROUPS)
    model = Model(OnePredictor(Binomial(), LINKS["logit"]), tuple(f"x{number}" for number in range(d - 1)))
    before = _sent(client)
    numbers = _PASSES[what](x, response, groups, model)
    sent = (_sent(client) - before) / blocks
    return {"bytes": sent, "numbers": numbers, "times": sent / (8 * numbers)}


def _weigh_as_sent() -> None:
    """Let a worker count a record as its pickle: Dask counts what it sends by `sizeof`, which is an estimate."""
    from dask.sizeof import sizeof  # the worker's own; one from here would be sent as a copy

    for kind in (Sums, PilotSample, Joined):
        sizeof.register(kind, _pickled)


def _pickled(record: Any) -> int:
    return len(pickle.dumps(record, protocol=5))


def _sent(client: Client) -> int:
    return sum(client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())


def _moments(x: da.Array, y: da.Array, groups: da.Array, model: Model) -> float:
    d = len(model.names)
    tree_sum(gather(x, y), moments, model, np.zeros(d), name="moments").compute()
    return d**2 + d


def _score(x: da.Array, y: da.Array, groups: da.Array, model: Model) -> float:
    d = len(model.names)
    tree_sum(gather(x, y), scores, model, np.zeros(d), name="score").compute()
    return d


def _clustered(x: da.Array, y: da.Array, groups: da.Array, model: Model) -> float:
    d, blocks = len(model.names), gather(x, y, None, None, groups)
    tree_sum(blocks, score_products, model, np.zeros(d), "cluster", name="score-products").compute()
    # The information, and the score of each group with its label.
    return d**2 + d + _GROUPS * (d + 1)


def _multinomial(x: da.Array, y: da.Array, groups: da.Array, model: Model) -> float:
    classes = np.arange(_CLASSES)
    model = replace(model, classify=True, likelihood=Multinomial(tuple(map(str, classes[1:]))))
    d = len(model.names)
    tree_sum(gather(x, groups % _CLASSES), moments, model, np.zeros(d), name="moments", classes=classes).compute()
    return d**2 + d


def _each_column(x: da.Array, y: da.Array, groups: da.Array, model: Model) -> float:
    d = len(model.columns)
    # Each with the classes of its labels, which there are none of.
    joint = Joint(tuple((embedded_moments, replace(model, fixed=((name, 0.0),)), 1) for name in model.columns))
    arguments, held = (np.zeros(d), None) * d, d * (d**2 + d)
    tree_sum(gather(x, y), joint, model, *arguments, name="moments", record_bytes=8 * held).compute()
    return held


def _gram(x: da.Array, y: da.Array, groups: da.Array, model: Model) -> float:
    tree_sum(gather(x, y), gram_sums, model, name="gram").compute()
    return len(model.names) ** 2


def _pilot(x: da.Array, y: da.Array, groups: da.Array, model: Model) -> float:
    blocks = gather(x, y)
    size = PilotSize(_PILOT * len(blocks), len(model.names), blocks.n_rows)
    tree_sum(blocks, pilot_rows, model, size, 0, name="pilot-sample").compute()
    # A row has its covariates, response, key and number; a block sends so many that none of the pilot's is lost.
    return size.enough(blocks.lengths[0]) * (len(model.columns) + 4)


# A pass of each kind, which returns the numbers that a block has to send.
_PASSES: dict[str, Callable[[da.Array, da.Array, da.Array, Model], float]] = {
    "moments": _moments,
    "only the score": _score,
    f"covariance clustered in {_GROUPS} groups": _clustered,
    f"multinomial, {_CLASSES} classes": _multinomial,
    "drop1": _each_column,
    "pooled nodewise lassos": _gram,
    f"pilot of {_PILOT} rows per block": _pilot,
}


def _draw(rows: int, d: int, block_id: Any = None) -> np.ndarray:
    rng = np.random.default_rng(block_id[0])
    table = rng.standard_normal((rows, d + 1))
    table[:, 1] = rng.random(rows)
    return table


if __name__ == "__main__":
    main()
