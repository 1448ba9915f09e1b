"""The rules that every message of the catalogue follows."""

import ast
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dask_onestep
from dask_onestep import GLMRegressor, exceptions
from dask_onestep.cli.commands import app
from dask_onestep.exceptions import AliasingWarning, FitWarning
from dask_onestep.messages import catalogue
from dask_onestep.messages.catalogue import MESSAGES
from dask_onestep.messages.text import _OPTIONS, Remedy, joined, on_command_line

PACKAGE = Path(dask_onestep.__file__).parent
LONGEST = 600


def test_a_message_has_three_parts():
    for name, message in MESSAGES.items():
        parts = message.event, message.meaning, message.action
        assert all(part.strip() == part and part for part in parts), name
        assert message.action.endswith((".", "}")), name


def test_messages_have_different_texts():
    templates = {message.template: name for name, message in MESSAGES.items()}
    assert set(templates.values()) == set(MESSAGES)


def test_a_text_with_long_lists_and_names_is_short_and_its_facts_are_complete():
    for name, message in MESSAGES.items():
        long = {
            fact: [f"{value[0]}{number}" for number in range(500)] if isinstance(value, (list, tuple)) else value
            for fact, value in message.example.items()
        }
        text = message.text(**long)
        assert max(len(text), len(text.command_line)) <= LONGEST, name
        for fact, value in long.items():
            assert text.facts[fact] is value, (name, fact)
            assert not isinstance(value, list) or re.search(r" and \d+ more\b", text), (name, fact)


def test_each_remedy_of_a_message_is_in_its_text():
    for name, message in MESSAGES.items():
        text = message.text(**message.example)
        for remedy in message.remedies:
            assert remedy.in_python(**message.example) in text, (name, remedy)
            assert remedy.on_command_line(**message.example) in text.command_line, (name, remedy)
        assert "{" not in re.sub(r"X\[.*?\]|\{'.*?\}", "", text), name


def test_a_text_survives_pickling():
    for name, message in MESSAGES.items():
        text = message.text(**message.example)
        again = pickle.loads(pickle.dumps(text))
        assert (again, again.command_line, again.remedies) == (text, text.command_line, text.remedies), name
        assert message.made(again), name


def test_options_of_the_command_line_exist():
    known = set()
    for command in app.registered_commands:
        for default in command.callback.__annotations__.values():
            known |= set(re.findall(r"'(--[a-z-]+)'", str(default)))
        known |= {f"--{name.replace('_', '-')}" for name in command.callback.__annotations__}
    assert set(_OPTIONS.values()) <= known
    for message in MESSAGES.values():
        text = message.text(**message.example).command_line
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", text)) <= known, text


def test_warnings_are_made_from_the_catalogue_alone():
    categories = {name for name in exceptions.__all__ if name.endswith("Warning")}
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "messages" or path.name == "exceptions.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            pair = node.elts if isinstance(node, ast.Tuple) and len(node.elts) == 2 else ()
            first, second = (*pair, None, None)[:2]
            named = isinstance(first, ast.Name) and first.id in categories
            assert not (named and not (isinstance(second, ast.Name) and second.id in categories)), (
                f"{path}:{node.lineno}"
            )


def test_a_warning_carries_the_complete_list_of_names_and_its_remedies():
    x = np.random.default_rng(0).standard_normal((200, 2))
    names = [f"a_column_with_a_long_name_{number}" for number in range(30)]
    frame = pd.DataFrame({"x": x[:, 0]} | {name: x[:, 0] * (k + 2) for k, name in enumerate(names)})
    with pytest.warns(AliasingWarning, match=r" and \d+ more") as said:
        GLMRegressor(method="mle").fit(frame, x[:, 1])
    assert list(said[0].message.facts["names"]) == names
    assert len(str(said[0].message)) <= LONGEST + 100  # with where help is


def test_an_exception_without_a_message_of_the_catalogue_has_no_facts():
    assert (FitWarning("text").facts, FitWarning().facts, FitWarning("text").remedies) == ({}, {}, ())


def test_a_method_on_the_command_line_is_named():
    for name, message in MESSAGES.items():
        text = message.text(**message.example).command_line
        assert re.search(r"--method(?! [a-z])", text) is None, name


def test_texts_can_be_joined_and_keep_both_forms():
    one = catalogue.SMALL_PILOT.text(n=40, rank=5)
    both = joined([one, "", "And another."])
    assert both == f"{one} And another."
    assert on_command_line(both) == f"{one.command_line} And another."
    assert [remedy.option for remedy in both.remedies] == ["pilot_size"]


@pytest.mark.parametrize(
    ("remedy", "python", "command"),
    [
        (Remedy("method", "mle"), "method='mle'", "--method mle"),
        (Remedy("random_state", 3), "random_state=3", "--seed 3"),
        (Remedy("sample_weight"), "sample_weight", "--weights"),
        (Remedy("offset", "np.log(t)"), "offset='np.log(t)'", "--offset 'np.log(t)'"),
        (Remedy("overwrite", True), "overwrite=True", "--overwrite"),
        (Remedy("solver", "qr"), "solver='qr'", "solver='qr' (in Python)"),
    ],
)
def test_a_remedy_reads_as_it_is_typed(remedy, python, command):
    assert (remedy.in_python(), remedy.on_command_line()) == (python, command)


def test_an_unbounded_distance_is_said_in_words():
    near, far = (catalogue.STEPS_NOT_CONVERGED.text(n_steps=25, decrement=4.0, distance=d) for d in (1.5, np.inf))
    assert "may be 1.5 standard errors from the MLE" in near
    assert "may be arbitrarily far from the MLE" in far


def test_large_numbers_are_written_out():
    text = catalogue.STEPS_NOT_CONVERGED.text(n_steps=25, decrement=14_821.0, distance=123.4)
    assert "(Newton decrement 14,800) and may be 120 standard errors from the MLE" in text
    assert "range, 1,000,000:" in catalogue.ALPHA_AT_UPPER_BOUNDARY.text(alpha=1e6)


def test_a_distance_beyond_its_bound_is_reported_with_a_decrement_within_its_own():
    said = {"decrement": 0.017, "bound": 0.05, "distance": 0.41, "within": 0.1, "n": 500}
    text = catalogue.FAR_FROM_MLE.text(**said)
    assert "decrement is 0.017 (expected at most 0.05)" in text
    assert "may be 0.41 standard errors from the MLE (expected at most 0.1)" in text
