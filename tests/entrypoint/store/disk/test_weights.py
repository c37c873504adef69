"""Which files count as the weights if a repository holds them twice."""

import json
from pathlib import Path

import pytest

from entrypoint.store.disk.files import directory_files
from entrypoint.store.disk.weights import weight_bytes


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({"model.safetensors": 5}, 5),
        ({"a-00001-of-00002.safetensors": 5, "a-00002-of-00002.safetensors": 6}, 11),
        ({"model.safetensors": 5, "pytorch_model.bin": 7}, 5),
        ({"pytorch_model.bin": 7, "training_args.bin": 9}, 7),
        ({"original/consolidated.00.pth": 9, "model.safetensors": 5}, 5),
        ({"model.q4.gguf": 5, "model.q8.gguf": 9}, 0),
        ({"config.json": 5}, 0),
    ],
)
def test_only_the_format_that_vllm_loads_counts(
    tmp_path: Path, files: dict[str, int], size: int
) -> None:
    for name, length in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * length)
    assert weight_bytes(directory_files(tmp_path)) == size


def test_only_files_in_the_index_count(tmp_path: Path) -> None:
    for name in ("model-1.safetensors", "model-2.safetensors", "extra.safetensors"):
        (tmp_path / name).write_bytes(b"xxx")
    shards = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert weight_bytes(directory_files(tmp_path)) == 6


def test_a_missing_folder_has_no_weights(tmp_path: Path) -> None:
    assert weight_bytes(directory_files(tmp_path / "none")) == 0
