"""What a method of the user's own is given: a problem whose passes are made when it asks for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from dask.delayed import Delayed

from dask_onestep.kernels.solve.threads import one_blas_thread
from dask_onestep.methods.draws import draw_pilot, draw_sample, take_survey, with_labels
from dask_onestep.methods.driver import Driver
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Draw, Look, Made, Pass, Plan, Settle


class Session:
    """A model and its data, for methods that are written as one function ``estimate(problem)``.

    Each of `total`, `moments` and `pilot` is one pass over the data; all return lazy records.  All other attributes are
    those of the `Problem`: `model`, `blocks`, `d`, `cov_type`, `solver`, `lazy`, `classes`, `apply` and `refuse`.  A
    method of this form does not share its passes with others; a plan does (see `Method`).

    Parameters
    ----------
    problem : Problem
        Model, data, and how they are computed (scheduler, laziness).

    Attributes
    ----------
    problem : Problem
        The same, with the classes of a classification once they are learned.
    n_passes : int
        Passes so far.

    Examples
    --------
    One scoring step from zero, as a method of one's own:

    >>> import numpy as np
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.methods import Estimate
    >>> class FromZero:
    ...     def estimate(self, problem):
    ...         sums = problem.value(problem.moments(np.zeros(problem.d)))
    ...         inverse = np.linalg.inv(sums.information)
    ...         return Estimate(
    ...             coef=inverse @ sums.score, covariance=inverse, n_samples=sums.n, n_passes=problem.n_passes
    ...         )
    >>> X, y, coef = make_glm(2000, 2, family="binomial")
    >>> glm = GLMRegressor("binomial", method=FromZero()).fit(X, y)
    >>> glm.n_samples_, glm.n_passes_
    (2000, 1)
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        self.n_passes = 0
        self._driver = Driver(problem)

    def __getattr__(self, name: str) -> Any:
        # Model, blocks, d, cov_type, solver, lazy, classes, apply and refuse are the problem's own.
        if name == "problem":
            raise AttributeError(name)
        return getattr(self.problem, name)

    def total(self, kernel: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
        """Return the sum over all blocks of ``kernel(rows, model, *arguments)``: one pass.

        Parameters
        ----------
        kernel : callable
            A function at a module's top level, from rows to a record with ``+``.
        *arguments : object or Delayed
            Further arguments of the kernel.
        name : str
            Name of the tasks on the dashboard.

        Returns
        -------
        Delayed
            The sum.
        """
        return self._answer(self.problem.total(kernel, *arguments, name=name))

    def moments(self, coef: np.ndarray | Delayed) -> Delayed:
        """Return log-likelihood, score and information of all rows at β: one pass.

        The classes of a classification are learned first, by one pass more, unless a pilot or a survey has.

        Parameters
        ----------
        coef : ndarray of shape (d,) or Delayed
            β.

        Returns
        -------
        Delayed
            `Moments`.
        """
        self.learn_labels()
        return self.run(self.problem.moments(coef))

    def score_products(self, coef: np.ndarray | Delayed) -> Delayed:
        """Return the moments at β and what a robust covariance needs besides: one pass.

        Parameters
        ----------
        coef : ndarray of shape (d,) or Delayed
            β.

        Returns
        -------
        Delayed
            `ScoreProducts`.
        """
        self.learn_labels()
        return self.run(self.problem.score_products(coef))

    def pilot(self, size: str | int | float, seed: int, *, searched: bool = True) -> Delayed:
        """Return the MLE of a simple random sample of all usable rows: one pass.

        The classes of a classification are learned on the way.

        Parameters
        ----------
        size : "auto", int or float
            Rows, or fraction of all rows.
        seed : int
            Seed of the sample.
        searched : bool, default=True
            Whether the pass searches all covariates for NaN and infinity.  If not, it reads only those of the sample,
            and a pass such as `moments` has to follow, whose sums show them.

        Returns
        -------
        Delayed
            `PilotFit`.

        Raises
        ------
        ValueError
            If `size` is not one of these.
        """
        pilot, self.problem = self.run(draw_pilot(self.problem, Draw(size, seed, searched=searched)))
        return pilot

    def pilot_sample(self, size: str | int | float, seed: int) -> Delayed:
        """Return a simple random sample of all usable rows: one pass.

        Parameters
        ----------
        size : "auto", int or float
            Rows, or fraction of all rows.
        seed : int
            Seed of the sample.

        Returns
        -------
        Delayed
            `PilotSample`.

        Raises
        ------
        ValueError
            If `size` is not one of these.
        """
        sample, self.problem = self.run(draw_sample(self.problem, Draw(size, seed)))
        return sample

    def survey(self) -> Delayed:
        """Return counts and classes of the full data: one pass, for methods that draw no pilot.

        Returns
        -------
        Delayed
            `Survey`.
        """
        known, self.problem = self.run(take_survey(self.problem))
        return known

    def learn_labels(self) -> None:
        """Learn the classes of a classification, by a pass, unless they are known."""
        self.problem = self.run(with_labels(self.problem))

    def first_block(self, kernel: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
        """Return ``kernel(rows, model, *arguments)`` of the first block, which alone is read: no pass.

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
        Delayed
            The record.
        """
        return self._answer(self.problem.first_block(kernel, *arguments, name=name))

    def settle(self, value: Delayed) -> Delayed:
        """Compute a value where it is, unless the fit is lazy, so that no later pass computes it again.

        Parameters
        ----------
        value : Delayed
            What a pass or a step gives.

        Returns
        -------
        Delayed
            The same, persisted.
        """
        return self._answer(Settle(value))

    def value(self, value: Delayed) -> Any:
        """Return a value to the client, for a method that must look before it goes on.

        Parameters
        ----------
        value : Delayed
            What a pass or a step gives.

        Returns
        -------
        object
            The value.

        Raises
        ------
        ValueError
            If the fit is lazy.
        TypeError
            If a part of the model or of the data's graph cannot be sent to other processes.
        """
        return self._answer(Look(value))

    def run(self, plan: Plan) -> Any:
        """Return what a plan returns, its passes made at once and counted here.

        Parameters
        ----------
        plan : Plan
            The plan of another method, or a part of one.

        Returns
        -------
        object
            What it returns, such as an `Estimate`.
        """
        answer = None
        while True:
            try:
                with one_blas_thread(), np.errstate(all="ignore"):  # as in tasks
                    request = plan.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = self._answer(request)

    def _answer(self, request: Any) -> Any:
        if isinstance(request, Made):
            self.n_passes += request.n_passes
            return None
        if isinstance(request, Pass):
            self.n_passes += request.is_pass
            return self._driver.read([request], self.n_passes)[0]
        return self._driver.answer([request])[0]
