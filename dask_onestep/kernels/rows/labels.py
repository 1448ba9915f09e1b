"""The labels of a classification: those of a block, and whether the model has as many classes as the full data."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from dask_onestep.kernels.designs.parts import Rows
from dask_onestep.kernels.records import Findings
from dask_onestep.messages.text import Remedy, instruction, joined

MAX_LABELS = 100
_FIRST = 128

_ONE_TYPE = "Convert them to one type, such as y.astype(str)."
_CURE = instruction(
    "For more than two classes use fit, the logit link, no offset, and {0}, {1} or {2}.",
    *(Remedy("method", name) for name in ("one-step", "mle", "pilot")),
)
_REGRESSOR = Remedy("classify", python="GLMRegressor", command="a --family of regressions, without --classify")


def block_labels(rows: Rows) -> np.ndarray | Findings:
    """Return the sorted labels of a block (the first hundred if there are more), or that they are not discrete."""
    try:
        labels = _distinct(rows.y)[: MAX_LABELS + 1]
    except TypeError:
        types = ", ".join(sorted({type(label).__name__ for label in rows.y.tolist()}))
        what = f"y has labels of mixed types, which cannot be sorted: {types}"
        return Findings(((what, 0, _ONE_TYPE),), (rows.number,))
    if labels.dtype == object and all(isinstance(label, Real) for label in labels):
        labels = np.array(labels.tolist())  # scikit-learn accepts object labels only if they are strings
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        example = labels[labels != np.floor(labels)][0]
        what = f"Unknown label type: continuous. y contains non-integer values (e.g. {example:g})"
        cure = instruction("A classifier requires labels; for a proportion or a count use {0}.", _REGRESSOR)
        return Findings(((what, 0, cure),), (rows.number,))
    return labels


def joined_labels(parts: Sequence[np.ndarray]) -> np.ndarray | Findings:
    """Return the sorted labels of several blocks (at most a hundred), or that numbers and strings cannot be sorted."""
    seen = [part for part in parts if len(part)] or list(parts[:1])
    try:
        if len({part.dtype.kind in "biuf" for part in seen}) > 1:
            raise TypeError("numbers and strings")
        return np.unique(np.concatenate(seen))[: MAX_LABELS + 1]
    except TypeError:
        types = ", ".join(sorted({type(label).__name__ for part in seen for label in part.tolist()}))
        what = f"y has labels of mixed types, which cannot be sorted: {types}"
        return Findings(((what, 0, _ONE_TYPE),), ())


def _distinct(y: np.ndarray) -> np.ndarray:
    """Return the sorted distinct values; the first rows usually contain all, and comparing is faster than sorting."""
    shown = np.unique(y[:_FIRST])
    others = y[_FIRST:]
    if 0 < len(shown) <= 4:
        known = np.logical_or.reduce([others == label for label in shown])
        others = others[:0] if known.all() else others[~known]
    return np.union1d(shown, others) if len(others) else shown


class MoreClassesError(ValueError):
    """y has more than two classes, and the model is not yet multinomial.

    Parameters
    ----------
    classes : ndarray of shape (C,)
        The sorted labels.
    cure : str
        Why a multinomial logit is not possible, and what to do.
    kept : object
        The rows that the pass has kept which found the classes, if any.
    """

    def __init__(self, classes: np.ndarray, cure: str = _CURE, kept: Any = None):
        what = instruction(
            "Only binary classification is supported here. The type of the target is multiclass: y has the labels "
            "{labels}.",
            labels=list(map(repr, classes.tolist())),
        )
        super().__init__(joined([what, cure]))
        self.classes = classes
        self.cure = cure
        self.kept = kept

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.classes, self.cure)


def check_classes(labels: np.ndarray | None, most: int = 2) -> np.ndarray | None:
    """Return the full data's labels if the model allows that many classes; None for a regression."""
    if labels is None:
        return None
    if len(labels) == 1:
        raise ValueError(
            f"y has one class only, {labels.tolist()[0]!r}: a classifier needs samples of two classes. Check that no "
            "filter dropped the others, and that y is the intended column."
        )
    if len(labels) > MAX_LABELS:
        text = "y has more than {most} distinct labels: too many distinct values for classification. Use {0}."
        raise ValueError(instruction(text, _REGRESSOR, most=MAX_LABELS))
    if len(labels) > most:
        raise MoreClassesError(labels)
    if labels.dtype.kind not in "biufU":  # `block_labels` has checked that numbers are integers
        from sklearn.utils.multiclass import check_classification_targets

        # Two show the type; more would look like a regression, each label occurring once.
        check_classification_targets(labels[:2])
    return labels
