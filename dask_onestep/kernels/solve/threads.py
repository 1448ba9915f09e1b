"""One BLAS thread inside the kernels.

Dask's threads already fill the cores, and a product split over BLAS threads sums in another
order, hence to other bits.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.linalg  # noqa: F401  loads scipy's BLAS, so that the controller knows it
from threadpoolctl import ThreadpoolController

__all__ = ["aligned", "one_blas_thread"]

_lock = threading.Lock()
_controller: ThreadpoolController | None = None
_inside = 0
_limiter: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread while any kernel of this process runs.

    The limit is the process's, not the thread's: the first kernel to enter sets it and the last to
    leave lifts it, so that one which ends early does not free the others' BLAS.
    """
    global _controller, _inside, _limiter
    with _lock:
        if _inside == 0:
            if _controller is None:
                _controller = ThreadpoolController()
            _limiter = _controller.limit(limits=1, user_api="blas")
            _limiter.__enter__()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limiter.__exit__(None, None, None)


def aligned(array: np.ndarray) -> np.ndarray:
    """Return the array on an aligned address: blocks from the wire can lie off it, and BLAS then gives other bits.

    Parameters
    ----------
    array : ndarray
        Any array.

    Returns
    -------
    ndarray
        The same array, or an aligned copy.
    """
    return np.require(array, requirements="A")
