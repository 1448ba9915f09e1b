"""What a public repository has: continuous integration on each supported Python, templates, a build, a checklist."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def workflow():
    return yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def test_every_supported_python_is_tested_with_newest_and_oldest_dependencies():
    job = workflow()["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = re.findall(r"Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    assert matrix["python"] == declared
    assert declared[0] == project["requires-python"].removeprefix(">=")
    assert matrix["dependencies"] == ["newest"]
    assert {"python": declared[0], "dependencies": "oldest"} in matrix["include"]
    assert job["steps"][-1]["run"] == ".ci/run ${{ matrix.dependencies }}"


def test_what_the_workflow_runs_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = re.findall(r"make ([\w-]+)", (ROOT / ".ci/run").read_text())
    called += [step["run"].removeprefix("make ") for step in workflow()["jobs"]["build"]["steps"] if "run" in step]
    assert set(called) == {"lint", "docs", "test", "test-oldest", "build"}
    assert set(called) <= targets
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_templates_can_be_read():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        template = yaml.safe_load(path.read_text())
        if path.name != "config.yml":
            assert template["name"]
            assert all("label" in part["attributes"] for part in template["body"])


def test_the_checklist_names_files_and_targets_that_exist():
    text = (ROOT / "RELEASING.md").read_text()
    for path in re.findall(r"`([\w./-]+\.(?:py|yml|cff|md|json))`", text):
        assert (ROOT / path).exists() or list(ROOT.glob(f"*/{path}")), path
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)", text)) <= targets
