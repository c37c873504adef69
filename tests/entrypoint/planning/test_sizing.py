"""The KV cache of one sequence, against numbers worked out by hand."""

from typing import Any

import pytest

from entrypoint.planning.sizing import sequence_bytes

LLAMA_3_1_8B = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}


@pytest.mark.parametrize(
    ("changes", "gib"),
    [
        ({}, 16),  # 128 KiB a token, 131072 tokens
        ({"torch_dtype": "float32"}, 32),
        ({"num_key_value_heads": None}, 64),
        ({"head_dim": 64}, 8),
        ({"dtype": "float32", "torch_dtype": None}, 32),
    ],
)
def test_a_llamas_sequence_has_the_right_size(changes: dict[str, Any], gib: int) -> None:
    assert sequence_bytes({**LLAMA_3_1_8B, **changes}) == gib << 30


def test_a_multimodal_models_text_part_counts() -> None:
    assert sequence_bytes({"text_config": LLAMA_3_1_8B, "hidden_size": 1}) == 16 << 30


@pytest.mark.parametrize("config", [{}, {**LLAMA_3_1_8B, "num_attention_heads": 0}])
def test_an_incomplete_configuration_has_no_size(config: dict[str, Any]) -> None:
    assert sequence_bytes(config) is None
