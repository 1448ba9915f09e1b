"""A data set's row blocks, as tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import inf
from typing import Any
from uuid import uuid4

from dask.task_spec import GraphNode
from dask.tokenize import tokenize
from dask.typing import Key

from dask_onestep.graph.cluster import is_future
from dask_onestep.graph.fusion import is_task
from dask_onestep.kernels.records import OWN_NUMBERS, Numbering

FAN_IN = 16
# A pass over more blocks than these takes FAN_IN consecutive ones as one task, if together they hold no
# more than a block should: for blocks below about 1 MiB a task costs the scheduler more than the kernel.
# Of data in memory the same holds for few blocks that are tiny. These numbers depend only on the data, not on the
# workers. The sums are those of the tree, up to rounding if tiny blocks are joined.
_MANY_BLOCKS = FAN_IN * FAN_IN
_GROUP_BYTES, TINY_BYTES = 16 * 2**20, 2**20


@dataclass(frozen=True, eq=False)
class Blocks:
    """Row blocks of a data set, as tasks that each yield one `Block`.

    Attributes
    ----------
    keys : tuple
        The key of each block's task.
    owned : tuple of tuple of GraphNode
        For each block, the tasks of this block only: its load, or its data where they are in memory, and what
        follows, down to the block.
    shared : dict
        Tasks and data that several blocks need, and data on a cluster's workers.
    lengths : tuple of int or None
        Rows in each block, if known.
    row_bytes : int
        Memory of a row's covariates.
    annotations : dict
        Dask annotations, such as retries, of the collections the blocks came from.
    token : str
        Identifies the data.
    weighted : bool
        Whether rows have weights, of which some may be zero.
    reloaded : bool
        Whether tasks load them, in every pass anew; not so data in memory.
    at_hand : bool
        Whether they are data in memory, of which nothing is computed first.
    first_number : int
        The number of the first of these blocks among all of the data.
    numbering : Numbering
        What the blocks are called in errors.
    n_seen : int or None
        Rows that an earlier pass has counted.
    unique : bool
        Whether the tasks of each pass have keys that no others have; by default equal passes have equal keys.
    in_order : bool
        Whether a pass reads some blocks faster after those before them: they are parts of one row group.
    ranges : mapping of str to int
        How many different ranges some columns have in the parts of their files.

    Examples
    --------
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.graph import gather
    >>> X, y, coef = make_glm(1000, 2, chunks=250)
    >>> blocks = gather(X, y)
    >>> len(blocks), blocks.lengths
    (4, (250, 250, 250, 250))
    """

    keys: tuple[Key, ...]
    owned: tuple[tuple[GraphNode, ...], ...]
    shared: dict[Key, Any]
    lengths: tuple[int, ...] | None
    row_bytes: int
    annotations: dict[str, Any]
    token: str
    weighted: bool = False
    reloaded: bool = False
    at_hand: bool = False
    first_number: int = 0
    numbering: Numbering = OWN_NUMBERS
    n_seen: int | None = None
    unique: bool = False
    in_order: bool = False
    ranges: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_rows(self) -> int | None:
        """Rows in all, if known."""
        return None if self.lengths is None else sum(self.lengths)

    @property
    def starts(self) -> tuple[int | None, ...]:
        """The global number of each block's first row, if known."""
        if self.lengths is None:
            known = len(self.keys) == 1 and not self.first_number  # the data begin at 0
            return (0,) if known else (None,) * len(self.keys)
        return tuple(accumulate(self.lengths[:-1], initial=0))

    @property
    def together(self) -> int:
        """How many consecutive blocks a pass had better take as one task, as they are many and small.

        Of blocks of unknown sizes there are so many groups that they are enough for many workers, until a pass has
        counted their rows; a group holds one block at a time.  Blocks that lie on a cluster's workers are taken one by
        one, each where it is.
        """
        if self.in_order:
            return FAN_IN
        many = len(self) > _MANY_BLOCKS
        if not (many or (self.at_hand and len(self) > 1)) or any(is_future(v) for v in self.shared.values()):
            return 1
        if self.lengths is not None:
            rows: float = max(sum(self.lengths[at : at + FAN_IN]) for at in range(0, len(self), FAN_IN))
        else:
            rows = inf if self.n_seen is None else FAN_IN * self.n_seen / len(self)
        if rows * self.row_bytes <= (_GROUP_BYTES if many else TINY_BYTES):
            return FAN_IN
        return 1 if self.lengths is not None else min(FAN_IN, len(self) // _MANY_BLOCKS)

    @property
    def single(self) -> bool:
        """Whether a pass is one task and needs no others, so that no two tasks could run at the same time."""
        return len(self) <= self.together and not any(map(is_task, self.shared.values()))

    def first(self) -> Blocks:
        """Return only the first block; where lengths are known, the first that has rows."""
        lengths = self.lengths or ()
        number = next((number for number, rows in enumerate(lengths) if rows), 0)
        at = slice(number, number + 1)
        return replace(
            self,
            keys=self.keys[at],
            owned=self.owned[at],
            lengths=None if self.lengths is None else lengths[at],
            token=tokenize(self.token, "first"),
            first_number=self.first_number + number,
        )

    def renamed(self) -> Blocks:
        """Return the same blocks, all tasks of whose passes have names that no others have."""
        name = uuid4().hex
        names: dict[Key, Any] = {
            key: (f"load-{name}", number)
            for number, key in enumerate(key for key, node in self.shared.items() if is_task(node))
        }
        if not names:
            return replace(self, token=name, unique=True)
        shared = {
            names.get(key, key): node.substitute(names, key=names[key]) if key in names else node
            for key, node in self.shared.items()
        }
        owned = tuple(tuple(node.substitute(names) for node in nodes) for nodes in self.owned)
        return replace(self, owned=owned, shared=shared, token=name, unique=True)

    def __dask_tokenize__(self) -> str:
        return self.token
