"""How much memory a model's weights and KV cache need, by its ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ELEMENT_BYTES = {"float32": 4, "float": 4}
"""Bytes of one element; two for any other dtype."""


def element_bytes(dtype: str) -> int:
    """Return the bytes of one element of a dtype, by vLLM's name for it."""
    return ELEMENT_BYTES.get(dtype, 2)


def stored_dtype(config: Mapping[str, Any]) -> str:
    """Return the dtype in which the weights are stored."""
    text = text_config(config)
    return str(text.get("dtype") or text.get("torch_dtype"))


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration merged with its nested language model's, if it has one."""
    return {**config, **(config.get("text_config") or {})}


def sequence_bytes(config: Mapping[str, Any], dtype: str | None = None) -> int | None:
    """Return the bytes of the keys and values of one sequence of full length.

    Two (keys and values) times layers, key-value heads, head size, bytes per element, and context
    length: https://arxiv.org/abs/2309.06180, section 3. None if the configuration lacks one of
    them, as for models without attention.

    Args:
        config: The content of ``config.json``.
        dtype: The dtype of the cache; None for that of the weights.
    """
    text = text_config(config)
    try:
        heads = int(text["num_attention_heads"])
        head_size = int(text.get("head_dim") or int(text["hidden_size"]) // heads)
        cached_heads = int(text.get("num_key_value_heads") or heads)
        layers = int(text["num_hidden_layers"])
        length = int(text["max_position_embeddings"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    size = element_bytes(dtype or stored_dtype(config))
    return 2 * layers * cached_heads * head_size * size * length
