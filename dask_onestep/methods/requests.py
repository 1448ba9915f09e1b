"""What a plan may ask of the driver.

A plan is a generator: it yields requests and is sent the answers.  Handles are lazy values; tasks on handles are made
by `Problem.apply`, which is no request, since nothing has to be waited for.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from dask.delayed import Delayed

from dask_onestep.kernels.model import Model

# A generator of requests, which returns what the plan is for, such as an `Estimate`, or a handle of it.
Plan = Generator[Any, Any, Any]


@dataclass(frozen=True)
class Source:
    """What one of several models that are fitted together reads of the data.

    Attributes
    ----------
    name : str
        Which usable rows these are: passes of one name are compared with each other.
    columns : tuple of str or None
        The columns of the frame; None for all.
    """

    name: str
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Pass:
    """The sum over all blocks of ``kernel(rows, model, *arguments)``; the answer is a handle.

    Attributes
    ----------
    kernel : callable
        A function at a module's top level, from rows to a record with ``+``.
    model : Model or Delayed
        The model, or a handle if its design is the result of an earlier pass.  Such a pass is not joined with others.
    arguments : tuple
        Further arguments of the kernel, which may be handles.
    name : str
        Name of the tasks on the dashboard.
    classes : ndarray, Delayed or None
        The classes by which y is encoded; None for labels as they are.
    guarded : bool
        Whether an error in the kernel ends only this plan, and not others that share the pass.
    first_block : bool
        Whether only the first block is read, which does not count as a pass.
    source : Source or None
        What is read of the data, where models with several designs share them.
    matrices : int
        Maximum number of matrices of the coefficients that a record holds.

    Examples
    --------
    >>> from dask_onestep.kernels.likelihood.sums import moments
    >>> from dask_onestep.methods import Pass
    >>> def plan(problem, coef):
    ...     return (yield Pass(moments, problem.model, (coef,), "moments"))  # as problem.total(moments, coef, ...)
    """

    kernel: Callable[..., Any]
    model: Model | Delayed
    arguments: tuple
    name: str
    classes: Any = None
    guarded: bool = False
    first_block: bool = False
    source: Source | None = None
    matrices: int = 1

    @property
    def is_pass(self) -> bool:
        """Whether all blocks are read."""
        return not self.first_block

    @property
    def record_bytes(self) -> int:
        """Memory of a record: of those that methods add, most hold a matrix of the coefficients."""
        return 0 if isinstance(self.model, Delayed) else self.matrices * self.model.information_bytes


@dataclass(frozen=True, eq=False)
class Settle:
    """A request to compute a handle on the workers, so that no later pass computes it again; the answer is a handle.

    In a lazy fit nothing is computed.

    Attributes
    ----------
    handle : Delayed
        The value.
    awaited : bool
        Whether the plan waits for the value, so that its error is raised before the next pass is requested.  Otherwise,
        on a cluster, the plan continues at once.

    Examples
    --------
    >>> from dask_onestep.methods import Settle
    >>> def plan(problem, step):
    ...     step = yield Settle(step)
    ...     return (yield from problem.moments(step))
    """

    handle: Delayed
    awaited: bool = False


@dataclass(frozen=True, eq=False)
class Look:
    """A request for the value of a handle; the answer is the value.  Lazy fits refuse it.

    Examples
    --------
    >>> from dask_onestep.methods import Look
    >>> def plan(problem, coef):
    ...     sums = yield Look((yield from problem.moments(coef)))
    ...     return sums.loglik
    """

    handle: Delayed


@dataclass(frozen=True)
class Draw:
    """A request for a random sample of all usable rows.

    Attributes
    ----------
    size : "auto", int, float or None
        A number of rows, or a fraction of all rows; None for no sample.
    seed : int
        Seed of the sample.
    stratified : bool
        Whether an automatic sample oversamples rare classes, rare levels and extreme rows (see `StrataRule`); otherwise
        it is a simple random sample.
    searched : bool
        Whether the pass searches all covariates for NaN and infinity.  If not, it reads only those of the sample, and a
        pass such as `moments` has to follow, whose sums show them.
    held : bool
        Whether each block holds all rows that a stratum may need, though other blocks may have them.
    whole, hold : int
        As in `PilotSize`.

    Examples
    --------
    >>> from dask_onestep.methods import Draw
    >>> from dask_onestep.methods.draws import draw_pilot
    >>> def plan(problem):
    ...     pilot, problem = yield from draw_pilot(problem, Draw(5000, seed=0))
    ...     return pilot
    """

    size: str | int | float | None = "auto"
    seed: int = 0
    stratified: bool = False
    searched: bool = True
    held: bool = False
    whole: int = 0
    hold: int = 0


@dataclass(frozen=True, eq=False)
class Kept:
    """The rows that the first pass has kept, for the method to draw its pilot from.

    Attributes
    ----------
    sample : Delayed
        `PilotSample`.
    draw : Draw
        How they were drawn.
    designed : bool
        Whether the design was known; otherwise they are rows as the table has them.
    n : int or None
        Number of usable rows, once the pass is made.
    enough_for : int or None
        Then the size of the largest pilot of which it kept all rows.
    """

    sample: Delayed
    draw: Draw
    designed: bool = False
    n: int | None = None
    enough_for: int | None = None


@dataclass(frozen=True, eq=False)
class Made:
    """Passes that a method of the user's own has made by itself."""

    n_passes: int
