"""The part of JSON Schema that ``model.schema.json`` is written in, to check a record before it is used."""

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

# Digits of an integer: more are beyond any double.
_MOST_DIGITS = 300
# json makes no other types, so that True is no number.
_TYPES: Mapping[str, set[type]] = {
    "array": {list},
    "boolean": {bool},
    "integer": {int},
    "null": {type(None)},
    "number": {int, float},
    "object": {dict},
    "string": {str},
}


def parse_json(text: str) -> Any:
    """Return the values of a JSON text; numbers that no double can hold are refused.

    Examples
    --------
    >>> from dask_onestep.storage.schema import parse_json
    >>> parse_json("[1, 2.5, null]")
    [1, 2.5, None]
    >>> parse_json("[1e999]")
    Traceback (most recent call last):
    ...
    ValueError: the number 1e999 is too large
    """
    return json.loads(text, parse_float=_finite, parse_int=_bounded, parse_constant=_refused)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)


def _bounded(text: str) -> int:
    return int(text) if len(text) <= _MOST_DIGITS else _refused(text)


def _refused(text: str) -> Any:
    raise ValueError(f"the number {text[:20]}{'…' if len(text) > 20 else ''} is too large")


def check_record(record: Any) -> None:
    """Raise if a record is not as the schema of models says.

    Examples
    --------
    >>> from dask_onestep.storage.schema import check_record
    >>> check_record({"schema": "dask_onestep.model/1", "family": 3})
    Traceback (most recent call last):
    ...
    ValueError: 'link' is missing
    """
    _check(record, _schema(), "the record")


@cache
def _schema() -> Any:
    return json.loads(files("dask_onestep").joinpath("model.schema.json").read_text(encoding="utf-8"))


def _check(value: Any, schema: Mapping[str, Any], where: str) -> None:
    expected = _types(schema)
    if expected and type(value) not in _allowed(expected):
        raise ValueError(f"{where} is {_described(value)}, and not {' or '.join(expected)}")
    if "const" in schema and value != schema["const"]:
        raise ValueError(f"{where} is {_described(value)}, and not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise ValueError(f"{where} is {_described(value)}, and none of {', '.join(map(repr, schema['enum']))}")
    if isinstance(value, dict):
        _check_object(value, schema, where)
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", math.inf):
            raise ValueError(f"{where} has {len(value):,} items, more than {schema['maxItems']:,}")
        items = schema.get("items", {})
        if set(items) - {"type"} or not set(map(type, value)) <= _allowed(_types(items)):
            for number, item in enumerate(value):
                _check(item, items, f"{where}[{number}]")
    if isinstance(value, str) and len(value) > schema.get("maxLength", math.inf):
        raise ValueError(f"{where} has {len(value):,} characters, more than {schema['maxLength']:,}")
    if isinstance(value, (int, float)) and value < schema.get("minimum", -math.inf):
        raise ValueError(f"{where} is {value}, less than {schema['minimum']}")
    if "oneOf" in schema and sum(_holds(value, each, where) for each in schema["oneOf"]) != 1:
        raise ValueError(f"{where} has not exactly one of the forms that it may have")


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    expected = schema.get("type", ())
    return (expected,) if isinstance(expected, str) else tuple(expected)


def _allowed(expected: tuple[str, ...]) -> set[type]:
    return set().union(*(_TYPES[kind] for kind in expected))


def _check_object(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> None:
    for name in schema.get("required", ()):
        if name not in value:
            raise ValueError(f"{name!r} is missing" + ("" if where == "the record" else f" in {where}"))
    for name, part in value.items():
        rule = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
        if rule is False:
            raise ValueError(f"{where} has {name!r}, which is unknown")
        if isinstance(rule, dict):
            _check(part, rule, repr(name) if where == "the record" else f"{where}.{name}")


def _holds(value: Any, schema: Mapping[str, Any], where: str) -> bool:
    try:
        _check(value, schema, where)
    except ValueError:
        return False
    return True


def _described(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
