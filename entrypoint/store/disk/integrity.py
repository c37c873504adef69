"""The integrity of a model: every file that the engine needs exists and is complete.

The check reads only names, sizes, small JSON files and the headers of safetensors files, so it is
fast enough to run at every start.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from entrypoint.errors import (
    IncompleteModel,
    InferenceServerError,
    Problem,
    ProblemKind,
    UnreadableModel,
)
from entrypoint.store.disk.files import ModelFiles, directory_files
from entrypoint.store.disk.folder import access_problem
from entrypoint.store.disk.loading import NOT_WEIGHTS

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")
# These files are useless if they are empty; an empty README or __init__.py is fine.
NEVER_EMPTY = (*WEIGHT_SUFFIXES, ".json", ".model", ".tiktoken", ".jinja")
NEVER_EMPTY_NAMES = frozenset({"merges.txt", "vocab.txt"})
NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)")
LINK_TEXT = "the text of a link instead of the file"
LFS_POINTER = b"version https://git-lfs"
# The format's own limit on the header, in bytes.
MAX_SAFETENSORS_HEADER = 100_000_000

Problems = dict[str, Problem]
"""``{file name: problem}``."""


class InvalidFile(ValueError):
    """A file's content does not have the format that its name promises.

    Args:
        text: The problem in words.
        kind: The kind of the problem.
    """

    def __init__(self, text: str, kind: ProblemKind = ProblemKind.INVALID):
        super().__init__(text)
        self.problem = Problem(kind, text)


def is_weight(name: str) -> bool:
    """Return whether a file with this name, in the model's own folder, holds weights."""
    hidden = name.rpartition("/")[2].startswith(".")  # macOS writes ._model.safetensors
    return name.endswith(WEIGHT_SUFFIXES) and name not in NOT_WEIGHTS and not hidden


def check_model(directory: Path, *, hint: str | None = None) -> int:
    """Return the size of the model's files in bytes.

    Args:
        directory: A directory in Hugging Face format (``config.json``), in Mistral's format
            (``params.json``), or with ``*.gguf``.
        hint: The fix, for the error.

    Raises:
        UnreadableModel: This user may not read a file.
        IncompleteModel: A file is missing, empty, dangling, truncated or in the wrong format.
    """
    return check_files(directory_files(directory), hint=hint)


def check_files(files: ModelFiles, *, hint: str | None = None) -> int:
    """Return the size of a model's files in bytes; see :func:`check_model`."""
    size, problems = examine_model(files)
    if problems:
        raise model_error(files.place, problems, hint)
    return size


def model_error(
    directory: Path, problems: Mapping[str, Problem], hint: str | None
) -> InferenceServerError:
    """Return the error for the problems that :func:`examine_model` found."""
    denied = [name for name, problem in problems.items() if problem.kind is ProblemKind.DENIED]
    if denied:  # the other problems may be consequences of these
        return UnreadableModel(directory, denied)
    return IncompleteModel(directory, problems, hint=hint)


def read_config(files: ModelFiles) -> dict[str, object]:
    """Return the content of ``config.json``; empty for a model without a valid one."""
    try:
        return load_object(files, "config.json")
    except (InvalidFile, OSError):
        return {}


def examine_model(files: ModelFiles) -> tuple[int, Problems]:
    """Return the size of the model's files in bytes, and ``{file name: problem}``."""
    sizes, problems = files.sizes, unusable_files(files)
    top = [name for name in sizes if "/" not in name]
    weights = [name for name in top if is_weight(name)]

    if not any(name.endswith(".gguf") for name in weights):
        problems |= _examine_config(files)
    indexed, absent = _examine_indexes(files, weights)
    problems |= absent
    problems |= missing_numbers([name for name in weights if name not in indexed])
    if not weights and not absent:
        problems["*.safetensors"] = missing("no weight file in safetensors, bin, pt or gguf format")
    for name in sorted({*weights, *indexed} & sizes.keys() - problems.keys()):
        try:
            check_weight(files, name)
        except (InvalidFile, OSError) as error:
            problems[name] = file_problem(error)
    return sum(sizes.values()), problems


def unusable_files(files: ModelFiles) -> Problems:
    """Return the files that cannot be read, and those that are empty but must not be."""
    problems = dict(files.problems)
    for name, size in files.sizes.items():
        file = name.rpartition("/")[2]
        if size == 0 and (file.endswith(NEVER_EMPTY) or file in NEVER_EMPTY_NAMES):
            problems.setdefault(name, Problem(ProblemKind.EMPTY, "empty"))
    return problems


def file_problem(error: InvalidFile | OSError) -> Problem:
    """Return the problem of a file that could not be read as what it should be."""
    return error.problem if isinstance(error, InvalidFile) else access_problem(error)


def missing(text: str) -> Problem:
    """Return the problem of a file that does not exist."""
    return Problem(ProblemKind.MISSING, text)


def load_object(files: ModelFiles, name: str) -> dict[str, object]:
    """Return the JSON object in a file.

    Raises:
        InvalidFile: The file holds something else.
        OSError: The file cannot be read.
    """
    content = files.read(name)
    _refuse_link_text(content)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidFile("not a JSON object")
    return value


