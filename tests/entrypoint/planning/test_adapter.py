"""Adapters: their paths in ARG, and what their folders hold."""

import json
from pathlib import Path

import pytest

from entrypoint.planning.adapter import Adapter, adapter_paths, read_adapter


@pytest.mark.parametrize(
    ("option", "word", "paths"),
    [
        ("--lora-modules", "sql=/adapters/sql", ["/adapters/sql"]),
        ("--lora-modules", "sql=/adapters/a=b", ["/adapters/a=b"]),
        ("--lora-modules", '{"name": "sql", "path": "/adapters/sql"}', ["/adapters/sql"]),
        ("--default-mm-loras", '{"audio": "/a", "image": "/b"}', ["/a", "/b"]),
    ],
)
def test_every_form_has_its_paths(option: str, word: str, paths: list[str]) -> None:
    assert list(adapter_paths(option, word)) == paths


def folder(tmp_path: Path, config: object, weights: str = "adapter_model.safetensors") -> Path:
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / weights).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("config", "adapter"),
    [
        ({"r": 8, "base_model_name_or_path": "a/b"}, Adapter(8, "a/b")),
        ({"r": 8, "rank_pattern": {"q_proj": 32}}, Adapter(32)),
        ({"bias": "none"}, Adapter()),
        ([], Adapter(problem="has an adapter_config.json that is not a JSON object")),
        (
            {"r": 8, "bias": "all"},
            Adapter(problem="has a bias (all), which vLLM does not support"),
        ),
    ],
)
def test_the_configuration_is_read_as_vllm_reads_it(
    tmp_path: Path, config: object, adapter: Adapter
) -> None:
    for weights in ("adapter_model.safetensors", "adapter_model.bin"):
        assert read_adapter(folder(tmp_path, config, weights)) == adapter


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert read_adapter(tmp_path / "no").problem == "does not exist"
    assert read_adapter(tmp_path).problem == "does not contain adapter_config.json"
    (tmp_path / "adapter_config.json").write_text("{")
    assert "unreadable adapter_config.json" in (read_adapter(tmp_path).problem or "")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert read_adapter(tmp_path).problem == "does not contain adapter_model.safetensors"
    file = tmp_path / "adapter_config.json"
    assert read_adapter(file).problem == "is not a folder"
