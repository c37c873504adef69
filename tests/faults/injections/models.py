"""Damaged models and archives."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import zstandard

from tests.faults.stage import Inject, Stage
from tests.support.models import model_files, pack, write_files

WEIGHTS = "model.safetensors"


def cut(name: str, by: int = 8) -> Inject:
    """The file's last bytes are missing."""

    def inject(stage: Stage) -> None:
        os.truncate(stage.blob(name), stage.blob(name).stat().st_size - by)

    return inject


def holds(name: str, content: bytes) -> Inject:
    """The file has other content."""

    def inject(stage: Stage) -> None:
        stage.blob(name).write_bytes(content)

    return inject


def dangles(name: str) -> Inject:
    """The snapshot's link is dangling: its blob was deleted."""

    def inject(stage: Stage) -> None:
        stage.blob(name).unlink()

    return inject


def is_missing(name: str) -> Inject:
    """The file is missing."""

    def inject(stage: Stage) -> None:
        (stage.snapshot / name).unlink()

    return inject


def lacks_a_shard(stage: Stage) -> None:
    """An index names a missing shard."""
    index = {"weight_map": {"a": WEIGHTS, "b": "model-00002-of-00002.safetensors"}}
    (stage.snapshot / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def changed(name: str) -> Inject:
    """One bit of the file has changed, but not its length."""

    def inject(stage: Stage) -> None:
        content = bytearray(stage.blob(name).read_bytes())
        content[-1] ^= 1
        stage.blob(name).write_bytes(content)

    return inject


def names_code_of_another_repository(stage: Stage) -> None:
    """``auto_map`` names another repository, which others can change."""
    config = json.loads(stage.blob("config.json").read_bytes())
    config["auto_map"] = {"AutoConfig": "someone/else--configuration.Config"}
    stage.blob("config.json").write_text(json.dumps(config))


def _head(size: int) -> bytes:
    """Return the header of a file with ``size`` bytes of weights."""
    tensor = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    header = json.dumps({"weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header


def _zeros(weights: Path, size: int) -> None:
    """Write a sparse file of weights, which takes no space on the disk."""
    head = _head(size)
    weights.write_bytes(head)
    os.truncate(weights, len(head) + size)


def large_weights(size: int) -> Inject:
    """Weights that take long to read, as from a slow disk.

    Args:
        size: In bytes.
    """

    def inject(stage: Stage) -> None:
        _zeros(stage.blob(WEIGHTS), size)

    return inject


def unread_weights(size: int) -> Inject:
    """Weights that have to be read from the disk because they are not cached in memory.

    Args:
        size: In bytes.
    """

    def inject(stage: Stage) -> None:
        content = _head(size) + os.urandom(size)
        blob = stage.blob(WEIGHTS).with_name(hashlib.sha256(content).hexdigest())
        with blob.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        link = stage.snapshot / WEIGHTS
        link.unlink()
        link.symlink_to(blob)

    return inject


def tarball(compression: str, damage: Callable[[bytes], bytes] = bytes, size: int = 16) -> Inject:
    """The model is in a tarball and not in the cache."""

    def inject(stage: Stage) -> None:
        folder = write_files(stage.place / "packed" / "model", model_files(size=size))
        suffix = {"plain": "", "gzip": ".gz", "zstd": ".zst"}[compression]
        path = pack(folder.parent, stage.place / f"model.tar{suffix}", compression)
        path.write_bytes(damage(path.read_bytes()))
        stage.environ |= {"MODEL_TARBALL": str(path), "HF_HUB_CACHE": str(stage.place / "none")}

    return inject


def half(content: bytes) -> bytes:
    """Return the first half."""
    return content[: len(content) // 2]


def garbage(content: bytes) -> bytes:
    """Return bytes of the same length that mean nothing."""
    return bytes(251 for _ in content)


def a_file(name: str, content: bytes, variable: str) -> Inject:
    """A variable names a file with this content."""

    def inject(stage: Stage) -> None:
        path = stage.place / name
        path.write_bytes(content)
        stage.environ[variable] = str(path)

    return inject


def large_tarball(size: int) -> Inject:
    """A small tarball with large weights, which are zeros.

    Args:
        size: The weights' size, in bytes.
    """

    def inject(stage: Stage) -> None:
        folder = write_files(stage.place / "packed" / "model", model_files())
        _zeros(folder / WEIGHTS, size)
        path = stage.place / "model.tar.zst"
        with (
            path.open("wb") as file,
            zstandard.ZstdCompressor(level=1).stream_writer(file) as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            tar.add(folder, folder.name)
        stage.environ |= {"MODEL_TARBALL": str(path), "HF_HUB_CACHE": str(stage.place / "none")}

    return inject
