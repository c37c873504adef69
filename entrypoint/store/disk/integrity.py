"""The integrity of a model directory: every file that the engine will want is there and whole.

Only names, sizes, small JSON files and the headers of safetensors files are read, so that this is
cheap enough to run at every start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from entrypoint.errors import IncompleteModel, UnreadableModel
from entrypoint.store.disk.files import ModelFiles, directory_files
from entrypoint.store.disk.folder import permission_denied, why_unreadable

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
# What a trainer leaves beside the weights; vLLM's loader leaves out the same names.
NOT_WEIGHTS = frozenset(
    {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt"}
)
INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")
# Files of these kinds mean nothing when empty; an empty README or __init__.py is fine.
NEVER_EMPTY = (*WEIGHT_SUFFIXES, ".json", ".model", ".tiktoken", ".jinja")
NEVER_EMPTY_NAMES = frozenset({"merges.txt", "vocab.txt"})
NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
LFS_POINTER = b"version https://git-lfs"
# The format's own limit on the header, in bytes.
MAX_SAFETENSORS_HEADER = 100_000_000


def is_weight(name: str) -> bool:
    """Whether a file of this name, at a model's top, holds weights."""
    return name.endswith(WEIGHT_SUFFIXES) and name not in NOT_WEIGHTS


def check_model(directory: Path, *, hint: str | None = None) -> int:
    """Return the size of the model's files in bytes.

    Args:
        directory: A directory in Hugging Face format (``config.json``), in Mistral's
            (``params.json``), or with ``*.gguf``.
        hint: What mends it, for the error.

    Raises:
        UnreadableModel: A file may not be read by this user.
        IncompleteModel: A file is missing, empty, dangling, cut short or not what its name says.
    """
    return check_files(directory_files(directory), hint=hint)


def check_files(files: ModelFiles, *, hint: str | None = None) -> int:
    """Return the size of a model's files in bytes; see :func:`check_model`."""
    size, problems = examine_model(files)
    if problems:
        raise model_error(files.place, problems, hint)
    return size


def model_error(
    directory: Path, problems: Mapping[str, str], hint: str | None
) -> IncompleteModel | UnreadableModel:
    """The error for what :func:`examine_model` found wrong."""
    denied = [name for name, problem in problems.items() if problem == permission_denied()]
    if denied:  # what else is wrong may only seem so
        return UnreadableModel(directory, denied)
    return IncompleteModel(directory, problems, hint=hint)


def read_config(files: ModelFiles) -> dict[str, object]:
    """What ``config.json`` says; empty for a model that has none."""
    config = _load_object(files, "config.json")
    return {} if isinstance(config, str) else config


def examine_model(files: ModelFiles) -> tuple[int, dict[str, str]]:
    """Return the size of the model's files in bytes, and ``{file name: what is wrong with it}``."""
    sizes, problems = files.sizes, _unusable(files)
    top = [name for name in sizes if "/" not in name]
    weights = [name for name in top if is_weight(name)]

    if not any(name.endswith(".gguf") for name in weights):
        problems |= _examine_config(files)
    indexed, missing = _examine_indexes(files, weights)
    problems |= missing
    problems |= _missing_numbers([name for name in weights if name not in indexed])
    if not weights and not missing:
        problems["*.safetensors"] = "no weight file (safetensors, bin, pt, gguf) is there"
    for name in sorted({*weights, *indexed} & sizes.keys() - problems.keys()):
        if problem := _examine_weight(files, name):
            problems[name] = problem
    return sum(sizes.values()), problems


def _unusable(files: ModelFiles) -> dict[str, str]:
    """The files that cannot be read, and those that are empty and must not be."""
    problems = dict(files.problems)
    for name, size in files.sizes.items():
        file = name.rpartition("/")[2]
        if size == 0 and (file.endswith(NEVER_EMPTY) or file in NEVER_EMPTY_NAMES):
            problems.setdefault(name, "empty")
    return problems


