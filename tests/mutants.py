"""Small semantic changes of a module, and how many of them its tests notice, by mutmut: ``make mutants``.

``python tests/mutants.py kernels/solve/ascent`` copies the files under version control to ``.mutants``, and mutates one
module there, for the tests that `TESTS` names. It fails if more than one change in ten goes unnoticed. What survives,
and why, is in ``tests/mutants.md``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from shutil import copyfile, rmtree

ROOT = Path(__file__).parents[1]
COPY = ROOT / ".mutants"
# Modules, and the test modules that have to notice a change; few, so that a run takes minutes and not days.
TESTS = {
    "kernels/designs/levels": ("test_level_kinds", "test_missing_level", "test_table", "test_unseen"),
    "kernels/designs/parts": ("test_slices", "test_rows"),
    "kernels/pilots/corrected_step": ("test_one_step", "test_shift"),
    "kernels/pilots/pilot": ("test_pilot", "test_one_step"),
    "kernels/pilots/sample": ("test_sample", "test_candidates"),
    "kernels/rows/labels": ("test_rows", "test_multinomial"),
    "kernels/solve/ascent": ("test_ascent",),
    "kernels/solve/linear_algebra": ("test_linear_algebra", "test_elimination"),
    "methods/conclusion": ("test_aliasing_separation", "test_mle"),
    "inference/statistics": ("test_hypotheses", "test_inference"),
    "storage/designs": ("test_storage", "test_unseen"),
    "storage/models": ("test_storage",),
}
MOST_SURVIVORS = 0.1


def copy_sources() -> None:
    """Copy the files under version control, as mutmut writes beside them."""
    rmtree(COPY, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(ROOT / name, COPY / name)


def mutate(module: str) -> Counter[str]:
    """Return how many mutants of a module there are, by what became of them."""
    options = {
        "source_paths": ["dask_onestep"],
        "only_mutate": [f"dask_onestep/{module}.py"],
        "also_copy": ["benchmarks", "docs"],
        "pytest_add_cli_args": ["-q", "-p", "no:cacheprovider", "--timeout=0"],
        "pytest_add_cli_args_test_selection": [f"tests/{name}.py" for name in TESTS[module]],
    }
    text = (ROOT / "pyproject.toml").read_text()
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    (COPY / "pyproject.toml").write_text("\n".join([text, "[tool.mutmut]", *lines, ""]))
    rmtree(COPY / "mutants", ignore_errors=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "mutmut", "run"], cwd=COPY, env=environment, check=True)
    results = subprocess.run(
        [sys.executable, "-m", "mutmut", "results", "--all", "true"],
        cwd=COPY,
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = [line.strip().rsplit(": ", 1) for line in results.stdout.splitlines() if ": " in line]
    for name, fate in pairs:
        if fate in ("survived", "no tests"):
            print(name, fate)
    return Counter(fate for _, fate in pairs)


def main(modules: list[str]) -> int:
    """Mutate modules, by default all, and return 1 if too many changes of any went unnoticed."""
    failed = 0
    copy_sources()
    for module in modules or TESTS:
        found = mutate(module)
        unnoticed = found["survived"] + found["no tests"]
        print(f"{module}: {dict(found)}")
        failed |= unnoticed > MOST_SURVIVORS * found.total()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
