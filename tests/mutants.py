"""Small semantic changes of the sources, and which of them the tests do not notice: ``make mutants``.

``python tests/mutants.py kernels/solve methods/mle --every 40`` draws one in 40 of the changes of these modules, evenly
over their lines. Tests are collected once, and each change is made in a forked copy of this process: there the code of
one function is replaced, and the tests that reach its line are run until one fails, first those that are fast, that
belong to the module, or that noticed other changes. Which tests reach a line is measured by coverage.py, and kept in
``.mutants``; remove this directory when many tests have changed. What survives, and why, is in ``tests/mutants.md``.

Other tools start a process per change, or a pytest session: ten seconds for imports and collection, where a copy of a
process takes a tenth of one. mutmut does not change decorated functions either, and forks after it has run the tests,
so that the threads of Dask's pools are missing in the copies.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import math
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import groupby
from mmap import mmap
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dask_onestep"
FOLDERS = ("kernels", "methods", "inference", "storage")
RECORD = ROOT / ".mutants"
SURVIVORS = ROOT / "tests" / "mutants.md"
MOST_SURVIVORS = 0.1
# Tests of other things than numbers, tests that start processes, and tests that would be the last to notice a change.
FILES_LEFT_OUT = (
    "accuracy benchmarks_ bounds changed_data cli coming_from datasets_ docs executors faults house import memory"
)
FILES_LEFT_OUT += " paper_ plots progress public_ query_ workers"
FIXTURES_LEFT_OUT = {"cluster", "client", "own_client"}

PAIRS = [(ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.Pow, ast.Mult), (ast.Mod, ast.FloorDiv), (ast.And, ast.Or)]
PAIRS += [(ast.BitAnd, ast.BitOr), (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot)]
PAIRS += [(ast.In, ast.NotIn)]
OTHER = {**{right: left for left, right in PAIRS}, **dict(PAIRS)}
REVERSED = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
NAMES = {"min": "max", "any": "all", "minimum": "maximum"}
NAMES |= {right: left for left, right in NAMES.items()}
DESCRIPTIONS = {"__repr__", "__str__", "_repr_html_"}
# Keywords of checks, speed and task names; functions of one argument that return it where it is an array.
KEYWORDS_LEFT_OUT = {"strict", "stacklevel", "copy", "check_finite", "overwrite_a", "overwrite_b", "order", "name"}
CONVERSIONS = {"array", "asarray", "ascontiguousarray", "asfortranarray", "atleast_1d"}


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in place of an expression or a statement."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=right):
            yield from (
                ast.Compare(left, [kinds[type(operator)]()], right)
                for kinds in (OTHER, REVERSED)
                if type(operator) in kinds
            )
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OTHER:
            yield ast.BinOp(left, OTHER[type(operator)](), right)
            yield from (left, right) if isinstance(operator, ast.Add | ast.Sub | ast.Mult) else ()
        case ast.AugAssign(op=operator) if type(operator) in OTHER:
            yield ast.AugAssign(node.target, OTHER[type(operator)](), node.value)
        case ast.BoolOp(op=operator, values=values):
            yield from (ast.BoolOp(OTHER[type(operator)](), values), *values)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1 if isinstance(value, int) else 2 * value + (value == 0))
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.If(body=body, orelse=orelse):
            yield ast.If(ast.Constant(False), body, orelse)
            yield from () if orelse else (ast.If(ast.Constant(True), body, []),)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            for keyword in (keyword for keyword in keywords if keyword.arg not in KEYWORDS_LEFT_OUT):
                yield ast.Call(function, arguments, [other for other in keywords if other is not keyword])
            match function:
                case ast.Attribute(value=owner, attr=name) if name in NAMES:
                    yield ast.Call(ast.Attribute(owner, NAMES[name], ast.Load()), arguments, keywords)
                case ast.Name(id=name) if name in NAMES:
                    yield ast.Call(ast.Name(NAMES[name], ast.Load()), arguments, keywords)
                case ast.Attribute(value=ast.Name(id="np"), attr=name) if (
                    len(arguments) == 1 and name not in CONVERSIONS
                ):
                    yield from arguments if name not in CONVERSIONS else ()
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()


def is_left_out(node: ast.AST) -> bool:
    """Return whether a part of the source is about messages and types alone."""
    match node:
        case ast.Raise() | ast.JoinedStr() | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.FunctionDef(name=name):
            return name in DESCRIPTIONS
        case ast.Call(func=function):
            return ast.unparse(function).startswith(("catalogue.", "warnings.", "cast", "np.errstate", "Findings"))
        case ast.keyword(arg=name):
            return name in KEYWORDS_LEFT_OUT
    return False


# Numbers of tests by module, function, and line after the function's first.
Lines = dict[str, dict[str, dict[str, list[int]]]]


class Mutant(NamedTuple):
    """A change of one place, `holder.field` or an element of it, in a function of a module."""

    module: str
    tree: ast.Module
    function_name: str
    function: ast.FunctionDef
    statement: ast.stmt
    holder: ast.AST
    field: str
    number: int | None
    old: ast.AST
    new: ast.AST

    @property
    def file(self) -> str:
        """The file of the module."""
        return str(PACKAGE / f"{self.module}.py")

    @property
    def place(self) -> str:
        """The module, the line and the column."""
        return f"{self.module}:{self.old.lineno}:{self.old.col_offset}"

    @property
    def name(self) -> str:
        """The change without its line, as in the list of survivors."""
        old, new = (" ".join(ast.unparse(node).split())[:90] for node in (self.old, self.new))
        return f"{self.module} {self.function_name}: {old} → {new}"

    def reached_by(self, lines: Lines) -> set[int]:
        """Return the tests that reach the change, or its statement, or, if its function has changed, the function."""
        of_function = lines.get(self.module, {}).get(self.function_name, {})
        last = self.old.test if isinstance(self.old, ast.If) else self.old
        offsets = [at - self.function.lineno for at in (*range(self.old.lineno, last.end_lineno + 1),)]
        for chosen in (offsets, [self.statement.lineno - self.function.lineno], of_function):
            if found := {test for offset in chosen for test in of_function.get(str(offset), ())}:
                return found
        return set()

    def apply(self) -> None:
        """Replace the code of the function in this process, wherever it is referred to."""
        place = self.holder if self.number is None else getattr(self.holder, self.field)
        new = ast.fix_missing_locations(ast.copy_location(self.new, self.old))
        setattr(place, self.field, new) if self.number is None else place.__setitem__(self.number, new)
        tree = compile(self.tree, self.file, "exec")
        codes = {key_of(code): code for code in codes_of(tree)}
        changed = [found for found in functions_of(self.file) if key_of(found.__code__) in codes]
        if not changed:
            raise ValueError("The file has changed since it was imported.")
        for found in changed:
            found.__code__ = codes[key_of(found.__code__)]


def key_of(code: CodeType) -> tuple[str, int]:
    """Return what a function's code is found by in another compilation of its file."""
    return code.co_qualname, code.co_firstlineno


