"""How much memory a model's key-value cache wants, read from its ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ELEMENT_BYTES = {"float32": 4, "float": 4}
"""Bytes of one cached number; two where the type is not here."""


def sequence_bytes(config: Mapping[str, Any]) -> int | None:
    """Return the bytes that the keys and values of one sequence of full length take.

    Two (keys and values) times layers, key-value heads, head size, bytes of an element, and the
    model's context length: https://arxiv.org/abs/2309.06180, section 3. None where the
    configuration does not say, as for models without attention.
    """
    text = {**config, **(config.get("text_config") or {})}
    try:
        heads = int(text["num_attention_heads"])
        head_size = int(text.get("head_dim") or int(text["hidden_size"]) // heads)
        cached_heads = int(text.get("num_key_value_heads") or heads)
        layers = int(text["num_hidden_layers"])
        length = int(text["max_position_embeddings"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    stored = str(text.get("dtype") or text.get("torch_dtype"))
    return 2 * layers * cached_heads * head_size * ELEMENT_BYTES.get(stored, 2) * length
