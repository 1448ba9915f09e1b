"""The grammar of a formula's expressions: a formula is data, not code.

The grammar contains names of columns, numbers, arithmetic, comparisons, and calls of the functions listed here, each of
which is computed row by row or has a state that was computed beforehand. An expression cannot access an attribute, call
anything else, write into a column, or create numbers larger than a formula needs; so a formula from a command line or a
file is safe.
"""

import ast
import re
from keyword import iskeyword
from threading import RLock
from typing import Any

import numpy as np

# If two threads use Python 3.11's parser at once, it can raise "SystemError: AST constructor recursion depth mismatch";
# formulaic parses its terms for every block.
PARSING = RLock()

STATEFUL = ("bs", "cc", "center", "cr", "cs", "poly", "scale", "standardize")
FUNCTIONS: dict[str, Any] = {name: getattr(np, name) for name in ("log", "log2", "log10", "exp", "exp2")} | {
    "I": np.asarray
}
OFFSET, EXPOSURE = "offset", "exposure"
# patsy's codings of a category, with formulaic's names.
CODINGS = {"Treatment": "treatment", "Sum": "sum", "Helmert": "helmert", "Diff": "diff", "Poly": "poly"}
_CODINGS = tuple(CODINGS.values())
# Notation of R and other packages, and the equivalent here.
_OURS = {
    **dict.fromkeys(("factor", "as_factor", "as_categorical", "categorical", "ordered"), "C(g) makes a category"),
    "relevel": "C(g, Treatment('b')) sets the reference level",
    "cbind": "pass the proportion s / (s + f) as y and sample_weight= the number of trials, s + f",
    "strata": "C(g) makes a category",
    **dict.fromkeys(("ifelse", "where"), "a comparison counts as 0 and 1, as in I(x > 0)"),
    **dict.fromkeys(("pow", "power"), "a power is **, as in I(x**2)"),
    **dict.fromkeys(("ns", "s", "te"), "natural splines are cr(x, df=4), B-splines bs(x, df=4)"),
    **dict.fromkeys(("Q", "q"), "put names of columns that are not identifiers in backticks"),
}
# No shift, whose result can have any size, and no `@`, which sums over the rows of a block.
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.BitXor)
_GRAMMAR = (
    *(ast.Expression, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp),
    *(*_OPERATORS, ast.unaryop, ast.cmpop, ast.boolop, ast.Call, ast.keyword, ast.List, ast.Tuple, ast.Attribute),
)
_CONSTANTS = (bool, int, float, str, type(None))
_LARGEST_EXPONENT = 64
# Transforms of several columns, and their arguments after the first.
_SPLINES = {"bs": ("df", "knots", "degree"), "poly": ("degree",), **dict.fromkeys(("cc", "cr", "cs"), ("df", "knots"))}
_LARGEST = {"df": 200, "degree": 25}
_MOST_KNOTS = 200
_LONGEST = 1000
# Text, which is unchanged, or a name in backticks; and the identifier that replaces such a name in a syntax tree.
_QUOTED = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|`([^`]*)`""")
_IDENTIFIER = re.compile(r"\b_quoted_((?:[0-9a-f]{2})*)_\b")


_ALLOWED = (
    f"Allowed are {', '.join(sorted([*FUNCTIONS, *STATEFUL, 'C', OFFSET, EXPOSURE]))}, and np.<function of each row>, "
    "since blocks are evaluated one by one; prepare anything else as a column."
)


def checked(source: str, name: str) -> ast.Expression:
    """Return the syntax tree of an expression, to be compiled; `name` is used in errors."""
    if len(source) > _LONGEST:
        raise ValueError(f"A term of the formula, {source[:40]!r}…, is longer than {_LONGEST} characters.")
    try:
        tree = _parsed(source)
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"{name!r} in the formula cannot be read: {error.args[0]}. Names of columns that are not identifiers are "
            "put in backticks, as in log(`residual sugar`); as.factor(g) is written C(g)."
        ) from error
    except (MemoryError, RecursionError) as error:
        raise ValueError(f"{name[:40]!r}… in the formula is nested too deeply to be read.") from error
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, _GRAMMAR):
            raise ValueError(f"{name!r} in the formula: {type(node).__name__} is not allowed.")
        if isinstance(node, ast.Attribute):
            _check_attribute(node, name, is_called=id(node) in functions)
        elif isinstance(node, ast.Call):
            _check_call(node, name, tree.body)
        elif isinstance(node, ast.BinOp):
            _check_arithmetic(node, name)
        elif isinstance(node, (ast.UnaryOp, ast.BoolOp, ast.Compare)):
            _check_condition(node, name)
        elif isinstance(node, ast.Constant):
            _check_constant(node, name)
    return tree


def called(node: ast.AST) -> str | None:
    """Return the name of the function that a node calls, or None."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def _parsed(source: str) -> ast.Expression:
    """Return a syntax tree in which identifiers replace the names in backticks."""

    def identifier(match: re.Match[str]) -> str:
        text, column = match.groups()
        if text is not None:
            return str(text)
        plain = column.isidentifier() and not iskeyword(column)
        return column if plain else f"_quoted_{column.encode().hex()}_"

    with PARSING:
        return ast.parse(_QUOTED.sub(identifier, source), mode="eval")


def column_of(identifier: str) -> str:
    """Return the column that a name in a syntax tree stands for."""
    match = _IDENTIFIER.fullmatch(identifier)
    return bytes.fromhex(match[1]).decode() if match else identifier


def written(node: ast.AST) -> str:
    """Return an expression's text, with backticks around names that are not identifiers."""
    return _IDENTIFIER.sub(lambda match: f"`{column_of(match[0])}`", ast.unparse(node))


def is_condition(node: ast.AST) -> bool:
    """Return whether an expression is a comparison, or comparisons joined by ``&``, ``|`` and ``~``."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (ast.BitAnd, ast.BitOr))
    return isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert))


def columns_read(body: ast.AST) -> tuple[str, ...]:
    """Return the names in an expression that are neither functions nor modules."""
    functions = {id(node.func) for node in ast.walk(body) if isinstance(node, ast.Call)}
    modules = {id(node.value) for node in ast.walk(body) if isinstance(node, ast.Attribute)}
    names = [node for node in ast.walk(body) if isinstance(node, ast.Name)]
    return tuple(dict.fromkeys(column_of(node.id) for node in names if id(node) not in functions | modules))


def columns_made(source: str) -> int:
    """Return the approximate number of columns that an expression's splines and polynomials have; 1 without any."""
    calls = [node for node in ast.walk(_parsed(source)) if called(node) in _SPLINES]
    return max([1, *map(_width, calls)])


def _width(call: Any) -> int:
    given = {option: value for option, value in _options(call) if not _is_none(value)}
    if "df" in given:
        return int(ast.literal_eval(given["df"]))
    degree = int(ast.literal_eval(given["degree"])) if "degree" in given else 3
    return degree + (_constants(given["knots"]) if "knots" in given else 0)


def _check_attribute(node: ast.Attribute, name: str, *, is_called: bool) -> None:
    module = node.value.id if isinstance(node.value, ast.Name) else None
    if module == "contr" and node.attr in _CODINGS:
        return
    if module == "np" and is_called and _of_each_row(getattr(np, node.attr, None)):
        return
    if module == "np" or is_called:
        raise ValueError(f"{name!r} in the formula: {written(node)} is not allowed{_hint(node.attr)}. {_ALLOWED}")
    raise ValueError(
        f"{name!r} in the formula: {written(node)} is not allowed. If it is a column's name, put it in backticks, as "
        f"in log(`{written(node)}`)."
    )


def _hint(function: str) -> str:
    """Return how to write a function of R or Python that the formula does not know by this name."""
    if function in _OURS:
        return f": {_OURS[function]}"
    own = {"abs": "abs", "log1p": "log1p", "round": "rint", "max": "maximum", "min": "minimum"}.get(function, function)
    return f": write np.{own}(...)" if _of_each_row(getattr(np, own, None)) else ""


def _of_each_row(function: Any) -> bool:
    """Return whether a function is a ufunc of NumPy with one number per row; not `matmul`, nor functions of bits."""
    return (
        isinstance(function, np.ufunc) and function.signature is None and function.nout == 1 and "d" in _kinds(function)
    )


def _kinds(function: np.ufunc) -> str:
    """Return the kinds of numbers that a function accepts, as NumPy's letters."""
    return "".join(types.partition("->")[0] for types in function.types)


def _check_call(node: ast.Call, name: str, within: ast.AST) -> None:
    """Raise an error if the called function is not allowed, or has more arguments than inputs."""
    if any(keyword.arg is None for keyword in node.keywords):
        raise ValueError(f"{name!r} in the formula: ** is not allowed, write the arguments.")
    function = None
    if isinstance(node.func, ast.Attribute):
        _check_attribute(node.func, name, is_called=True)
        function = getattr(np, node.func.attr, None) if ast.unparse(node.func.value) == "np" else None
    elif called(node) in FUNCTIONS:
        function = FUNCTIONS[str(called(node))]
    elif called(node) in CODINGS or called(node) in (OFFSET, EXPOSURE):
        _check_place(node, name, within)
    elif called(node) not in (*STATEFUL, "C"):
        raise ValueError(
            f"{name!r} in the formula: {written(node.func)} is not allowed{_hint(str(called(node)))}. {_ALLOWED}"
        )
    elif called(node) == "C":
        _check_category(node, name)
    elif any(not _plain_word(inner) for inner in ast.walk(node)):
        raise ValueError(
            f"{name!r} in the formula: strings passed to {called(node)} must consist of letters and digits."
        )
    elif called(node) in STATEFUL:
        _check_transform(node, name)
    inputs = getattr(function, "nin", 1)
    # More would be `out`, which writes into a column, or `where`, which leaves rows undefined.
    if function is not None and (node.keywords or len(node.args) != inputs):
        raise ValueError(f"{name!r} in the formula: {written(node.func)} takes {inputs} argument(s), no options.")


def _check_place(node: ast.Call, name: str, within: ast.AST) -> None:
    """Raise an error if a coding is not an argument of ``C(...)``, or an offset is within anything else."""
    if called(node) in (OFFSET, EXPOSURE):
        if node is not within or len(node.args) != 1 or node.keywords:
            raise ValueError(f"{name!r} in the formula: {called(node)}(...) is a term of its own, of one argument.")
        return
    inside = called(within) == "C" and any(node is part for part in (*within.args[1:], *_values(within)))  # type: ignore[attr-defined]
    if not inside:
        raise ValueError(
            f"{name!r} in the formula: {called(node)} is an argument of C(...), as in C(g, {called(node)}) or "
            "C(g, Treatment('b'))."
        )


def _values(call: Any) -> list[ast.expr]:
    return [keyword.value for keyword in call.keywords]


def _check_category(node: ast.Call, name: str) -> None:
    """Raise an error if the coding of a category is unknown."""
    for part in (*node.args[1:], *_values(node)):
        if found := [column for column in columns_read(part) if column not in (*CODINGS, "contr")]:
            raise ValueError(
                f"{name!r} in the formula: {found[0]} is not a coding. Must be one of {', '.join(CODINGS)}, or contr."
                f"{', contr.'.join(_CODINGS)}."
            )


def _check_transform(node: ast.Call, name: str) -> None:
    """Raise an error if a transform's options are not numbers and strings, or give too many columns."""
    inside = {called(inner) for argument in node.args[:1] for inner in ast.walk(argument)}
    if called(node) in _SPLINES and inside & _SPLINES.keys():
        raise ValueError(f"{name!r} in the formula: nested splines or polynomials. Use one of the column instead.")
    for option, value in _options(node):
        if columns_read(value):
            raise ValueError(
                f"{name!r} in the formula: {option} of {called(node)} must be numbers or strings, not columns."
            )
        if option == "knots" and _constants(value) > _MOST_KNOTS:
            raise ValueError(
                f"{name!r} in the formula: more than {_MOST_KNOTS} knots. Use fewer, so that the spline does not fit "
                "noise."
            )
        most = _LARGEST.get(option)
        if most is None or _is_none(value):
            continue
        if not isinstance(value, ast.Constant) or type(value.value) is not int or not 0 <= value.value <= most:
            raise ValueError(
                f"{name!r} in the formula: {option} of {called(node)} must be an integer up to {most}, as in "
                f"{called(node)}(x, {option}=4)."
            )


def _options(node: ast.Call) -> list[tuple[str, ast.expr]]:
    """Return a transform's options, without its values, by name."""
    names = _SPLINES.get(str(called(node)), ())
    unnamed = [*names, *["an option"] * len(node.args)]
    return [*zip(unnamed, node.args[1:], strict=False), *((str(k.arg), k.value) for k in node.keywords)]


def _constants(node: ast.AST) -> int:
    return sum(isinstance(inner, ast.Constant) for inner in ast.walk(node))


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _plain_word(node: ast.AST) -> bool:
    # formulaic inserts calls of its transforms into code of its own.
    return not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or node.value.isidentifier()


def _check_constant(node: ast.Constant, name: str) -> None:
    if not isinstance(node.value, _CONSTANTS):
        raise ValueError(f"{name!r} in the formula: {written(node)} is neither a number nor a string.")
    if isinstance(node.value, str) and "`" in node.value:
        raise ValueError(
            f"{name!r} in the formula: {node.value!r} contains a backtick, which is reserved for quoting column names."
        )


