"""Whether the engine can load a model: judged by the files that its loader reads, and no others.

Like :mod:`~entrypoint.store.disk.integrity`, this reads only names, sizes, small JSON files and the
headers of weight files.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from entrypoint.errors import (
    IncompleteModel,
    InferenceServerError,
    Problem,
    ProblemKind,
    UnloadableModel,
)
from entrypoint.store.disk.files import ModelFiles, directory_files
from entrypoint.store.disk.integrity import (
    INDEX_SUFFIXES,
    LINK_TEXT,
    WEIGHT_SUFFIXES,
    InvalidFile,
    Problems,
    check_weight,
    file_problem,
    indexed_shards,
    is_weight,
    load_object,
    missing,
    missing_numbers,
    model_error,
    unusable_files,
)
from entrypoint.store.disk.loading import (
    CONFIG,
    CONSOLIDATED,
    MISTRAL_CONFIG,
    NOT_WEIGHTS,
    Loading,
    Selection,
    config_name,
    has_tokenizer,
    select_weights,
)
from entrypoint.store.disk.unloadable import FORMATS, find_format, fix_for

DEPTH = 2
"""How many folders deep a model is looked into. vLLM's loaders read one."""
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
DEFAULT_RANK = 16
"""vLLM's default of ``--max-lora-rank``."""
PARTIAL = (".incomplete", ".part", ".partial", ".crdownload", ".aria2", ".download", ".tmp")
"""Suffixes that tools give a file while they download it."""
READ_FOLDERS = ("additional_chat_templates",)
"""Subfolders that the engine reads, besides those in modules.json."""
MODULES = "modules.json"
TOKENIZER_FILE = "tokenizer.json"
NO_TOKENIZER = missing("no file of a tokenizer")
NO_TYPE = Problem(ProblemKind.INVALID, "has no model_type, which vLLM needs")
LISTED = 5
"""How many subfolders with a model an error names."""
PICKLED = (".bin", ".pt", ".pth")
ZIP_START, ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
ZIP_END_BYTES = 22
"""torch.save writes the end of a zip file without a comment, which makes it the shortest."""
PICKLE_START = b"\x80"


def check_loadable(files: ModelFiles, loading: Loading, *, hint: str | None = None) -> int:
    """Return the size of a model's files in bytes.

    Args:
        files: The files of the model, or of a folder that should be one.
        loading: How the engine is to load it.
        hint: The fix for missing or damaged files.

    Raises:
        UnreadableModel: This user may not read a file that the engine reads.
        IncompleteModel: Such a file is missing, empty, dangling, truncated or in the wrong format.
        UnloadableModel: The folder holds something that vLLM has no loader for.
    """
    size, problems = examine_loadable(files, loading)
    if error := loading_error(files, loading, problems, hint):
        raise error
    return size


def check_directory(directory: Path, loading: Loading, *, hint: str | None = None) -> int:
    """Return the size of a model's files in bytes; see :func:`check_loadable`."""
    return check_loadable(directory_files(directory, depth=DEPTH), loading, hint=hint)


def loading_error(
    files: ModelFiles, loading: Loading, problems: Problems, hint: str | None
) -> InferenceServerError | None:
    """Return the error for a model that the engine cannot load; None if it can.

    Args:
        files: The files of the model.
        loading: How the engine is to load it.
        problems: What :func:`examine_loadable` found.
        hint: The fix for missing or damaged files.
    """
    if not any(problem.kind is ProblemKind.DENIED for problem in problems.values()) and (
        error := _why_unloadable(files, loading, problems)
    ):
        return error
    if not problems:
        return None
    return model_error(files.place, problems, _hint(files, loading, problems, hint))


def _hint(files: ModelFiles, loading: Loading, problems: Problems, hint: str | None) -> str | None:
    """Return the fix for missing or damaged files; None for the usual one.

    Args:
        files, loading, problems: As for :func:`loading_error`.
        hint: How to get the files again.
    """
    kinds = {problem.kind for problem in problems.values()}
    if kinds == {ProblemKind.UNEXPECTED}:
        return "Move these files to another folder."
    if all(problem.text.startswith("a Git LFS pointer") for problem in problems.values()):
        return f"In {files.place}, run: git lfs install && git lfs pull"
    if LINK_TEXT in {problem.text for problem in problems.values()}:
        return (
            "Copy the folder again, with its links (cp -a, rsync -a, tar) or with the files that "
            "they point to (cp -rL, rsync -rL)."
        )
    if problems == {TOKENIZER_FILE: NO_TOKENIZER}:
        return (
            "Copy the tokenizer's files there. Or set TOKENIZER to a model with the same "
            "tokenizer. Or, if the model needs none, set ARG=--skip-tokenizer-init."
        )
    if list(problems) == [CONFIG] and (hint is None or problems[CONFIG] == NO_TYPE):
        return "Copy config.json from the model that it was made from."
    if stale := _stale_index(files, loading, problems):
        fetch = hint or IncompleteModel.default_hint
        return (
            f"If the model is complete without these files, remove {stale}: vLLM loads only what "
            f"it lists. Otherwise: {fetch[:1].lower()}{fetch[1:]}"
        )
    return hint


