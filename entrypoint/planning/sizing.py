"""How much memory a model's weights and key-value cache want, read from its ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ELEMENT_BYTES = {"float32": 4, "float": 4}
"""Bytes of one number; two where the type is not here."""


def element_bytes(dtype: str) -> int:
    """Return the bytes of one number of a type, by vLLM's name for it."""
    return ELEMENT_BYTES.get(dtype, 2)


def stored_dtype(config: Mapping[str, Any]) -> str:
    """Return the type in which the weights are stored."""
    text = text_config(config)
    return str(text.get("dtype") or text.get("torch_dtype"))


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with that of its language model on top, where it is nested."""
    return {**config, **(config.get("text_config") or {})}


def sequence_bytes(config: Mapping[str, Any], dtype: str | None = None) -> int | None:
    """Return the bytes that the keys and values of one sequence of full length take.

    Two (keys and values) times layers, key-value heads, head size, bytes of an element, and the
    model's context length: https://arxiv.org/abs/2309.06180, section 3. None where the
    configuration does not say, as for models without attention.

    Args:
        config: What ``config.json`` says.
        dtype: The type of the cached numbers; None for that of the weights.
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
