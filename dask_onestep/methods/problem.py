"""What a method is given: a model and its data.

A method is any object with one function, ``estimate(problem)``, from a `Problem` to an `Estimate`
(or to a `dask.delayed.Delayed` of one).  It is written once: the same lines compute, pass by pass,
in ``fit`` and build a lazy graph in ``fit_delayed``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import cloudpickle
import dask
import numpy as np
from dask.delayed import Delayed

from dask_onestep.graph import Blocks, apply, tree_sum
from dask_onestep.kernels.covariance import score_products
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.pilot import PilotFit, fit_pilot
from dask_onestep.kernels.pilots.sample import PilotSample, PilotSize, Survey
from dask_onestep.kernels.pilots.sampling import pilot_rows, survey, unsearched_pilot_rows
from dask_onestep.methods.arguments import check_pilot_size
from dask_onestep.progress import persist_shown

__all__ = ["Problem"]


@dataclass
class Problem:
    """A model and its data, as a method sees them.

    Each of `total`, `moments` and `pilot` is one pass over the data; all return lazy records.

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
        Dask scheduler for data that lives in this process; None for Dask's own choice.
    verbose : bool
        Whether to show the progress of each pass, on stderr.
    n_passes : int
        Passes so far.
    remarks : tuple of (type, str)
        Warnings of the table's categories.

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

    model: Model
    blocks: Blocks
    cov_type: str = "nonrobust"
    solver: str = "auto"
    lazy: bool = False
    scheduler: str | None = None
    verbose: bool = False
    n_passes: int = 0
    remarks: tuple[tuple[type[Warning], str], ...] = ()
    classes: Delayed | np.ndarray | None = field(default=None, repr=False)
    _ahead: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def d(self) -> int:
        """Number of coefficients."""
        return len(self.model.names)

    def total(self, kernel: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
        """Return the sum over all blocks of ``kernel(rows, model, *arguments)``: one pass.

        Parameters
        ----------
        kernel : callable
            A function at a module's top level, from rows to a record with ``+``.
        *arguments : object or Delayed
            What the kernel takes besides.
        name : str
            What the dashboard calls the tasks.

        Returns
        -------
        Delayed
            The sum.
        """
        self.n_passes += 1
        self._ahead.append(f"pass {self.n_passes}: {name}")
        # Of the records that methods add, most hold a matrix of the coefficients.
        size = 8 * self.d**2
        return tree_sum(self.blocks, kernel, self.model, *arguments, name=name, classes=self.classes, record_bytes=size)

    def first_block(self, kernel: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
        """Return ``kernel(rows, model, *arguments)`` of the first block, which alone is read: no pass.

        Parameters
        ----------
        kernel : callable
            A function at a module's top level, from rows to a record.
        *arguments : object or Delayed
            What the kernel takes besides.
        name : str
            What the dashboard calls the task.

        Returns
        -------
        Delayed
            The record.
        """
        return tree_sum(self.blocks.first(), kernel, self.model, *arguments, name=name, classes=self.classes)

    def moments(self, coef: np.ndarray | Delayed) -> Delayed:
        """Return log-likelihood, score and information of all rows at β: one pass.

        The labels of a classification are learned first, by one pass more, unless a pilot or a survey has.

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
        return self.total(moments, coef, name="moments")

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
        return self.total(score_products, coef, self.cov_type, name="score-products")

    def learn_labels(self) -> None:
        """Learn the labels of a classification, by a pass, unless one has."""
        if self.model.classify and self.classes is None:
            self.survey()

    def pilot(self, size: str | int | float, seed: int, *, searched: bool = True) -> Delayed:
        """Return the MLE of a simple random sample of all usable rows: one pass.

        The labels of a classification are learned on the way.

        Parameters
        ----------
        size : "auto", int or float
            Rows, or share of all rows.
        seed : int
            Seed of the sample.
        searched : bool, default=True
            Whether the pass searches all covariates for NaN and infinity.  If not it reads those of the sample alone,
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
        pilot = self.settle(self.apply(fit_pilot, self._sample(size, seed, searched), self.model, name="pilot-fit"))
        if self.model.classify:
            self.classes = self.apply(_classes_of_fit, pilot, name="classes")
        return pilot

    def pilot_sample(self, size: str | int | float, seed: int) -> Delayed:
        """Return a simple random sample of all usable rows: one pass.

        Parameters
        ----------
        size : "auto", int or float
            Rows, or share of all rows.
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
        sample = self.settle(self._sample(size, seed, True))
        if self.model.classify:
            self.classes = self.apply(_classes, sample, self.model.n_classes, name="classes")
        return sample

    def _sample(self, size: str | int | float, seed: int, searched: bool) -> Delayed:
        known = self.blocks.n_rows if self.model.missing == "raise" else None
        # A restricted model has the pilot of the whole one.
        rule = PilotSize(check_pilot_size(size), len(self.model.all_names), known)
        kernel = pilot_rows if searched else unsearched_pilot_rows
        return self.total(kernel, rule, seed, name="pilot-sample")

    def restricted(self, values: dict[str, float]) -> Problem:
        """Return the problem with coefficients held at values, as a null hypothesis holds them.

        Parameters
        ----------
        values : dict
            Name to value.

        Returns
        -------
        Problem
            On the same blocks, with passes counted anew and the model-based covariance.
        """
        return replace(
            self, model=replace(self.model, fixed=tuple(values.items())), cov_type="nonrobust", n_passes=0, classes=None
        )

    def survey(self) -> Delayed:
        """Return counts and classes of the whole: one pass, for methods that draw no pilot.

        The labels of a classification are known to the passes after it.

        Returns
        -------
        Delayed
            `Survey`.
        """
        sample = self.total(pilot_rows, PilotSize(0, self.d), 0, name="survey")
        known = self.settle(self.apply(survey, sample, self.model.n_classes, name="survey-report"))
        if self.model.classify:
            self.classes = self.apply(_labels, known, name="classes")
        return known

    def apply(self, function: Callable[..., Any], *arguments: Any, name: str) -> Delayed:
        """Return a function of records as one lazy task.

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
        return apply(function, *arguments, name=name)

    def settle(self, value: Delayed) -> Delayed:
        """Compute a value where it lies, unless the fit is lazy.

        Between two passes this keeps a pass from being run again; the value, such as a pilot's rows,
        stays on its worker.

        Parameters
        ----------
        value : Delayed
            What a pass or a step gives.

        Returns
        -------
        Delayed
            The same, persisted.
        """
        if self.lazy:
            return value
        ahead, self._ahead = self._ahead, []
        with _saying_what_cannot_be_sent(self.model):
            # Of what is computed of a pass's sum, and reads no data, nothing is shown.
            if self.verbose and ahead:
                return persist_shown(value, ", ".join(ahead), **self._options)
            (settled,) = dask.persist(value, **self._options)
        return settled

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
        if self.lazy:
            raise ValueError(
                "fit_delayed: this method iterates until it has converged, so it cannot be one lazy graph. "
                "Use fit, or a method of a fixed number of passes such as OneStep(steps=2)."
            )
        settled = self.settle(value) if self.verbose else value
        with _saying_what_cannot_be_sent(self.model):
            return settled.compute(**self._options)

    def refuse(self, **honoured: tuple[str, ...]) -> None:
        """Raise if `cov_type` or `solver` is one that the calling method cannot honour.

        Parameters
        ----------
        **honoured : tuple of str
            For ``cov_type`` and ``solver``, the values the method honours.

        Raises
        ------
        ValueError
            If another value was asked for.
        """
        for option, values in honoured.items():
            if (asked := getattr(self, option)) not in values:
                raise ValueError(
                    f"{option}={asked!r} is not available with this method: it honours "
                    f"{', '.join(map(repr, values))}. Choose one of these, or method='one-step' or 'mle'."
                )

    @property
    def _options(self) -> dict[str, Any]:
        return {} if self.scheduler is None else {"scheduler": self.scheduler}


def _classes(sample: PilotSample, most: int) -> np.ndarray | None:
    return survey(sample, most).classes


def _classes_of_fit(pilot: PilotFit) -> np.ndarray | None:
    return pilot.survey.classes


def _labels(known: Survey) -> np.ndarray | None:
    return known.classes


@contextmanager
def _saying_what_cannot_be_sent(model: Model) -> Iterator[None]:
    """Turn an error of pickling into one that says whose it is."""
    try:
        yield
    except (TypeError, pickle.PicklingError) as error:
        if not any(word in str(error) for word in ("pickle", "serialize")):
            raise
        parts = {"family=": model.family, "link=": model.link}
        guilty = [f"{name}{part!r}" for name, part in parts.items() if not _travels(part)]
        what = " and ".join(guilty) or "A function or an object in the data's own graph"
        raise TypeError(
            f"{what} cannot be sent to other processes ({error}). Make it an object that pickles, without locks, open "
            "files or connections, or compute in this process: dask.config.set(scheduler='threads')."
        ) from error


def _travels(part: Any) -> bool:
    try:
        cloudpickle.dumps(part)
    except (TypeError, pickle.PicklingError):
        return False
    return True
