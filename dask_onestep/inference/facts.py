"""What a summary says of a fit besides its coefficients: title, verdict, facts and notes."""

from typing import Any

import numpy as np
import pandas as pd

from dask_onestep.exceptions import SeparationWarning
from dask_onestep.inference.fit_statistics import FitStatistics, QuasiStatistics
from dask_onestep.inference.summaries import FactorLevels, Summary
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import Remedy, with_pointer
from dask_onestep.methods import FitRecord, OneStep, PenalizedEstimate
from dask_onestep.methods.causes import exact_fit

# Clusters below which sandwich covariances are too small to be left without remark.
_FEW_CLUSTERS = 40
# Pearson's χ² over residual df above which standard errors are noticeably too small, and the number of its standard
# errors above 1 that sampling error does not explain. Without a standard error the bound is larger.
_OVERDISPERSED, _BEYOND_CHANCE, _CERTAINLY = 1.2, 5.0, 1.5


def summarize(
    record: FitRecord,
    estimator: str,
    method: Any,
    table: pd.DataFrame,
    level: float,
    fit: FitStatistics | QuasiStatistics | None = None,
    seconds: float = np.nan,
) -> Summary:
    """Return the summary of a fit, with statistics of a further pass if there are any, else those it has computed."""
    facts = [*_facts(record, seconds), *_event_facts(record)]
    notes = tuple(with_pointer(category, text) for category, text in record.notes) + few_clusters(record)
    notes += _exact(record)
    found = record.estimate.overdispersion
    if fit is not None:
        facts += _fit_facts(fit)
        notes += _overdispersion(fit.pearson_chi2 / max(fit.df_resid, 1.0), record)
    else:
        facts += _likelihood_facts(record)
        if found is not None and not _are_single(record):
            kind = " (estimated)" if found.n < record.n_samples else ""
            facts.append((f"Pearson chi2/df{kind}", f"{found.ratio:.4g}"))
            notes += _overdispersion(found.ratio, record)
    said = title(record, estimator), verdict(record, method)
    return Summary(*said, tuple(facts), table, level, notes, _response(record), _factor_levels(record))


def title(record: FitRecord, estimator: str) -> str:
    """Return the model in one line."""
    return f"{estimator}: {record.model.family.name} with {link_name(record)} link, by {record.method}"


def link_name(record: FitRecord) -> str:
    """Return the name of the model's link."""
    link = record.model.link
    return getattr(link, "name", type(link).__name__)


def verdict(record: FitRecord, method: Any) -> str:
    """Return the number of passes, and the distance from the MLE."""
    estimate, rank = record.estimate, record.rank
    times = {1: "once", 2: "twice"}.get(estimate.n_passes, f"{estimate.n_passes} times")
    read = f"{estimate.n_samples:,} rows read {times}"
    if any(issubclass(category, SeparationWarning) for category, _ in estimate.warnings):
        return f"{read}; the MLE is not finite; see warnings."
    if not np.isfinite(estimate.decrement):
        return f"{read}."
    share = max(estimate.decrement, 0.0) / max(rank * estimate.dispersion, 1e-300)
    if estimate.in_doubt and share <= getattr(method, "tol", np.inf):
        return f"{read}; distance to the MLE uncertain; see warnings."
    if share < 1e-12:
        return f"{read}; at the {'penalized ' * isinstance(estimate, PenalizedEstimate)}MLE."
    if np.isfinite(bound := estimate.distance_bound):
        far = f"at most {bound:.2g} standard errors from the MLE (95 %)"
    else:
        far = f"about {np.sqrt(share):.2g} standard errors from the MLE"
    return f"{read}; {far}{_sufficed(method, estimate, share)}."


def _sufficed(method: Any, estimate: Any, share: float) -> str:
    """Return whether the steps of a one-step fit were enough, by the tolerance that its warning goes by."""
    if not isinstance(method, OneStep):
        return ""
    steps, were = ("one step", "was") if estimate.n_iter == 1 else (f"{estimate.n_iter} steps", "were")
    close = share <= method.tol and not estimate.distance_bound > np.sqrt(method.tol)
    return f": {steps} {were} {'enough' if close else 'not enough'}"


