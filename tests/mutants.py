"""Small semantic changes of the sources, and which of them the tests do not notice: ``make mutants``.

``python tests/mutants.py kernels/solve methods/mle --sample 8`` draws eight changes of each of these modules. Tests are
collected once, and each change is made in a forked copy of this process: there the code of one function is replaced,
and the tests that reach its line are run, those of the module and the fast ones first, until one fails. Which tests
reach a line is measured by coverage.py in a first run, and kept in ``.mutants`` until a source file changes. What
survives, and why, is in ``tests/mutants.md``.

mutmut is not used: it skips decorated functions, and it forks after it has run the tests, so that the threads of Dask's
pools are missing in the copies.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dask_onestep"
FOLDERS = ("kernels", "methods", "inference", "storage")
REACHED = ROOT / ".mutants" / "reached"
TEST_FILES = sorted((ROOT / "tests").glob("test_*.py"))
SECONDS = ROOT / ".mutants" / "seconds.json"
MOST_SURVIVORS = 0.1
# Tests of whole fits, which together reach most lines and take two minutes; they are run on changes of all modules.
WHOLE_FITS = "aliasing_separation average covariances hypotheses mle multinomial one_step predicting restricted storage"
WHOLE_FITS += " surrogate zero_weights"
# A module is also tested by the test file of its name, and by those that import it, if there are at most so many.
MOST_FILES = 3
FIXTURES_LEFT_OUT = {"cluster", "client", "own_client"}

PAIRS = [(ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.Pow, ast.Mult), (ast.Mod, ast.FloorDiv), (ast.And, ast.Or)]
PAIRS += [(ast.BitAnd, ast.BitOr), (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot)]
PAIRS += [(ast.In, ast.NotIn)]
OTHER = {**{right: left for left, right in PAIRS}, **dict(PAIRS)}
REVERSED = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
NAMES = {"min": "max", "any": "all", "minimum": "maximum"}
NAMES |= {right: left for left, right in NAMES.items()}
DESCRIPTIONS = {"__repr__", "__str__", "_repr_html_"}
KEYWORDS_OF_CHECKS = {"strict", "stacklevel"}


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
            for keyword in keywords:
                yield ast.Call(function, arguments, [other for other in keywords if other is not keyword])
            match function:
                case ast.Attribute(value=owner, attr=name) if name in NAMES:
                    yield ast.Call(ast.Attribute(owner, NAMES[name], ast.Load()), arguments, keywords)
                case ast.Name(id=name) if name in NAMES:
                    yield ast.Call(ast.Name(NAMES[name], ast.Load()), arguments, keywords)
                case ast.Attribute(value=ast.Name(id="np")) if len(arguments) == 1:
                    yield arguments[0]
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
            return ast.unparse(function).startswith(("catalogue.", "warnings.", "cast", "np.errstate"))
        case ast.keyword(arg=name):
            return name in KEYWORDS_OF_CHECKS
    return False


class Mutant(NamedTuple):
    """A change of one place, `holder.field` or an element of it, in a function of a module."""

    module: str
    tree: ast.Module
    function: ast.FunctionDef
    statement: ast.stmt
    holder: ast.AST
    field: str
    number: int | None
    old: ast.AST
    new: ast.AST

    @property
    def lines(self) -> range:
        """The lines whose execution reaches the change."""
        last = self.old.test if isinstance(self.old, ast.If) else self.old
        return range(self.old.lineno, last.end_lineno + 1)

    def __str__(self) -> str:
        old, new = (" ".join(ast.unparse(node).split())[:90] for node in (self.old, self.new))
        return f"{self.module}:{self.old.lineno}:{self.old.col_offset} {self.function.name}: {old}  →  {new}"

    def apply(self) -> None:
        """Replace the code of the function in this process, wherever it is referred to."""
        place = self.holder if self.number is None else getattr(self.holder, self.field)
        new = ast.fix_missing_locations(ast.copy_location(self.new, self.old))
        setattr(place, self.field, new) if self.number is None else place.__setitem__(self.number, new)
        file = str(PACKAGE / f"{self.module}.py")
        codes = {(code.co_qualname, code.co_firstlineno): code for code in codes_of(compile(self.tree, file, "exec"))}
        for found in functions_of(file):
            code = codes.get((found.__code__.co_qualname, found.__code__.co_firstlineno))
            found.__code__ = code or found.__code__


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

    def visit(node: ast.AST, function: ast.FunctionDef | None, statement: ast.stmt | None) -> None:
        for field, value in ast.iter_fields(node):
            if field in (
                "annotation",
                "returns",
                "decorator_list",
                "args" if isinstance(node, ast.FunctionDef) else "",
            ):
                continue
            for number, child in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(child, ast.AST) or is_left_out(child):
                    continue
                inside = child if isinstance(child, ast.stmt) else statement
                if function is not None:
                    place = (node, field, number if isinstance(value, list) else None)
                    found.extend(Mutant(module, tree, function, inside, *place, child, new) for new in variants(child))
                visit(child, child if function is None and isinstance(child, ast.FunctionDef) else function, inside)

    visit(tree, None, None)
    return found


class Runner:
    """The plugin that runs tests on mutants, once pytest has collected the tests."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.fates: dict[str, Counter[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        def starts_processes(item: pytest.Item) -> bool:
            scheduler = getattr(getattr(item, "callspec", None), "params", {}).get("scheduler")
            return scheduler == "distributed" or bool(FIXTURES_LEFT_OUT & set(getattr(item, "fixturenames", ())))

        items[:] = [item for item in items if not starts_processes(item)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from coverage import CoverageData

        self.items = {item.nodeid: item for item in session.items}
        for module in dict.fromkeys(modules_of(self.options.modules)):
            files = files_of(WHOLE_FITS.split()) + own_files(module.partition(":")[0])
            self.measure([item for item in session.items if item.path in files])
            self.data = CoverageData(str(REACHED))
            self.data.read()
            gc.unfreeze()
            functions_of(str(PACKAGE / f"{module.partition(':')[0]}.py"))
            gc.collect()
            gc.freeze()  # so that the copies of this process share its memory
            self.fates[module] = Counter(self.fate(mutant) for mutant in self.sample(module))
            print(module, dict(self.fates[module]), flush=True)
        return True

    def measure(self, items: list[pytest.Item]) -> None:
        """Run the tests that are not in the record yet, and note which lines each reaches and its seconds."""
        newest = max(path.stat().st_mtime for path in PACKAGE.rglob("*.py"))
        if SECONDS.exists() and SECONDS.stat().st_mtime < newest and not self.options.keep:
            REACHED.unlink()
            SECONDS.unlink()
        self.seconds = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
        new = [item for item in items if item.nodeid not in self.seconds]
        if new and not os.waitstatus_to_exitcode(in_fork(lambda: self.measure_in_fork(new))):
            self.seconds = json.loads(SECONDS.read_text())

    def measure_in_fork(self, new: list[pytest.Item]) -> None:
        from coverage import Coverage  # `make mutants` installs it

        REACHED.parent.mkdir(exist_ok=True)
        coverage = Coverage(REACHED, include=[f"{PACKAGE}/*"], config_file=False)
        if REACHED.exists():
            coverage.load()
        coverage.start()
        for item, following in zip(new, [*new[1:], None], strict=True):
            coverage.switch_context(item.nodeid)
            start = time.process_time()
            failed = item.session.testsfailed
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            passed = item.session.testsfailed == failed
            self.seconds[item.nodeid] = time.process_time() - start if passed else None
        coverage.stop()
        coverage.save()
        SECONDS.write_text(json.dumps(self.seconds))

    def sample(self, module: str) -> list[Mutant]:
        """Draw changes of a module among those that a test reaches or a named place."""
        found = mutants_of(module.partition(":")[0])
        if ":" in module:
            return [mutant for mutant in found if str(mutant).startswith(f"{module} ")]
        size = len(found) if self.options.all else min(self.options.sample, len(found))
        return random.Random(f"{self.options.seed} {module}").sample(found, size)

    def tests(self, mutant: Mutant) -> list[pytest.Item]:
        """Return the tests that reach a change, its own and the fast ones first, up to so many seconds of CPU time."""
        reached = self.data.contexts_by_lineno(str(PACKAGE / f"{mutant.module}.py"))
        usable = {name for name in self.items if self.seconds.get(name) is not None}
        names = usable & {name for line in mutant.lines for name in reached.get(line, ())}
        names = names or usable & set(reached.get(mutant.statement.lineno, ()))
        chosen, total = [], 0.0
        own = own_files(mutant.module)
        for name in sorted(names, key=lambda name: (self.items[name].path not in own, self.seconds[name])):
            total += self.seconds[name]
            if not chosen or total < self.options.budget:
                chosen.append(self.items[name])
        return chosen

    def fate(self, mutant: Mutant) -> str:
        """Return what became of a change."""
        tests = self.tests(mutant)
        start = time.perf_counter()
        status = in_fork(lambda: self.run(mutant, tests)) if tests else None
        fate = "not reached" if status is None else "survived" if status == 0 else "noticed"
        if status is not None and os.WIFSIGNALED(status):
            fate = "timed out" if os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU) else "crashed"
        print(f"{fate} {mutant}  [{len(tests)} tests, {time.perf_counter() - start:.1f} s]", flush=True)
        return fate

    def run(self, mutant: Mutant, tests: list[pytest.Item]) -> None:
        """Make a change, and run tests until one fails."""
        seconds = 20 + int(5 * sum(self.seconds[item.nodeid] for item in tests))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        signal.alarm(30 * seconds)  # of a deadlock
        resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        mutant.apply()
        for item, following in zip(tests, [*tests[1:], None], strict=True):
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
def own_files(module: str) -> list[Path]:
    """Return the test files of a module."""
    path = f"dask_onestep.{module.replace('/', '.')} import"
    importing = [file for file in TEST_FILES if path in file.read_text()]
    own = files_of([Path(module).name])
    return own + [file for file in importing if file not in own] * (len(importing) <= MOST_FILES)


