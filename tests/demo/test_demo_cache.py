"""The committed model in ``demo/cache`` is complete, small, and matches the questions."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from demo import files
from demo.artifact import blob_name, commit_id, folder_name, read_snapshot, total_bytes
from demo.questions import load

FOLDER = files.CACHE / folder_name(files.REPOSITORY)
LIMIT = 8_000_000


def snapshot() -> Path:
    return read_snapshot(files.CACHE, files.REPOSITORY)


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((snapshot() / name).read_text(encoding="utf-8"))
    return loaded


def weights_header() -> dict[str, Any]:
    with (snapshot() / files.WEIGHTS_FILE).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    return header


def test_the_model_is_small() -> None:
    """1. At most 8 MB, all files together."""
    assert total_bytes(FOLDER) <= LIMIT


def test_every_link_is_relative_and_leads_to_its_blob() -> None:
    """2. The name of the blob is the digest of its content."""
    links = list(snapshot().iterdir())
    assert links
    for link in links:
        assert link.is_symlink()
        assert link.readlink().parent == Path("../../blobs")
        assert link.readlink().name == blob_name(link.name, link.read_bytes())


def test_every_blob_is_used() -> None:
    """3. No file of an older training remains."""
    used = {link.readlink().name for link in snapshot().iterdir()}
    assert {blob.name for blob in (FOLDER / "blobs").iterdir()} == used


def test_commit_is_the_digest_of_the_files() -> None:
    """4. As demo/artifact.py documents it."""
    blobs = {link.name: link.readlink().name for link in snapshot().iterdir()}
    assert snapshot().name == commit_id(blobs)


@pytest.mark.parametrize("ref", files.REFS)
def test_refs_name_the_snapshot(ref: str) -> None:
    """5. Without a newline."""
    assert (FOLDER / "refs" / ref).read_bytes() == snapshot().name.encode("ascii")


def test_the_cache_has_one_snapshot() -> None:
    """6. The cache has only one version."""
    assert list((FOLDER / "snapshots").iterdir()) == [snapshot()]


def test_config_is_the_one_that_training_writes() -> None:
    """7. Four heads of 64 and two key/value heads. Nobody edited the file."""
    config = document("config.json")
    assert config == files.config(files.Shape())
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (4, 2)
    assert config["head_dim"] == 64


def test_other_small_files_are_the_ones_that_training_writes() -> None:
    """8. Chat template and greedy defaults included."""
    shape = files.Shape()
    assert document("tokenizer_config.json") == files.tokenizer_config(shape)
    assert document("generation_config.json") == files.generation_config()
    assert document("special_tokens_map.json") == files.special_tokens_map()


def test_weights_are_bfloat16_of_the_right_shape() -> None:
    """9. The embedding has a row per token, and the tied output layer is not stored."""
    header = weights_header()
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    shape = files.Shape()
    assert {entry["dtype"] for entry in tensors.values()} == {"BF16"}
    assert tensors["model.embed_tokens.weight"]["shape"] == [shape.vocabulary, shape.width]
    key = tensors["model.layers.0.self_attn.k_proj.weight"]
    assert key["shape"] == [shape.kv_heads * shape.head_size, shape.width]
    assert "lm_head.weight" not in tensors


def test_the_model_was_trained_on_the_current_questions() -> None:
    """10. If this fails, questions.toml has changed. Run `python -m demo.train`."""
    card = (snapshot() / "README.md").read_text(encoding="utf-8")
    assert files.questions_sha256_of(card) == load().sha256
