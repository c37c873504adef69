"""What vLLM's loaders read of a model's folder: a table of their rules.

The rules are those of the pinned vLLM. ``tests/server/test_loader_rules.py`` tries each of them
with vLLM's own loaders, so that an update that changes a rule fails there.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

SAFETENSORS_INDEX = "model.safetensors.index.json"
CONSOLIDATED = "consolidated*.safetensors"
"""The weights of Mistral's own format. If a model has one, also in a subfolder, ``auto`` means
``mistral``."""
CONSOLIDATED_INDEX = "consolidated.safetensors.index.json"
CONFIG = "config.json"
MISTRAL_CONFIG = "params.json"
SHARDED_STATE = ("model-rank-*-part-*.safetensors", "model-pp-*-tp-*-part-*.safetensors")
NOT_WEIGHTS = frozenset(
    {"training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt"}
)
"""Files that a trainer writes beside the weights. The loaders skip names that end like these."""
TOKENIZER = re.compile(
    r"token|vocab|merges|spiece|sentencepiece|\bbpe\b|tekken|\.model\b|\.tiktoken$", re.IGNORECASE
)
"""A name that looks like a tokenizer's file. No tokenizer of vLLM's comes without such a file."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How the engine is to load a model.

    Attributes:
        load_format: ``--load-format``.
        config_format: ``--config-format``.
        own_tokenizer: Whether the engine takes the tokenizer from the model's folder.
        own_config: Whether the configuration in the folder alone states the type of the model.
    """

    load_format: str = "auto"
    config_format: str = "auto"
    own_tokenizer: bool = False
    own_config: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What one load format reads.

    Attributes:
        patterns: Names of weight files. Only those of the first pattern that matches are read.
        index: If this file exists, the safetensors files that it lists are read, and no others.
    """

    patterns: tuple[str, ...]
    index: str | None = None


_ONLY_SAFETENSORS = Rule(("*.safetensors",), SAFETENSORS_INDEX)

RULES: dict[str, Rule] = {
    "fastsafetensors": _ONLY_SAFETENSORS,
    "hf": Rule(("*.safetensors", "*.bin", "*.pt"), SAFETENSORS_INDEX),
    "instanttensor": _ONLY_SAFETENSORS,
    "mistral": Rule((CONSOLIDATED,), CONSOLIDATED_INDEX),
    "npcache": Rule(("*.bin", "*.pt")),
    "openvino": Rule(("openvino_model.bin", "*.safetensors", "*.bin"), SAFETENSORS_INDEX),
    "pt": Rule(("*.pt",)),
    "runai_streamer": Rule(("*.safetensors",)),
    "runai_streamer_sharded": Rule(SHARDED_STATE),
    "safetensors": _ONLY_SAFETENSORS,
    "sharded_state": Rule(SHARDED_STATE),
}
"""The formats that read weights from the model's folder. ``auto`` is ``mistral`` or ``hf``. The
others make the weights up, or get them elsewhere. ``openvino`` is the conversion to OpenVINO."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The weight files that a loader reads.

    Attributes:
        load_format: The format, never ``auto``.
        files: The files that match the format's pattern. An index selects some of them.
        index: The index, if one applies.
    """

    load_format: str
    files: tuple[str, ...]
    index: str | None = None


def select_weights(names: Collection[str], load_format: str) -> Selection | None:
    """Return the weight files that vLLM reads.

    Args:
        names: All files of the model.
        load_format: ``--load-format``.

    Returns:
        None if the format reads no weights from the model's folder.
    """
    if load_format == "auto":
        load_format = "mistral" if has_consolidated(names) else "hf"
    rule = RULES.get(load_format)
    if rule is None:
        return None
    top = [name for name in names if "/" not in name and not name.startswith(".")]
    for pattern in rule.patterns:
        found = [name for name in top if fnmatchcase(name, pattern)]
        if not found:
            continue
        if pattern.endswith(".safetensors"):
            index = rule.index if rule.index in names else None
            return Selection(load_format, tuple(sorted(found)), index)
        found = [name for name in found if not name.endswith(tuple(NOT_WEIGHTS))]
        return Selection(load_format, tuple(sorted(found)))
    return Selection(load_format, ())


def config_name(names: Collection[str], config_format: str) -> str:
    """Return the name of the configuration that vLLM reads, whether it exists or not."""
    mistral = config_format == "mistral" or (
        config_format == "auto" and MISTRAL_CONFIG in names and has_consolidated(names)
    )
    return MISTRAL_CONFIG if mistral else CONFIG


def has_consolidated(names: Collection[str]) -> bool:
    """Whether a model has weights in Mistral's own format, in its folder or below."""
    return any(fnmatchcase(name.rpartition("/")[2], CONSOLIDATED) for name in names)


def has_tokenizer(names: Collection[str]) -> bool:
    """Whether a file in the model's own folder may belong to a tokenizer."""
    return any(TOKENIZER.search(name) for name in names if "/" not in name)