def _check_arithmetic(node: ast.BinOp, name: str) -> None:
    """Raise an error if numbers in the formula could grow without bound, or arithmetic has strings."""
    sides = (node.left, node.right)
    if any(isinstance(side, ast.List | ast.Tuple) or _is_word(side) for side in sides):
        raise ValueError(f"{name!r} in the formula: arithmetic on a non-numeric term, {written(node)}.")
    if isinstance(node.op, ast.BitXor):
        raise ValueError(
            f"{name!r} in the formula: ^ is not a power within I(...) or a function. Write "
            f"{written(ast.BinOp(node.left, ast.Pow(), node.right))}, or != to compare two conditions."
        )
    if isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        _check_joined(sides, "&" if isinstance(node.op, ast.BitAnd) else "|", name)
        return
    if not isinstance(node.op, ast.Pow) or columns_read(node.right):
        return
    exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
    plain = isinstance(exponent, ast.Constant) and isinstance(exponent.value, (int, float))
    if not plain or exponent.value > _LARGEST_EXPONENT:  # type: ignore[attr-defined]
        raise ValueError(
            f"{name!r} in the formula: the exponent of {written(node)} must be a column, or a plain number up to "
            f"{_LARGEST_EXPONENT}."
        )
    if not columns_read(node.left) and any(isinstance(inner, ast.Pow) for inner in ast.walk(node.left)):
        raise ValueError(f"{name!r} in the formula: {written(node)} is a power of a power; write the number.")


