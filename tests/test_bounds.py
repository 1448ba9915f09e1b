"""What is said of dependencies is one thing: the bounds of pyproject.toml, tested as the oldest, asked of conda."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"matplotlib-base": "matplotlib"}
USERS = ("accelerate", "cli", "demo", "download", "formula", "plots")  # the extras that are for users


def bounds(requirements):
    """Return the lower bound of each requirement that has one; the package's own extras are left out."""
    found = {}
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        versions = [Version(each.version) for each in requirement.specifier if each.operator in (">=", "==")]
        if versions and name != "dask-onestep":
            found[name] = max(versions)
    return found


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def of_users(project):
    extras = project["optional-dependencies"]
    return bounds([*project["dependencies"], *(each for name in USERS for each in extras[name])])


@pytest.fixture(scope="module")
def pins():
    lines = (line.split("#")[0].strip() for line in (ROOT / "tests" / "oldest.txt").read_text().splitlines())
    return bounds(filter(None, lines))


def test_each_bound_is_tested(of_users, pins):
    assert {name: pins.get(name) for name in of_users} == of_users


def test_each_pin_is_a_bound(project, pins):
    said = bounds(
        [*project["dependencies"], *(each for some in project["optional-dependencies"].values() for each in some)]
    )
    assert set(pins) - set(said) == {"click", "pyparsing"}
    assert {name: pins[name] for name in pins if name in said} == {name: said[name] for name in pins if name in said}


def test_no_two_extras_differ(project):
    for name, extra in project["optional-dependencies"].items():
        mine = bounds(extra)
        for other, requirements in project["optional-dependencies"].items():
            theirs = bounds(requirements)
            assert all(mine[each] == theirs[each] for each in mine.keys() & theirs.keys()), (name, other)


def test_conda_asks_for_the_same(project, of_users):
    asked = [
        each for each in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"] if isinstance(each, str)
    ]
    found = {CONDA_NAMES.get(name, name): version for name, version in bounds(asked).items()}
    (python,) = bounds([f"python{project['requires-python']}"]).values()
    assert found == of_users | {"python": python}
