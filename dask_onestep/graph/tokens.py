"""Tokens of models, which name the tasks of every pass."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dask.base import normalize_token
from dask.tokenize import tokenize

from dask_onestep.kernels.designs.design import Design
from dask_onestep.kernels.model import Model


def register_tokens() -> None:
    """Tell Dask to compute the token of a model or design once: with thousands of levels that takes milliseconds.

    Examples
    --------
    >>> from dask.tokenize import tokenize
    >>> from dask_onestep.families import Poisson
    >>> from dask_onestep.graph.tokens import register_tokens
    >>> from dask_onestep.kernels.likelihood.one_predictor import OnePredictor
    >>> from dask_onestep.kernels.model import Model
    >>> from dask_onestep.links import resolve_link
    >>> register_tokens()
    >>> models = [Model(OnePredictor(Poisson(), resolve_link("log")), (name,)) for name in ("x0", "x0", "x1")]
    >>> [tokenize(model) == tokenize(models[0]) for model in models]
    [True, True, False]
    """
    for kind in (Model, Design):
        normalize_token.register(kind, _token)


def _token(value: Any) -> str:
    known: dict[str, Any] = value.__dict__
    if "_token" not in known:  # of a frozen object, whose other attributes are its fields
        known["_token"] = tokenize(type(value), [getattr(value, field.name) for field in fields(value)])
    return known["_token"]
