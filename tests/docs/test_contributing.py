"""What contributors' tools run exists: the workflow, the hooks, the issue forms."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import yaml

from docs.prose import ROOT

TABLES = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = TABLES["project"]
MAKEFILE = (ROOT / "Makefile").read_text()


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def test_the_workflow_tests_every_python_from_the_oldest_supported_one() -> None:
    matrix = load(".github/workflows/ci.yml")["jobs"]["python"]["strategy"]["matrix"]["python"]
    oldest = int(PROJECT["requires-python"].removeprefix(">=3."))
    assert matrix == [f"3.{minor}" for minor in range(oldest, oldest + len(matrix))]
    assert len(matrix) >= 4


def test_the_workflow_runs_what_exists() -> None:
    jobs = load(".github/workflows/ci.yml")["jobs"].values()
    steps = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert ".ci/run" in steps
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    [made] = [step.split()[1:] for step in steps if step.startswith("make ")]
    targets = {word for word in made if "=" not in word}
    assert targets >= {"lint", "types", "unit"}
    assert targets <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_the_hooks_run_tools_of_the_development_environment() -> None:
    [repository] = load(".pre-commit-config.yaml")["repos"]
    tools = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in repository["hooks"]}
    packages = {"lint-imports": "import-linter", "mypy": "mypy", "ruff": "ruff"}
    assert tools - {"python"} == set(packages)
    assert set(packages.values()) <= set(PROJECT["optional-dependencies"]["dev"])


def test_issue_forms_have_distinct_fields() -> None:
    for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")):
        if path.name != "config.yml":
            form = load(str(path.relative_to(ROOT)))
            ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
            assert len(ids) == len(set(ids)) > 0, path.name


def test_both_packages_ship_their_types() -> None:
    setuptools = TABLES["tool"]["setuptools"]
    for package in ("entrypoint", "server"):
        assert (ROOT / package / "py.typed").exists()
        assert "py.typed" in setuptools["package-data"][package]


def test_each_client_of_the_tests_is_installed_from_a_lock() -> None:
    groups = {name.removeprefix("client-") for name in TABLES["dependency-groups"]} - {"image"}
    lists = re.findall(r"^(?:LIGHT|OTHER)_CLIENTS := (.*)$", MAKEFILE, re.MULTILINE)
    locks = {path.stem: path.read_text() for path in (ROOT / "requirements/clients").iterdir()}
    assert groups == set(" ".join(lists).split()) == set(locks)
    assert all("--hash=sha256:" in lock for lock in locks.values())


def test_the_lock_for_node_pins_packages_and_names_no_mirror() -> None:
    lock = json.loads((ROOT / "tests/clients/node/package-lock.json").read_text())
    packages = [package for place, package in lock["packages"].items() if place]
    assert len(packages) > 5
    assert all(package["integrity"].startswith("sha512-") for package in packages)
    assert not any("resolved" in package for package in packages)
