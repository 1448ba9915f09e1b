"""``dask-onestep``: fit, test and predict from a shell.

Exit codes: 0 done; 1 the data or the model cannot be used, said in one line on stderr; 2 the command
line cannot be read.
"""

from __future__ import annotations

import logging
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Annotated, Any

import dask.dataframe as dd
import typer
from dask.diagnostics import ProgressBar
from distributed import Client, KilledWorker, LocalCluster
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sklearn.base import clone

from dask_onestep.datasets import load_flights
from dask_onestep.estimators import GLMClassifier, GLMRegressor
from dask_onestep.kernels.terms import formula_terms, is_numeric
from dask_onestep.methods import resolve_method
from dask_onestep.report import write_report
from dask_onestep.storage import check_model_path, read_model, read_table, write_model, write_predictions

__all__ = ["app", "main"]

_MISTAKES = (ValueError, TypeError, OSError, ImportError)
_FLIGHTS = "delayed ~ bs(dep_time, df=4) + carrier + origin + distance"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Generalized linear models with inference, in two passes over Parquet or CSV files of any size.",
)

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
Level = Annotated[float, typer.Option(help="Level of the intervals.")]
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
    with _one_line_errors(), _cluster(scheduler, workers):
        if output is not None:
            check_model_path(output)
        table = read_table(files)
        glm = _estimator(table, formula, family, link, method, pilot_size, seed, cov_type, missing, not quiet)
        _fit(glm, table, weights, offset, groups)
        _show(glm, level)
        if output is not None:
            write_model(glm, output, level)
        if report is not None:
            call = f"dask-onestep {shlex.join(sys.argv[1:])}"
            with _to_stderr(glm.verbose):
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
    with _one_line_errors(), _cluster(scheduler, workers):
        table = read_table(files)
        glm = _estimator(table, formula, family, link, method, pilot_size, seed, "nonrobust", missing, not quiet)
        with _to_stderr(glm.verbose):
            glm.fit(table, sample_weight=weights, offset=offset)
            design = glm._fitted_model.design
            null = [name for part in term for name in (["intercept"] if part == "1" else design.columns_of(part))]
            result = glm.likelihood_ratio_test(table, null=null, sample_weight=weights, offset=offset)
        Console(highlight=False, soft_wrap=True).print(escape(str(result)))


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
    with _one_line_errors(), _cluster(scheduler, workers):
        glm, table = read_model(model, trust_pickle=trust_pickle), read_table(files)
        if isinstance(glm, GLMClassifier):
            predicted = glm.predict_proba(table, offset=offset)
        else:
            predicted = glm.predict(table, offset=offset).to_frame(name="mean")
        local = scheduler is None and workers is None
        with _to_stderr(not quiet), ProgressBar() if local and not quiet else nullcontext():
            write_predictions(predicted, output)


@app.command(epilog="Example: dask-onestep demo")
def demo(quiet: Quiet = False) -> None:
    """Fit the delays of the flights that left New York in 2013; needs the extras demo and formula."""
    with _one_line_errors():
        glm = GLMClassifier(formula=_FLIGHTS, missing="drop", verbose=not quiet)
        _fit(glm, load_flights(), None, None, None)
        _show(glm, 0.95)


def main() -> None:
    """Run the command line."""
    app()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Say a user's mistake in a line, and end with exit code 1."""
    try:
        yield
    except KeyError as error:
        _say_error(f"a name was not found, as where a file lacks a column of the others: {_one_line(error)}")
        raise typer.Exit(1) from error
    except KilledWorker as error:
        _say_error(f"workers died, as they do for want of memory; start fewer by --workers. {_one_line(error)}")
        raise typer.Exit(1) from error
    except _MISTAKES as error:
        _say_error(_one_line(error))
        raise typer.Exit(1) from error


def _say_error(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[red]error:[/] {escape(text)}")


def _one_line(error: BaseException | str) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


@contextmanager
def _cluster(scheduler: str | None, workers: int | None) -> Iterator[None]:
    if scheduler is not None and workers is not None:
        raise ValueError("--scheduler and --workers exclude each other.")
    if scheduler is not None:
        with Client(scheduler, timeout="10s"):
            yield
    elif workers is not None:
        # What fails in a worker is said here, in a line; its log would say it again with a traceback.
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
            ) as cluster,
            Client(cluster),
        ):
            yield
    else:
        yield


def _estimator(
    table: dd.DataFrame,
    formula: str,
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
        "formula": formula,
        "cov_type": cov_type,
        "missing": missing,
        "verbose": verbose,
    }
    if _has_labels(table, formula) and family == "binomial":
        return GLMClassifier(link or "logit", **options)
    return GLMRegressor(family, link, **options)


def _pilot_size(text: str | None) -> int | float | None:
    if text is None:
        return None
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise ValueError(f"--pilot-size {text} is neither a number of rows nor a share.") from None


def _has_labels(table: dd.DataFrame, formula: str) -> bool:
    """Return whether the response is a column of words, to be classified; numbers are 0, 1 or shares."""
    response = formula_terms(formula, fit_intercept=True).response
    if response is None:
        raise ValueError(f"the formula {formula!r} has no left-hand side: write 'y ~ ...'.")
    return response.source is None and response.name in table.columns and not is_numeric(table.dtypes[response.name])


def _fit(glm: Any, table: dd.DataFrame, weights: str | None, offset: str | None, groups: str | None) -> None:
    with _to_stderr(glm.verbose):
        glm.fit(table, sample_weight=weights, offset=offset, groups=groups)


@contextmanager
def _to_stderr(progress: bool) -> Iterator[None]:
    """Send warnings, a line each, and progress to stderr: stdout is for the result alone."""
    with warnings.catch_warnings(record=True) as met, redirect_stdout(sys.stderr) if progress else nullcontext():
        warnings.simplefilter("always", UserWarning)
        yield
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for text in dict.fromkeys(str(w.message) for w in met if issubclass(w.category, UserWarning)):
        console.print(f"[yellow]warning:[/] {escape(_one_line(text))}")


def _show(glm: Any, level: float) -> None:
    summary = glm.summary(level=level)
    # A pipe has no width; a narrow terminal folds names and leaves numbers whole.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(f"[bold]{escape(summary.title)}[/]", escape(summary.verdict), sep="\n", soft_wrap=True)
    table = Table(box=None, header_style="bold")
    table.add_column("", overflow="fold")
    for head in ("coef", "std err", "z", "P>|z|", f"{level:.0%} from", "to"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, row in summary.table.iterrows():
        p_value = "<0.001" if row["p_value"] < 0.001 else f"{row['p_value']:.3f}"
        numbers = [f"{row[c]:.4g}" for c in ("coef", "std_err", "z", "ci_lower", "ci_upper")]
        table.add_row(escape(str(name)), *numbers[:3], p_value, *numbers[3:])
    console.print(table)
    console.print(" · ".join(f"{escape(name)} {escape(value)}" for name, value in summary.facts), soft_wrap=True)