def _facts(record: FitRecord, seconds: float) -> list[tuple[str, str]]:
    """Return what is known of a fit besides its coefficients and its likelihood."""
    estimate = record.estimate
    facts = [
        ("rows", f"{estimate.n_samples:,}"),
        ("rows dropped", f"{estimate.n_missing:,}"),
        ("family", record.model.family.name),
        *((name, _parameter(value, error)) for name, value, error in record.model.family.parameters),
        ("link", link_name(record)),
        ("covariance", record.cov_type),
        ("dispersion", f"{estimate.dispersion:.4g}"),
        ("passes", str(estimate.n_passes)),
        *_distance_facts(estimate),
    ]
    if np.isfinite(seconds):
        facts.append(("time", f"{seconds:.2f} s" if seconds < 10 else f"{seconds:,.0f} s"))
    if estimate.n_clusters:
        facts.append(("clusters", " and ".join(f"{count:,}" for count in estimate.n_clusters)))
    if hasattr(estimate, "pilot_size"):
        facts.append(("pilot rows", f"{estimate.pilot_size:,}"))
    if estimate.solver == "qr":
        facts.append(("solver", f"qr (condition {estimate.condition:.1g})"))
    return facts


def _distance_facts(estimate: Any) -> list[tuple[str, str]]:
    """Return the penalty and the duality gap of an elastic net, or the decrement of other fits."""
    if not hasattr(estimate, "duality_gap"):
        return [("decrement", "unknown" if np.isnan(estimate.decrement) else f"{estimate.decrement:.3g}")]
    return [
        ("alpha", f"{estimate.alpha:.4g}"),
        ("l1 ratio", f"{estimate.l1_ratio:.4g}"),
        ("nonzero", f"{estimate.n_nonzero:,}"),
        ("duality gap", f"{estimate.duality_gap:.1g}"),
    ]


def _parameter(value: float, error: float | None) -> str:
    """Return a parameter of the family, with its standard error if it was estimated."""
    return f"{value:.4g}" if error is None else f"{value:.4g} (std err {error:.2g})"


def _likelihood_facts(record: FitRecord) -> list[tuple[str, str]]:
    """Return the log-likelihood and AIC that a fit left, and whether they are extrapolated from the pilot rows."""
    estimate, model = record.estimate, record.model
    loglik, kind = estimate.loglik, " (estimated)" if estimate.loglik_estimated else ""
    if model.family.has_dispersion:  # inside the fit φ is 1, so that `loglik` is not the log-likelihood
        known = np.isfinite(estimate.decrement) and estimate.dispersion * estimate.df_resid > 0
        if not (model.quadratic and known) or record.inputs.had_weight:
            return []
        # At its own maximum, as fit_statistics has it: Pearson's χ² is the residual sum of squares.
        n = estimate.n_samples
        loglik = -n / 2.0 * (1.0 + np.log(2.0 * np.pi * estimate.dispersion * estimate.df_resid / n))
        kind = ""
    null = estimate.loglik_null
    aic = 2.0 * (record.rank + model.family.n_estimated) - 2.0 * loglik
    facts = [(f"log-likelihood{kind}", _decimal(loglik)), (f"AIC{kind}", _decimal(aic))]
    # Without the terms of trials, which have no β, a pseudo-R² would be another.
    trials = model.family.name == "binomial" and not model.classify and record.inputs.had_weight
    if model.quadratic and np.isfinite(null):
        facts.append(("R2", f"{-np.expm1(2.0 * (null - loglik) / estimate.n_samples):.4f}"))
    elif np.isfinite(null) and not trials:
        facts.append(("pseudo R2 (McFadden)", f"{1.0 - estimate.loglik / null:.4f}"))
    return facts


def _event_facts(record: FitRecord) -> list[tuple[str, str]]:
    """Return the number of events of two classes, if it is known."""
    events = record.estimate.n_events
    return [] if np.isnan(events) else [("events", f"{events:,.0f}")]


def _decimal(value: float) -> str:
    """Return a statistic of fit as people write it: thousands apart, two decimals."""
    return "unknown" if np.isnan(value) else f"{value:,.2f}"


