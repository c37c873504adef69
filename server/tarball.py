"""vLLM's load format ``tarball``: safetensors files that are mapped where they lie in a tarball.

The tensors are views of the page cache, which every rank and every pod on the node shares. The
index that says where the files are is :class:`entrypoint.shared.tarball_index.Index`.
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
from typing import Any, BinaryIO

import torch
from vllm.config.load import LoadConfig
from vllm.logger import init_logger
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.model_loader.ep_weight_filter import should_skip_weight

from entrypoint.shared.handover import TARBALL_FORMAT, TARBALL_VARIABLE
from entrypoint.shared.tarball_index import Index

logger = init_logger(f"vllm.{__name__}")

# safetensors' names of types, and torch's
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


def tensors(file: BinaryIO, offset: int, size: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a safetensors file inside another file, without a copy.

    Args:
        file: The file around it.
        offset: Where it begins, in bytes.
        size: Its length in bytes.

    Raises:
        ValueError: A tensor is of a type that torch does not have.
    """
    start = offset - offset % mmap.ALLOCATIONGRANULARITY
    # the deep queue of reads that page faults do not make; on a network's file systems it counts
    os.posix_fadvise(file.fileno(), offset, size, os.POSIX_FADV_WILLNEED)
    # private pages: torch takes no read-only memory, and whatever is written there stays there
    view = mmap.mmap(file.fileno(), offset - start + size, access=mmap.ACCESS_COPY, offset=start)
    begin = offset - start
    length = int.from_bytes(view[begin : begin + 8], "little")
    data = begin + 8 + length
    header: dict[str, Any] = json.loads(view[begin + 8 : data])
    header.pop("__metadata__", None)
    for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = tensor["data_offsets"]
        yield name, _tensor(view, data + first, last - first, tensor["dtype"], tensor["shape"])


def _tensor(view: mmap.mmap, offset: int, size: int, dtype: str, shape: list[int]) -> torch.Tensor:
    name = DTYPES.get(dtype)
    if name is None or not hasattr(torch, name):
        raise ValueError(f"a tensor of type {dtype}, which torch {torch.__version__} does not have")
    kind: torch.dtype = getattr(torch, name)
    if not math.prod(shape):
        return torch.empty(shape, dtype=kind)
    if offset % kind.itemsize:
        # no processor that we know needs this, and few files are written so
        return torch.frombuffer(bytearray(view[offset : offset + size]), dtype=kind).reshape(shape)
    count = size // kind.itemsize
    return torch.frombuffer(view, dtype=kind, count=count, offset=offset).reshape(shape)


class TarballLoader(DefaultModelLoader):  # type: ignore[misc]  # vLLM ships no types
    """vLLM's own loader, but for the files that are inside the tarball."""

    counter_before_loading_weights: float

    def __init__(self, load_config: LoadConfig):
        super().__init__(replace(load_config, load_format="auto"))
        path = Path(os.environ[TARBALL_VARIABLE])
        self._index = Index.load(path)
        self._folder = path.parent / self._index.model

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
        """Raise if the tarball is no longer the one that was looked into."""
        if (state.st_size, state.st_mtime_ns) != (self._index.size, self._index.mtime_ns):
            raise RuntimeError(f"{self._index.archive} has changed since its files were listed")


def register() -> None:
    """Make the load format known to vLLM; once a process, however often it is called."""
    register_model_loader(TARBALL_FORMAT)(TarballLoader)
