"""The commands, their options and examples."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import dask.dataframe as dd
import typer
from distributed import Client, LocalCluster
from sklearn.base import clone

from dask_onestep._version import __version__
from dask_onestep.cli.console import (
    one_line_errors,
    one_line_warnings,
    same_columns,
    show_model,
    show_text,
    show_warning,
)
from dask_onestep.datasets import load_flights
from dask_onestep.estimators import GLMClassifier, GLMRegressor
from dask_onestep.kernels.terms import Factor, Terms, formula_terms, is_numeric
from dask_onestep.methods import resolve_method
from dask_onestep.report import write_report
from dask_onestep.storage import (
    check_model_path,
    check_predictions_path,
    read_model,
    read_table,
    write_model,
    write_predictions,
)

__all__ = ["app", "main"]

_FLIGHTS = "delayed ~ bs(dep_time, df=4) + carrier + origin + distance"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Generalized linear models with inference, in two passes over Parquet or CSV files of any size.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dask-onestep {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hold what is said before a command."""


Formula = Annotated[str, typer.Argument(help="Such as 'delayed ~ dep_time + C(carrier) + bs(distance, df=4)'.")]
Files = Annotated[list[str], typer.Argument(help="Parquet or CSV files, globs or URLs.")]
Family = Annotated[str, typer.Option(help="gaussian, binomial, poisson, gamma, negative-binomial, …")]
Link = Annotated[str | None, typer.Option(help="logit, probit, log, …; by default the family's own.")]
Method = Annotated[str, typer.Option(help="one-step, mle, pilot, …")]
PilotSize = Annotated[str | None, typer.Option(help="Rows (5000), or share of all rows (0.01).")]
Seed = Annotated[int | None, typer.Option(help="Seed of the pilot.")]
CovType = Annotated[str, typer.Option(help="nonrobust, HC0, HC1 or cluster.")]
Weights = Annotated[str | None, typer.Option(help="Column of weights.")]
Offset = Annotated[str | None, typer.Option(help="Column of offsets.")]
Groups = Annotated[str | None, typer.Option(help="Column of cluster labels.")]
Missing = Annotated[str, typer.Option(help="raise, or drop: what to do with rows that have gaps.")]
Level = Annotated[float, typer.Option(help="Level of the intervals.", min=0.0, max=1.0)]
Scheduler = Annotated[str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")]
Workers = Annotated[int | None, typer.Option(help="Start so many local worker processes; else threads.", min=1)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


@app.command(
    epilog="Example: dask-onestep fit 'delayed ~ dep_time + distance' flights/*.parquet --family binomial "
    "--missing drop --output model.json --report report.html"
)
def fit(
    formula: Formula,
    files: Files,
    family: Family = "gaussian",
    link: Link = None,
    method: Method = "one-step",
    pilot_size: PilotSize = None,
    seed: Seed = None,
    cov_type: CovType = "nonrobust",
    weights: Weights = None,
    offset: Offset = None,
    groups: Groups = None,
    missing: Missing = "raise",
    level: Level = 0.95,
    scheduler: Scheduler = None,
    workers: Workers = None,
    output: Annotated[str | None, typer.Option(help="Write the model: .json, or .pkl.")] = None,
    report: Annotated[str | None, typer.Option(help="Write a report as one HTML file; two passes more.")] = None,
    quiet: Quiet = False,
) -> None:
    """Fit a model and print its table."""
    with one_line_errors(), _cluster(scheduler, workers):
        # Before anything is read, rather than after the last pass.
        if output is not None:
            check_model_path(output)
        for place in (output, report):
            if place is not None and not Path(place).parent.is_dir():
                raise FileNotFoundError(f"there is no directory {Path(place).parent} to write {place} to")
        terms = _terms(formula)
        columns = _columns(terms, weights, offset, groups)
        table = read_table(files, columns=columns, categories=_categories(terms))
        glm = _estimator(table, terms, family, link, method, pilot_size, seed, cov_type, missing, not quiet)
        with same_columns(table, files, columns):
            with one_line_warnings():
                glm.fit(table, sample_weight=weights, offset=offset, groups=groups)
            show_model(glm, level)
            if output is not None:
                write_model(glm, output, level)
            if report is not None:
                call = f"dask-onestep {shlex.join(sys.argv[1:])}"
                with one_line_warnings():
                    write_report(glm, report, table, sample_weight=weights, offset=offset, level=level, call=call)


@app.command(
    "test",
    epilog="Example: dask-onestep test 'delayed ~ dep_time + carrier' flights/*.parquet --term carrier "
    "--family binomial --missing drop",
)
def likelihood_ratio(
    formula: Formula,
    files: Files,
    term: Annotated[list[str], typer.Option(help="A term of the formula, or a coefficient; may be repeated.")],
    family: Family = "gaussian",
    link: Link = None,
    method: Method = "one-step",
    pilot_size: PilotSize = None,
    seed: Seed = None,
    weights: Weights = None,
    offset: Offset = None,
    missing: Missing = "raise",
    scheduler: Scheduler = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Test by the likelihood ratio whether the coefficients of terms are zero jointly."""
    with one_line_errors(), _cluster(scheduler, workers):
        terms = _terms(formula)
        columns = _columns(terms, weights, offset)
        table = read_table(files, columns=columns, categories=_categories(terms))
        glm = _estimator(table, terms, family, link, method, pilot_size, seed, "nonrobust", missing, not quiet)
        with same_columns(table, files, columns), one_line_warnings():
            glm.fit(table, sample_weight=weights, offset=offset)
            design = glm._fitted_model.design
            null = [name for part in term for name in (["intercept"] if part == "1" else design.columns_of(part))]
            result = glm.likelihood_ratio_test(table, null=null, sample_weight=weights, offset=offset)
        show_text(str(result))


@app.command(epilog="Example: dask-onestep predict model.json new/*.parquet predictions.csv")
def predict(
    model: Annotated[str, typer.Argument(help="A model that fit --output wrote.")],
    files: Files,
    output: Annotated[str, typer.Argument(help="Where to write: a .csv file, or a directory for Parquet.")],
    offset: Offset = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Read a .pkl, which can run any code: only your own.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write the mean of each row, or the probabilities of its labels."""
    with one_line_errors(), _cluster(scheduler, workers):
        check_predictions_path(output)
        glm = read_model(model, trust_pickle=trust_pickle)
        design = glm._fitted_model.design
        columns = [*getattr(glm, "feature_names_in_", ()), *([] if offset is None else [offset])]
        table = read_table(files, columns=columns, categories=() if design is None else _categories(design.terms))
        with same_columns(table, files, columns), one_line_warnings():
            if isinstance(glm, GLMClassifier):
                predicted = glm.predict_proba(table, offset=offset)
            else:
                predicted = glm.predict(table, offset=offset).to_frame(name="mean")
            write_predictions(predicted, output, verbose=not quiet)


@app.command(epilog="Example: dask-onestep demo")
def demo(quiet: Quiet = False) -> None:
    """Fit the delays of the flights that left New York in 2013; needs the extras demo and formula."""
    with one_line_errors():
        glm = GLMClassifier(formula=_FLIGHTS, missing="drop", verbose=not quiet)
        with one_line_warnings():
            glm.fit(load_flights())
        show_model(glm, 0.95)


def main() -> None:
    """Run the command line."""
    app()


def _terms(formula: str) -> Terms:
    terms = formula_terms(formula, fit_intercept=True)
    if terms.response is None:
        raise ValueError(f"the formula {formula!r} has no left-hand side: write 'y ~ ...'.")
    return terms


def _columns(terms: Terms, *others: str | None) -> list[str]:
    """Return the columns that a formula and the options read."""
    response = () if terms.response is None else terms.response.columns
    return [*terms.columns, *response, *(name for name in others if name is not None)]


def _categories(terms: Terms) -> list[str]:
    """Return the columns that a formula reads as categories by C(...)."""
    return [name for factor in terms.factors if factor.coded for name in factor.columns]


@contextmanager
def _cluster(scheduler: str | None, workers: int | None) -> Iterator[None]:
    if scheduler is not None and workers is not None:
        raise ValueError("--scheduler and --workers exclude each other.")
    if scheduler is not None:
        try:
            # Not as the default: a client that never connected would stay that until it is collected, and whatever
            # is computed meanwhile in this process would wait for it without end.
            client = Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"--scheduler {scheduler}: {error}. Is a Dask scheduler running there?") from error
        with _silent_logs(), client, client.as_current():
            if not client.scheduler_info()["workers"]:
                show_warning(f"--scheduler {scheduler} has no workers yet; what is asked of it waits for the first.")
            yield
    elif workers is not None:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
            ) as cluster,
            Client(cluster),
        ):
            yield
    else:
        yield


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Keep a client from logging, with tracebacks, what is said here in a line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _estimator(
    table: dd.DataFrame,
    terms: Terms,
    family: str,
    link: str | None,
    method: str,
    pilot_size: str | None,
    seed: int | None,
    cov_type: str,
    missing: str,
    verbose: bool,
) -> GLMRegressor | GLMClassifier:
    chosen = clone(resolve_method(method))
    given = {"pilot_size": _pilot_size(pilot_size), "random_state": seed}
    for name, value in given.items():
        if value is not None:
            if name not in chosen.get_params():
                raise ValueError(
                    f"--{'seed' if name == 'random_state' else 'pilot-size'} means nothing to --method {method}."
                )
            chosen.set_params(**{name: value})
    options: dict[str, Any] = {
        "method": chosen,
        "formula": terms.formula,
        "cov_type": cov_type,
        "missing": missing,
        "verbose": verbose,
    }
    response = terms.response
    if response is not None and _has_labels(table, response):
        if family != "binomial":
            raise ValueError(f"{response.name} holds labels, not numbers: --family binomial tells them apart.")
        return GLMClassifier(link or "logit", **options)
    return GLMRegressor(family, link, **options)


def _pilot_size(text: str | None) -> int | float | None:
    if text is None:
        return None
    try:
        size = float(text)
        return int(size) if size > 1 and size.is_integer() else int(text) if text.isdigit() else size
    except ValueError:
        raise ValueError(f"--pilot-size {text} is neither a number of rows nor a share.") from None


def _has_labels(table: dd.DataFrame, response: Factor) -> bool:
    """Return whether the response is a column of words, to be classified; numbers are 0, 1 or shares."""
    if response.source is not None or response.name not in table.columns:
        return False
    dtype = table.dtypes[response.name]
    return not is_numeric(dtype) and getattr(dtype, "kind", "O") not in "mM"
