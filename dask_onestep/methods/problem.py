"""What a method is given, and what it gives back.

A method is any object with one function, ``estimate(problem)``, from a `Problem` to an `Estimate`
(or to a `dask.delayed.Delayed` of one).  It is written once: the same lines compute, pass by pass,
in ``fit`` and build a lazy graph in ``fit_delayed``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import dask
import distributed
import numpy as np
from dask.delayed import Delayed
from dask.diagnostics import ProgressBar
from sklearn.utils import check_random_state

from dask_onestep.graph import Blocks, apply, tree_sum
from dask_onestep.kernels.covariance import (
    ScoreProducts,
    degrees_of_freedom,
    dispersion,
    sandwich,
    score_products,
)
from dask_onestep.kernels.likelihood import moments
from dask_onestep.kernels.linear_algebra import factorize
from dask_onestep.kernels.pilot import fit_pilot
from dask_onestep.kernels.records import Moments
from dask_onestep.kernels.rows import Model
from dask_onestep.kernels.sampling import PilotSample, PilotSize, Survey, pilot_rows, survey

__all__ = ["Estimate", "Problem", "aliasing", "check_pilot_size", "coefficients", "conclude", "seed_of"]


_SHOWN = 20  # names that a warning lists


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a method found: coefficients, their covariance, and how it went.

    Attributes
    ----------
    coef : ndarray of shape (d,)
        β̂, intercept first if there is one; NaN for aliased columns.
    covariance : ndarray of shape (d, d)
        Covariance of β̂, dispersion included; NaN for aliased columns.
    dispersion : float
        φ̂; 1 for families without one.
    n_samples : int
        N, the usable rows.
    df_resid : float
        N − d.
    n_iter : int
        Steps taken.
    n_passes : int
        Times the data was read.
    decrement : float
        λ² at `coef`; NaN where it is not known.
    loglik : float
        ℓ(β̂) at φ = 1; exact where a pass was made at β̂, else foretold; NaN where it is not known.
    classes : ndarray of shape (2,) or None
        The labels of a classification.
    n_missing : int
        Rows dropped for missing values.
    converged : bool
        False if an iterative method stopped before its tolerance.
    random_state : int or None
        The seed of the pilot, if one was drawn.
    warnings : tuple of (type, str)
        Warnings for the client to issue: category and text.
    """

    coef: np.ndarray
    covariance: np.ndarray
    dispersion: float = 1.0
    n_samples: int
    df_resid: float = float("nan")
    n_iter: int = 0
    n_passes: int = 0
    decrement: float = float("nan")
    loglik: float = float("nan")
    classes: np.ndarray | None = None
    n_missing: int = 0
    converged: bool = True
    random_state: int | None = None
    warnings: tuple[tuple[type[Warning], str], ...] = ()


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
        Whether to show a progress bar.
    n_passes : int
        Passes so far.
    """

    model: Model
    blocks: Blocks
    cov_type: str = "nonrobust"
    solver: str = "auto"
    lazy: bool = False
    scheduler: str | None = None
    verbose: bool = False
    n_passes: int = 0
    classes: Delayed | np.ndarray | None = field(default=None, repr=False)

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
        return tree_sum(self.blocks, kernel, self.model, *arguments, name=name, classes=self.classes)

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

        Parameters
        ----------
        coef : ndarray of shape (d,) or Delayed
            β.

        Returns
        -------
        Delayed
            `Moments`.
        """
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
        return self.total(score_products, coef, self.cov_type, name="score-products")

    def pilot(self, size: str | int | float, seed: int) -> Delayed:
        """Return the MLE of a simple random sample of all usable rows: one pass.

        The labels of a classification are learned on the way.

        Parameters
        ----------
        size : "auto", int or float
            Rows, or share of all rows.
        seed : int
            Seed of the sample.

        Returns
        -------
        Delayed
            `PilotFit`.

        Raises
        ------
        ValueError
            If `size` is not one of these.
        """
        sample = self.pilot_sample(size, seed)
        return self.settle(self.apply(fit_pilot, sample, self.model, name="pilot-fit"))

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
        known = self.blocks.n_rows if self.model.missing == "raise" else None
        # A restricted model has the pilot of the whole one.
        rule = PilotSize(check_pilot_size(size), len(self.model.all_names), known)
        sample = self.settle(self.total(pilot_rows, rule, seed, name="pilot-sample"))
        if self.model.classify:
            self.classes = self.apply(_classes, sample, self.model.n_classes, name="classes")
        return sample

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
        with self._progress():
            (settled,) = dask.persist(value, **self._options)
            self._watch(settled)
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
        """
        if self.lazy:
            raise ValueError(
                "fit_delayed: this method iterates until it has converged, so it cannot be one lazy graph. "
                "Use fit, or a method of a fixed number of passes such as OneStep(steps=2)."
            )
        with self._progress():
            if self.verbose and self._on_cluster:
                (value,) = dask.persist(value, **self._options)
                self._watch(value)
            return value.compute(**self._options)

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
    def _on_cluster(self) -> bool:
        return self.scheduler is None and dask.config.get("scheduler", None) == "dask.distributed"

    def _progress(self) -> AbstractContextManager:
        if not self.verbose:
            return nullcontext()
        print(f"pass {self.n_passes}", flush=True)
        return nullcontext() if self._on_cluster else ProgressBar()

    def _watch(self, value: Delayed) -> None:
        if self.verbose and self._on_cluster:
            distributed.progress(value, notebook=False)
            print(flush=True)

    @property
    def _options(self) -> dict[str, Any]:
        return {} if self.scheduler is None else {"scheduler": self.scheduler}


def conclude(
    model: Model, cov_type: str, coef: np.ndarray, at: Moments | ScoreProducts, **known: Any
) -> dict[str, Any]:
    """Return the fields of an `Estimate` that follow from β̂ and the sums there.

    Parameters
    ----------
    model : Model
        The model.
    cov_type : str
        The covariance.
    coef : ndarray of shape (d,)
        β̂, with any number for aliased columns.
    at : Moments or ScoreProducts
        The sums at β̂.
    **known : object
        Further fields.

    Returns
    -------
    dict
        Keyword arguments for `Estimate` and its kin.

    Raises
    ------
    ValueError
        If β̂, or the pilot it came from, gives rows a mean outside the family's domain.
    """
    sums = at.moments if isinstance(at, ScoreProducts) else at
    if sums.pearson is not None and not np.isfinite(sums.pearson):
        raise ValueError(
            "The sum of squared residuals overflows: y or sample_weight holds numbers too large to square. Divide "
            "it by a constant first, such as y / 1e6, or look for values that stand for missing ones."
        )
    if np.isnan(sums.loglik) or sums.loglik == -np.inf:
        raise ValueError(
            f"The estimate gives some rows a mean that the {model.family.name} family cannot have. Choose a "
            "link that keeps to its range, such as log, draw a larger pilot, or take method='mle', which "
            "keeps inside the range."
        )
    factor = factorize(sums.information, intercept=model.has_intercept)
    df_resid = degrees_of_freedom(sums, model, factor.rank)
    phi = dispersion(sums.pearson, df_resid)
    if isinstance(at, ScoreProducts):
        covariance = sandwich(factor, at, cov_type, df_resid + factor.rank)
        known["decrement"] = factor.decrement(sums.score)
    else:
        covariance = phi * factor.inverse()
    advice = (*known.pop("warnings", ()), *aliasing(model, factor.kept))
    if np.isnan(phi):
        text = (
            f"No degree of freedom is left: {sums.n} rows have {factor.rank} coefficients, so standard errors "
            "are not known. Use more rows, or fewer columns."
        )
        advice = (*advice, (UserWarning, text))
    defaults = {"n_samples": sums.n, "loglik": float(sums.loglik)}
    return {
        **defaults,
        **known,
        "coef": np.where(factor.kept, coef, np.nan),
        "covariance": covariance,
        "dispersion": phi,
        "df_resid": df_resid,
        "warnings": advice,
    }


def aliasing(model: Model, kept: np.ndarray) -> tuple[tuple[type[Warning], str], ...]:
    """Return the warning that names aliased columns, if there are any.

    Parameters
    ----------
    model : Model
        The model.
    kept : ndarray of shape (d,) of bool
        Columns that are not aliased.

    Returns
    -------
    tuple
        For `Estimate.warnings`.
    """
    if kept.all():
        return ()
    aliased = [name for name, held in zip(model.names, kept, strict=True) if not held]
    names = ", ".join(aliased[:_SHOWN]) + (f", … and {len(aliased) - _SHOWN} more" if aliased[_SHOWN:] else "")
    text = (
        f"Aliased columns get NaN: {names}. Each is a linear combination of the columns before it; "
        "leave it out, or ignore it: predictions do."
    )
    return ((UserWarning, text),)


def seed_of(random_state: Any) -> int:
    """Return the integer that seeds the pilot.

    Parameters
    ----------
    random_state : int, RandomState or None
        An integer stands for itself; anything else draws one.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If it is a negative integer.
    """
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if random_state < 0:
            raise ValueError(f"random_state={random_state}: the seed must not be negative.")
        return int(random_state)
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(2**31))


def check_pilot_size(size: Any) -> str | int | float:
    """Return a pilot's size if it is one.

    Parameters
    ----------
    size : "auto", int or float
        A rule, a number of rows, or a share of them.

    Returns
    -------
    str, int or float
        The same.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(size, str) and size == "auto":
        return size
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 1:
        return int(size)
    if isinstance(size, (float, np.floating)) and 0 < size <= 1:
        return float(size)
    raise ValueError(
        f"pilot_size={size!r} must be 'auto', a number of rows (int ≥ 1), or a share of the rows (0 < float ≤ 1)."
    )


def _classes(sample: PilotSample, most: int) -> np.ndarray | None:
    return survey(sample, most).classes


def _labels(known: Survey) -> np.ndarray | None:
    return known.classes


def coefficients(record: Any) -> np.ndarray:
    """Return a record's coefficients alone, so that its rows need not travel with them.

    Parameters
    ----------
    record : PilotFit or Step
        A record with `coef`.

    Returns
    -------
    ndarray of shape (d,)
        β.
    """
    return record.coef
