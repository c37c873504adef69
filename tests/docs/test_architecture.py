"""docs/architecture.md matches the import contracts and the files."""

from __future__ import annotations

import re
import tomllib

import pytest

from docs.prose import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
LAYERS = {
    contract["containers"][0]: contract["layers"]
    for contract in CONTRACTS
    if contract["type"] == "layers"
}


@pytest.mark.parametrize("package", LAYERS)
def test_the_page_shows_the_layers_of_the_contract(package: str) -> None:
    blocks = [block.splitlines() for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)]
    # __main__ only starts cli
    assert [layer for layer in LAYERS[package] if layer != "__main__"] in blocks


def test_the_parts_are_folders_and_files() -> None:
    table = PAGE.split("| folder | what it holds |")[1].split("\n\n")[0]
    for row in table.splitlines()[2:]:
        cell = row.split("|")[1]
        base = ROOT
        for name in re.findall(r"`([\w/.]+)`", cell):
            # the names after the first one of a row are in the same package
            base = ROOT / name.split("/")[0] if (ROOT / name).exists() else base
            assert (ROOT / name).exists() or (base / name).exists(), name


def test_the_files_that_touch_internals_exist() -> None:
    table = PAGE.split("## Where we touch vLLM's internals")[1]
    named = re.findall(r"^\| `(server/[\w/.]+)`", table, re.MULTILINE)
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []
