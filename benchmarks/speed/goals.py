"""What is wanted of the times, compared with what they are."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from benchmarks.speed.libraries import MLE, YARDSTICK
from benchmarks.speed.report import summarize

__all__ = ["FLOORS", "GOALS", "Goal", "against_goals"]

_PLAIN = "OneStep, without accelerate"
_PASS = "a full pass in plain threads"
# What a fit cannot be faster than: its tasks in Dask's threads, the same without Dask, and only one pass.
_FLOORS = {
    YARDSTICK: {
        "in bare graphs": "OneStep in bare graphs",
        "in plain threads": "OneStep in plain threads",
        "only one pass": _PASS,
    },
    _PLAIN: {
        "in plain threads": "OneStep in plain threads, without accelerate",
        "only one pass": f"{_PASS}, without accelerate",
    },
}
FLOORS = tuple(_FLOORS[YARDSTICK])


@dataclass(frozen=True)
class Goal:
    """How many times the time of `denominator` that of `numerator` is to be, at `least` or at `most`.

    Of several denominators the fastest counts whose distance to the MLE is not above the numerator's.
    """

    numerator: str
    denominator: str | tuple[str, ...]
    least: float | None = None
    most: float | None = None
    problem: str = "logistic-20"

    def measured(self, times: pd.DataFrame) -> float:
        """Return the ratio, from the summary of this problem by library; NaN where one was not measured."""
        if self.numerator not in times.index:
            return float("nan")
        whose = times.loc[self.numerator]
        if isinstance(self.denominator, str):
            others = times[times.index == self.denominator]
        else:
            others = times[times.index.isin(self.denominator) & (times["distance"] <= whose["distance"])]
        return float(whose["times"] / others["times"].min())

    def at_floor(self, times: pd.DataFrame, floor: str) -> float:
        """Return the ratio if one-step took no longer than one of its floors; NaN where that was not measured."""
        reached = _FLOORS.get(str(self.denominator), {}).get(floor)
        if not {self.numerator, reached} <= set(times.index):
            return float("nan")
        return float(times.at[self.numerator, "times"] / times.at[reached, "times"])

    def met(self, ratio: float) -> str:
        if pd.isna(ratio):
            return "not measured"
        return "yes" if ratio >= (self.least or 0.0) and ratio <= (self.most or float("inf")) else "no"


GOALS = (
    *(Goal("scikit-learn lbfgs", ours, least=least) for ours, least in ((YARDSTICK, 8.0), (_PLAIN, 5.0))),
    *(
        Goal(peer, ours, least=least)
        for peer in ("scikit-learn newton-cholesky", "glum", "dask-ml newton")
        for ours, least in ((YARDSTICK, 15.0), (_PLAIN, 10.0))
    ),
    Goal("Spark LogisticRegression", YARDSTICK, least=35.0),
    Goal("Spark GLR", YARDSTICK, least=35.0),
    Goal("H2O GLM", YARDSTICK, least=15.0),
    Goal("statsmodels GLM", YARDSTICK, least=80.0),
    Goal("statsmodels DistributedModel", YARDSTICK, least=80.0),
    Goal(
        "scikit-learn lbfgs",
        (YARDSTICK, "OneStep(steps=2)", MLE, "Surrogate(anchor='pilot')", "Surrogate(anchor='pilot', rounds=2)"),
        least=4.0,
        problem="logistic-100",
    ),
    Goal("scikit-learn newton-cholesky", MLE, least=4.0),
    Goal("glum", MLE, least=4.0),
    Goal(_PASS, "X'X in plain threads", most=1.5),
    Goal(_PASS, "reading in plain threads", most=3.0),
    Goal(f"{_PASS}, without accelerate", "X'X in plain threads", most=2.3),
    *(Goal(ours, "OneStep in plain threads", most=1.1) for ours in (YARDSTICK, "OneStep in bare graphs")),
)


def against_goals(fits: pd.DataFrame) -> pd.DataFrame:
    """Return each goal of measured problems, its measurement, and the value at our lower bounds."""
    table, lines = summarize(fits), []
    for goal in GOALS:
        for n, rows in table[table["problem"] == goal.problem].groupby("n_samples"):
            times = rows.set_index("library")
            ratio = goal.measured(times)
            ours = goal.denominator if isinstance(goal.denominator, str) else "any of ours as near the MLE"
            wanted = f"≥ {goal.least:g}" if goal.least is not None else f"≤ {goal.most:g}"
            about = {"problem": goal.problem, "rows": n, "ratio": f"{goal.numerator} / {ours}"}
            found = {"goal": wanted, "measured": ratio, "met": goal.met(ratio)}
            lines.append(about | found | {floor: goal.at_floor(times, floor) for floor in FLOORS})
    return pd.DataFrame(lines)
