"""Checks the LoRA adapters that ARG names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIGURATION = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in a folder.

    Attributes:
        rank: Its highest rank; None if not specified.
        base: The model that it was trained for; None if not specified.
        problem: What is wrong with it, if anything.
    """

    rank: int | None = None
    base: str | None = None
    problem: str | None = None


def adapter_paths(option: str, word: str) -> Iterator[str]:
    """Yield the paths in one word of ``--lora-modules`` or ``--default-mm-loras``."""
    if option == "--lora-modules" and "=" in word and "," not in word:
        yield word.partition("=")[2]
        return
    value = json.loads(word)
    yield from [value["path"]] if option == "--lora-modules" else value.values()


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's configuration as vLLM does."""
    if not folder.exists():
        return Adapter(problem="does not exist")
    if not folder.is_dir():
        return Adapter(problem="is not a folder")
    try:
        data = json.loads((folder / CONFIGURATION).read_bytes())
    except FileNotFoundError:
        return Adapter(problem=f"does not contain {CONFIGURATION}")
    except (OSError, ValueError, RecursionError) as error:
        return Adapter(problem=f"has an unreadable {CONFIGURATION}: {error}")
    if not isinstance(data, dict):
        return Adapter(problem=f"has an {CONFIGURATION} that is not a JSON object")
    if not any((folder / name).is_file() for name in WEIGHTS):
        return Adapter(problem=f"does not contain {WEIGHTS[0]}")
    if data.get("bias", "none") != "none":
        return Adapter(problem=f"has a bias ({data['bias']}), which vLLM does not support")
    base = data.get("base_model_name_or_path")
    return Adapter(_rank(data), base if isinstance(base, str) and base else None)


def _rank(data: dict[str, Any]) -> int | None:
    pattern = data.get("rank_pattern")
    ranks = [data.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    return max((rank for rank in ranks if isinstance(rank, int)), default=None)
