"""The exit code, error and termination message of a launch that fails."""

import json
from pathlib import Path

import pytest

from entrypoint.cli import main
from tests.support.ports import free_port

MISSING = {
    "MODEL_ID": "Org/Model",
    "HF_HUB_OFFLINE": "1",
    "HOST": "127.0.0.1",
    "ACCELERATOR": "cpu",
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a launch whose model is missing."""
    return {
        **MISSING,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "XDG_CACHE_HOME": str(tmp_path / "scratch"),
        "TERMINATION_LOG": str(tmp_path / "termination"),
    }


@pytest.fixture
def port() -> int:
    return free_port()


def test_a_missing_model_has_an_exit_code_and_a_termination_message(
    environ: dict[str, str],
    tmp_path: Path,
    port: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["serve"], {**environ, "PORT": str(port)}) == 66
    assert "inference-server: error: The model 'Org/Model'" in capfd.readouterr().err
    message = (tmp_path / "termination").read_text()
    assert message.startswith("model-not-found (exit code 66): The model 'Org/Model'")


def test_a_wrong_setting_has_a_termination_message(
    environ: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environ |= {"PORT": "many", "API_KEY": "geheim"}
    assert main(["serve"], environ) == 78
    assert (tmp_path / "termination").read_text().startswith("setting (exit code 78): PORT='many'")


def test_secrets_are_masked_in_error_and_termination_message(
    environ: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environ |= {"MODEL_ID": "geheim/geheim", "HF_TOKEN": "geheim", "ARG": "--nonsense=geheim"}
    assert main(["serve"], environ) == 78
    assert "geheim" not in (tmp_path / "termination").read_text()
    assert "geheim" not in capfd.readouterr().err


def test_every_log_line_is_a_json_record(
    environ: dict[str, str], port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Including the error."""
    assert main(["serve"], {**environ, "PORT": str(port), "LOG_FORMAT": "JSON"}) == 66
    records = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert records[0]["message"].startswith("listening on http://127.0.0.1")
    assert records[-1]["level"] == "error"
    assert "The model 'Org/Model'" in records[-1]["message"]
