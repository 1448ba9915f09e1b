"""Whether and how loops are compiled; the extra ``accelerate`` (numba) is needed."""

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dask_onestep.messages import catalogue

# Not "fast", with which the compiler may assume that no number is NaN or infinite. Not "contract" either: a process
# that compiles would have other last bits than one that reads the result from disk.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc"}}


@cache
def accelerated() -> bool:
    """Return whether numba is installed and compiles: with ``NUMBA_DISABLE_JIT=1`` loops would run as Python.

    A numba that fails to import, for instance because it is older than its NumPy, is ignored with a warning.
    """
    if find_spec("numba") is None:
        return False
    try:
        import numba
    except Exception as error:  # of numba itself, of NumPy's version, or of LLVM's library
        category, text = catalogue.NUMBA_BROKEN.warning(error=str(error))
        warnings.warn(text, category, stacklevel=2)
        return False
    return not getattr(numba.config, "DISABLE_JIT", False)


@cache
def loop(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled loop of this name if ``accelerate`` is installed, else the function that does it in NumPy."""
    if not accelerated():
        return plain
    return getattr(import_module("dask_onestep.kernels.compiled.loops"), name)


def compiled(signature: str | list[str]) -> Callable[[Any], Any]:
    """Return a decorator that compiles a function of this signature on import, or loads an earlier result from disk."""
    import numba

    def decorate(function):
        try:
            return numba.njit(signature, cache=True, **OPTIONS)(function)
        except RuntimeError:  # numba has found no writable directory for its cache
            return numba.njit(signature, **OPTIONS)(function)

    return decorate
