"""The demo model in OpenVINO's format, converted once a run by the real converter."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from demo import files
from demo.artifact import read_snapshot
from tests.support.openvino_demo import converted

# .venv has no openvino_genai: `make test` runs these in .venv-openvino
collect_ignore_glob = ["test_*.py"] if find_spec("openvino_genai") is None else []


@pytest.fixture(scope="session")
def snapshot() -> Path:
    """The demo model as it came."""
    return read_snapshot(files.CACHE, files.REPOSITORY)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With fp16 weights."""
    return converted(tmp_path_factory.mktemp("scratch"), "fp16")


@pytest.fixture(scope="session")
def demo_int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With int8 weights."""
    return converted(tmp_path_factory.mktemp("scratch"), "int8")
