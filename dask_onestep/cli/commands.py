"""The commands, their options and examples."""

import shlex
import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from dask_onestep._version import __version__
from dask_onestep.cli.console import (
    one_line_errors,
    one_line_warnings,
    same_columns,
    show_classes,
    show_comparison,
    show_effects,
    show_model,
    show_text,
)
from dask_onestep.cli.demo import show_demo
from dask_onestep.cli.models import columns_of, estimator_for, null_terms, parse_formula, with_offset
from dask_onestep.cli.options import (
    Files,
    FitOptions,
    Level,
    ModelFile,
    ModelOptions,
    Offset,
    Overwrite,
    ReadingOptions,
    RowOptions,
    TrustPickle,
    with_options,
)
from dask_onestep.cli.schedulers import computing_on
from dask_onestep.estimators import GLMClassifier, fit_many
from dask_onestep.estimators import compare as compare_models
from dask_onestep.messages.text import on_command_line
from dask_onestep.report import write_report
from dask_onestep.storage import check_model_path, check_predictions_path, read_model, write_model, write_predictions
from dask_onestep.storage.outputs import atomic_output, check_output

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


@app.command(
    epilog="Example: dask-onestep fit 'delayed ~ dep_time + distance' flights/*.parquet --family binomial "
    "--missing drop --output model.json --report report.html"
)
@with_options
def fit(
    formula: Formula,
    files: Files,
    model: FitOptions,
    rows: RowOptions,
    reading: ReadingOptions,
    groups: Annotated[
        list[str] | None, typer.Option(help="Column of cluster labels; repeated, rows are clustered by each column.")
    ] = None,
    level: Level = 0.95,
    output: Annotated[str | None, typer.Option(help="Write the model: .json, or .pkl.")] = None,
    report: Annotated[
        str | None, typer.Option(help="Write a report as a single HTML file; takes two more passes.")
    ] = None,
    effects: Annotated[
        bool, typer.Option("--effects", help="Add average effects to the report; takes one more pass.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a model and print its table."""
    with one_line_errors(), computing_on(reading):
        # Before anything is read, rather than after the last pass.
        if effects and report is None:
            raise ValueError("--effects is an option of --report; use dask-onestep effects for a table.")
        if output is not None:
            check_model_path(output)
            check_output(output, files, remote=False, overwrite=overwrite)
        if report is not None:
            others = [] if output is None else [output]
            check_output(report, [*files, *others], remote=False, overwrite=overwrite)
        table = reading.open(files)
        terms = parse_formula(formula, table.columns, (rows.weights, rows.offset, *(groups or ())))
        terms, offset = with_offset(terms, table.columns, rows.offset)
        data: dict[str, Any] = {"sample_weight": rows.weights, "offset": offset}
        columns = columns_of(terms, *data.values(), *(groups or ()))
        glm = estimator_for(table, terms, model, verbose=not reading.quiet)
        with same_columns(table, files, columns):
            with one_line_warnings():
                glm.fit(table, groups=groups, **data)
            if len(getattr(glm, "classes_", ())) > 2:
                show_classes(glm)
            show_model(glm, level)
            if output is not None:
                write_model(glm, output, level)
            if report is not None:
                call = f"dask-onestep {shlex.join(sys.argv[1:])}"
                with one_line_warnings(), atomic_output(report) as unfinished:
                    write_report(
                        glm, unfinished, table, **data, level=level, effects=effects, call=call, wording=on_command_line
                    )


@app.command(
    "test",
    epilog="Example: dask-onestep test 'delayed ~ dep_time + carrier' flights/*.parquet --term carrier "
    "--family binomial --missing drop",
)
@with_options
def likelihood_ratio(
    formula: Formula,
    files: Files,
    term: Annotated[list[str], typer.Option(help="A term of the formula, or a coefficient; may be repeated.")],
    model: ModelOptions,
    rows: RowOptions,
    reading: ReadingOptions,
) -> None:
    """Test by the likelihood ratio whether the coefficients of terms are zero jointly."""
    with one_line_errors(), computing_on(reading):
        table = reading.open(files)
        terms = parse_formula(formula, table.columns, (rows.weights, rows.offset))
        null = null_terms(terms, term)
        terms, offset = with_offset(terms, table.columns, rows.offset)
        data: dict[str, Any] = {"sample_weight": rows.weights, "offset": offset}
        glm = estimator_for(table, terms, model, verbose=not reading.quiet)
        with same_columns(table, files, columns_of(terms, *data.values())), one_line_warnings():
            glm.fit(table, **data)
            result = glm.likelihood_ratio_test(table, null=null, **data)
        show_text(str(replace(result, note=on_command_line(result.note))))


@app.command(
    epilog="Example: dask-onestep compare flights/*.parquet --formula 'delayed ~ distance' "
    "--formula 'delayed ~ distance + carrier' --family binomial --missing drop"
)
@with_options
def compare(
    files: Files,
    formula: Annotated[list[str], typer.Option(help="A formula of a model; to be repeated, smaller models first.")],
    model: ModelOptions,
    rows: RowOptions,
    reading: ReadingOptions,
) -> None:
    """Fit several models in the passes of one, and compare them: AIC, BIC, likelihood-ratio tests of nested ones."""
    with one_line_errors(), computing_on(reading):
        table = reading.open(files)
        parsed, glms = {}, {}
        for each in formula:
            terms = parse_formula(each, table.columns, (rows.weights, rows.offset))
            parsed[each] = with_offset(terms, table.columns, rows.offset)
            glms[each] = estimator_for(table, parsed[each][0], model, verbose=not reading.quiet)
        # An expression of columns has become a part of each formula.
        data: dict[str, Any] = {"sample_weight": rows.weights, "offset": next(iter(parsed.values()))[1]}
        read = [name for terms, _ in parsed.values() for name in columns_of(terms, *data.values())]
        with same_columns(table, files, list(dict.fromkeys(read))), one_line_warnings():
            fits = fit_many(glms, table, **data)
            found = compare_models(fits)
            if found["loglik"].isna().any():
                found = compare_models(fits, table, **data)
        show_comparison(found)


@app.command(epilog="Example: dask-onestep select model.json --criterion bic --output small.json")
def select(
    model: ModelFile,
    criterion: Annotated[str, typer.Option(help="dbic, bic, aic or ebic.")] = "dbic",
    level: Level = 0.95,
    output: Annotated[str | None, typer.Option(help="Write the selected model: .json, or .pkl.")] = None,
    trust_pickle: TrustPickle = False,
    overwrite: Overwrite = False,
) -> None:
    """Select terms of a fitted model by the adaptive lasso, without reading the data again."""
    with one_line_errors():
        if output is not None:
            check_model_path(output)
            check_output(output, [model], remote=False, overwrite=overwrite)
        chosen = read_model(model, trust_pickle=trust_pickle).select(criterion)
        show_model(chosen, level)
        show_text(str(chosen.submodel_test_))
        if output is not None:
            write_model(chosen, output, level)


@app.command(epilog="Example: dask-onestep predict model.json new/*.parquet --output predictions.csv")
@with_options
def predict(
    model: ModelFile,
    files: Files,
    output: Annotated[str, typer.Option(help="Write the predictions: a .csv file, or a directory for Parquet.")],
    reading: ReadingOptions,
    overwrite: Overwrite = False,
    offset: Offset = None,
    trust_pickle: TrustPickle = False,
) -> None:
    """Write the mean of each row, or the probabilities of its labels."""
    with one_line_errors(), computing_on(reading):
        check_predictions_path(output, [*files, model], overwrite=overwrite)
        glm = read_model(model, trust_pickle=trust_pickle)
        columns = [*getattr(glm, "feature_names_in_", ()), *([] if offset is None else [offset])]
        table = reading.open(files)
        with same_columns(table, files, columns), one_line_warnings():
            if isinstance(glm, GLMClassifier):
                predicted = glm.predict_proba(table, offset=offset)
            else:
                predicted = glm.predict(table, offset=offset).to_frame(name="mean")
            write_predictions(predicted, output, overwrite=overwrite, verbose=not reading.quiet)


@app.command(epilog="Example: dask-onestep effects model.json flights/*.parquet --by carrier")
@with_options
def effects(
    model: ModelFile,
    files: Files,
    rows: RowOptions,
    reading: ReadingOptions,
    variable: Annotated[
        list[str] | None, typer.Option(help="A column; may be repeated. By default all columns of the model.")
    ] = None,
    by: Annotated[list[str] | None, typer.Option(help="Averages by this column or term; may be repeated.")] = None,
    kind: Annotated[str, typer.Option(help="slopes, comparisons or predictions.")] = "slopes",
    comparison: Annotated[
        str, typer.Option(help="Of comparisons: difference, ratio, lnratio, lift, oddsratio or lnoddsratio.")
    ] = "difference",
    sample: Annotated[str, typer.Option(help="fixed, or random: whether the rows are a sample.")] = "fixed",
    level: Level = 0.95,
    trust_pickle: TrustPickle = False,
) -> None:
    """Print average effects on the response: slopes of numeric columns, comparisons of factors; one pass."""
    with one_line_errors(), computing_on(reading):
        glm = read_model(model, trust_pickle=trust_pickle).set_params(verbose=not reading.quiet)
        methods = {"slopes": glm.avg_slopes, "comparisons": glm.avg_comparisons, "predictions": glm.avg_predictions}
        if kind not in methods:
            raise ValueError(f"Unknown --kind {kind}; must be one of {', '.join(methods)}.")
        if comparison != "difference" and kind != "comparisons":
            raise ValueError(f"--comparison is not an option of --kind {kind}; use --kind comparisons.")
        options = {"comparison": comparison} if kind == "comparisons" else {}
        design = glm.record_.design
        terms = () if design is None else design.terms.factors
        named = {factor.name for factor in terms} | set(getattr(glm, "feature_names_in_", ()))
        others = [name for name in (*(by or ()), rows.weights, rows.offset) if name is not None and name not in named]
        columns = [*getattr(glm, "feature_names_in_", ()), *others]
        table = reading.open(files)
        with same_columns(table, files, columns), one_line_warnings():
            data = {"sample_weight": rows.weights, "offset": rows.offset}
            found = methods[kind](table, variable, by, level=level, sample=sample, **data, **options)
        show_effects(found, level)


@app.command(epilog="Example: dask-onestep demo")
def demo() -> None:
    """Compare three methods on the flights that left New York in 2013, on a local cluster; needs the extra demo."""
    with one_line_errors(), one_line_warnings():
        show_demo(show_text)


def main() -> None:
    """Run the command line."""
    app()
