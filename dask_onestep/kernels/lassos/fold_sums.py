"""Sums of the likelihood at several coefficients, by fold of cross-validation, in one pass.

With K folds, the sums over the training rows of fold k are the total minus those of fold k, so that one pass serves
all folds. Columns far from zero are centered (see `shift`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from numbers import Number
from operator import add
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.kernels.designs.expressions import is_numeric
from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.lassos.proximal_newton import shifted
from dask_onestep.kernels.lassos.shift import coefficients_about, column_shift, gram_about, rows_about, score_about
from dask_onestep.kernels.likelihood.sums import column_sums, log_likelihoods, moments
from dask_onestep.kernels.model import Model
from dask_onestep.kernels.pilots.keys import row_keys
from dask_onestep.kernels.pilots.sample import PilotSample
from dask_onestep.kernels.records import Moments, Record, Sums
from dask_onestep.kernels.rows.rows import kernel
from dask_onestep.kernels.rows.slices import slices


@dataclass(frozen=True, slots=True)
class Folds:
    """How rows are assigned to the folds of cross-validation.

    Attributes
    ----------
    count : int
        K; 1 for no cross-validation.
    by : {"rows", "blocks", "groups"}
        Whether single rows are assigned at random, by their keys, or whole blocks, or whole groups by a hash of their
        labels.
    seed : int
        Seed of the rows' keys.
    """

    count: int = 1
    by: str = "rows"
    seed: int = 0

    def of(self, rows: Rows) -> np.ndarray:
        """Return each row's fold, from 0 to K − 1, of shape (m,).

        The pilot has the rows with the smallest keys, so folds use the remainder of a key, which is independent of
        its size.
        """
        if self.by == "blocks":
            return rows.places()[0] % self.count
        return self._remainders(row_keys(self.seed, rows) if self.by == "rows" else _hashes(rows.groups))

    def of_sample(self, drawn: PilotSample, starts: Sequence[int | None]) -> np.ndarray:
        """Return the fold of each row of a sample drawn with the same seed, of blocks with these first row numbers."""
        if self.by == "groups":
            return self._remainders(_hashes(drawn.groups))
        if self.by == "rows":
            return self._remainders(drawn.keys)
        block, row = drawn.positions.T
        known = np.array([start for start in starts if start is not None])
        return (np.searchsorted(known, row, side="right") - 1 if len(known) == len(starts) else block) % self.count

    def _remainders(self, keys: np.ndarray) -> np.ndarray:
        return (keys % np.uint64(self.count)).astype(np.intp)

    def split(self, rows: Rows, of: np.ndarray | None = None) -> list[Rows]:
        """Return the rows of each fold, given where each belongs or not."""
        if self.count == 1:
            return [rows]
        of = self.of(rows) if of is None else of
        return [rows.take(of == fold) for fold in range(self.count)]


def _hashes(labels: Any) -> np.ndarray:
    """Return hashes of labels, one for each row; equal labels have equal ones in blocks of any dtypes."""
    columns = pd.DataFrame(labels).infer_objects().items()
    return pd.util.hash_pandas_object(
        pd.DataFrame({name: _hashed(part) for name, part in columns}), index=False
    ).to_numpy()


def _hashed(column: pd.Series) -> np.ndarray:
    if is_numeric(column.dtype):
        return pd.util.hash_array(column.to_numpy(np.float64))
    labels = column.to_numpy(object)
    hashes = pd.util.hash_array(labels)
    if pd.api.types.infer_dtype(column) != "string":
        numbers = np.array([isinstance(label, Number) for label in labels], bool)
        hashes[numbers] = pd.util.hash_array(labels[numbers].astype(np.float64))
    return hashes


@dataclass(frozen=True, slots=True, eq=False)
class Points(Record):
    """Where to compute the sums.

    Attributes
    ----------
    coefs : ndarray of shape (a, d)
        Coefficients of the centered columns.
    shift : ndarray of shape (d,)
        What is subtracted from each column.
    """

    coefs: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class FoldSums(Record):
    """The likelihood's sums at each point, by fold, for columns centered about `points.shift`.

    Attributes
    ----------
    points : Points
        The points; blocks of a quadratic likelihood each have their own, and ``+`` moves one to the other.
    moments : tuple of tuple of Moments
        By point, then by fold.
    columns : ndarray of shape (2, d)
        Σ wᵢxᵢ and Σ wᵢxᵢ² of the centered columns, over all folds.
    n_missing : int
        Rows dropped because of missing values.
    """

    points: Points
    moments: tuple[tuple[Moments, ...], ...]
    columns: np.ndarray
    n_missing: int

    def __add__(self, other: FoldSums) -> FoldSums:
        if not self.n or not other.n:
            kept = self if self.n else other
            return replace(kept, n_missing=self.n_missing + other.n_missing)
        other = other.moved(self.points)
        added = tuple(tuple(map(add, mine, theirs)) for mine, theirs in zip(self.moments, other.moments, strict=True))
        return FoldSums(self.points, added, self.columns + other.columns, self.n_missing + other.n_missing)

    def moved(self, points: Points) -> FoldSums:
        """Return the same sums at other points, of a quadratic likelihood."""
        if np.array_equal(points.shift, self.points.shift) and np.array_equal(points.coefs, self.points.coefs):
            return self
        change = points.shift - self.points.shift
        steps = points.coefs - coefficients_about(self.points.coefs.T, change).T
        found = tuple(
            tuple(shifted(_about(sums, change), step) for sums in folds)
            for folds, step in zip(self.moments, steps, strict=True)
        )
        first, second = self.columns
        columns = np.stack([first - self.weight * change, second - change * (2.0 * first - self.weight * change)])
        return FoldSums(points, found, columns, self.n_missing)

    @property
    def n(self) -> int:
        """Usable rows."""
        return sum(sums.n for sums in self.moments[0])

    @property
    def weight(self) -> float:
        """Σ wᵢ."""
        return float(sum(sums.weight for sums in self.moments[0]))

    @property
    def scale(self) -> np.ndarray:
        """Standard deviation of each column, of shape (d,); 1 for constant columns."""
        return column_scale(self.columns, self.weight)

    def total(self, point: int = 0) -> Moments:
        """Return the sums over all folds at one of the points."""
        return reduce(add, self.moments[point])

    def without(self, fold: int, point: int = 0) -> Moments:
        """Return the sums over the training rows of a fold at one of the points."""
        return reduce(add, (sums for number, sums in enumerate(self.moments[point]) if number != fold))

    def is_finite(self) -> bool:
        """Return whether the sums at the first point are finite; at others fitted means may overflow."""
        return all(sums.is_finite() for sums in self.moments[0]) and bool(np.isfinite(self.columns).all())


def _about(sums: Moments, change: np.ndarray) -> Moments:
    """Return the sums of columns that are centered about another value."""
    gradient = sums.pearson_gradient
    return replace(
        sums,
        score=score_about(sums.score, change),
        information=gram_about(sums.information, change),
        pearson_gradient=None if gradient is None else score_about(gradient, change),
    )


@kernel(checked="after")
def fold_sums(rows: Rows, model: Model, points: Points, folds: Folds) -> FoldSums:
    """Return the sums of a block at each point, by fold."""
    return sums_of_parts(folds.split(rows_about(rows, points.shift)), model, points, rows.n_missing)


def sums_of_parts(parts: Sequence[Rows], model: Model, points: Points, n_missing: int) -> FoldSums:
    """Return the sums at each point of the rows of each fold, whose columns are centered."""
    found = tuple(tuple(moments(part, model, coef) for part in parts) for coef in points.coefs)
    columns = reduce(add, (column_sums(part, model) for part in parts))
    return FoldSums(points, found, columns, n_missing)


@kernel(checked="after")
def centered_fold_sums(rows: Rows, model: Model, folds: Folds) -> FoldSums:
    """Return the sums of a block of a quadratic likelihood at its own means, by fold."""
    shift, coef = np.zeros(len(model.names)), np.zeros(len(model.names))
    if len(rows) and model.has_intercept:
        shift = column_shift(rows, model)
        coef[0] = np.average(rows.y if rows.offset is None else rows.y - rows.offset, weights=rows.weights)
    return fold_sums(rows, model, Points(coef[np.newaxis], shift), folds)


def column_scale(columns: np.ndarray, weight: float) -> np.ndarray:
    """Return the standard deviation of each column, 1 for constant columns, from `column_sums` and Σ wᵢ."""
    mean, square = columns / weight
    variance = square - mean**2
    constant = variance <= 512 * np.finfo(np.float64).eps * square
    return np.sqrt(np.where(constant, 1.0, variance))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates(Record):
    """The solutions of a path, of all rows and of the training rows of each fold.

    Attributes
    ----------
    coefs : ndarray of shape (m, d)
        Coefficients of all rows, for centered columns.
    of_folds : ndarray of shape (K, m, d)
        Coefficients of the training rows of each fold.
    shift : ndarray of shape (d,)
        What is subtracted from each column.
    n_failed : int
        Fits of training rows that have not converged.
    """

    coefs: np.ndarray
    of_folds: np.ndarray
    shift: np.ndarray
    n_failed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSums(Sums):
    """Log-likelihood and score of all rows at each solution, and the deviance of each fold's rows at its solutions.

    Attributes
    ----------
    loglik : ndarray of shape (m,)
        ℓ of all rows.
    score : ndarray of shape (m, d)
        The score of all rows, for centered columns.
    deviance : ndarray of shape (K, m)
        Deviance of the rows of each fold at the coefficients of its training rows.
    weight : ndarray of shape (K,)
        Σ wᵢ of each fold.
    """

    loglik: np.ndarray
    score: np.ndarray
    deviance: np.ndarray
    weight: np.ndarray


@kernel(checked="before")
def candidate_sums(rows: Rows, model: Model, candidates: Candidates, folds: Folds) -> CandidateSums:
    """Return the sums of a block at the solutions of a path."""
    return candidates_of_parts(folds.split(rows_about(rows, candidates.shift)), model, candidates)


def candidates_of_parts(parts: Sequence[Rows], model: Model, candidates: Candidates) -> CandidateSums:
    """Return the sums at the solutions of a path of the rows of each fold, whose columns are centered."""
    loglik = reduce(add, (log_likelihoods(part, model, candidates.coefs).loglik for part in parts))
    score = reduce(add, (path_scores(part, model, candidates.coefs) for part in parts))
    pairs = zip(parts, candidates.of_folds, strict=True)
    deviance = np.stack([log_likelihoods(part, model, coefs).deviance for part, coefs in pairs])
    weight = [len(part) if part.weights is None else part.weights.sum() for part in parts]
    return CandidateSums(loglik, score, deviance, np.array(weight, dtype=np.float64))


def path_scores(rows: Rows, model: Model, coefs: np.ndarray) -> np.ndarray:
    """Return the score at each of several β, of shape (m, d), from one product per slice."""
    likelihood: Any = model.likelihood
    score = np.zeros(coefs.shape)
    with np.errstate(all="ignore"):
        for part in slices(rows, model):
            residual = likelihood.working(part.y[:, None], part.linear_predictor(coefs.T))[1]
            score += part.weighted_sum(part.weighted(residual)).T
    return score
