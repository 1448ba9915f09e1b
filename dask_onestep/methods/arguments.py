"""Checks of what users give to several methods: a seed, and a pilot's size."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["check_pilot_size", "seed_of"]


def seed_of(random_state: Any) -> int:
    """Return the integer that seeds the pilot.

    Parameters
    ----------
    random_state : int, RandomState or None
        An integer stands for itself; anything else draws one.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If it is a negative integer.
    """
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if random_state < 0:
            raise ValueError(f"random_state={random_state}: the seed must not be negative.")
        return int(random_state)
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(2**31))


def check_pilot_size(size: Any) -> str | int | float:
    """Return a pilot's size if it is one.

    Parameters
    ----------
    size : "auto", int or float
        A rule, a number of rows, or a share of them.

    Returns
    -------
    str, int or float
        The same.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(size, str) and size == "auto":
        return size
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 1:
        return int(size)
    if isinstance(size, (float, np.floating)) and 0 < size <= 1:
        return float(size)
    raise ValueError(
        f"pilot_size={size!r} must be 'auto', a number of rows (int ≥ 1), or a share of the rows (0 < float ≤ 1)."
    )
