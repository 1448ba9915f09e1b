"""Checks of options that several methods have, so that each has one wording."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_choice", "check_count", "check_positive"]


def check_choice(option: str, value: Any, *choices: Any) -> None:
    """Raise unless an option is one of its choices.

    Parameters
    ----------
    option : str
        What it is called.
    value : object
        As the user gave it.
    *choices : object
        What it may be.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> from dask_onestep.methods.options import check_choice
    >>> check_choice("weights", "equal", "size", "equal")
    """
    if value not in choices:
        raise ValueError(f"{option}={value!r} must be {' or '.join(map(repr, choices))}.")


def check_count(option: str, value: Any, otherwise: str = "") -> None:
    """Raise unless an option is an integer of at least 1.

    Parameters
    ----------
    option : str
        What it is called.
    value : object
        As the user gave it.
    otherwise : str
        What else it might have been, for the text.

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> from dask_onestep.methods.options import check_count
    >>> check_count("steps", 2)
    """
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{option}={value!r} must be an integer ≥ 1{otherwise}.")


def check_positive(**options: Any) -> None:
    """Raise unless all options are numbers above 0.

    Parameters
    ----------
    **options : float
        By name.

    Raises
    ------
    ValueError
        If one is not.

    Examples
    --------
    >>> from dask_onestep.methods.options import check_positive
    >>> check_positive(tol=1e-8, max_iter=10)
    """
    for option, value in options.items():
        if not value > 0:
            raise ValueError(f"{option}={value!r} must be positive.")
