"""``inference-server options``: the list, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from entrypoint.cli import main


def test_every_option_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options"], {}) == 0
    printed = capsys.readouterr().out
    assert "--max-model-len" in printed
    assert "--tensor-parallel-size" in printed


def test_a_word_selects_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "max-model-len"], {}) == 0
    printed = capsys.readouterr().out
    assert "--max-model-len" in printed
    assert "--tensor-parallel-size" not in printed


def test_json_has_the_same_options_as_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "--json", "max-model-len"], {}) == 0
    options = json.loads(capsys.readouterr().out)
    assert "--max-model-len" in json.dumps(options)
    assert main(["options", "--json", "no-such-option-at-all"], {}) == 0
    assert "--max-model-len" not in capsys.readouterr().out
