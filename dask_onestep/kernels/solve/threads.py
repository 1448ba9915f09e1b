"""Single-threaded BLAS inside the kernels.

Dask's threads already use all cores, and a product that is split over BLAS threads is summed in another order, which
changes its bits.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401  loads scipy's BLAS, so that the controller finds it
from threadpoolctl import OpenBLASController, ThreadpoolController

_lock = threading.Lock()
_controller: ThreadpoolController | None = None
_inside = 0
_limiter: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread while any kernel of this process runs.

    The limit belongs to the process, not to a thread: the first kernel to enter sets it and the last one to leave
    removes it. That may be another thread, which threadpoolctl 3.8 would ignore: it obeys only the thread that set a
    limit, until this is cleared.
    """
    global _controller, _inside, _limiter
    with _lock:
        if _inside == 0:
            if _controller is None:
                _controller = ThreadpoolController()
            _any_thread_may_set_limits()
            _limiter = _controller.limit(limits=1, user_api="blas")
            _limiter.__enter__()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _any_thread_may_set_limits()
                _limiter.__exit__(None, None, None)


def _any_thread_may_set_limits() -> None:
    if hasattr(OpenBLASController, "clear_controlling_thread"):  # threadpoolctl 3.8
        OpenBLASController.clear_controlling_thread(force=True)


def aligned(array: np.ndarray) -> np.ndarray:
    """Return the array, copied if unaligned (as data received by a worker may be), which would change BLAS results."""
    return np.require(array, requirements="A")
