"""Checks of what users give to several methods, so that each has one wording."""

from numbers import Real
from typing import Any

import numpy as np

from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy


def seeded(method: Any) -> Any:
    """Return a method whose seed is a number, so that all of a fit has the same; the user's own is not changed."""
    from sklearn.base import BaseEstimator, clone  # not at the top: workers import this module

    state = getattr(method, "random_state", 0)
    if isinstance(state, (int, np.integer)) or not isinstance(method, BaseEstimator):
        return method
    return clone(method).set_params(random_state=seed_of(state))


def seed_of(random_state: Any) -> int:
    """Return the integer that seeds the pilot."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if random_state < 0:
            raise catalogue.NEGATIVE_SEED.error(given=Remedy("random_state", int(random_state)))
        return int(random_state)
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(2**31))


def check_pilot_size(size: Any) -> str | int | float:
    """Return a pilot's size if it is one."""
    if isinstance(size, str) and size == "auto":
        return size
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 1:
        return int(size)
    if isinstance(size, (float, np.floating)) and 0 < size <= 1:
        return float(size)
    raise catalogue.PILOT_SIZE.error(given=Remedy("pilot_size", size))


def check_choice(option: str, value: Any, *choices: Any) -> None:
    """Raise unless an option is one of its choices.

    Examples
    --------
    >>> from dask_onestep.methods.arguments import check_choice
    >>> check_choice("weights", "equal", "size", "equal")
    """
    if value not in choices:
        raise ValueError(f"{option}={value!r} must be {' or '.join(map(repr, choices))}.")


def check_count(option: str, value: Any, otherwise: str = "") -> None:
    """Raise unless an option is an integer of at least 1.

    Examples
    --------
    >>> from dask_onestep.methods.arguments import check_count
    >>> check_count("steps", 2)
    """
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{option}={value!r} must be an integer ≥ 1{otherwise}.")


def check_number(**options: Any) -> None:
    """Raise unless all options are numbers.

    Examples
    --------
    >>> from dask_onestep.methods.arguments import check_number
    >>> check_number(threshold=0.1)
    """
    for option, value in options.items():
        if not isinstance(value, Real) or isinstance(value, bool):
            raise ValueError(f"{option}={value!r} must be a number.")


def check_nonnegative(**options: Any) -> None:
    """Raise unless all options are finite numbers of at least 0."""
    check_number(**options)
    for option, value in options.items():
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{option}={value!r} must be finite and nonnegative.")


def check_l1_ratio(option: str, value: Any) -> None:
    """Raise unless ρ is between 0 and 1."""
    check_number(**{option: value})
    if not 0 <= value <= 1:
        raise ValueError(f"{option}={value!r} must lie between 0 (ridge) and 1 (lasso).")


def check_positive(**options: Any) -> None:
    """Raise unless all options are numbers above 0.

    Examples
    --------
    >>> from dask_onestep.methods.arguments import check_positive
    >>> check_positive(tol=1e-8, max_iter=10)
    """
    check_number(**options)
    for option, value in options.items():
        if not value > 0:
            raise ValueError(f"{option}={value!r} must be positive.")
