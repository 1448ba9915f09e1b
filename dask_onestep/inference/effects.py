"""Average predictions, comparisons and slopes: which sums they need, and their table by the delta method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.inference.tables import interval_columns
from dask_onestep.kernels.likelihood.effects import EffectSums
from dask_onestep.kernels.likelihood.scenarios import Scenario
from dask_onestep.kernels.matrices.symmetric import DiagonalPlusProduct, filled

COMPARISONS = ("difference", "ratio", "lnratio", "lift", "oddsratio", "lnoddsratio")
CONTRASTS = ("reference", "pairwise", "sequential")
SPREADS = {"sd": ("(mean + sd/2)", "(mean - sd/2)"), "iqr": ("Q3", "Q1"), "minmax": ("Max", "Min")}
SLOPE = "dY/dX"
_ZERO = 1e-6
TABLE_COLUMNS = ("group", "term", "contrast", "estimate", "std_err", "z", "t", "p_value", "ci_lower", "ci_upper")

_LABELS = {
    "difference": "{high} - {low}",
    "ratio": "{high} / {low}",
    "lnratio": "ln({high} / {low})",
    "lift": "({high} - {low}) / {low}",
    "oddsratio": "odds({high}) / odds({low})",
    "lnoddsratio": "ln(odds({high}) / odds({low}))",
}
# Where there is no effect.
_NULLS = {"ratio": 1.0, "oddsratio": 1.0}


@dataclass(frozen=True)
class Variable:
    """A column that a model reads.

    Attributes
    ----------
    name : str
        The column.
    levels : tuple or None
        Its levels, of a factor; None of a numeric column.
    boolean : bool
        Whether it holds booleans.
    in_offset : bool
        Whether only the formula's offset reads it.
    """

    name: str
    levels: tuple | None = None
    boolean: bool = False
    in_offset: bool = False

    @property
    def values(self) -> tuple | None:
        """The values that it can have; None of a numeric column."""
        return (False, True) if self.boolean else self.levels


@dataclass(frozen=True)
class Effect:
    """A row of the table for each group: the response under a scenario, or two of them compared.

    Attributes
    ----------
    term, contrast : str
        As in the table.
    scenarios : tuple of int
        The scenario, or the one compared and the one that it is compared with.
    comparison : str
        How two are compared.
    instead : Effect or None
        What takes its place if its scenarios were summed for a binary column, and the column is none.
    """

    term: str
    contrast: str
    scenarios: tuple[int, ...]
    comparison: str = "difference"
    instead: Effect | None = None


@dataclass(eq=False)
class Effects:
    """Effects, and the scenarios whose sums they are made of, each once.

    Attributes
    ----------
    scenarios : dict of Scenario to int
        The scenarios and their numbers, in order.
    effects : list of Effect
        The effects, in the order of the table.
    """

    scenarios: dict[Scenario, int] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)

    def number(self, scenario: Scenario) -> int:
        """Return the number of a scenario, which is added if it is new."""
        return self.scenarios.setdefault(scenario, len(self.scenarios))

    def set_to(self, name: str, value: Any, *, binary: bool = False) -> int:
        """Return the number of the scenario in which a column has one value."""
        return self.number(Scenario(values=((name, value),), binary=name if binary else None))


def prediction_effects(variables: Mapping[str, Sequence[Any]]) -> Effects:
    """Return the mean response, or that under each combination of the values given.

    Parameters
    ----------
    variables : mapping of str to sequence
        Columns and their values; empty for the rows as they are.

    Returns
    -------
    Effects
        One for each combination, the last column's values varying fastest.
    """
    found = Effects()
    if not variables:
        found.effects.append(Effect("prediction", "", (found.number(Scenario()),)))
    for values in product(*variables.values()) if variables else ():
        scenario = Scenario(values=tuple(zip(variables, values, strict=True)))
        contrast = ", ".join(map(_shown, values))
        found.effects.append(Effect(", ".join(variables), contrast, (found.number(scenario),)))
    return found


def comparison_effects(
    asked: Mapping[Variable, Any], comparison: str, spreads: Mapping[tuple[str, str], tuple[float, float]]
) -> Effects:
    """Return the comparisons of variables.

    Parameters
    ----------
    asked : mapping of Variable to object
        What each is to be changed by: None, a step, two values, "sd", "iqr" or "minmax", or for factors
        "reference", "pairwise" or "sequential".
    comparison : str
        One of `COMPARISONS`.
    spreads : mapping of (str, str) to two floats
        The values that "sd", "iqr" and "minmax" stand for, by column and word.

    Returns
    -------
    Effects
        In the order of the variables.
    """
    found = Effects()
    for variable, change in asked.items():
        found.effects += _compared(found, variable, change, comparison, spreads)
    return found


def slope_effects(variables: Iterable[Variable]) -> Effects:
    """Return the mean slopes of numeric columns, and the comparisons of factors with their reference.

    A numeric column that is 0 or 1 in all rows is compared at these values.
    """
    found = Effects()
    for variable in variables:
        if variable.values is not None:
            found.effects += _levels_compared(found, variable, "reference", "difference")
            continue
        slope = Effect(variable.name, SLOPE, (found.number(Scenario(slope=variable.name)),))
        found.effects.append(_if_binary(found, variable.name, "difference", slope))
    return found


def spreads_wanted(asked: Mapping[Variable, Any]) -> tuple[str, ...]:
    """Return the columns for which a pass must first find the values that a word stands for."""
    numeric = {variable.name: change for variable, change in asked.items() if variable.values is None}
    return tuple(name for name, change in numeric.items() if isinstance(change, str) and change in SPREADS)


def _compared(found: Effects, variable: Variable, change: Any, comparison: str, spreads: Mapping) -> list[Effect]:
    name = variable.name
    if variable.values is not None:
        return _levels_compared(found, variable, change, comparison)
    if change is None:
        return [_if_binary(found, name, comparison, _stepped(found, name, 1, comparison))]
    if isinstance(change, str):
        if change not in SPREADS:
            raise ValueError(
                f"variables={{{name!r}: {change!r}}}: a numeric column is changed by a step, between two values as in "
                f"(0, 1), or by one of {', '.join(map(repr, SPREADS))}."
            )
        low, high = spreads[name, change]
        upper, lower = SPREADS[change]
        label = _LABELS[comparison].format(high=upper, low=lower)
        return [Effect(name, label, (found.set_to(name, high), found.set_to(name, low)), comparison)]
    if isinstance(change, Real) and not isinstance(change, bool):
        return [_stepped(found, name, _number(change, name), comparison)]
    low, high = (_number(value, name) for value in _pair(change, name))
    return [_contrast(found, name, high, low, comparison)]


def _levels_compared(found: Effects, variable: Variable, change: Any, comparison: str) -> list[Effect]:
    name, levels = variable.name, variable.values
    assert levels is not None
    if change is None or change == "reference":
        pairs = [(level, levels[0]) for level in levels[1:]]
    elif isinstance(change, str) and change == "pairwise":
        pairs = [(later, earlier) for earlier, later in combinations(levels, 2)]
    elif isinstance(change, str) and change == "sequential":
        pairs = [(later, earlier) for earlier, later in pairwise(levels)]
    elif isinstance(change, (str, Real)):
        kind = "boolean" if variable.boolean else "factor"
        raise ValueError(
            f"variables={{{name!r}: {change!r}}}: {name} is a {kind}, which is compared by "
            f"{', '.join(map(repr, CONTRASTS))}, or between two levels as in ({levels[0]!r}, {levels[-1]!r})."
        )
    else:
        low, high = _pair(change, name)
        known_levels(variable, (low, high))
        pairs = [(high, low)]
    return [_contrast(found, name, high, low, comparison) for high, low in pairs]


def known_levels(variable: Variable, values: Iterable[Any]) -> None:
    """Raise if a value is none of a factor's levels."""
    levels = variable.values or ()
    if unknown := [value for value in values if value not in levels]:
        shown = ", ".join(map(repr, levels[:20])) + (", …" if len(levels) > 20 else "")
        raise ValueError(f"{unknown[0]!r} is not a level of {variable.name!r}; must be one of {shown}.")


