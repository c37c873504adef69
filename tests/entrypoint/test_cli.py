"""The command line: what it prints where, and its exit codes."""

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.environments import environment


class TestErrors:
    def test_an_error_goes_to_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["plan"], {"MODEL_ID": "a/b", "PORT": "http"}) == 78
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "PORT='http'" in printed.err

    def test_an_error_as_json_goes_to_standard_output_too(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["plan", "--json"], {"MODEL_ID": "a/b", "PORT": "http"}) == 78
        printed = capsys.readouterr()
        error = json.loads(printed.out)["error"]
        assert (error["code"], error["variable"]) == ("setting", "PORT")
        assert error["message"] in printed.err

    @pytest.mark.parametrize("words", [["--nonsense"], ["unknown"], ["plan", "--yaml"]])
    def test_a_wrong_command_line_exits_with_64(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(words, {}) == 64
        assert "--help" in capsys.readouterr().err

    def test_serve_fails_before_it_listens(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["serve"], environment(tmp_path, ARG="--max-model-length 1")) == 78
        assert "--max-model-len?" in capfd.readouterr().err


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 0
    assert "serve" in capsys.readouterr().out


def test_version_names_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], {}) == 0
    assert "vllm 0.32.0 (cpu)" in capsys.readouterr().out
