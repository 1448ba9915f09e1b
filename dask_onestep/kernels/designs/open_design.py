"""The design of a table before factor levels and states of transforms are known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.design import Design, with_parts
from dask_onestep.kernels.designs.evaluation import values_beyond
from dask_onestep.kernels.designs.expressions import evaluate, is_numeric, not_a_number
from dask_onestep.kernels.designs.parts import rows_where, taken
from dask_onestep.kernels.designs.table import complete_cases
from dask_onestep.kernels.designs.terms import Factor
from dask_onestep.kernels.records import Findings


@dataclass(frozen=True)
class OpenDesign(Design):
    """A design whose columns are not yet known.

    Its matrix contains what is computed row by row, if rows where this is missing are to be dropped.

    Attributes
    ----------
    factors : tuple of Factor
        The categorical factors.
    learned : tuple of Factor
        Those whose levels are to be collected.
    numbers : tuple of str
        The columns that are numeric by the dtypes of the table.
    """

    factors: tuple[Factor, ...] = ()
    learned: tuple[Factor, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def categorical(self) -> tuple[Factor, ...]:
        """The categorical factors."""
        return self.factors

    @property
    def row_bytes(self) -> int:
        """Memory of a row of the table."""
        return 8 * max(len(self.terms.columns), 1)

    @property
    def by_term(self) -> dict[str, tuple[str, ...]]:
        """The columns, by what they are computed from."""
        return {name: (name,) for name in self.names}

    def enter(self, block: Any, missing: str) -> tuple[np.ndarray, dict[str, Any], np.ndarray | None] | Findings:
        """Return a block as ``Design.enter`` does, with NaN where a row lacks an input of a term."""
        complete = complete_cases(block, self.terms, missing)
        if isinstance(complete, Findings):
            return complete
        kinds = block.x.dtypes
        strange = [not_a_number(block.x[name], name) for name in self.numbers if not is_numeric(kinds[name])]
        if any(strange):  # the pilot's rows would not tell their blocks
            return Findings(tuple((what, 0, "Convert the column.") for what in strange if what), (block.number,))
        rows = None if complete is None else rows_where(complete)
        if beyond := values_beyond(self.terms, block.x, {}, rows):  # of bounds that the formula states
            return Findings(beyond, (block.number,))
        columns: list[np.ndarray] = [np.empty((len(block.x) if rows is None else len(rows), 0))]
        with np.errstate(all="ignore"):
            for factor in self.computed:
                numbers = taken(block.x[list(factor.columns)], rows)
                coded = [name for name in factor.columns if isinstance(kinds[name], pd.CategoricalDtype)]
                numbers = numbers.astype(dict.fromkeys(coded, object))
                parts = [evaluate(part, numbers) for part in factor.states or (str(factor.source),)]
                columns.append(np.sum([part.to_numpy(np.float64, na_value=np.nan) for part in parts], axis=0))
        return with_parts(block, self.terms, np.column_stack(columns), complete, rows, missing)

    @property
    def computed(self) -> tuple[Factor, ...]:
        """The factors of the columns."""
        return tuple(factor for factor in self.terms.factors if factor.name in self.names)