def _check_condition(node: ast.UnaryOp | ast.BoolOp | ast.Compare, name: str) -> None:
    """Raise an error if comparisons are joined in a way that does not work row by row."""
    if isinstance(node, ast.BoolOp) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
        raise ValueError(
            f"{name!r} in the formula: join comparisons by & and |, and negate them by ~, each in parentheses, as in "
            "I((x > 0) & ~(z > 1)); and, or and not do not work on columns."
        )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        _check_joined((node.operand,), "~", name)
    if not isinstance(node, ast.Compare):
        return
    if len(node.ops) > 1:
        raise ValueError(
            f"{name!r} in the formula: {written(node)} is two comparisons; put each in parentheses, as in "
            "I((x > 0) & (z > 1))."
        )
    if isinstance(node.ops[0], (ast.In, ast.NotIn, ast.Is, ast.IsNot)):
        raise ValueError(
            f"{name!r} in the formula: {written(node)} does not compare row by row. Write (g == 'a') | (g == 'b')."
        )


def _check_joined(sides: tuple[ast.expr, ...], sign: str, name: str) -> None:
    """Raise an error if an operand of ``&``, ``|`` or ``~`` is known to be a number; for columns the dtype shows it."""
    for side in sides:
        truth = isinstance(side, ast.Constant) and isinstance(side.value, bool)
        if truth or is_condition(side) or isinstance(side, (ast.Name, ast.Call)):
            continue
        raise ValueError(
            f"{name!r} in the formula: {sign} joins comparisons, and {written(side)} is a number. Put comparisons in "
            "parentheses, as in I((x > 0) & (z > 1)); a power is **, as in I(x**2)."
        )


def _is_word(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
