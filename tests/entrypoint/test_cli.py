"""The command line: what it prints where, and its exit codes."""

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.environments import environment
from tests.support.models import write_snapshot


class TestPlan:
    def test_plan_as_json_is_one_document(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        assert main(["plan", "--json"], environment(tmp_path)) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["model"]["repository"] == "Org/Model"
        assert printed.err == ""

    def test_plan_as_a_table_shows_the_options(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        assert main(["plan"], environment(tmp_path, NUM_SHARD="2")) == 0
        printed = capsys.readouterr().out
        assert "--tensor-parallel-size" in printed
        assert "NUM_SHARD" in printed

    def test_neither_form_shows_a_secret(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_snapshot(tmp_path / "cache", "Org/Model")
        environ = environment(tmp_path, HF_TOKEN="secret-1", API_KEY="secret-2")
        main(["plan"], environ)
        main(["plan", "--json"], environ)
        printed = capsys.readouterr()
        assert "secret-" not in printed.out + printed.err


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


class TestOptions:
    def test_options_finds_a_word(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["options", "tensor-parallel"], {}) == 0
        assert "--tensor-parallel-size" in capsys.readouterr().out

    def test_options_as_json_is_a_list(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["options", "--json"], {}) == 0
        assert len(json.loads(capsys.readouterr().out)) > 200


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 0
    assert "serve" in capsys.readouterr().out


def test_version_names_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], {}) == 0
    assert "vllm 0.32.0 (cpu)" in capsys.readouterr().out