def examine_loadable(files: ModelFiles, loading: Loading) -> tuple[int, Problems]:
    """Return the size of a model's files in bytes, and ``{file name: problem}``.

    Only files that the engine reads count.
    """
    names = files.sizes
    selection = select_weights(names, loading.load_format)
    weights, problems = _examine_weights(files, selection)
    opened = _read_folders(files)
    for name, problem in unusable_files(files).items():
        if name in weights or _is_read(name, opened, selection):
            problems.setdefault(name, problem)
    problems = _examine_config(files, loading) | problems
    if loading.own_tokenizer and not has_tokenizer(names):
        problems[TOKENIZER_FILE] = NO_TOKENIZER
    return sum(names.values()), problems


def read_weights(files: ModelFiles, load_format: str) -> list[str]:
    """Return the names of the weight files that the engine reads; empty if that is not clear."""
    selection = select_weights(files.sizes, load_format)
    if selection is None:
        return []
    try:
        return _selected(files, selection)
    except (InvalidFile, OSError):
        return list(selection.files)


def _selected(files: ModelFiles, selection: Selection) -> list[str]:
    if selection.index is None:
        return list(selection.files)
    shards = indexed_shards(files, selection.index)
    return [name for name in selection.files if name in shards]


def _examine_weights(files: ModelFiles, selection: Selection | None) -> tuple[set[str], Problems]:
    """Return the weight files that are read, and their problems."""
    if selection is None:
        return set(), {}
    if not selection.files:
        return set(), _no_weights(files, selection)
    problems: Problems = {}
    names = list(selection.files)
    if selection.index is not None and files.sizes[selection.index]:
        try:
            shards = indexed_shards(files, selection.index)
        except (InvalidFile, OSError) as error:
            problems[selection.index] = file_problem(error)
        else:
            names = [name for name in names if name in shards]
            for shard in sorted(shards - set(names)):
                problems[shard] = missing(f"missing, listed in {selection.index}")
            if not shards:
                problems[selection.index] = Problem(ProblemKind.INVALID, "lists no weights")
    elif selection.index is None:
        problems |= missing_numbers(names)
        problems |= _missing_pickles(files, names)
    for name in names:
        if name not in files.problems and files.sizes[name]:
            try:
                check_weight(files, name)
                if name.endswith(PICKLED):
                    _check_pickle(files, name)
            except (InvalidFile, OSError) as error:
                problems[name] = file_problem(error)
    return set(names), problems | _adapters(names)


def _no_weights(files: ModelFiles, selection: Selection) -> Problems:
    """Return the shards that an index lists although no weights exist; else what is missing."""
    problems: Problems = {}
    for index in files.sizes:
        if index.endswith(INDEX_SUFFIXES) and "/" not in index:
            try:
                shards = indexed_shards(files, index)
            except (InvalidFile, OSError) as error:
                problems[index] = file_problem(error)
            else:
                here = [name for name in shards if name in files.sizes]
                text = f"missing, listed in {index}" if not here else "not in the folder itself"
                problems |= dict.fromkeys(sorted(shards), missing(text))
    pt = select_weights(files.sizes, "pt")
    for name in files.sizes:
        hides = selection.load_format == "hf" and name.endswith(".bin") and name in NOT_WEIGHTS
        if hides and pt and pt.files:
            text = "vLLM reads the .bin files if there are any, and not the .pt files"
            problems[name] = Problem(ProblemKind.UNEXPECTED, text)
        if name.endswith(PARTIAL) and "/" not in name:
            problems[name] = Problem(ProblemKind.INCOMPLETE, "an incomplete download")
    what = {
        "mistral": ("consolidated*.safetensors", "no weight file in Mistral's format"),
        "sharded_state": ("model-rank-*-part-*.safetensors", "no weight file of a rank"),
        "pt": ("*.pt", "no weight file in pt format"),
        "npcache": ("*.bin", "no weight file in bin format"),
        "hf": ("*.safetensors", "no weight file in safetensors, bin or pt format"),
    }
    name, text = what.get(selection.load_format, ("*.safetensors", "no weight file in safetensors"))
    return problems or {name: missing(text)}


