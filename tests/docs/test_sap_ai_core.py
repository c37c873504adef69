"""docs/sap-ai-core.md matches the templates in deploy/aicore."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from entrypoint.settings import all_variables
from tests.support.aicore import (
    NAMES,
    PARAMETERS_OF_THE_GUIDES,
    RESERVED_PORTS,
    Rendered,
    template,
)
from tests.support.deploy_files import ROOT

PAGE = (ROOT / "docs" / "sap-ai-core.md").read_text()


def rows(first_cell: str) -> list[list[str]]:
    """Return the cells of the table whose header starts with ``first_cell``."""
    table = PAGE.split(f"\n| {first_cell}", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table]


def test_the_page_explains_every_parameter() -> None:
    named = {name for row in rows("parameter ") for name in re.findall(r"`(\w+)`", row[0])}
    assert named == PARAMETERS_OF_THE_GUIDES


def test_parameters_set_known_variables() -> None:
    variables = {
        name for row in rows("parameter ") for name in re.findall(r"`([A-Z_]{3,})`", row[1])
    }
    assert variables <= set(all_variables())
    assert len(variables) > 5


def test_the_page_lists_the_ports_that_knative_reserves() -> None:
    [row] = [row for row in rows("parameter ") if "`portNumber`" in row[0]]
    assert {int(port) for port in re.findall(r"\d{4}", row[2])} == RESERVED_PORTS


@pytest.mark.parametrize("name", NAMES)
def test_the_annotations_match_the_template(name: str) -> None:
    head = "autoscaling.knative.dev/"
    annotations = Rendered(name, {}).annotations
    shown = {
        row[0].strip("`"): row[1].strip("`")
        for row in rows(f"annotation `{head}`")
        if row[1].startswith("`")
    }
    assert {f"{head}{key}": value for key, value in shown.items()} == annotations


@pytest.mark.parametrize("name", NAMES)
def test_the_times_match_the_template(name: str) -> None:
    rendered = Rendered(name, {})
    grace = rendered.predictor["terminationGracePeriodSeconds"]
    drain = {each["name"]: each.get("value") for each in rendered.container["env"]}
    text = PAGE.replace("\n", " ")
    assert f"waits {grace} s (`terminationGracePeriodSeconds`)" in text
    assert f"up to {drain['SHUTDOWN_TIMEOUT']} s (`SHUTDOWN_TIMEOUT`)" in text


def test_the_page_registers_the_secrets_of_the_templates() -> None:
    for name in NAMES:
        spec = yaml.safe_load(json.dumps(template(name)))["spec"]["template"]["spec"]
        assert "inference-server-registry" in spec
    assert '"name": "inference-server-registry"' in PAGE
    assert r"\"name\": \"hugging-face\", \"data\": {\"token\":" in PAGE


def test_request_bodies_are_valid_json() -> None:
    bodies = re.findall(r"-d '(\{.*?\})'", PAGE, re.DOTALL)
    assert len(bodies) >= 4
    for body in bodies:
        assert isinstance(json.loads(body), dict), body
