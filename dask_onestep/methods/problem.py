"""What a plan is given: a model, its data, and how they are computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dask.delayed import Delayed

from dask_onestep.graph import Blocks, apply
from dask_onestep.kernels.likelihood.covariance import (
    LEVERAGED,
    cluster_moves,
    lacks_informations,
    refuse_leverages,
    score_directions,
    score_products,
    with_all_moves,
)
from dask_onestep.kernels.likelihood.sums import embedded_moments, initial_moments, observed_moments
from dask_onestep.kernels.model import Model
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy
from dask_onestep.methods.requests import Kept, Look, Pass, Plan, Settle, Source


@dataclass(frozen=True, eq=False)
class Problem:
    """A model and its data, for a plan.

    Attributes
    ----------
    model : Model
        Family, link, names of columns.
    blocks : Blocks
        The data.
    cov_type : str
        The covariance that was asked for.
    solver : str
        The solver that was asked for.
    lazy : bool
        Whether nothing may be computed (``fit_delayed``).
    scheduler : str or None
        Dask scheduler for data in this process; None for Dask's own choice.
    verbose : bool
        Whether to show the progress of each pass, on stderr.
    classes : ndarray, Delayed or None
        The classes of a classification, once they are known.
    guarded : bool
        Whether an error ends only this plan, and not others that run with it.
    kept : Kept or None
        Rows for the pilot, kept by the pass that learned the design of a table.
    learned : Delayed or None
        The model with its design, in a lazy fit that learns the design; tasks are given it in place of `model`, whose
        design is open.
    source : Source or None
        What is read of the data, where models with several designs are fitted together.

    Examples
    --------
    One scoring step from zero, as a plan:

    >>> import numpy as np
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.methods import Estimate, Look, Method
    >>> class FromZero(Method):
    ...     def plan(self, problem):
    ...         sums = yield Look((yield from problem.moments(np.zeros(problem.d))))
    ...         inverse = np.linalg.inv(sums.information)
    ...         return Estimate(coef=inverse @ sums.score, covariance=inverse, n_samples=sums.n)
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMRegressor("binomial", method=FromZero()).fit(X, y)
    >>> glm.n_samples_, glm.n_passes_
    (2000, 1)
    """

    model: Model
    blocks: Blocks
    cov_type: str = "nonrobust"
    solver: str = "auto"
    lazy: bool = False
    scheduler: str | None = None
    verbose: bool = False
    classes: Delayed | np.ndarray | None = None
    guarded: bool = False
    kept: Kept | None = None
    learned: Delayed | None = None
    source: Source | None = None

    @property
    def d(self) -> int:
        """Number of coefficients that are estimated."""
        return len(self.model.names)

    @property
    def n_usable(self) -> int | None:
        """The usable rows, where they are known beforehand: no row can be dropped, or have a weight of zero."""
        return self.blocks.n_rows if self.model.missing == "raise" and not self.blocks.weighted else None

    def total(self, kernel: Callable[..., Any], *arguments: Any, name: str, matrices: int = 1) -> Pass:
        """Return a request for the sum over all blocks of ``kernel(rows, model, *arguments)``.

        Parameters
        ----------
        kernel : callable
            A function at a module's top level, from rows to a record with ``+``.
        *arguments : object or Delayed
            Further arguments of the kernel.
        name : str
            Name of the tasks on the dashboard.
        matrices : int, default=1
            Maximum number of matrices of the coefficients that the sum of a block holds.

        Returns
        -------
        Pass
            To be yielded; the answer is a handle of the sum.
        """
        model = self.as_tasks_see(self.model)
        return Pass(kernel, model, arguments, name, self.classes, self.guarded, source=self.source, matrices=matrices)

    def as_tasks_see(self, value: Any) -> Any:
        """Return a value; of the model whose design is open, the handle of the learned one."""
        return self.learned if value is self.model and self.learned is not None else value

    def moments(self, coef: np.ndarray | Delayed) -> Plan:
        """Return the plan of log-likelihood, score and information of all rows at β: one pass.

        A likelihood that is no plain sum over rows has `stages`, one pass more for each.

        Parameters
        ----------
        coef : ndarray of shape (d,) or Delayed
            β.

        Returns
        -------
        Plan
            To be used by ``yield from``; it returns a handle of `Moments`.
        """
        model = self.model
        # Stages see the columns that are estimated, and so must the pass that is given what they finish.
        embedded = (
            bool(model.fixed) and model.basis is None and model.likelihood.takes_offset and not model.likelihood.stages
        )
        return self.staged(embedded_moments if embedded else observed_moments, coef, name="moments")

    def initial_moments(self) -> Plan:
        """Return the plan of the sums whose scoring step from 0 is the start of a fit: one pass, and one a stage.

        Returns
        -------
        Plan
            To be used by ``yield from``; it returns a handle of `Moments`.
        """
        if self.model.likelihood.stages:
            return (yield from self.moments(np.zeros(self.d)))
        return (yield self.total(initial_moments, name="initial-moments"))

    def staged(self, kernel: Callable[..., Any], coef: np.ndarray | Delayed, *arguments: Any, name: str) -> Plan:
        """Return the plan of a kernel that is given what the stages of the likelihood have finished at β.

        Parameters
        ----------
        kernel : callable
            As for `total`; it takes rows, model, β, the arguments and what each stage has finished.
        coef : ndarray of shape (d,) or Delayed
            β.
        *arguments : object or Delayed
            What the kernel takes after β.
        name : str
            Name of the tasks on the dashboard.

        Returns
        -------
        Plan
            To be used by ``yield from``; it returns a handle of the kernel's total.  One pass, and one for each stage.
        """
        earlier: list[Delayed] = []
        for stage in self.model.likelihood.stages:
            total = yield self.total(stage.kernel, coef, *earlier, name=stage.name)
            earlier.append(self.apply(stage.finish, total, self.model, *earlier, name=f"{stage.name}-finish"))
        return (yield self.total(kernel, coef, *arguments, *earlier, name=name))

    def score_products(self, coef: np.ndarray | Delayed, bread: np.ndarray | Delayed | None = None) -> Plan:
        """Return the plan of the moments at β and what a robust covariance needs besides: one pass, as `moments` is.

        One more for "CRV3" where the clusters are so many that their informations exceed a bound of memory.

        Parameters
        ----------
        coef : ndarray of shape (d,) or Delayed
            β.
        bread : ndarray of shape (d, d), Delayed or None
            I⁻¹, for the leverages of "HC2" and "HC3".

        Returns
        -------
        Plan
            To be used by ``yield from``; it returns a handle of `ScoreProducts`.
        """
        likelihood = self.model.likelihood
        if self.cov_type in (*LEVERAGED, "CRV3") and likelihood.stages:
            given = Remedy("cov_type", self.cov_type)
            raise catalogue.NOT_A_SUM_COVARIANCE.error(given=given, likelihood=type(likelihood).__name__)
        refuse_leverages(self.model, self.cov_type)
        products = yield from self.staged(score_products, coef, self.cov_type, bread, name="score-products")
        if self.cov_type != "CRV3" or self.lazy:
            return products
        products = yield Settle(products)
        if not (yield Look(self.apply(lacks_informations, products, name="clusters"))):
            return products
        directions = self.apply(score_directions, self.model, products, name="clusters")
        moved = yield from self.staged(cluster_moves, coef, directions, name="cluster-moves")
        return self.apply(with_all_moves, products, moved, name="clusters")

    def first_block(self, kernel: Callable[..., Any], *arguments: Any, name: str) -> Pass:
        """Return a request for ``kernel(rows, model, *arguments)`` of the first block, which alone is read.

        Parameters
        ----------
        kernel : callable
            A function at a module's top level, from rows to a record.
        *arguments : object or Delayed
            Further arguments of the kernel.
        name : str
            What the dashboard calls the task.

        Returns
        -------
        Pass
            To be yielded; the answer is a handle of the record.  It counts as no pass.
        """
        return replace(self.total(kernel, *arguments, name=name), first_block=True)

    def apply(self, function: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
        """Return a handle of a function of records, as one task.

        Parameters
        ----------
        function : callable
            A function at a module's top level.
        *arguments : object or Delayed
            Its arguments.
        name : str
            What the dashboard calls the task.

        Returns
        -------
        Delayed
            The result.
        """
        seen = map(self.as_tasks_see, arguments)
        return apply(function, *seen, name=name, guarded=self.guarded, unique=not self.lazy)

    def restricted(self, values: Mapping[str, float], ties: tuple = ()) -> Problem:
        """Return the problem with coefficients held at values, as a null hypothesis holds them.

        Its labels are learned anew, with its pilot, and its covariance is the model-based one.

        Parameters
        ----------
        values : mapping
            Name to value.
        ties : tuple of (str, tuple of (str, float))
            Of these, those that depend on others besides, as `Model.ties` has them.

        Returns
        -------
        Problem
            On the same blocks.
        """
        if ties and not self.model.likelihood.takes_offset:
            raise ValueError(
                "A likelihood-ratio or score test of a constraint between coefficients needs a model with one linear "
                "predictor; with more than two classes use wald_test."
            )
        model = replace(self.model, fixed=tuple(values.items()), ties=ties)
        return replace(self, model=model, cov_type="nonrobust", classes=None, guarded=True)

    def refuse(self, **honored: tuple[str, ...]) -> None:
        """Raise if `cov_type` or `solver` is one that the calling method cannot honor.

        Parameters
        ----------
        **honored : tuple of str
            For ``cov_type`` and ``solver``, the values the method honors.

        Raises
        ------
        ValueError
            If another value was asked for.
        """
        for option, values in honored.items():
            if (asked := getattr(self, option)) not in values:
                said = {"given": Remedy(option, asked), "values": list(map(repr, values))}
                raise catalogue.OPTION_OF_OTHER_METHODS.error(**said)