@cache
def functions_of(file: str) -> list[FunctionType]:
    """Return the functions that a file defines, methods and those inside decorators included."""
    found = [thing for thing in gc.get_objects() if isinstance(thing, FunctionType)]
    return [function for function in found if function.__code__.co_filename == file]


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


def mutants_of(module: str) -> list[Mutant]:
    """Return all changes of a module's functions."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    found: list[Mutant] = []

    def visit(node: ast.AST, function: tuple[str, ast.FunctionDef], statement: ast.stmt | None) -> None:
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list") or (field == "args" and node is function[1]):
                continue
            for number, child in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(child, ast.AST) or is_left_out(child):
                    continue
                inside = child if isinstance(child, ast.stmt) else statement
                place = (node, field, number if isinstance(value, list) else None)
                found.extend(Mutant(module, tree, *function, inside, *place, child, new) for new in variants(child))
                visit(child, function, inside)

    for name, function in top_functions(tree):
        visit(function, (name, function), None)
    return found


def top_functions(node: ast.AST, of: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the functions of a module and the methods of its classes, by their qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef) and not is_left_out(child):
            yield of + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from top_functions(child, f"{of}{child.name}.")


class Runner:
    """The plugin that runs tests on mutants, once pytest has collected the tests."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.fates: dict[str, Counter[str]] = {}
        self.noticed: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        def starts_processes(item: pytest.Item) -> bool:
            scheduler = getattr(getattr(item, "callspec", None), "params", {}).get("scheduler")
            return scheduler == "distributed" or bool(FIXTURES_LEFT_OUT & set(getattr(item, "fixturenames", ())))

        items[:] = [item for item in items if not starts_processes(item)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.seconds: dict[str, float] = {}
        self.records: list[tuple[list[str], Lines]] = []
        for file, items in groupby(session.items, key=lambda item: item.path):
            self.measure(RECORD / f"{file.stem}.json", list(items))
        for module in modules_of(self.options.modules):
            drawn = self.sample(module)
            gc.unfreeze()
            functions_of(str(PACKAGE / f"{module.partition(':')[0]}.py"))
            gc.collect()
            gc.freeze()  # so that the copies of this process share its memory
            for mutant in drawn:
                fate = self.fate(mutant)
                self.fates.setdefault(str(Path(module).parent), Counter())[fate] += 1
        return True

    def measure(self, record: Path, items: list[pytest.Item]) -> None:
        """Note which lines the tests of a file reach and their seconds, unless this is known."""
        if not record.exists() or {item.nodeid for item in items} - json.loads(record.read_text())["seconds"].keys():
            RECORD.mkdir(exist_ok=True)
            in_fork(partial(self.measure_in_fork, record, items))
        known = json.loads(record.read_text())
        self.seconds |= {name: seconds for name, seconds in known["seconds"].items() if name in self.items}
        self.records.append((list(known["seconds"]), known["lines"]))

    def measure_in_fork(self, record: Path, items: list[pytest.Item]) -> None:
        from coverage import Coverage  # `make mutants` installs it

        coverage = Coverage(None, include=[f"{PACKAGE}/{folder}/*" for folder in FOLDERS], config_file=False)
        coverage.set_option("run:disable_warnings", ["no-data-collected"])
        seconds = {}
        coverage.start()
        for item, following in zip(items, [*items[1:], None], strict=True):
            coverage.switch_context(item.nodeid)
            start = time.process_time()
            failed = item.session.testsfailed
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            # A test that fails in a copy of this process shows nothing.
            seconds[item.nodeid] = time.process_time() - start if item.session.testsfailed == failed else math.inf
        coverage.stop()
        numbers = {name: number for number, name in enumerate(seconds)}
        lines: Lines = {}
        for path in map(Path, coverage.get_data().measured_files()):
            reached = coverage.get_data().contexts_by_lineno(str(path))
            lines[str(path.relative_to(PACKAGE).with_suffix(""))] = {
                name: {
                    str(line - function.lineno): [numbers[test] for test in reached[line] if test]
                    for line in range(function.lineno, function.end_lineno + 1)
                    if line in reached
                }
                for name, function in top_functions(ast.parse(path.read_text()))
            }
        record.write_text(json.dumps({"seconds": seconds, "lines": lines}))

    def sample(self, module: str) -> list[Mutant]:
        """Draw changes of a module, those of a named place, or those that an earlier run has found to survive."""
        found = mutants_of(module.partition(":")[0])
        if ":" in module:
            return [mutant for mutant in found if mutant.place == module]
        if self.options.again:
            names = re.findall(r"^(?:survived|listed|not reached) \S+ (.*?)  \[", self.options.again.read_text(), re.M)
            return [mutant for mutant in found if mutant.name in names]
        first = random.Random(f"{self.options.seed} {module}").randrange(self.options.every)
        return found[first :: self.options.every]

    def tests(self, mutant: Mutant) -> list[pytest.Item]:
        """Return the tests that reach a change, the most telling first, up to so many seconds of CPU time."""
        own = own_files(mutant.module)

        def cost(name: str) -> float:
            return self.seconds[name] / (1 + self.noticed[name] + 10 * (self.items[name].path in own))

        names = {
            names[number] for names, lines in self.records for number in mutant.reached_by(lines)
        } & self.seconds.keys()
        chosen, total = [], 0.0
        for name in sorted(names, key=cost):
            if self.seconds[name] + total < self.options.budget:
                chosen.append(self.items[name])
                total += self.seconds[name]
        return chosen

    def fate(self, mutant: Mutant) -> str:
        """Return what became of a change."""
        start = time.perf_counter()
        while tests := self.tests(mutant):
            fate, telling = self.outcome(tests, mutant)
            if not telling or self.passes(telling):
                break
            del self.seconds[telling.nodeid]
        else:
            fate, telling = "not reached", None
        if telling:
            self.noticed[telling.nodeid] += 1
        elif f"`{mutant.name}`" in SURVIVORS.read_text():
            fate = "listed"
        seconds, name = time.perf_counter() - start, telling.nodeid if telling else ""
        print(f"{fate} {mutant.place} {mutant.name}  [{len(tests)} tests, {seconds:.1f} s] {name}", flush=True)
        return fate

    def passes(self, item: pytest.Item) -> bool:
        """Return whether a test passes when it is run alone, without a change."""
        return self.noticed[item.nodeid] > 0 or self.outcome([item])[0] == "survived"

    def outcome(self, tests: list[pytest.Item], mutant: Mutant | None = None) -> tuple[str, pytest.Item | None]:
        """Run tests in a copy of this process until one fails, with a change; return its fate, and that test."""
        at = mmap(-1, 4)  # the number of the running test, shared with the copy
        code = os.waitstatus_to_exitcode(in_fork(partial(self.run, tests, mutant, at)))
        fates = {
            0: "survived",
            1: "noticed",
            2: "impossible",
            -signal.SIGALRM: "timed out",
            -signal.SIGPROF: "timed out",
        }
        return fates.get(code, "crashed"), None if code in (0, 2) else tests[int.from_bytes(at)]

    def run(self, tests: list[pytest.Item], mutant: Mutant | None, at: mmap) -> None:
        """Make a change, and run tests until one fails."""
        resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            mutant and mutant.apply()
        except (ValueError, SyntaxError):  # of another set of variables of the function around
            os._exit(2)
        for number, (item, following) in enumerate(zip(tests, [*tests[1:], None], strict=True)):
            at[:] = number.to_bytes(4)
            seconds = 3 + 5 * self.seconds[item.nodeid]
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.alarm(int(30 * seconds))  # of a deadlock
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if item.session.testsfailed:
                os._exit(1)


def in_fork(task: Callable[[], None]) -> int:
    """Run a task in a copy of this process, and return the status that the copy ends with."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        task()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def modules_of(names: list[str]) -> list[str]:
    """Return the modules of folders, and modules and changes (``module:line:column``) as they are."""
    found = []
    for name in names or FOLDERS:
        paths = sorted((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else []
        found += [str(path.relative_to(PACKAGE).with_suffix("")) for path in paths] or [name.removesuffix(".py")]
    return [name for name in found if not name.endswith("__init__") and "compiled" not in name]


@cache
def own_files(module: str) -> set[Path]:
    """Return the test files of a module's name, and those that import it."""
    path = f"dask_onestep.{module.replace('/', '.')} import"
    name = f"test_{Path(module).name}"
    return {file for file in (ROOT / "tests").glob("test_*.py") if file.stem == name or path in file.read_text()}


def main() -> int:
    """Run changes of modules, and return 1 if more than one in ten, without the listed ones, went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="modules, folders of them, or changes as module:line:column")
    parser.add_argument("--every", type=int, default=40, help="draw one in so many changes; 1 takes days")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests per change, at most")
    parser.add_argument("--again", type=Path, metavar="FILE", help="only what survived according to an earlier output")
    runner = Runner(parser.parse_args())
    os.environ["OMP_NUM_THREADS"] = "1"
    left_out = tuple(f"test_{name}" for name in FILES_LEFT_OUT.split())
    files = [str(file) for file in sorted((ROOT / "tests").glob("test_*.py")) if not file.stem.startswith(left_out)]
    pytest.main([*files, "-q", "-s", "--tb=no", "-p", "no:cacheprovider", "--timeout=0"], plugins=[runner])
    for folder, fates in runner.fates.items():
        print(folder, dict(fates))
    total = sum(runner.fates.values(), Counter())
    unnoticed = total["survived"] + total["not reached"]
    drawn = total.total() - total["impossible"] - total["listed"]
    print(f"{unnoticed} of {drawn} changes were not noticed, next to {total['listed']} that {SURVIVORS.name} lists")
    return int(unnoticed > MOST_SURVIVORS * drawn or not drawn)


if __name__ == "__main__":
    sys.exit(main())