def files_of(names: list[str]) -> list[Path]:
    """Return the test files of these names."""
    return [file for file in TEST_FILES if file.stem.removeprefix("test_") in names]


def main() -> int:
    """Run changes of modules, and return 1 if more than one in ten went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="modules, folders of them, or changes as module:line:column")
    parser.add_argument("--sample", type=int, default=8, help="changes per module")
    parser.add_argument("--all", action="store_true", help="all changes, which takes days")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests per change, at most")
    parser.add_argument("--keep", action="store_true", help="keep the record of reached lines although sources changed")
    runner = Runner(options := parser.parse_args())
    os.environ["OMP_NUM_THREADS"] = "1"
    modules = [module.partition(":")[0] for module in modules_of(options.modules)]
    files = sorted({*files_of(WHOLE_FITS.split()), *(file for module in modules for file in own_files(module))})
    pytest.main([*map(str, files), "-q", "-s", "--tb=no", "-p", "no:cacheprovider", "--timeout=0"], plugins=[runner])
    total = sum(runner.fates.values(), Counter())
    unnoticed = total["survived"] + total["not reached"]
    print(f"{unnoticed} of {total.total()} changes were not noticed: {dict(total)}")
    return int(unnoticed > MOST_SURVIVORS * total.total() or not total)


if __name__ == "__main__":
    sys.exit(main())