def _missing_pickles(files: ModelFiles, names: list[str]) -> Problems:
    """Return the shards that are missing from a set of pickles with an index.

    vLLM does not read this index, but the weights in the missing shards are missing too.
    """
    problems: Problems = {}
    for index in files.sizes:
        if index.endswith(".bin.index.json") and "/" not in index:
            try:
                shards = indexed_shards(files, index)
            except (InvalidFile, OSError):
                continue
            if shards & set(names):
                for shard in sorted(shards - set(names)):
                    problems[shard] = missing(f"missing, listed in {index}")
    return problems


def _adapters(names: Iterable[str]) -> Problems:
    """Return the adapters that the loader reads as weights of the model."""
    text = "a LoRA adapter, which vLLM would load as weights of the model"
    problem = Problem(ProblemKind.UNEXPECTED, text)
    return {name: problem for name in names if name in ADAPTER_WEIGHTS}


def _examine_config(files: ModelFiles, loading: Loading) -> Problems:
    name = config_name(files.sizes, loading.config_format)
    if name not in files.sizes:
        return {name: missing("missing")}
    if not files.sizes[name]:
        return {}  # already reported as empty or dangling
    try:
        config = load_object(files, name)
    except (InvalidFile, OSError) as error:
        return {name: file_problem(error)}
    stated = any(key in config for key in ("model_type", "speculators_config", "auto_map"))
    if loading.own_config and name == CONFIG and not stated:
        return {name: NO_TYPE}
    return {}


def _read_folders(files: ModelFiles) -> tuple[str, ...]:
    """Return the subfolders that the engine reads."""
    if MODULES not in files.sizes:
        return READ_FOLDERS
    try:
        modules = json.loads(files.read(MODULES))
        return (*READ_FOLDERS, *(str(module["path"]) for module in modules if module["path"]))
    except (OSError, ValueError, TypeError, KeyError):
        return READ_FOLDERS


def _is_read(name: str, folders: tuple[str, ...], selection: Selection | None) -> bool:
    """Whether the engine reads a file that is not a weight file, or lists a folder."""
    folder, _, file = name.rpartition("/")
    if folder or name in folders:
        return name in folders or folder in folders
    if name == ".":
        return True
    if file.startswith(".") or file.endswith(WEIGHT_SUFFIXES):
        return False
    if file.endswith(".index.json"):
        return selection is not None and name == selection.index
    return file.endswith((".json", ".model", ".tiktoken", ".jinja", ".txt", ".py"))


def _why_unloadable(
    files: ModelFiles, loading: Loading, problems: Problems
) -> UnloadableModel | None:
    """Return the error for a folder that holds something else than a model for vLLM."""
    names = files.sizes
    selection = select_weights(names, loading.load_format)
    weights = [] if selection is None else list(selection.files)
    others = [name for name in names if is_weight(name) and "/" not in name]
    if ADAPTER_CONFIG in names and all(name in ADAPTER_WEIGHTS for name in others):
        return _adapter_error(files)
    if bracketed := next((p for p in files.place.parts if not fnmatchcase(p, p)), None):
        return UnloadableModel(
            files.place,
            f"the brackets in {bracketed!r} are a pattern to vLLM's loader, so it finds no weights",
            "Rename the folder, or set MODEL_ID to a link to it without brackets.",
        )
    if not problems:
        return _other_use(files, selection)
    has_config = any(name in names for name in (CONFIG, MISTRAL_CONFIG))
    nested = _nested_models(names)
    if nested and not (has_config and weights):
        what = f"the model is in its subfolder{'s' if len(nested) > 1 else ''} "
        what += ", ".join(nested[:LISTED])
        return UnloadableModel(files.place, what, f"Set MODEL_ID={files.place / nested[-1]}.")
    if selection is not None and selection.load_format == "mistral" and not weights:
        return _hidden_by_consolidated(files, loading)
    useless = not weights or all(name in problems for name in weights)
    if (useless or not has_config) and (found := find_format(names)):
        known, file = found
        return UnloadableModel(
            files.place,
            f"it holds {known.name} ({file}), and vLLM has no loader for that",
            fix_for(known, files.place, file),
        )
    upper = [n for n in names if n.lower().endswith((".safetensors", ".bin")) and n != n.lower()]
    if not weights and upper and "/" not in upper[0]:
        lower = upper[0].lower()
        return UnloadableModel(
            files.place,
            f"vLLM does not recognize {upper[0]}, because it looks for lower-case names",
            f"Rename it: mv {shlex.quote(str(files.place / upper[0]))} "
            f"{shlex.quote(str(files.place / lower))}",
        )
    return None


