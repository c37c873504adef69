"""The size of the weights that the engine loads."""

from __future__ import annotations

from entrypoint.store.disk.files import ModelFiles
from entrypoint.store.disk.loadable import read_weights


def weight_bytes(files: ModelFiles, load_format: str = "auto") -> int:
    """Return the bytes of a model's weights; 0 if it is not clear which files count.

    A repository often holds the same weights twice: as safetensors and as pickles, or in shards
    and consolidated.
    """
    return sum(files.sizes[name] for name in read_weights(files, load_format))
