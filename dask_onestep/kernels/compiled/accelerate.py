"""Whether loops are compiled, for which the extra ``accelerate`` (numba) is needed, and how."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

__all__ = ["OPTIONS", "accelerated", "compiled"]

# Not "fast": that would let the compiler assume that no number is NaN or infinite. Not "contract" either: then a
# process that compiles has other last bits than one that reads the result from disk.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc"}}


@cache
def accelerated() -> bool:
    """Return whether numba is installed and compiles: with ``NUMBA_DISABLE_JIT=1`` loops would run as Python.

    A numba that does not import, as one that is older than its NumPy, counts as none, with a warning.

    Returns
    -------
    bool
        Whether modules of compiled loops may be imported and are of use.
    """
    if find_spec("numba") is None:
        return False
    try:
        import numba
    except Exception as error:  # of numba's own, of NumPy's version, or of LLVM's library
        text = f"numba is installed and does not import ({error}). NumPy is used, which is slower: update numba."
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return False
    return not getattr(numba.config, "DISABLE_JIT", False)


def compiled(signature: str | list[str]) -> Callable[[Any], Any]:
    """Return a decorator that compiles on import, or finds on disk what an earlier import has compiled.

    Parameters
    ----------
    signature : str or list of str
        The types of what is returned and taken.

    Returns
    -------
    callable
        From a Python function to the compiled one.
    """
    import numba

    def decorate(function):
        try:
            return numba.njit(signature, cache=True, **OPTIONS)(function)
        except RuntimeError:  # nowhere to write: numba has found no directory for its cache
            return numba.njit(signature, **OPTIONS)(function)

    return decorate
