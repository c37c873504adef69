"""The integrity of a model directory: every file that the engine will want is there and whole.

Only names, sizes, small JSON files and the headers of safetensors files are read, so that this is
cheap enough to run at every start.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from entrypoint.errors import IncompleteModel, UnreadableModel
from entrypoint.store.folder import permission_denied, why_unreadable

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
    size, problems = examine_model(directory)
    if problems:
        raise model_error(directory, problems, hint)
    return size


def model_error(
    directory: Path, problems: Mapping[str, str], hint: str | None
) -> IncompleteModel | UnreadableModel:
    """The error for what :func:`examine_model` found wrong."""
    denied = [name for name, problem in problems.items() if problem == permission_denied()]
    if denied:  # what else is wrong may only seem so
        return UnreadableModel(directory, denied)
    return IncompleteModel(directory, problems, hint=hint)


def read_config(directory: Path) -> dict[str, object]:
    """What ``config.json`` says; empty for a model that has none."""
    config = _load_object(directory / "config.json")
    return {} if isinstance(config, str) else config


def examine_model(directory: Path) -> tuple[int, dict[str, str]]:
    """Return the size of the model's files in bytes, and ``{file name: what is wrong with it}``."""
    sizes, problems = _examine_files(directory)
    top = [name for name in sizes if "/" not in name]
    weights = [name for name in top if is_weight(name)]

    if not any(name.endswith(".gguf") for name in weights):
        problems |= _examine_config(directory, sizes)
    indexed, missing = _examine_indexes(directory, sizes, weights)
    problems |= missing
    problems |= _missing_numbers([name for name in weights if name not in indexed])
    if not weights and not missing:
        problems["*.safetensors"] = "no weight file (safetensors, bin, pt, gguf) is there"
    for name in sorted({*weights, *indexed} & sizes.keys() - problems.keys()):
        if problem := _examine_weight(directory / name, sizes[name]):
            problems[name] = problem
    return sum(sizes.values()), problems


def _examine_files(directory: Path) -> tuple[dict[str, int], dict[str, str]]:
    """``{name: bytes}`` of all files that are there, dangling links as 0, and what is wrong."""
    sizes: dict[str, int] = {}
    problems: dict[str, str] = {}

    def unlistable(error: OSError) -> None:
        problems[os.path.relpath(error.filename, directory)] = why_unreadable(error)

    for place, folders, files in os.walk(directory, onerror=unlistable):
        # .git and .cache hold copies and notes of the tools that fetched the model.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            path = os.path.join(place, file)
            name = os.path.relpath(path, directory)
            try:
                sizes[name] = os.stat(path).st_size
            except OSError as error:
                sizes[name] = 0
                dangling = isinstance(error, FileNotFoundError) and os.path.islink(path)
                problems[name] = (
                    f"dangling link to {os.readlink(path)}" if dangling else why_unreadable(error)
                )
                continue
            if not os.access(path, os.R_OK):
                problems[name] = permission_denied()
            elif sizes[name] == 0 and (file.endswith(NEVER_EMPTY) or file in NEVER_EMPTY_NAMES):
                problems[name] = "empty"
    return sizes, problems


def _load_object(path: Path) -> dict[str, object] | str:
    """The JSON object that a file holds, or what is wrong with the file."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    except OSError as error:
        return why_unreadable(error)
    return value if isinstance(value, dict) else "not a JSON object"


def _examine_config(directory: Path, sizes: dict[str, int]) -> dict[str, str]:
    name = next((name for name in ("config.json", "params.json") if name in sizes), None)
    if name is None:
        return {"config.json": "missing"}
    if sizes[name] == 0:
        return {}  # named as empty or dangling already
    config = _load_object(directory / name)
    return {name: config} if isinstance(config, str) else {}


def _examine_indexes(
    directory: Path, sizes: dict[str, int], weights: list[str]
) -> tuple[set[str], dict[str, str]]:
    """The shards that the indexes name, and those of them that are not there.

    An index without any of its shards is no fault where other weights are: a repository often
    holds the model in two formats, and a downloader that fetches one takes all the JSON files.
    """
    shards_of: dict[str, set[str]] = {}
    problems: dict[str, str] = {}
    for index in (name for name in sizes if name.endswith(INDEX_SUFFIXES) and "/" not in name):
        if sizes[index] == 0:
            continue  # named as empty or dangling already
        content = _load_object(directory / index)
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


def _examine_weight(path: Path, size: int) -> str | None:
    """What is wrong with a weight file, seen from its first bytes and its size in bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(max(8, len(LFS_POINTER)))
            if start.startswith(LFS_POINTER):
                return "a Git LFS pointer instead of the file, run: git lfs pull"
            if path.suffix != ".safetensors":
                return None
            length = int.from_bytes(start[:8], "little")
            if length > MAX_SAFETENSORS_HEADER:
                return "not a safetensors file"
            if size < 8 + length:
                return f"cut short: {size} bytes, its header alone has {8 + length}"
            file.seek(8)
            header = json.loads(file.read(length))
            ends = [
                int(tensor["data_offsets"][1])
                for name, tensor in header.items()
                if name != "__metadata__"
            ]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return "not a safetensors file: its header cannot be read"
    except OSError as error:
        return why_unreadable(error)
    promised = 8 + length + max(ends, default=0)
    if size < promised:
        return f"cut short: {size} of {promised} bytes"
    if size > promised:
        return f"too long: {size} bytes where its header says {promised}"
    return None