def _contrast(found: Effects, name: str, high: Any, low: Any, comparison: str, *, binary: bool = False) -> Effect:
    label = _LABELS[comparison].format(high=_shown(high), low=_shown(low))
    both = tuple(found.set_to(name, value, binary=binary) for value in (high, low))
    return Effect(name, label, both, comparison)


def _stepped(found: Effects, name: str, by: float, comparison: str) -> Effect:
    """Return the comparison of rows with a column increased by a step with the rows as they are."""
    both = found.number(Scenario(shifts=((name, by),))), found.number(Scenario())
    return Effect(name, f"{by:+g}", both, comparison)


def _if_binary(found: Effects, name: str, comparison: str, instead: Effect) -> Effect:
    return replace(_contrast(found, name, 1, 0, comparison, binary=True), instead=instead)


def _pair(change: Any, name: str) -> tuple[Any, Any]:
    if isinstance(change, (tuple, list, np.ndarray)) and len(change) == 2:
        low, high = change
        return low, high
    raise ValueError(f"variables={{{name!r}: {change!r}}}: give two values, from and to, as in {{{name!r}: (0, 1)}}.")


def _number(value: Any, name: str) -> float:
    if not isinstance(value, Real) or not np.isfinite(float(value)):
        raise ValueError(f"variables has {value!r} for {name!r}, which is numeric: give a finite number.")
    return float(value)


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, (float, np.floating)) else str(value)


def effects_table(
    effects: Sequence[Effect],
    sums: EffectSums,
    coef: np.ndarray,
    covariance: np.ndarray | DiagonalPlusProduct,
    level: float,
    *,
    df: float = np.nan,
    groups: Sequence[Any] = (),
    orders: Mapping[str, Sequence[Any]] | None = None,
) -> pd.DataFrame:
    """Return the table of effects, with standard errors by the delta method.

    Parameters
    ----------
    effects : sequence of Effect
        The effects.
    sums : EffectSums
        Sums over all rows; with `products` the rows count as sampled, without as fixed.
    coef : ndarray of shape (d,)
        β̂; NaN of aliased columns, which count for nothing.
    covariance : ndarray or DiagonalPlusProduct of shape (d, d)
        Covariance of β̂.  What depends on a coefficient that has an estimate and no variance has NaN.
    level : float
        Level of the intervals.
    df : float
        Degrees of freedom of Student's t; NaN for the normal distribution.
    groups : sequence
        The classes of a multinomial model, one for each response; empty of other models.
    orders : mapping of str to sequence, optional
        The order of the values that rows are grouped by, where it is not that of sorting.

    Returns
    -------
    DataFrame
        A row for each effect, group of rows and class.
    """
    spread = filled(covariance)
    unknown = np.isfinite(coef) & ~np.isfinite(covariance.diagonal())
    null = np.zeros((len(coef), 0)) if sums.gram is None else _null_space(np.isnan(coef), sums.gram)
    order = _sorted_keys(sums, orders or {})
    rows, estimates, variances, nulls = [], [], [], []
    weight, squares, _ = sums.weight[order].T
    for effect in effects:
        chosen = effect
        if effect.instead is not None and sums.totals[effect.scenarios[0]] is None:
            chosen = effect.instead
        means = [sums.totals[s][order] / weight[:, None] for s in chosen.scenarios]  # type: ignore[index]
        jacobians = [sums.jacobians[s][order] / weight[:, None, None] for s in chosen.scenarios]  # type: ignore[index]
        estimate, slopes = _comparison(chosen, means)
        jacobian = sum(slope[:, :, None] * each for slope, each in zip(slopes, jacobians, strict=True))
        products = (jacobian.reshape(-1, len(coef)) @ spread).reshape(jacobian.shape)
        variance = np.einsum("grj,grj->gr", products, jacobian)
        variance[(jacobian[:, :, unknown] != 0).any(axis=2)] = np.nan
        undetermined = np.abs(jacobian @ null) > _ZERO * (np.abs(jacobian) @ np.abs(null))
        estimate = np.where(undetermined.any(axis=2), np.nan, estimate)
        variance[np.isnan(estimate)] = np.nan
        if chosen.contrast == SLOPE and not jacobian.any():
            raise ValueError(
                f"{chosen.term!r} has slope 0 at every row, because the formula uses it only in conditions or step "
                "functions: use avg_comparisons with two values."
            )
        if sums.products is not None:
            variance = variance + _sampling(chosen, means, slopes, sums.products[order], weight, squares)
        for (g, key), (r, group) in product(enumerate(sums.keys[i] for i in order), enumerate(groups or (None,))):
            rows.append((*(() if group is None else (group,)), chosen.term, chosen.contrast, *key))
            estimates.append(estimate[g, r])
            variances.append(variance[g, r])
            nulls.append(_NULLS.get(chosen.comparison, 0.0) if len(chosen.scenarios) > 1 else 0.0)
    heads = [*(["group"] if len(groups) else []), "term", "contrast", *sums.by]
    table = pd.DataFrame({name: pd.Series([row[i] for row in rows]) for i, name in enumerate(heads)})
    estimate = np.array(estimates)
    columns = interval_columns(estimate, np.sqrt(np.maximum(variances, 0.0)), level, df, np.array(nulls))
    return table.assign(estimate=estimate, **columns)