def _refuse_link_text(content: bytes) -> None:
    """Refuse a file that only names another one: a link, copied by a tool that knows no links."""
    if content.startswith(b"../"):
        raise InvalidFile(LINK_TEXT)


def _examine_config(files: ModelFiles) -> Problems:
    sizes = files.sizes
    name = next((name for name in ("config.json", "params.json") if name in sizes), None)
    if name is None:
        return {"config.json": missing("missing")}
    if sizes[name] == 0:
        return {}  # already reported as empty or dangling
    try:
        load_object(files, name)
    except (InvalidFile, OSError) as error:
        return {name: file_problem(error)}
    return {}


def _examine_indexes(files: ModelFiles, weights: list[str]) -> tuple[set[str], Problems]:
    """Return the shards that the indexes list, and the problems of indexes and shards.

    An index without any of its shards is fine if there are other weights: a repository often
    holds the model in two formats, and a download of one includes the JSON files of both.
    """
    sizes = files.sizes
    shards_of: dict[str, set[str]] = {}
    problems: Problems = {}
    for index in (name for name in sizes if name.endswith(INDEX_SUFFIXES) and "/" not in name):
        if sizes[index] == 0:
            continue  # already reported as empty or dangling
        try:
            shards_of[index] = indexed_shards(files, index)
        except (InvalidFile, OSError) as error:
            problems[index] = file_problem(error)
    indexed = set().union(*shards_of.values())
    for index, shards in shards_of.items():
        if shards & sizes.keys() or not weights:
            for shard in sorted(shards - sizes.keys()):
                problems[shard] = missing(f"missing, listed in {index}")
    return indexed, problems


def indexed_shards(files: ModelFiles, index: str) -> set[str]:
    """Return the names of the weight files that an index lists.

    Raises:
        InvalidFile: It is not an index.
        OSError: It cannot be read.
    """
    weight_map = load_object(files, index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise InvalidFile("weight_map is not an object")
    return {str(shard) for shard in weight_map.values()}


def missing_numbers(weights: Collection[str]) -> Problems:
    """Return the gaps in numbered shards such as ``model-00001-of-00002.safetensors``.

    A set with gaps is no problem beside a complete one, or beside all weights in one file.
    """
    gaps: dict[tuple[str, str], Problems] = {}
    complete: set[tuple[str, str]] = set()
    for name in weights:
        match = NUMBERED.fullmatch(name)
        if match is None:
            stem, dot, suffix = name.rpartition(".")
            complete.add((stem, dot + suffix))
            continue
        stem, count, suffix = match["stem"], match["count"], match["suffix"]
        shards = [f"{stem}-{number:05d}-of-{count}{suffix}" for number in range(1, int(count) + 1)]
        absent = [shard for shard in shards if shard not in weights]
        if not absent:
            complete.add((stem, suffix))
        for shard in absent:
            text = f"missing, {name} is one of {int(count)}"
            gaps.setdefault((stem, suffix), {})[shard] = missing(text)
    found: Problems = {}
    for key, problems in gaps.items():
        if key not in complete:
            found |= problems
    return found


def safetensors_header(files: ModelFiles, name: str) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and the header's length in bytes.

    The length itself is in the 8 bytes before the header.

    Raises:
        InvalidFile: It is not a safetensors file, or it is truncated.
        OSError: It cannot be read.
    """
    length = int.from_bytes(files.read(name, 8), "little")
    if length > MAX_SAFETENSORS_HEADER:
        raise InvalidFile("not a safetensors file")
    if files.sizes[name] < 8 + length:
        raise InvalidFile(
            f"truncated: {files.sizes[name]} bytes, its header alone has {8 + length}",
            ProblemKind.INCOMPLETE,
        )
    try:
        header = json.loads(files.read(name, length, 8))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise InvalidFile("not a safetensors file: its header cannot be read")
    return header, length


def check_weight(files: ModelFiles, name: str) -> None:
    """Check a weight file by its first bytes and its size.

    Raises:
        InvalidFile: It is truncated, or something else than its name promises.
        OSError: It cannot be read.
    """
    size = files.sizes[name]
    start = files.read(name, len(LFS_POINTER))
    _refuse_link_text(start)
    if start == LFS_POINTER:
        raise InvalidFile("a Git LFS pointer instead of the file, run: git lfs pull")
    if PurePosixPath(name).suffix != ".safetensors":
        return
    header, length = safetensors_header(files, name)
    try:
        tensors = (tensor for key, tensor in header.items() if key != "__metadata__")
        expected = 8 + length + max((int(t["data_offsets"][1]) for t in tensors), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidFile("not a safetensors file: its header cannot be read") from error
    if size < expected:
        raise InvalidFile(f"truncated: {size} of {expected} bytes", ProblemKind.INCOMPLETE)
    if size > expected:
        raise InvalidFile(f"too long: {size} bytes, its header promises {expected}")