def _response(record: FitRecord) -> str:
    """Return what is modeled."""
    name, classes = record.inputs.response, record.estimate.classes
    if classes is None:
        return f"P({name} = 1)" if record.model.family.name == "binomial" else f"E({name})"
    first, *others = classes.tolist()
    if len(others) > 1:
        return f"{name}, log odds of each of {len(others)} classes relative to {first!r}"
    return f"P({name} = {classes.tolist()[-1]!r})"


def _factor_levels(record: FitRecord) -> tuple[FactorLevels, ...]:
    """Return the levels of factors that are terms, and have a coefficient for each level but at most one."""
    if record.design is None:
        return ()
    levels = {factor.name: [str(level) for level in index] for factor, index in record.design.levels}
    found, by_regressor = [], record.by_regressor
    for term, columns in record.design.by_term.items():
        known = set(columns)
        named = [
            (label, next((c for c in (f"{term}[T.{label}]", f"{term}[{label}]") if c in known), None))
            for label in levels.get(term, ())
        ]
        n_coefficients = sum(column is not None for _, column in named)
        if not columns or n_coefficients != len(columns) or len(named) - n_coefficients > 1:
            continue
        # Of several classes, "class:column" each.
        for at, coefficient in enumerate(by_regressor[columns[0]]):
            prefix = coefficient.removesuffix(columns[0])
            pairs = ((label, None if c is None else by_regressor[c][at]) for label, c in named)
            found.append(FactorLevels(f"{prefix}{term}", tuple(pairs)))
    return tuple(found)


def _exact(record: FitRecord) -> tuple[str, ...]:
    """Return that a fit is perfect, which is no reason to warn of its coefficients."""
    said = exact_fit(record.model, record.estimate)
    if said is None or said in record.notes:
        return ()
    return (with_pointer(*said),)


def few_clusters(record: FitRecord) -> tuple[str, ...]:
    """Return a note if a sandwich has so few clusters that its standard errors are too small."""
    count = min(record.estimate.n_clusters, default=_FEW_CLUSTERS)
    if record.cov_type != "cluster" or count >= _FEW_CLUSTERS:
        return ()
    return (catalogue.FEW_CLUSTERS.text(count=count, given=Remedy("cov_type", record.cov_type)),)


def _overdispersion(ratio: float, record: FitRecord) -> tuple[str, ...]:
    """Return a note if y varies by more than the family assumes, and the standard errors rely on the family."""
    family, found = record.model.family, record.estimate.overdispersion
    bound = _CERTAINLY if found is None else 1.0 + max(_OVERDISPERSED - 1.0, _BEYOND_CHANCE * found.std_err)
    if _are_single(record) or family.has_dispersion or record.cov_type != "nonrobust" or not ratio > bound:
        return ()
    named = {"poisson": catalogue.OVERDISPERSED_COUNTS, "binomial": catalogue.OVERDISPERSED_PROPORTIONS}
    return (named.get(family.name, catalogue.OVERDISPERSED).text(ratio=ratio, family=family.name),)


def _are_single(record: FitRecord) -> bool:
    """Return whether each row is one trial, whose variance cannot exceed the family's."""
    return record.model.classify or (record.model.family.name == "binomial" and not record.inputs.had_weight)


def _fit_facts(fit: FitStatistics | QuasiStatistics) -> list[tuple[str, str]]:
    facts = [
        ("deviance", _decimal(fit.deviance)),
        ("null deviance", _decimal(fit.null_deviance)),
        ("Pearson chi2", _decimal(fit.pearson_chi2)),
        ("residual df", f"{fit.df_resid:,.0f}"),
        ("Pearson chi2/df", f"{fit.pearson_chi2 / max(fit.df_resid, 1.0):.4g}"),
    ]
    if isinstance(fit, QuasiStatistics):
        return facts
    return [
        ("log-likelihood", _decimal(fit.llf)),
        ("null log-likelihood", _decimal(fit.llnull)),
        *facts,
        ("AIC", _decimal(fit.aic)),
        ("BIC", _decimal(fit.bic)),
        ("pseudo R2 (McFadden)", f"{fit.mcfadden:.4f}"),
        ("pseudo R2 (Nagelkerke)", f"{fit.nagelkerke:.4f}"),
    ]
