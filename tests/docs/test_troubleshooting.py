"""docs/troubleshooting.md quotes the errors as the runtime words them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from docs.prose import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
PLACE = "/srv/inference-server"
"""The checkout's path on the page."""

QUOTES = re.findall(r"^- \*(.*?)\*:", PAGE, re.MULTILINE)
VALUES = re.compile(r"(?:\d+ )?(?:NVIDIA|AMD) GPUs?|[\d.]+ GiB|/dev/\w+|cuda|\d+|…|, (?:and|but)\b")
"""Where a quoted error is put together: values, and what joins two messages."""


def test_the_command_prints_the_error_on_the_page() -> None:
    [block] = re.findall(r"```console\n\$ (.*?)```", PAGE, re.DOTALL)
    command, expected = block.split("\n", 1)
    done = subprocess.run(
        command.replace(".venv/bin/inference-server", f"{sys.executable} -m entrypoint"),
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 66
    assert done.stderr.replace(str(ROOT), PLACE) == expected


@pytest.fixture(scope="module")
def strings() -> list[str]:
    """Every string in the entrypoint's code."""
    return [
        node.value
        for path in sorted((ROOT / "entrypoint").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@pytest.mark.parametrize("quote", QUOTES)
def test_quoted_errors_are_worded_as_in_the_code(quote: str, strings: list[str]) -> None:
    fixed = [part.strip() for part in VALUES.split(quote)]
    unknown = [part for part in fixed if not any(part in string for string in strings)]
    assert unknown == []


def test_the_page_quotes_errors() -> None:
    assert len(QUOTES) >= 4
