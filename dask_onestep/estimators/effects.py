"""Average effects: predictions, comparisons and slopes, averaged over the rows of data, in one pass."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from dask_onestep.choices import suggestion
from dask_onestep.data.files import is_in_files, open_table
from dask_onestep.data.frames import frame_dtypes, is_frame
from dask_onestep.data.inputs import Data
from dask_onestep.estimators.inputs import Reading
from dask_onestep.inference.effects import (
    COMPARISONS,
    TABLE_COLUMNS,
    Effects,
    Variable,
    comparison_effects,
    effects_table,
    known_levels,
    prediction_effects,
    slope_effects,
    spreads_wanted,
)
from dask_onestep.inference.tables import check_level
from dask_onestep.kernels.designs.design import column_levels
from dask_onestep.kernels.designs.expressions import is_numeric
from dask_onestep.kernels.likelihood.effects import EffectQuery, effect_sums
from dask_onestep.kernels.pilots.spreads import spreads
from dask_onestep.messages import catalogue
from dask_onestep.methods import Session


class AverageEffects(Reading):
    """Effects on the scale of the response, averaged over rows."""

    def avg_predictions(
        self,
        X: Any,
        variables: Any = None,
        by: Any = None,
        *,
        level: float = 0.95,
        sample: str = "fixed",
        sample_weight: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return the mean predicted response, of the rows as they are or with columns set to values.  One pass.

        Parameters
        ----------
        X : dask Array, dask DataFrame, or array-like of shape (n, p)
            Covariates of the rows to average over, as for ``predict``.
        variables : dict, str or list of str, optional
            Column → values, such as ``{"x": [0, 1]}``: every row is predicted with each of the values, or with each
            combination for several columns.  The name of a factor alone means all its levels.
        by : str or list of str, optional
            Columns of `X`, or terms of the formula that are a function of each row: averages within their groups.
        level : float, default=0.95
            Level of the intervals.
        sample : {"fixed", "random"}, default="fixed"
            Whether the rows are taken as given, so that only the coefficients are uncertain, or are an independent
            sample from a population whose averages are estimated; see the notes.
        sample_weight : array-like, Dask collection of shape (n,), or str, optional
            Weights of the rows; required if ``fit`` had them.
        offset : array-like, Dask collection of shape (n,), or str, optional
            Required if ``fit`` had one.

        Returns
        -------
        DataFrame
            Columns term (the columns of `variables`), contrast (their values), those of `by`, estimate, std_err, z (or
            t, as in ``coef_table``), p_value, ci_lower, ci_upper; with more than two classes a row for each class,
            which is in the column group.  ``attrs`` has n_samples, n_missing and n_passes.

        Raises
        ------
        ValueError
            If a column or a level is unknown, the model has no covariance, there are more than 10,000 groups, or rows
            have missing values; with ``missing="drop"`` such rows are omitted.

        Notes
        -----
        An average is Σ wᵢ μ(xᵢ)/Σ wᵢ, and its variance J V J' by the delta method: J is its derivative in β, a sum over
        the same rows, and V the covariance of the coefficients, whatever `cov_type` is.  With ``sample="random"`` the
        variance of the average over rows, Σ wᵢ²(μ(xᵢ) − μ̄)²/(Σ wᵢ)², is added.  The two parts are uncorrelated if the
        model of the mean is correct.  An effect that is not identified because of aliased columns, such as that of a
        level without rows in ``fit``, is NaN.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> glm.avg_predictions(X, variables={"x0": [0, 1]})[["term", "contrast"]].to_numpy().tolist()
        [['x0', '0'], ['x0', '1']]
        >>> bool(abs(glm.avg_predictions(X)["estimate"][0] - y.mean().compute()) < 1e-6)
        True
        """
        data, grouping = self._effect_data(X, by, level, sample, sample_weight, offset)
        known = self._variables(data)
        asked = _as_mapping(variables, "values", known)
        effects = prediction_effects({v.name: _values(v, asked[v]) for v in asked})
        return self._averaged(Session(self._beside(data)), grouping, level, sample, effects)

    def avg_comparisons(
        self,
        X: Any,
        variables: Any = None,
        by: Any = None,
        *,
        comparison: str = "difference",
        level: float = 0.95,
        sample: str = "fixed",
        sample_weight: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return how the mean predicted response changes with a column.  One pass; two with "sd", "iqr" or "minmax".

        Parameters
        ----------
        variables : dict, str or list of str, optional
            Columns, by default all that the covariates are computed from; or column → change.  For a numeric column a
            number is an increase from the value of each row, a pair (from, to) sets all rows to these values, "sd" to
            half a standard deviation below and above the mean, "iqr" to the quartiles, "minmax" to the extremes.  The
            default is an increase of 1; a column that is 0 or 1 in all rows is compared at these two values.  For a
            factor "reference", the default, compares each level with the first, "pairwise" with all earlier ones,
            "sequential" with the one before, and a pair compares two levels.
        comparison : str, default="difference"
            "difference", "ratio", "lnratio" (its logarithm) or "lift" (ratio − 1) of the mean responses; of
            probabilities also "oddsratio" and "lnoddsratio".  A ratio is that of averages, tested against 1.
        X, by, level, sample, sample_weight, offset
            As for `avg_predictions`.

        Returns
        -------
        DataFrame
            As for `avg_predictions`; contrast names the comparison, such as "+1" for an increase of 1.

        Raises
        ------
        ValueError
            As for `avg_predictions`, or if `comparison` or a change is unknown.

        Notes
        -----
        Quartiles are those of all rows, or of a simple random sample of 100,000 if there are more.

        Examples
        --------
        >>> from dask_onestep import GLMRegressor
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="poisson")
        >>> glm = GLMRegressor("poisson").fit(X, y)
        >>> ratio = glm.avg_comparisons(X, {"x0": 1}, comparison="ratio")["estimate"][0]
        >>> import numpy as np
        >>> bool(abs(ratio - np.exp(glm.coef_[0])) < 1e-9)
        True
        """
        if comparison not in COMPARISONS:
            raise ValueError(f"Unknown comparison {comparison!r}; must be one of {', '.join(map(repr, COMPARISONS))}.")
        data, grouping = self._effect_data(X, by, level, sample, sample_weight, offset)
        if comparison in ("oddsratio", "lnoddsratio") and self.record_.model.family.base.name not in _PROBABILITIES:
            raise ValueError(
                f"comparison={comparison!r} is of probabilities, and the family is {self.record_.model.family.name}: "
                "use comparison='ratio'."
            )
        asked = _as_mapping(variables, "change", self._variables(data))
        session, found = Session(self._beside(data)), {}
        if columns := spreads_wanted(asked):
            measured = session.value(session.total(spreads, columns, name="spreads"))
            words = {v.name: change for v, change in asked.items()}
            found = {(name, words[name]): measured.interval(i, words[name]) for i, name in enumerate(columns)}
        return self._averaged(session, grouping, level, sample, comparison_effects(asked, comparison, found))

    def avg_slopes(
        self,
        X: Any,
        variables: Any = None,
        by: Any = None,
        *,
        level: float = 0.95,
        sample: str = "fixed",
        sample_weight: Any = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Return the mean derivative of the response in each numeric column, and comparisons of factors.  One pass.

        Parameters
        ----------
        variables : str or list of str, optional
            Columns, by default all that the covariates are computed from.
        X, by, level, sample, sample_weight, offset
            As for `avg_predictions`.

        Returns
        -------
        DataFrame
            As for `avg_predictions`; contrast is "dY/dX" for a slope.  Each level of a factor is compared with the
            first, and a column that is 0 or 1 in all rows at these two values.

        Raises
        ------
        ValueError
            As for `avg_predictions`, or if the formula is not differentiable at values of a column.

        Notes
        -----
        A slope is the derivative through the formula, with the interactions, splines, logarithms and powers of a
        column.  The design is differentiated by central differences, and at the ends of a domain, such as the bounds of
        a spline, by one-sided differences of the same order.

        Examples
        --------
        >>> from dask_onestep import GLMClassifier
        >>> from dask_onestep.datasets import make_glm
        >>> X, y, coef = make_glm(2000, 2, family="binomial")
        >>> glm = GLMClassifier().fit(X, y)
        >>> glm.avg_slopes(X)[["term", "contrast"]].to_numpy().tolist()
        [['x0', 'dY/dX'], ['x1', 'dY/dX']]
        """
        data, grouping = self._effect_data(X, by, level, sample, sample_weight, offset)
        if isinstance(variables, Mapping):
            raise ValueError("variables of avg_slopes must be names of columns; for contrasts use avg_comparisons.")
        asked = _as_mapping(variables, "change", self._variables(data))
        return self._averaged(Session(self._beside(data)), grouping, level, sample, slope_effects(asked))

    def _effect_data(
        self, X: Any, by: Any, level: float, sample: str, sample_weight: Any, offset: Any
    ) -> tuple[Data, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return the data, what rows are grouped by, and which of that the model does not read."""
        check_is_fitted(self)
        check_level(level)
        if sample not in ("fixed", "random"):
            raise ValueError(f"Unknown sample {sample!r}; must be one of 'fixed', 'random'.")
        self._require_effects()
        self._require(sample_weight=sample_weight, offset=offset)
        by = () if by is None else (by,) if isinstance(by, str) else by
        if not isinstance(by, Iterable) or not all(isinstance(name, str) for name in by):
            raise TypeError(f"by={by!r} must be the name of a column or a term, or a list of names.")
        by = tuple(dict.fromkeys(by))
        if reserved := [name for name in by if name in TABLE_COLUMNS]:
            raise ValueError(f"by={reserved[0]!r} is the name of a column of the result. Rename the column of X.")
        read = (*self.record_.columns, *self._terms())
        others = tuple(dict.fromkeys(name for name in by if name not in read))
        X = open_table(X) if is_in_files(X) else X
        if others and (absent := [name for name in others if name not in _column_names(X)]):
            columns = ", ".join(_column_names(X) or self.record_.columns)
            raise ValueError(f"by={absent[0]!r} is neither a column of X, {columns}, nor a term of the formula.")
        parts = {"weights": sample_weight, "offset": offset, "groups": list(others) or None}
        return self._data(X, response=False, **parts), (by, others)

    def _require_effects(self) -> None:
        """Raise if the model has no mean response, or no covariance."""
        record = self.record_
        if not hasattr(record.model.likelihood, "responses"):
            raise ValueError(
                f"{type(record.model.likelihood).__name__} has no function responses(eta), which effects require: "
                "implement it as described in the Likelihood protocol."
            )
        if np.isfinite(record.covariance.diagonal()).any():
            return
        raise catalogue.NO_COVARIANCE.error(method=record.method)

    def _terms(self) -> tuple[str, ...]:
        """Return the formula's terms that are one value per row before any coding."""
        design = self.record_.design
        return () if design is None else tuple(factor.name for factor in design.terms.factors if not factor.states)

    def _variables(self, data: Data) -> dict[str, Variable]:
        """Return the columns that the model reads, with the levels of factors."""
        design = self.record_.design
        levels = {} if design is None else column_levels(design.levels)
        factors = () if design is None else design.terms.factors
        covariates = {name for factor in factors for name in factor.columns} or set(self.record_.columns)
        dtypes = frame_dtypes(data.x) if is_frame(data.x) else {}
        found = {}
        for name in self.record_.columns:
            own = tuple(levels[name].tolist()) if name in levels else None
            dtype = dtypes.get(name)
            boolean = own is None and dtype is not None and pd.api.types.is_bool_dtype(dtype)
            alone = any(name in (factor.name, factor.source) for factor in factors)
            if own is None and dtype is not None and not is_numeric(dtype) and not alone:
                continue  # read within an expression only, such as C(origin + carrier)
            found[name] = Variable(name, own, boolean, name not in covariates)
        return found

    def _averaged(
        self,
        session: Session,
        grouping: tuple[tuple[str, ...], tuple[str, ...]],
        level: float,
        sample: str,
        effects: Effects,
    ) -> pd.DataFrame:
        """Return the table of effects, by one pass."""
        record = self.record_
        if not effects.effects:
            raise ValueError("Nothing to compare: each factor has only one level.")
        coef, scenarios = np.nan_to_num(record.coef), tuple(effects.scenarios)
        aliased = bool(np.isnan(record.coef).any())
        query = EffectQuery(coef, scenarios, *grouping, products=sample == "random", gram=aliased)
        sums = session.value(session.total(effect_sums, query, name="effects"))
        if not sums.n:
            raise ValueError("Found array with 0 sample(s): no row has all that the model uses, and a positive weight.")
        levels = () if record.design is None else record.design.levels
        by_factor = {factor.name: index for factor, index in levels}
        orders = {name: index.tolist() for name, index in (by_factor | column_levels(levels)).items()}
        several = record.model.likelihood.n_predictors > 1 and record.estimate.classes is not None
        classes = np.asarray(record.estimate.classes).tolist() if several else ()
        table = effects_table(
            effects.effects, sums, record.coef, record.covariance, level, df=record.df_t, groups=classes, orders=orders
        )
        table.attrs.update(n_samples=sums.n, n_missing=sums.n_missing, n_passes=session.n_passes)
        return table


_PROBABILITIES = ("binomial", "quasibinomial", "multinomial")


def _column_names(X: Any) -> tuple[str, ...]:
    """Return the names of a table's columns; none of an array."""
    return tuple(map(str, getattr(X, "column_names", getattr(X, "columns", ()))))


def _as_mapping(variables: Any, what: str, known: Mapping[str, Variable]) -> dict[Variable, Any]:
    """Return what is asked of each variable; None where the name alone is given."""
    if variables is None:
        variables = {} if what == "values" else [name for name in known if not known[name].in_offset]
    if isinstance(variables, str):
        variables = [variables]
    if not isinstance(variables, Iterable) or not all(isinstance(name, str) for name in variables):
        raise TypeError(f"variables={variables!r} must be names of columns, or a dict of column → {what}.")
    if unknown := [name for name in variables if name not in known]:
        said = {"name": unknown[0], "names": list(known), "hint": suggestion(unknown[0], known)}
        raise catalogue.NOT_A_VARIABLE.error(**said)
    given = variables if isinstance(variables, Mapping) else dict.fromkeys(variables)
    return {known[name]: change for name, change in given.items()}


def _values(variable: Variable, values: Any) -> Sequence[Any]:
    """Return the values that a column is set to, each a level of a factor, or a finite number."""
    if values is None:
        if variable.values is None:
            raise ValueError(
                f"{variable.name!r} is numeric: give the values to predict at, as in "
                f"variables={{{variable.name!r}: [0, 1]}}."
            )
        return variable.values
    found = values.tolist() if isinstance(values, (np.ndarray, pd.Series, pd.Index)) else values
    found = list(found) if isinstance(found, (list, tuple, range)) else [found]
    if variable.values is not None:
        known_levels(variable, found)
    elif wrong := [v for v in found if not isinstance(v, (int, float, np.number)) or not np.isfinite(v)]:
        raise ValueError(f"variables has {wrong[0]!r} for {variable.name!r}, which is numeric: give finite numbers.")
    if not found:
        raise ValueError(f"variables has no value for {variable.name!r}.")
    return found
