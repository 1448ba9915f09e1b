"""What is fitted: everything about a model but its data and its coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

import numpy as np

from dask_onestep.families import Family, Gaussian
from dask_onestep.kernels.basis import Basis
from dask_onestep.kernels.designs.design import Design
from dask_onestep.links import LinkLike

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """What is fitted: everything about a GLM but its data and its coefficients.

    Attributes
    ----------
    family : Family
        The law of y.
    link : LinkLike
        The link.
    columns : tuple of str
        Names of the columns of X, in order.
    fit_intercept : bool
        Whether x_i starts with a constant.
    classify : bool
        Whether y holds labels, to be encoded by the classes of the whole.
    missing : {"raise", "drop"}
        What is done with rows that hold NaN or infinity.
    weight_type : {"variance", "frequency"}
        Whether a weight counts as precision or as repeated rows.
    fixed : tuple of (str, float)
        Coefficients held at a value, as a null hypothesis holds them; they are not estimated.
    design : Design or None
        How a frame's block becomes a matrix of `columns`; None if it is one as it comes.
    outcomes : tuple of str
        The classes of a multinomial logit but for the first, each with coefficients of its own; empty for
        all other models.
    basis : Basis or None
        What the kernels take in place of the design's own columns, those held at a value left out; None for
        these columns themselves.
    """

    family: Family
    link: LinkLike
    columns: tuple[str, ...]
    fit_intercept: bool = True
    classify: bool = False
    missing: str = "raise"
    weight_type: str = "variance"
    fixed: tuple[tuple[str, float], ...] = ()
    design: Design | None = None
    outcomes: tuple[str, ...] = ()
    basis: Basis | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients that are estimated, in order."""
        held = dict(self.fixed)
        names = tuple(name for name in self.all_names if name not in held) if held else self.all_names
        if self.basis is None:
            return names
        return tuple(compress(names, self.basis.kept.tolist() * max(1, len(self.outcomes))))

    @property
    def n_classes(self) -> int:
        """Classes of a classification."""
        return max(1, len(self.outcomes)) + 1

    @property
    def width(self) -> int:
        """Columns of the design: those whose coefficients are estimated, but all of a multinomial logit."""
        if self.basis is not None:
            return len(self.basis.scale)
        return len(self.regressors) if self.outcomes else len(self.names)

    @property
    def regressors(self) -> tuple[str, ...]:
        """Names of the design's columns, the constant first."""
        return ("intercept", *self.columns) if self.fit_intercept else self.columns

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names of all coefficients, those held at a value included; those of a class are "class:regressor"."""
        if not self.outcomes:
            return self.regressors
        return tuple(f"{outcome}:{name}" for outcome in self.outcomes for name in self.regressors)

    @property
    def free(self) -> np.ndarray:
        """Which of the coefficients of the design's columns are estimated: all, unless there are classes."""
        held = dict(self.fixed)
        if not (held and self.outcomes):
            return np.ones(len(self.names), dtype=bool)
        return np.array([name not in held for name in self.all_names])

    @property
    def has_intercept(self) -> bool:
        """Whether the first coefficient that is estimated is an intercept."""
        return self.fit_intercept and self.all_names[0] not in dict(self.fixed)

    @property
    def has_constant(self) -> bool:
        """Whether the design starts with a constant."""
        return self.fit_intercept if self.outcomes else self.has_intercept

    @property
    def by_regressor(self) -> dict[str, tuple[str, ...]]:
        """Coefficients of each column of the design, one for each class but the first of a multinomial logit."""
        if not self.outcomes:
            return {name: (name,) for name in self.regressors}
        return {name: tuple(f"{outcome}:{name}" for outcome in self.outcomes) for name in self.regressors}

    @property
    def natural(self) -> bool:
        """Whether η is the natural parameter of the family."""
        natural = self.family.natural_link
        return natural is not None and getattr(self.link, "name", None) == natural

    @property
    def quadratic(self) -> bool:
        """Whether the log-likelihood is quadratic in β: the normal law with its own link."""
        return type(self.family) is Gaussian and self.natural
