"""Tables as a terminal shows them."""

from __future__ import annotations

import pandas as pd
from rich.console import Console
from rich.table import Table as Printed

__all__ = ["show"]

_TITLES = {
    1: "ARMSE, logistic regression",
    2: "ARMSE, Poisson regression",
    3: "Rejections of β₂ = 0 at 5 %, logistic regression",
    4: "Rejections of β₂ = 0 at 5 %, Poisson regression",
}


def show(rows: pd.DataFrame, console: Console | None = None) -> None:
    """Print the rows of one table and one N."""
    first = rows.iloc[0]
    title = f"Table {first['table']}. {_TITLES[first['table']]}; N = {first['N']:,}, B = {first['B']}"
    printed = Printed(title=title, caption="± is the Monte Carlo standard error")
    tests = "hypothesis" in rows
    heads = [*(["hypothesis"] if tests else []), "estimator", "layout", "K", "p", "value", "±"]
    heads += ["failed"] if tests else ["ratio to global", "±", "failed"]
    for head in heads:
        printed.add_column(head, justify="left" if head in ("hypothesis", "estimator", "layout") else "right")
    for row in rows.to_dict("records"):
        share = f"{row['p']:.0%}" if row["p"] else ""
        cells = [row["estimator"], row["layout"], str(row["K"]), share, _number(row, "value"), _number(row, "error")]
        if tests:
            cells = [row["hypothesis"], *cells, str(row["failed"])]
        else:
            cells += [_number(row, "ratio"), _number(row, "ratio_error"), str(row["failed"])]
        printed.add_row(*cells)
    (console or Console()).print(printed)


def _number(row: dict, name: str) -> str:
    value = row.get(name)
    return "" if value is None or pd.isna(value) else f"{value:.4f}"
