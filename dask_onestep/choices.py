"""Messages about unknown names: the valid choices, and the closest one."""

from collections.abc import Iterable
from difflib import get_close_matches

# Names of a list that are shown.
_MOST = 20


def unknown_choice(option: str, value: object, choices: Iterable[object], *, where: str = "") -> str:
    """Return the text of an error about an option's value.

    Examples
    --------
    >>> from dask_onestep.choices import unknown_choice
    >>> unknown_choice("link", "logitt", ["log", "logit", "probit"])
    "Unknown link 'logitt'; must be one of log, logit, probit. Did you mean 'logit'?"
    """
    known = list(choices)
    return f"Unknown {option} {value!r}{where}; must be one of {', '.join(map(str, known))}.{suggestion(value, known)}"


def suggestion(value: object, choices: Iterable[object]) -> str:
    """Return a suggestion of the closest name, or an empty string if none is close.

    Examples
    --------
    >>> from dask_onestep.choices import suggestion
    >>> suggestion("negative_binomial", ["binomial", "negative-binomial"])
    " Did you mean 'negative-binomial'?"
    """
    names = {_plain(name): str(name).strip("'") for name in choices}
    near = get_close_matches(_plain(value), names, n=1, cutoff=0.6)
    return f" Did you mean {names[near[0]]!r}?" if near else ""


def _plain(name: object) -> str:
    """Return a name without case, hyphens, underscores and blanks."""
    return "".join(letter for letter in str(name).lower() if letter.isalnum())


def listed(names: Iterable[object]) -> str:
    """Return names as a list, truncated if it is long.

    Examples
    --------
    >>> from dask_onestep.choices import listed
    >>> listed(["a", "b"])
    "['a', 'b']"
    >>> listed(range(22))[-18:]
    '18, 19] and 2 more'
    """
    known = list(names)
    return f"{known[:_MOST]}{f' and {len(known) - _MOST} more' if len(known) > _MOST else ''}"
