"""What the command line writes: results on stdout; warnings and errors, a line each, on stderr."""

import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import typer
from distributed import KilledWorker
from distributed.comm import CommClosedError
from pyarrow import ArrowException
from rich.console import Console
from rich.markup import escape

from dask_onestep.choices import listed
from dask_onestep.data.files import PLAIN_CSV, FileTable
from dask_onestep.inference.summaries import format_effects
from dask_onestep.messages import catalogue
from dask_onestep.messages.text import on_command_line, text_of
from dask_onestep.storage.table_files import unlike_file

# What the library, and what reads files, raise of data and models that cannot be used.  Anything else is a
# fault of the package and keeps its traceback.
_MISTAKES = (ValueError, OSError, ImportError, ArrowException)
# How Dask, pandas and this package begin their errors about a file that differs from the first.
_OTHER_VALUES = "Mismatched dtypes found"
_UNLIKE = (_OTHER_VALUES, "Usecols do not match columns", "Blocks differ")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print a user's mistake on one line, and exit with code 1."""
    try:
        yield
    except KilledWorker as error:
        _say(
            "error",
            f"workers died, probably because they ran out of memory; start fewer with --workers. {_one_line(error)}",
        )
        raise typer.Exit(1) from error
    except (CommClosedError, CancelledError) as error:
        _say("error", f"the connection to the scheduler was lost, or it cancelled the computation: {_one_line(error)}")
        raise typer.Exit(1) from error
    except _MISTAKES as error:
        _say("error", _one_line(error))
        raise typer.Exit(1) from error
    except typer.Exit:
        raise
    except Exception as error:
        error.add_note("This is a bug in dask_onestep: please report it with this traceback.")
        raise


@contextmanager
def same_columns(table: FileTable, files: Sequence[str], columns: Sequence[str]) -> Iterator[None]:
    """Explain an error by the file that lacks a column, or has other values in it, if there is one."""
    try:
        yield
    except Exception as error:
        of_files = (
            isinstance(error, ArrowException)
            or str(error).startswith(_UNLIKE)
            or any(name not in table.columns for name in columns)
        )
        if isinstance(error, _MISTAKES) and not of_files:
            raise
        if (unlike := unlike_file(files, columns, getattr(table, "format", PLAIN_CSV))) is None:
            raise
        raise catalogue.UNLIKE_FILE.error(what=unlike) from error


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print each warning once, on one line of stderr; stdout has only the result."""
    said: set[str] = set()

    def say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, UserWarning) and str(message) not in said:
            said.add(str(message))
            show_warning(on_command_line(text_of(message) if isinstance(message, Warning) else message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        yield


def show_model(glm: Any, level: float) -> None:
    """Print a fitted model's summary, without what differs from run to run and warnings, which stderr has."""
    summary = glm.summary(level=level)
    facts = tuple((name, value) for name, value in summary.facts if name != "time")
    typer.echo(replace(summary, facts=facts, notes=()).to_text())
    # Warnings of the fit have been shown; these are of the table.
    for note in summary.notes[len(glm.record_.notes) :]:
        show_note(on_command_line(note))


def show_effects(table: pd.DataFrame, level: float) -> None:
    """Print a table of average effects, names on the left and numbers aligned."""
    lines = format_effects(table, level)
    _show_columns(lines, len(lines[0]) - 6)


def show_comparison(table: pd.DataFrame) -> None:
    """Print models next to each other, without columns that are unknown for all, and remarks on stderr."""
    formats = {"n": "{:,.0f}", "df": "{:.0f}", "lr_df": "{:.0f}", "lr_statistic": "{:.4g}", "p_value": "{:.2g}"}
    shown = table.drop(columns="note").dropna(axis=1, how="all")
    heads = list(map(str, shown.columns))
    cells = [
        ["" if np.isnan(value) else formats.get(name, "{:,.2f}").format(value) for value in values]
        for name, values in zip(heads, shown.to_numpy(dtype=float).T, strict=True)
    ]
    _show_columns([("model", *heads), *zip(map(str, shown.index), *cells, strict=True)], 1)
    for name, note in table["note"].items():
        if note:
            show_note(f"{name}: {note}")


def _show_columns(lines: Sequence[tuple[str, ...]], n_left: int) -> None:
    """Print lines of cells, the first columns aligned on the left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<"] * n_left + [">"] * (len(widths) - n_left)
    for line in lines:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def show_text(text: str) -> None:
    """Print a result."""
    Console(highlight=False, soft_wrap=True).print(escape(text))


def show_warning(text: str) -> None:
    """Print a warning on one line."""
    _say("warning", " ".join(text.split()))


def show_note(text: str) -> None:
    """Say in a line what a reader should know besides."""
    _say("note", " ".join(text.split()))


def show_classes(glm: Any) -> None:
    """Print on one line that a model has more than two classes."""
    classes = glm.classes_.tolist()
    show_note(
        f"{glm.record_.inputs.response} has {len(classes)} classes, {listed(classes)}: the model is a multinomial "
        f"logit, with the log odds of each class relative to {classes[0]!r}."
    )


def _say(kind: str, text: str) -> None:
    color = {"error": "red", "warning": "yellow", "note": "blue"}[kind]
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[{color}]{kind}:[/] {escape(text)}")


def _one_line(error: BaseException) -> str:
    text = on_command_line(text_of(error)) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"  # without [Errno 2]
    if isinstance(error, UnicodeDecodeError):
        text = f"a CSV file is not of {error.encoding} text: pass --encoding, such as latin-1."
    if text.startswith(_OTHER_VALUES):
        text = _mismatch(text)
    if "support range requests" in text:
        text = (
            "the server does not support range requests. Put simplecache:: before the URL to download complete files."
        )
    return " ".join(text.split())


def _mismatch(text: str) -> str:
    """Return Dask's error about a CSV column without its remedy, an argument of a reader that is not called here."""
    rows = re.findall(r"^\|\s*(.+?)\s*\|\s*(.+?)\s*\|\s*(.+?)\s*\|$", text, re.MULTILINE)[1:]
    reasons = re.findall(r"could not convert.*: '.*'", text)
    found = ", ".join(f"column {name} has type {found}, but its first rows have {head}" for name, found, head in rows)
    return (
        f"of a CSV file, {'; '.join([found, *reasons])}. A column that begins with numbers must contain only numbers "
        "or missing values: fix the file."
    )
