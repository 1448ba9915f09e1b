"""Options that several commands share, by what they are for."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Signature, signature
from typing import Annotated, Any, get_type_hints

import typer

from dask_onestep.data.files import CsvFormat, FileTable, open_table

Files = Annotated[list[str], typer.Argument(help="Parquet or CSV files, globs or URLs.")]
ModelFile = Annotated[str, typer.Argument(help="A model that fit --output wrote.")]
Offset = Annotated[str | None, typer.Option(help="Column of offsets, or an expression such as 'np.log(duration)'.")]
Level = Annotated[float, typer.Option(help="Level of the intervals.", min=0.0, max=1.0)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Overwrite existing results; inputs are never overwritten.")
]
TrustPickle = Annotated[
    bool, typer.Option("--trust-pickle", help="Load a .pkl, which can execute arbitrary code: only your own files.")
]


@dataclass(frozen=True)
class ModelOptions:
    """What is fitted, and how."""

    family: Annotated[str, typer.Option(help="gaussian, binomial, poisson, gamma, negative-binomial, …")] = "gaussian"
    link: Annotated[str | None, typer.Option(help="logit, probit, log, …; by default the family's own.")] = None
    method: Annotated[str, typer.Option(help="one-step, mle, pilot, elastic-net, elastic-net-cv, …")] = "one-step"
    pilot_size: Annotated[
        str | None, typer.Option(help="Number of rows (5000), fraction of all rows (0.01), or auto.")
    ] = None
    seed: Annotated[int | None, typer.Option(help="Seed of the pilot.")] = None
    missing: Annotated[str, typer.Option(help="raise, or drop: how to treat rows with missing values.")] = "raise"
    classify: Annotated[bool, typer.Option("--classify", help="Treat numbers in the response as class labels.")] = False


@dataclass(frozen=True)
class FitOptions(ModelOptions):
    """What only a fit asks for."""

    cov_type: Annotated[str, typer.Option(help="nonrobust, HC0, HC1, HC2, HC3, cluster or CRV3.")] = "nonrobust"
    alpha: Annotated[float | None, typer.Option(help="Penalty of --method elastic-net.")] = None
    l1_ratio: Annotated[float | None, typer.Option(help="1 for the lasso, 0 for ridge regression.")] = None
    penalty: Annotated[str | None, typer.Option(help="jeffreys, of --method mle: Firth's estimate.")] = None


@dataclass(frozen=True)
class RowOptions:
    """Columns that rows have next to those of the formula."""

    weights: Annotated[str | None, typer.Option(help="Column of weights.")] = None
    offset: Offset = None


@dataclass(frozen=True)
class ReadingOptions:
    """How files are read, where that is computed, and whether progress is shown."""

    sep: Annotated[
        str | None, typer.Option(help="Separator of CSV files, such as ';' or '\\t'; by default the suffix's.")
    ] = None
    encoding: Annotated[str, typer.Option(help="Encoding of CSV files, such as latin-1.")] = "utf-8"
    na_values: Annotated[
        list[str] | None, typer.Option(help="Code for a missing value in CSV files, such as -999; may be repeated.")
    ] = None

    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")] = None
    workers: Annotated[
        int | None, typer.Option(help="Number of local worker processes; by default threads are used.", min=1)
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show progress.")] = False

    def open(self, files: list[str]) -> FileTable:
        """Return the table that files hold."""
        sep = {"\\t": "\t", "tab": "\t"}.get(self.sep, self.sep) if self.sep is not None else None
        if sep is not None and len(sep) != 1:
            raise ValueError(f"--sep {sep!r} must be one character.")
        return open_table(files, CsvFormat(sep, self.encoding, tuple(self.na_values or ())))


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has each field of the dataclasses among its parameters as an option."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = []
    for name, parameter in signature(command).parameters.items():
        each = signature(groups[name]).parameters.values() if name in groups else (parameter,)
        kinds = get_type_hints(groups[name], include_extras=True) if name in groups else hints
        parameters += [one.replace(kind=one.KEYWORD_ONLY, annotation=kinds[one.name]) for one in each]

    @wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
