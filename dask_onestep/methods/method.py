"""What all methods of the package share: a plan, and how it is run on its own."""

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import replace
from typing import Any, ClassVar

from dask.delayed import Delayed
from sklearn.base import BaseEstimator

from dask_onestep.kernels.rows.labels import MoreClassesError
from dask_onestep.messages import catalogue
from dask_onestep.methods.estimate import Estimate
from dask_onestep.methods.problem import Problem
from dask_onestep.methods.requests import Look, Made, Plan
from dask_onestep.methods.session import Session


class Method(BaseEstimator):
    """An estimation method, written as a plan.

    A plan is a generator.  It yields requests, such as ``problem.total(kernel, coef)`` for a pass or ``Look(handle)``
    for a value, and is sent the answers; it returns an `Estimate` or a handle of one.  Plans share their passes with
    other plans on the same data, and ``fit_delayed`` runs plans without `Look` as one lazy graph.

    Attributes
    ----------
    multinomial : bool
        Whether it can fit more than two classes.
    equivariant : bool
        Whether the fit is invariant to the choice of columns with the same span, so that columns of a QR decomposition
        can be used.
    solvers : tuple of str
        The solvers that it supports, if it is not equivariant; otherwise all are supported.
    takes_stages : bool
        Whether it supports likelihoods that are not plain sums over rows.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_onestep import GLMRegressor
    >>> from dask_onestep.datasets import make_glm
    >>> from dask_onestep.methods import Estimate, Look, Method
    >>> class FromZero(Method):
    ...     def plan(self, problem):
    ...         sums = yield Look((yield from problem.moments(np.zeros(problem.d))))
    ...         inverse = np.linalg.inv(sums.information)
    ...         return Estimate(coef=inverse @ sums.score, covariance=inverse, n_samples=sums.n)
    >>> X, y, coef = make_glm(2000, 2)
    >>> GLMRegressor(method=FromZero()).fit(X, y).n_passes_  # least squares, in one step from anywhere
    1
    """

    multinomial: ClassVar[bool] = False
    equivariant: ClassVar[bool] = False
    solvers: ClassVar[tuple[str, ...]] = ("auto", "cholesky")
    takes_stages: ClassVar[bool] = False
    eliminates: ClassVar[bool] = False

    @abstractmethod
    def plan(self, problem: Problem) -> Plan:
        """Return the plan.

        Parameters
        ----------
        problem : Problem
            Model and data.

        Returns
        -------
        Plan
            A generator of requests, which returns an `Estimate` or a handle of one.
        """

    def estimate(self, problem: Session | Problem) -> Estimate | Delayed:
        """Return the estimate of this method, for user-defined methods that build on it.

        Parameters
        ----------
        problem : Session or Problem
            Model and data.

        Returns
        -------
        Estimate or Delayed
            The estimate, lazy if the problem is.
        """
        session = problem if isinstance(problem, Session) else Session(problem)
        found = session.run(self.plan(session.problem))
        if isinstance(found, Delayed):
            if session.lazy:
                return session.apply(_with_passes, found, session.n_passes, name="estimate")
            found = session.value(found)
        return replace(found, n_passes=session.n_passes)


def estimated(problem: Problem, method: Any) -> Generator[Any, Any, Estimate]:
    """Return the plan of a method, or of an object that only has ``estimate(problem)``, whose value is an estimate.

    Parameters
    ----------
    problem : Problem
        Model and data.
    method : object
        The method.

    Returns
    -------
    Plan
        It returns an `Estimate`, with the classes of a classification; of a lazy problem a handle of one.

    Raises
    ------
    TypeError
        If the method returns something else.
    """
    if problem.model.likelihood.stages and not getattr(method, "takes_stages", False):
        likelihood = type(problem.model.likelihood).__name__
        raise catalogue.NOT_A_SUM.error(what=type(method).__name__, likelihood=likelihood)
    planned = isinstance(method, Method) and type(method).estimate is Method.estimate
    found = yield from method.plan(problem) if planned else _of_own(problem, method)
    if isinstance(found, Delayed):
        if problem.lazy:
            return found  # type: ignore[return-value]
        found = yield Look(found)
    if not isinstance(found, Estimate):
        raise TypeError(
            f"{type(method).__name__}.estimate(problem) returned {type(found).__name__!r}: expected a "
            "dask_onestep.methods.Estimate, or a dask.delayed of one."
        )
    return found


def _of_own(problem: Problem, method: Any) -> Plan:
    session = Session(problem)
    try:
        found = method.estimate(session)
        if isinstance(found, Delayed) and not problem.lazy:
            found = session.value(found)
    except MoreClassesError:
        yield Made(session.n_passes)
        raise
    if problem.model.classify and isinstance(found, Estimate) and found.classes is None:
        session.learn_labels()
        classes = session.classes
        found = replace(found, classes=session.value(classes) if isinstance(classes, Delayed) else classes)
    yield Made(session.n_passes)
    return found


def _with_passes(estimate: Estimate, n_passes: int) -> Estimate:
    return replace(estimate, n_passes=n_passes)


def refuse_restrictions(method: Any, problem: Problem) -> None:
    """Raise if a restricted model is to be fitted, for a test, by a method that maximizes no likelihood."""
    if problem.model.fixed:
        raise ValueError(
            f"{type(method).__name__} does not maximize a likelihood, so likelihood-ratio and score tests do not "
            "exist: fit with method='one-step' or 'mle', or use wald_test after DebiasedLasso."
        )