def _null_space(aliased: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Return directions in which coefficients may move without any prediction, a column for each aliased coefficient.

    Of each linear predictor, an aliased column is the combination of the others that the Gram matrix of the rows tells.
    """
    k = len(gram)
    null = np.zeros((len(aliased), int(aliased.sum())))
    for number, place in enumerate(np.flatnonzero(aliased)):
        first = place - place % k
        kept = np.flatnonzero(~aliased[first : first + k])
        scale = np.sqrt(np.diag(gram)[kept])
        scale[scale == 0] = 1.0
        column = gram[kept, place - first] / scale
        found = np.linalg.lstsq(gram[np.ix_(kept, kept)] / np.outer(scale, scale), column, rcond=1e-12)[0] / scale
        found[np.abs(found) * scale < _ZERO * max(np.sqrt(gram[place - first, place - first]), 1e-300)] = 0.0
        null[first + kept, number] = -found
        null[place, number] = 1.0
    return null


def _comparison(effect: Effect, means: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a comparison of mean responses, and its derivatives in each of them."""
    if len(means) == 1:
        return means[0], [np.ones_like(means[0])]
    high, low = means
    with np.errstate(divide="ignore", invalid="ignore"):
        match effect.comparison:
            case "difference":
                return high - low, [np.ones_like(high), -np.ones_like(low)]
            case "ratio":
                return high / low, [1.0 / low, -high / low**2]
            case "lift":
                return high / low - 1.0, [1.0 / low, -high / low**2]
            case "lnratio":
                return np.log(high / low), [1.0 / high, -1.0 / low]
        odds = high / (1.0 - high) * (1.0 - low) / low
        slopes = [1.0 / (high * (1.0 - high)), -1.0 / (low * (1.0 - low))]
        if effect.comparison == "oddsratio":
            return odds, [odds * slope for slope in slopes]
        return np.log(odds), slopes


def _sampling(
    effect: Effect,
    means: list[np.ndarray],
    slopes: list[np.ndarray],
    products: np.ndarray,
    weight: np.ndarray,
    squares: np.ndarray,
) -> np.ndarray:
    """Return Σ wᵢ²(Σ_s f_s (μ_si − μ̄_s))²/(Σ wᵢ)², the variance that is due to the sampling of rows."""
    total = np.zeros_like(means[0])
    last = products.shape[-1] - 1
    parts = list(zip(effect.scenarios, means, slopes, strict=True))
    for (s, mean_s, slope_s), (t, mean_t, slope_t) in product(parts, repeat=2):
        moment = products[:, :, s, t] - mean_s * products[:, :, last, t] - mean_t * products[:, :, last, s]
        total += slope_s * slope_t * (moment + mean_s * mean_t * squares[:, None])
    return np.maximum(total, 0.0) / weight[:, None] ** 2


def _sorted_keys(sums: EffectSums, orders: Mapping[str, Sequence[Any]]) -> list[int]:
    """Return the order of the groups: of levels where they have one, else sorted, by text where that fails."""
    ranks = []
    for number, name in enumerate(sums.by):
        values = list(dict.fromkeys(key[number] for key in sums.keys))
        known = {value: rank for rank, value in enumerate(orders.get(name, ()))}
        if not all(value in known for value in values):
            try:
                known = {value: rank for rank, value in enumerate(sorted(values))}
            except TypeError:
                known = {value: rank for rank, value in enumerate(sorted(values, key=str))}
        ranks.append(known)
    return sorted(
        range(len(sums.keys)), key=lambda i: tuple(rank[value] for rank, value in zip(ranks, sums.keys[i], strict=True))
    )
