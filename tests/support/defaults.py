"""Models to make defaults for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entrypoint.store.model import Model

GIB = 1 << 30


def a_model(gib: float = 6, **config: Any) -> Model:
    """Return a model whose weights, stored in two bytes each, take so much."""
    size = int(gib * GIB)
    return Model(
        "cache",
        Path("/m"),
        "Meta/Llama",
        "abc",
        None,
        size + 1000,
        (),
        config={"dtype": "bfloat16", **config},
        weight_bytes=size,
    )
