"""The demo model in OpenVINO's format, converted once per run by the real converter."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo import files
from demo.artifact import read_snapshot
from tests.support.openvino_demo import converted

if TYPE_CHECKING:
    from vllm.config import VllmConfig

    from server.openvino.messages import Load

# .venv has no openvino_genai: `make test` runs these in .venv-openvino
collect_ignore_glob = ["test_*.py"] if find_spec("openvino_genai") is None else []


@pytest.fixture(scope="session")
def snapshot() -> Path:
    """The demo model before conversion."""
    return read_snapshot(files.CACHE, files.REPOSITORY)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With fp16 weights."""
    return converted(tmp_path_factory.mktemp("scratch"), "fp16")


@pytest.fixture(scope="session")
def demo_int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With int8 weights."""
    return converted(tmp_path_factory.mktemp("scratch"), "int8")


@pytest.fixture(scope="session")
def config(snapshot: Path) -> VllmConfig:
    """vLLM's configuration for the demo model."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    arguments = AsyncEngineArgs(
        model=str(snapshot),
        max_num_seqs=8,
        max_num_batched_tokens=2048,
        enable_prefix_caching=False,
    )
    return arguments.create_engine_config()


@pytest.fixture
def load(config: VllmConfig, demo: Path) -> Load:
    """The command that loads the demo model."""
    from server.openvino.loading import load_message
    from server.openvino.settings import PipelineSettings

    return load_message(config, PipelineSettings(demo, "CPU", 1, None), "auto")