def _load_object(files: ModelFiles, name: str) -> dict[str, object] | str:
    """The JSON object that a file holds, or what is wrong with the file."""
    try:
        value = json.loads(files.read(name))
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    except OSError as error:
        return why_unreadable(error)
    return value if isinstance(value, dict) else "not a JSON object"


def _examine_config(files: ModelFiles) -> dict[str, str]:
    sizes = files.sizes
    name = next((name for name in ("config.json", "params.json") if name in sizes), None)
    if name is None:
        return {"config.json": "missing"}
    if sizes[name] == 0:
        return {}  # named as empty or dangling already
    config = _load_object(files, name)
    return {name: config} if isinstance(config, str) else {}


def _examine_indexes(files: ModelFiles, weights: list[str]) -> tuple[set[str], dict[str, str]]:
    """The shards that the indexes name, and those of them that are not there.

    An index without any of its shards is no fault where other weights are: a repository often
    holds the model in two formats, and a downloader that fetches one takes all the JSON files.
    """
    sizes = files.sizes
    shards_of: dict[str, set[str]] = {}
    problems: dict[str, str] = {}
    for index in (name for name in sizes if name.endswith(INDEX_SUFFIXES) and "/" not in name):
        if sizes[index] == 0:
            continue  # named as empty or dangling already
        content = _load_object(files, index)
        weight_map = content if isinstance(content, str) else content.get("weight_map")
        if isinstance(weight_map, dict):
            shards_of[index] = {str(shard) for shard in weight_map.values()}
        else:
            problems[index] = (
                weight_map if isinstance(weight_map, str) else "weight_map is not an object"
            )
    indexed = set().union(*shards_of.values())
    for index, shards in shards_of.items():
        if shards & sizes.keys() or not weights:
            for shard in sorted(shards - sizes.keys()):
                problems[shard] = f"missing, listed in {index}"
    return indexed, problems


def _missing_numbers(weights: list[str]) -> dict[str, str]:
    """Shards that the names of the others promise, as in ``model-00001-of-00002.safetensors``."""
    problems = {}
    for name in weights:
        if match := NUMBERED.fullmatch(name):
            stem, count, suffix = match["stem"], match["count"], match["suffix"]
            for number in range(1, int(count) + 1):
                shard = f"{stem}-{number:05d}-of-{count}{suffix}"
                if shard not in weights:
                    problems[shard] = f"missing, {name} is one of {int(count)}"
    return problems


def safetensors_header(files: ModelFiles, name: str) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and its length in bytes; 8 bytes before it say that.

    Raises:
        ValueError: It is not a safetensors file.
        OSError: It cannot be read.
    """
    length = int.from_bytes(files.read(name, 8), "little")
    if length > MAX_SAFETENSORS_HEADER:
        raise ValueError("not a safetensors file")
    if files.sizes[name] < 8 + length:
        raise ValueError(f"cut short: {files.sizes[name]} bytes, its header alone has {8 + length}")
    try:
        header = json.loads(files.read(name, length, 8))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ValueError("not a safetensors file: its header cannot be read")
    return header, length


def _examine_weight(files: ModelFiles, name: str) -> str | None:
    """What is wrong with a weight file, seen from its first bytes and its size in bytes."""
    size = files.sizes[name]
    try:
        if files.read(name, len(LFS_POINTER)) == LFS_POINTER:
            return "a Git LFS pointer instead of the file, run: git lfs pull"
        if PurePosixPath(name).suffix != ".safetensors":
            return None
        header, length = safetensors_header(files, name)
    except ValueError as error:
        return str(error)
    except OSError as error:
        return why_unreadable(error)
    try:
        tensors = (tensor for key, tensor in header.items() if key != "__metadata__")
        promised = 8 + length + max((int(t["data_offsets"][1]) for t in tensors), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "not a safetensors file: its header cannot be read"
    if size < promised:
        return f"cut short: {size} of {promised} bytes"
    if size > promised:
        return f"too long: {size} bytes where its header says {promised}"
    return None
