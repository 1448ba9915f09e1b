"""Functions of the user's own: such as cannot be sent, fail, or give what they should not."""

import threading

import dask
import numpy as np
from catalogue import ARRAY, FRAME, base, case, like, refused
from dask.dataframe.dispatch import make_meta

from dask_onestep import GLMRegressor

T = base()
CANNOT = ("cannot be pickled", "Remove locks", "scheduler='threads'")


class OwnLink:
    """The identity, in functions that can be replaced."""

    def __init__(self, **functions):
        self.link = self.inverse = lambda values: values
        self.inverse_derivative = np.ones_like
        self.__dict__ |= functions

    def __repr__(self):
        return "OwnLink()"


def by(scheduler):
    """Fit by a scheduler."""

    def act(model, X, y):
        with dask.config.set(scheduler=scheduler):
            return model.fit(X, y)

    return act


def loaded(X, change):
    """Return what a function makes of each block of X."""
    if hasattr(X, "chunks"):
        return X.map_blocks(change, dtype=float, meta=np.empty((0, 0)))
    return X.map_partitions(change, meta=make_meta(X))


def loading(change):
    """Fit what a function makes of each block of X."""
    return lambda model, X, y: model.fit(loaded(X, change), y)


def own(**functions):
    return lambda: GLMRegressor(link=OwnLink(**functions))


case("callables", "a link of lambdas", T, like(T), own())
locked = refused("link=OwnLink()", *CANNOT, error=TypeError)
case("callables", "a link with a lock, to be sent", T, locked, own(lock=threading.Lock()), act=by("processes"))
case("callables", "a link with a lock, kept here", T, like(T), own(lock=threading.Lock()), act=by("threads"))
for name, functions, says in (
    ("gives NaN", {"inverse": lambda eta: eta * np.nan}, "inverse(link(mean)) is [nan, nan, nan]"),
    ("gives one number", {"inverse": lambda eta: eta[0]}, "inverse(link(mean)) is 0.25"),
    ("is not its own inverse", {"inverse": np.exp}, "inverse(link(mean)) is [1.284025, 1.648721, 2.117]"),
    ("has another derivative", {"inverse_derivative": lambda eta: 2.0 + 0.0 * eta}, "(link(mean)) is [2.0, 2.0, 2.0]"),
):
    ends = refused("link=OwnLink() contradicts itself", says, "should be", "Fix its functions")
    case("callables", f"a link that {name}", T, ends, own(**functions))
case(
    "callables",
    "a link's class",
    T,
    refused("is a class", "OwnLink()", error=TypeError),
    lambda: GLMRegressor(link=OwnLink),
)
case(
    "callables",
    "a function for a link",
    T,
    refused("neither a name nor an object with the functions link(mean)", error=TypeError),
    lambda: GLMRegressor(link=np.exp),
)
case(
    "callables",
    "a function for a family",
    T,
    refused("neither a name nor an object of dask_onestep.families", error=TypeError),
    lambda: GLMRegressor(np.exp),
)


lazy = {"forms": (ARRAY, FRAME)}
lock = threading.Lock()


def _with_lock(held):
    return lambda part: part if held else None


def _fail(part):
    if len(part) == 30:
        raise OSError("the disk is gone")
    return part


# A module's own lock would be found again there; one in a closure has to travel. Dask's frames refuse it themselves.
loader = _with_lock(lock)
case("callables", "a load of lambdas", T, like(T), act=loading(lambda part: part), **lazy)
case(
    "callables",
    "a load with a lock, to be sent",
    T,
    refused("the data's own graph", *CANNOT, error=TypeError),
    act=lambda model, X, y: by("processes")(model, loaded(X, loader), y),
    forms=(ARRAY,),
)
case("callables", "a load with a lock, kept here", T, like(T), act=loading(loader), forms=(ARRAY,))
case(
    "callables",
    "a load that fails",
    T,
    refused("the disk is gone", "In block 1 of the pass 'pilot-sample'.", error=OSError),
    act=loading(_fail),
    **lazy,
)
case(
    "callables",
    "a load of nothing",
    T,
    refused("X has shape (), not (rows, 2)", "Each block must have the columns"),
    act=loading(lambda part: None),
    forms=(ARRAY,),
)
