"""A model whose weights are loaded directly from its tarball.

Only the small files are unpacked, and the header of each weight file, which vLLM reads in several
places. safetensors refuses such an incomplete file. An index beside the model's folder gives the
position of the weights in the tarball::

    tarball.json
    falcon-7b-instruct/config.json
    falcon-7b-instruct/model.safetensors      8 bytes of length, and the header
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.shared.handover import TARBALL_INDEX
from entrypoint.shared.tarball_index import Index
from entrypoint.store.disk.integrity import is_weight, safetensors_header
from entrypoint.store.disk.loadable import read_weights
from entrypoint.store.progress import OnProgress, Progress
from entrypoint.store.tarballs.tree import PackedFiles

UNREAD = ("original/",)
"""What vLLM leaves out of a repository by default (``LoadConfig.ignore_patterns``)."""
OTHER_LOADERS = frozenset({"bitsandbytes", "torchao"})
"""Quantization methods whose weights vLLM loads with a separate loader."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A model in an uncompressed tarball.

    Attributes:
        files: All of its files.
        inside: The weight files, which are loaded from the tarball.
        small: The files to unpack.
    """

    files: PackedFiles
    inside: frozenset[str]
    small: frozenset[str]

    @property
    def small_bytes(self) -> int:
        """The size of the files to unpack, without the headers of the weights."""
        return sum(self.files.entries[name].size for name in self.small)


def packed_model(files: PackedFiles, config: Mapping[str, object]) -> Packed | None:
    """Return which of a model's files stay in the tarball and which are unpacked.

    Args:
        files: The files, checked.
        config: The content of its ``config.json``.

    Returns:
        None for a model that must be unpacked completely: its weights are not safetensors, have
        holes in the tarball, or need another of vLLM's loaders.
    """
    weights = {name for name in files.entries if "/" not in name and is_weight(name)}
    read = read_weights(files, "auto")
    inside = frozenset(name for name in read if name.endswith(".safetensors"))
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    holes = any(files.entries[name].sparse for name in files.entries)
    if not inside or holes or method in OTHER_LOADERS:
        return None
    # vLLM does not load other weights than these, such as the same ones in another format
    small = {name for name in files.entries.keys() - weights if not name.startswith(UNREAD)}
    return Packed(files, inside, frozenset(small))


def unpack_small(packed: Packed, into: Path, model: str, on_progress: OnProgress) -> None:
    """Write a model's small files, the headers of its weights and the index.

    Args:
        packed: The model.
        into: An empty folder.
        model: The name of the model's folder in it.
        on_progress: Called with each change of the bytes written.

    Raises:
        OSError: A read or a write failed.
    """
    files = packed.files
    done = 0
    for name in sorted(packed.small | packed.inside):
        count = -1
        if name in packed.inside:
            count = 8 + safetensors_header(files, name)[1]
        content = files.read(name, count)
        path = into / model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if name in packed.small:
            done += len(content)
            on_progress(Progress(done, packed.small_bytes))
    state = os.stat(files.archive)
    index = Index(
        str(files.archive.absolute()),
        state.st_size,
        state.st_mtime_ns,
        model,
        {
            name: (files.entries[name].offset, files.entries[name].size)
            for name in sorted(packed.inside)
        },
    )
    (into / TARBALL_INDEX).write_text(index.dump())
