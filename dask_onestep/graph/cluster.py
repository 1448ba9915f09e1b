"""What concerns a cluster, where there is one.

`distributed` takes a third of this package's time to import.  Who has a client has imported it; nobody else needs it.
"""

import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any


def is_future(value: Any) -> bool:
    """Return whether a value is on a cluster's workers."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(value, distributed.Future)


def future_of(key: Any) -> Any:
    """Return the future of a key that is on a cluster and not in a graph."""
    from distributed import Future

    return Future(key)


def futures_in(values: Sequence[Any]) -> list[Any]:
    """Return the futures of persisted values, none without a cluster."""
    distributed = sys.modules.get("distributed")
    return [] if distributed is None else distributed.futures_of(list(values))


def await_cluster(values: Sequence[Any]) -> None:
    """Wait for values that are computed on a cluster, and raise their errors; elsewhere they are computed already."""
    if futures := futures_in(values):
        sys.modules["distributed"].wait(futures)
    for future in futures:
        if future.status == "error":
            future.result()


def killed_worker() -> tuple[type[Exception], ...]:
    """Return the error of a cluster whose workers died, none without a cluster."""
    distributed = sys.modules.get("distributed")
    return () if distributed is None else (distributed.KilledWorker,)


def span(name: str) -> AbstractContextManager[Any]:
    """Return Dask's span of a pass, which a cluster's dashboard shows."""
    distributed = sys.modules.get("distributed")
    return nullcontext() if distributed is None else distributed.span("dask_onestep", name)


def this_worker() -> str:
    """Return the current task's worker and host, such as "worker tcp://10.0.0.3:4567 on node3"; "" without any."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return ""
    try:
        return f"worker {distributed.get_worker().address} on {socket.gethostname()}"
    except ValueError:
        return ""
