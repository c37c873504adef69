"""What transformers runs of a model's own code, with transformers itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoint.shared.handover import CODE_VARIABLE
from tests.support.models import write_files

LOAD = """
import sys
from server import plugin
plugin.load()
plugin.load()
from transformers import AutoConfig
print(AutoConfig.from_pretrained(sys.argv[1], trust_remote_code=True).origin)
"""
CONFIGURATION = """
from transformers import PreTrainedConfig
class XConfig(PreTrainedConfig):
    model_type = "x"
    origin = "{origin}"
"""


def model(directory: Path, name: str = "configuration_x.XConfig", origin: str = "own") -> Path:
    config = {"model_type": "x", "auto_map": {"AutoConfig": name}}
    code = CONFIGURATION.format(origin=origin).encode()
    files = {"config.json": json.dumps(config).encode(), "configuration_x.py": code}
    return write_files(directory, files)


def load(directory: Path, allowed: list[Path], modules: Path) -> subprocess.CompletedProcess[str]:
    """Load a configuration in a new process, like the engine's processes."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(modules),
        CODE_VARIABLE: json.dumps([str(place) for place in allowed]),
    }
    words = [sys.executable, "-c", LOAD, str(directory)]
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=300)


def test_code_from_an_allowed_directory_runs(tmp_path: Path) -> None:
    directory = model(tmp_path / "model")
    done = load(directory, [directory], tmp_path / "modules")
    assert done.stdout == "own\n", done.stderr


@pytest.mark.parametrize("trusted", [True, False])
def test_code_from_elsewhere_is_refused(tmp_path: Path, trusted: bool) -> None:
    """A configuration can name any directory as if it were a repository."""
    planted = model(tmp_path / "planted", origin="planted")
    directory = model(tmp_path / "model", f"{planted}--configuration_x.XConfig")
    done = load(directory, [directory] if trusted else [], tmp_path / "modules")
    assert done.stdout == ""
    assert f"Refused to run the Python code configuration_x.py of {planted}" in done.stderr
    assert ("TRUST_REMOTE_CODE is off" in done.stderr) is not trusted


def test_an_absolute_path_is_refused(tmp_path: Path) -> None:
    planted = model(tmp_path / "planted", origin="planted")
    directory = model(tmp_path / "model", f"{planted}/configuration_x.XConfig")
    done = load(directory, [directory], tmp_path / "modules")
    assert done.stdout == ""
    assert "Refused to run the Python code" in done.stderr