def _other_use(files: ModelFiles, selection: Selection | None) -> UnloadableModel | None:
    """Return the error for complete weights that need another load format."""
    ranks = FORMATS[0]
    if selection is None or selection.load_format in ("sharded_state", "runai_streamer_sharded"):
        return None
    for name in selection.files:
        if any(fnmatchcase(name, mark) for mark in ranks.marks):
            fix = fix_for(ranks, files.place, name)
            return UnloadableModel(files.place, f"it holds {ranks.name} ({name})", fix)
    return None


def _hidden_by_consolidated(files: ModelFiles, loading: Loading) -> UnloadableModel | None:
    """Return the error for weights that a file in a subfolder keeps vLLM from reading."""
    usual = select_weights(files.sizes, "hf")
    inner = [n for n in files.sizes if fnmatchcase(n.rpartition("/")[2], CONSOLIDATED)]
    if loading.load_format != "auto" or usual is None or not usual.files or not inner:
        return None
    return UnloadableModel(
        files.place,
        f"because of {inner[0]}, vLLM looks for weights in Mistral's format, and does not read "
        f"{usual.files[0]}",
        'Set ARG="--load-format hf", or remove the subfolder.',
    )


def _nested_models(names: Iterable[str]) -> list[str]:
    """Return the subfolders that look like models: those with a configuration and weights."""
    folders: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder:
            folders.setdefault(folder, set()).add(file)
    found = []
    for folder, inner in folders.items():
        selection = select_weights(inner, "auto")
        has_config = CONFIG in inner or (MISTRAL_CONFIG in inner and "original" not in folder)
        if has_config and selection is not None and selection.files:
            found.append(folder)
    return sorted(found, key=lambda folder: (folder.count("/"), len(folder), folder))


def _adapter_error(files: ModelFiles) -> UnloadableModel:
    try:
        adapter = load_object(files, ADAPTER_CONFIG)
    except (InvalidFile, OSError):
        adapter = {}
    base = adapter.get("base_model_name_or_path")
    of = f" for {base}" if base else ""
    kind = str(adapter.get("peft_type") or "LORA").upper()
    if kind != "LORA":
        return UnloadableModel(
            files.place,
            f"it is an adapter of the type {kind}{of}, and vLLM only loads LoRA adapters",
            "Merge it into its base model with peft: model.merge_and_unload().save_pretrained("
            "FOLDER), and serve that folder.",
        )
    rank = adapter.get("r")
    more = f" --max-lora-rank {rank}" if isinstance(rank, int) and rank > DEFAULT_RANK else ""
    name = files.place.name
    parts = files.place.parts
    if len(parts) > 2 and parts[-2] == "snapshots":
        name = parts[-3].rpartition("--")[2]
    return UnloadableModel(
        files.place,
        f"it is a LoRA adapter{of}, not a complete model",
        f"Set MODEL_ID={base or '<its base model>'} and "
        f'ARG="--enable-lora --lora-modules {name}={files.place}{more}".',
    )


def _stale_index(files: ModelFiles, loading: Loading, problems: Problems) -> str | None:
    """Return the index if weights exist beside it and none of the files that it lists does."""
    selection = select_weights(files.sizes, loading.load_format)
    if selection is None or selection.index is None or not selection.files:
        return None
    try:
        shards = indexed_shards(files, selection.index)
    except (InvalidFile, OSError):
        return selection.index if selection.index in problems else None
    return selection.index if shards.isdisjoint(selection.files) else None


def _check_pickle(files: ModelFiles, name: str) -> None:
    """Raise the problem of a file that torch.save should have written: a zip file or a pickle."""
    start = files.read(name, 4)
    if start == ZIP_START:
        end = files.read(name, ZIP_END_BYTES, max(files.sizes[name] - ZIP_END_BYTES, 0))
        if ZIP_END not in end:
            text = "truncated: the end of the zip file is missing"
            raise InvalidFile(text, ProblemKind.INCOMPLETE)
    elif start[:1] != PICKLE_START:
        raise InvalidFile(f"not a PyTorch file: it starts with {start!r}")
