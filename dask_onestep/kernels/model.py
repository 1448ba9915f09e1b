"""What is fitted: everything about a model but its data and its coefficients."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    ties : tuple of (str, tuple of (str, float))
        Of these, those that depend on others besides, with the factors; none of the others is the intercept.
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
    ties: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()
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
    def unrestricted(self) -> Model:
        """The model without coefficients held at a value, in the design's own columns."""
        return replace(self, fixed=(), ties=(), basis=None) if self.fixed or self.basis is not None else self

    @property
    def is_free(self) -> np.ndarray:
        """Which of all coefficients are estimated, of shape (len(all_names),)."""
        held = dict(self.fixed)
        return np.array([name not in held for name in self.all_names], dtype=bool)

    def embed(self, coef: np.ndarray) -> np.ndarray:
        """Return all coefficients, those held at a value among them; NaN counts as 0."""
        held = dict(self.fixed)
        beta = np.array([held.get(name, 0.0) for name in self.all_names])
        free = np.nan_to_num(coef)
        beta[self.is_free] = free
        if self.ties:
            beta[~self.is_free] += self.directions[~self.is_free] @ free
        return beta

    @property
    def directions(self) -> np.ndarray:
        """How all coefficients move with those that are estimated, of shape (len(all_names), d)."""
        names, free = list(self.all_names), np.flatnonzero(self.is_free)
        directions = np.eye(len(names))[:, free]
        at = {names[j]: k for k, j in enumerate(free)}
        for name, others in self.ties:
            for other, factor in others:
                directions[names.index(name), at[other]] = factor
        return directions

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
    def by_term(self) -> dict[str, tuple[str, ...]]:
        """Coefficients of each term: of the formula's, of a table's columns, or of the columns of X."""
        own = {name: (name,) for name in self.columns}
        terms: dict[str, tuple[str, ...]] = {**own} if self.design is None else self.design.by_term
        return {term: tuple(name for c in columns for name in self.by_regressor[c]) for term, columns in terms.items()}

    @property
    def natural(self) -> bool:
        """Whether η is the natural parameter of the family."""
        natural = self.family.natural_link
        return natural is not None and getattr(self.link, "name", None) == natural

    @property
    def quadratic(self) -> bool:
        """Whether the log-likelihood is quadratic in β: the normal law with its own link."""
        return type(self.family) is Gaussian and self.natural
