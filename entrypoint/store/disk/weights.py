"""The size of the weights that the engine loads."""

from __future__ import annotations

import json

from entrypoint.store.disk.files import ModelFiles
from entrypoint.store.disk.integrity import is_weight

INDEX = "model.safetensors.index.json"
ONE_FORMAT = (".safetensors", ".bin", ".pt")
"""vLLM loads the first of these formats that it finds (vLLM's ``DefaultModelLoader``)."""


def weight_bytes(files: ModelFiles) -> int:
    """Return the bytes of a model's weights; 0 if it is not clear which files count.

    A repository often holds the same weights twice: as safetensors and as pickles, or in shards
    and consolidated.
    """
    names = [name for name in files.sizes if "/" not in name and is_weight(name)]
    for suffix in ONE_FORMAT:
        found = [name for name in names if name.endswith(suffix)]
        if found:
            return sum(files.sizes[name] for name in _indexed(files, found))
    return 0


def _indexed(files: ModelFiles, names: list[str]) -> list[str]:
    """Return the names that the index lists; all names if there is no index."""
    try:
        listed = set(json.loads(files.read(INDEX))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return names
    return [name for name in names if name in listed] or names
