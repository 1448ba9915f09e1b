"""How a message of the catalogue becomes text, for readers of Python and of the command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from string import Formatter
from typing import Any

from dask_onestep import exceptions

# Options of the command line by parameter.
_SAME = ("classify", "comparison", "cov_type", "family", "groups", "link", "method", "missing", "offset", "overwrite")
_OPTIONS = {
    **{name: f"--{name.replace('_', '-')}" for name in (*_SAME, "pilot_size", "trust_pickle")},
    "random_state": "--seed",
    "sample_weight": "--weights",
}
# A warning as fits store it, category and text; and several.
Remark = tuple[type[Warning], str]
Remarks = tuple[Remark, ...]
# Lengths to which lists and strings are cut in a text; the facts of the text are complete.
_LONGEST_LIST, _LONGEST_STRING = 120, 240


@dataclass(frozen=True, slots=True)
class Remedy:
    """An option that a message names, in Python ``steps='auto'`` and on the command line ``--method one-step``.

    Attributes
    ----------
    option : str
        The parameter.
    value : object
        Its value; None if only the parameter is named.
    python, command : str
        What to write instead of the option and its value; facts of the message in braces are filled in.

    Examples
    --------
    >>> from dask_onestep.messages.text import Remedy
    >>> remedy = Remedy("pilot_size", "auto")
    >>> remedy.in_python(), remedy.on_command_line()
    ("pilot_size='auto'", '--pilot-size auto')
    >>> Remedy("solver", "qr").on_command_line()
    "solver='qr' (in Python)"
    """

    option: str
    value: Any = None
    python: str = ""
    command: str = ""

    def in_python(self, **facts: Any) -> str:
        """Return the option as a keyword argument."""
        if self.python:
            return self.python.format(**facts)
        return self.option if self.value is None else f"{self.option}={self.value!r}"

    def on_command_line(self, **facts: Any) -> str:
        """Return the option as a user types it."""
        if self.command:
            return self.command.format(**facts)
        if self.option not in _OPTIONS:
            return f"{self.in_python(**facts)} (in Python)"
        value = "" if self.value is None or self.value is True else f" {shlex.quote(str(self.value))}"
        return f"{_OPTIONS[self.option]}{value}"


class MessageText(str):
    """The text of a message in Python, with the text on the command line and the facts in full.

    Attributes
    ----------
    command_line : str
        The text with options as they are typed.
    template : str
        The message before its facts were filled in, by which messages of one kind are recognized.
    facts : dict
        The numbers and names in the text; lists are complete.
    remedies : tuple of Remedy
        The options that the text suggests.

    Examples
    --------
    >>> from dask_onestep.messages import catalogue
    >>> text = catalogue.SMALL_PILOT.text(n=40, rank=5)
    >>> text.facts["n"], text.remedies[0].value, "--pilot-size auto" in text.command_line
    (40, 'auto', True)
    """

    command_line: str
    template: str
    facts: Mapping[str, Any]
    remedies: tuple[Remedy, ...]

    def __new__(
        cls,
        text: str,
        command_line: str = "",
        template: str = "",
        facts: Mapping[str, Any] | None = None,
        remedies: tuple[Remedy, ...] = (),
    ) -> MessageText:
        """Return a text with what it was made from."""
        self = super().__new__(cls, text)
        self.command_line = command_line or text
        self.template = template
        self.facts = dict(facts or {})
        self.remedies = remedies
        return self


@dataclass(frozen=True)
class Message:
    """What happened, what it means for the result, and what to do, with places for facts and remedies.

    Attributes
    ----------
    kind : type of Exception, or str
        The category of the warning, or the type of the error; of a note that is only shown, `FitWarning`.  A name in
        `dask_onestep.exceptions` is looked up when the message is used.
    event, meaning, action : str
        The three parts; ``{n:,}`` is a fact, ``{0}`` the first of the remedies, and ``{distance:se}`` a number of
        standard errors.
    remedies : tuple of Remedy
        Options that the text names.
    example : dict
        Facts as they may be, for the documentation and tests.
    """

    kind: type[Exception] | str
    event: str
    meaning: str
    action: str
    remedies: tuple[Remedy, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def category(self) -> type[Exception]:
        """The category of the warning, or the type of the error."""
        return getattr(exceptions, self.kind) if isinstance(self.kind, str) else self.kind

    @property
    def template(self) -> str:
        """The three parts, without facts."""
        return f"{self.event} {self.meaning} {self.action}"

    def text(self, **facts: Any) -> MessageText:
        """Return the text with facts filled in."""
        return _filled(self.template, self.remedies, facts)

    def warning(self, **facts: Any) -> tuple[type[Any], MessageText]:
        """Return category and text, as `Estimate.warnings` has them."""
        return self.category, self.text(**facts)

    def error(self, **facts: Any) -> Exception:
        """Return the exception to raise."""
        return self.category(self.text(**facts))

    def made(self, text: str) -> bool:
        """Return whether a text is of this message."""
        return getattr(text, "template", None) == self.template


def instruction(text: str, *remedies: Remedy, **facts: Any) -> MessageText:
    """Return what to do, as part of a message that is put together elsewhere."""
    return _filled(text, remedies, facts)


def joined(texts: Iterable[str]) -> MessageText:
    """Return several texts as one."""
    texts = [text for text in texts if text]
    remedies = tuple(remedy for text in texts for remedy in getattr(text, "remedies", ()))
    return MessageText(" ".join(texts), " ".join(map(on_command_line, texts)), remedies=remedies)


def text_of(error: BaseException) -> str:
    """Return the text of an exception, in both wordings if it has them."""
    return error.args[0] if error.args and isinstance(error.args[0], MessageText) else str(error)


def on_command_line(text: str) -> str:
    """Return a text as the command line shows it."""
    return getattr(text, "command_line", text)


def with_pointer(category: type[Warning], text: str) -> MessageText:
    """Return the text of a warning followed by a call of `help` that explains its category.

    Examples
    --------
    >>> from dask_onestep.exceptions import AliasingWarning
    >>> from dask_onestep.messages.text import with_pointer
    >>> with_pointer(AliasingWarning, "Coefficients of aliased columns are set to NaN: x2.")
    'Coefficients of aliased columns are set to NaN: x2. (Docs: help(dask_onestep.exceptions.AliasingWarning))'
    """
    documented = getattr(category, "anchor", "")
    pointer = f" (Docs: help({category.__module__}.{category.__name__}))" if documented else ""
    made = text if isinstance(text, MessageText) else MessageText(text)
    return MessageText(f"{text}{pointer}", f"{made.command_line}{pointer}", made.template, made.facts, made.remedies)


def _filled(template: str, remedies: tuple[Remedy, ...], facts: Mapping[str, Any]) -> MessageText:
    python, command = (
        _Filler(show, facts).vformat(template, remedies, facts) for show in (Remedy.in_python, Remedy.on_command_line)
    )
    return MessageText(python, command, template, facts, remedies)


class _Filler(Formatter):
    """A formatter that shows remedies to one kind of reader, and cuts long lists and strings."""

    def __init__(self, show: Callable[..., str], facts: Mapping[str, Any]):
        self.show, self.facts = show, facts

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Remedy):
            return self.show(value, **self.facts)
        if isinstance(value, (list, tuple)):
            return _cut(list(map(str, value)))
        if format_spec == "se":
            return f"{self.format_field(value, '.2g')} standard errors" if isfinite(value) else "arbitrarily far"
        if isinstance(value, str) and not format_spec and len(value) > _LONGEST_STRING:
            return f"{value[:_LONGEST_STRING]}…"
        text = str(super().format_field(value, format_spec))
        return f"{float(text):,.0f}" if isinstance(value, float) and "e+0" in text else text


def _cut(names: list[str]) -> str:
    """Return as many names as a message has room for, at least one, and how many more there are."""
    names = [name if len(name) <= _LONGEST_LIST else f"{name[:_LONGEST_LIST]}…" for name in names]
    separator = "; " if any(" " in name for name in names) else ", "
    shown = list(names)
    while len(shown) > 1 and len(separator.join(shown)) > _LONGEST_LIST:
        shown = shown[:-1]
    more = len(names) - len(shown)
    return separator.join(shown) + (f" and {more} more" if more else "")
