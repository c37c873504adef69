"""``inference-server plan``: what it prints."""

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.environments import environment
from tests.support.models import write_snapshot


def test_plan_as_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_snapshot(tmp_path / "cache", "Org/Model")
    assert main(["plan", "--json"], environment(tmp_path)) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["model"]["repository"] == "Org/Model"
    assert printed.err == ""


def test_plan_as_a_table_shows_the_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_snapshot(tmp_path / "cache", "Org/Model")
    assert main(["plan"], environment(tmp_path, NUM_SHARD="2")) == 0
    printed = capsys.readouterr().out
    assert "--tensor-parallel-size" in printed
    assert "NUM_SHARD" in printed


def test_neither_form_shows_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_snapshot(tmp_path / "cache", "Org/Model")
    environ = environment(tmp_path, HF_TOKEN="secret-1", API_KEY="secret-2")
    main(["plan"], environ)
    main(["plan", "--json"], environ)
    printed = capsys.readouterr()
    assert "secret-" not in printed.out + printed.err
