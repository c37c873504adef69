"""Load format ``tarball`` for vLLM: maps safetensors files directly from a tarball.

The tensors are views of the page cache, which all ranks and pods on the node share. The index of
the files is an :class:`entrypoint.shared.tarball_index.Index`.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch
from vllm.config.load import LoadConfig
from vllm.logger import init_logger
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.model_loader.ep_weight_filter import should_skip_weight

from entrypoint.shared.handover import TARBALL_FORMAT
from entrypoint.shared.tarball_index import Index

logger = init_logger(f"vllm.{__name__}")

DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
"""safetensors' names of types, and torch's."""


def tensors(file: BinaryIO, offset: int, size: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a safetensors file inside another file, without a copy.

    Args:
        file: The file around it.
        offset: Where it starts, in bytes.
        size: Its length in bytes.

    Raises:
        ValueError: torch has no type for a tensor.
    """
    start = offset - offset % mmap.ALLOCATIONGRANULARITY
    # queues many reads at once, unlike page faults; this matters on network file systems
    os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)
    # private pages: torch requires writable memory, and writes must not reach the file
    view = mmap.mmap(file.fileno(), offset - start + size, access=mmap.ACCESS_COPY, offset=start)
    head = offset - start
    data = head + 8 + int.from_bytes(view[head : head + 8], "little")
    header: dict[str, Any] = json.loads(view[head + 8 : data])
    header.pop("__metadata__", None)
    for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = tensor["data_offsets"]
        yield name, _tensor(view, data + first, last - first, tensor["dtype"], tensor["shape"])


def _tensor(view: mmap.mmap, offset: int, size: int, dtype: str, shape: list[int]) -> torch.Tensor:
    name = DTYPES.get(dtype)
    if name is None or not hasattr(torch, name):
        raise ValueError(f"torch {torch.__version__} has no type for a tensor of type {dtype}")
    kind: torch.dtype = getattr(torch, name)
    if not math.prod(shape):
        return torch.empty(shape, dtype=kind)
    if offset % kind.itemsize:
        # torch requires aligned memory; few files need this copy
        return torch.frombuffer(bytearray(view[offset : offset + size]), dtype=kind).reshape(shape)
    count = size // kind.itemsize
    return torch.frombuffer(view, dtype=kind, count=count, offset=offset).reshape(shape)


class TarballLoader(DefaultModelLoader):  # type: ignore[misc]  # vLLM ships no types
    """vLLM's default loader, except for the files in the tarball."""

    index_path: ClassVar[Path]
    counter_before_loading_weights: float

    def __init__(self, load_config: LoadConfig):
        super().__init__(replace(load_config, load_format="auto"))
        self._index = Index.load(self.index_path)
        self._folder = self.index_path.parent / self._index.model

    def _get_weights_iterator(
        self, source: DefaultModelLoader.Source
    ) -> Iterator[tuple[str, torch.Tensor]]:
        if Path(source.model_or_path) != self._folder or source.subfolder is not None:
            yield from super()._get_weights_iterator(source)
            return
        _, paths, _, _ = self._prepare_weights(
            source.model_or_path,
            source.subfolder,
            source.revision,
            source.fall_back_to_pt,
            source.allow_patterns_overrides,
        )
        places = sorted(self._index.files[Path(path).name] for path in paths)
        self.counter_before_loading_weights = (
            self.counter_before_loading_weights or time.perf_counter()
        )
        with open(self._index.archive, "rb") as file:
            self._check(os.fstat(file.fileno()))
            for offset, size in places:
                for name, tensor in tensors(file, offset, size):
                    if not should_skip_weight(name, self.local_expert_ids):
                        yield source.prefix + name, tensor

    def _check(self, state: os.stat_result) -> None:
        """Raise if the tarball has changed since it was indexed."""
        if (state.st_size, state.st_mtime_ns) != (self._index.size, self._index.mtime_ns):
            raise RuntimeError(f"{self._index.archive} has changed since it was indexed")


def register(index: Path) -> None:
    """Register the load format with vLLM.

    Args:
        index: Path of the tarball's index.
    """
    TarballLoader.index_path = index
    register_model_loader(TARBALL_FORMAT)(TarballLoader)
