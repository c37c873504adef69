"""Which files of a model vLLM's loaders read. ``tests/server/test_loader_rules.py`` asks vLLM."""

from __future__ import annotations

import pytest

from entrypoint.store.disk.loading import (
    Selection,
    config_name,
    has_consolidated,
    has_tokenizer,
    select_weights,
)

INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["b.safetensors", "a.safetensors", "m.bin"], ("a.safetensors", "b.safetensors")),
        (["m.bin", "m.pt", "training_args.bin"], ("m.bin",)),
        (["m.pt", "optimizer.pt"], ("m.pt",)),
        (["m.pt", "training_args.bin"], ()),
        (["sub/m.safetensors", "m.bin"], ("m.bin",)),
        ([".m.safetensors", "M.SAFETENSORS", "m.gguf"], ()),
    ],
)
def test_the_first_format_that_exists_is_read(names: list[str], expected: tuple[str, ...]) -> None:
    assert select_weights(names, "auto") == Selection("hf", expected)


def test_an_index_counts_only_for_its_own_format() -> None:
    assert select_weights(["m.safetensors", INDEX], "auto") == Selection(
        "hf", ("m.safetensors",), INDEX
    )
    assert select_weights(["m.bin", INDEX], "auto") == Selection("hf", ("m.bin",))
    assert select_weights(["m.safetensors", INDEX], "runai_streamer") == Selection(
        "runai_streamer", ("m.safetensors",)
    )


@pytest.mark.parametrize("load_format", ["dummy", "tensorizer", "modelexpress", "a-plugin's"])
def test_some_formats_read_no_weights_from_the_folder(load_format: str) -> None:
    assert select_weights(["m.safetensors"], load_format) is None


@pytest.mark.parametrize(
    "name", ["consolidated.safetensors", "original/consolidated-1.safetensors"]
)
def test_a_consolidated_file_anywhere_chooses_mistrals_format(name: str) -> None:
    selection = select_weights([name, "m.safetensors"], "auto")
    assert selection is not None
    assert selection.load_format == "mistral"
    assert has_consolidated([name])
    assert not has_consolidated(["consolidated.00.pth", "m.safetensors"])


@pytest.mark.parametrize(
    ("names", "config_format", "expected"),
    [
        (["config.json", "params.json"], "auto", "config.json"),
        (["config.json", "params.json", "consolidated.safetensors"], "auto", "params.json"),
        (["config.json", "consolidated.safetensors"], "auto", "config.json"),
        (["params.json"], "auto", "config.json"),
        (["config.json"], "mistral", "params.json"),
        (["params.json", "consolidated.safetensors"], "hf", "config.json"),
    ],
)
def test_the_configuration_depends_on_the_weights(
    names: list[str], config_format: str, expected: str
) -> None:
    assert config_name(names, config_format) == expected


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model.v3",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "tekken.json",
        "qwen.tiktoken",
        "sentencepiece.bpe.model",
        "added_tokens.json",
    ],
)
def test_a_tokenizers_file_is_recognized_by_its_name(name: str) -> None:
    assert has_tokenizer(["config.json", name])
    assert not has_tokenizer(["config.json", "model.safetensors", f"sub/{name}"])
