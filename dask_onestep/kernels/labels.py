"""The labels of a classification: what a block shows, and whether the whole has two classes."""

from __future__ import annotations

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows import Rows

__all__ = ["MAX_LABELS", "block_labels", "two_classes"]

MAX_LABELS = 100


def block_labels(rows: Rows) -> np.ndarray | Findings:
    """Return the labels of a block, sorted; the first hundred, where there are more.

    Parameters
    ----------
    rows : Rows
        The block, labels not yet encoded.

    Returns
    -------
    ndarray or Findings
        The labels, or that they are numbers that are not class-like.
    """
    labels = np.unique(rows.y)[: MAX_LABELS + 1]
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        what = f"Unknown label type: continuous. y has the value {labels[labels != np.floor(labels)][0]!r}"
        cure = "A classifier takes labels; for a proportion or a count use GLMRegressor."
        return Findings(((what, 0, cure),), (rows.number,))
    return labels


def two_classes(labels: np.ndarray | None) -> np.ndarray | None:
    """Return the labels of the whole if they are two classes; None for a regression.

    Parameters
    ----------
    labels : ndarray or None
        The labels seen, sorted.

    Returns
    -------
    ndarray of shape (2,) or None
        The classes.

    Raises
    ------
    ValueError
        If there are other than two.
    """
    if labels is None:
        return None
    check_classification_targets(labels)
    if len(labels) == 1:
        raise ValueError(f"y has one class only, {labels[0]!r}: a classifier needs samples of two classes.")
    if len(labels) > 2:
        shown = ", ".join(repr(label) for label in labels[:5].tolist())
        raise ValueError(
            "Only binary classification is supported. The type of the target is multiclass: "
            f"y has the labels {shown}{', …' if len(labels) > 5 else ''}."
        )
    return labels
