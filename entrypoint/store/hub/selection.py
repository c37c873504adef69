"""Select the files of a repository: by format, by patterns, otherwise what the engine loads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from entrypoint.store.disk.integrity import NOT_WEIGHTS
from entrypoint.store.transfer_process.messages import Format

FORMATS: dict[Format, tuple[str, ...]] = {
    "safetensors": (".safetensors",),
    "bin": (".bin",),
    "pt": (".pt", ".pth"),
    "gguf": (".gguf",),
}
"""The suffixes of each format's files, in the order in which vLLM prefers the formats."""
# vLLM never loads these.
OTHER_FRAMEWORKS = ("*.msgpack", "*.h5", "*.ot", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel")


@dataclass(frozen=True, slots=True)
class Patterns:
    """Which files to download, as huggingface_hub's ``allow_patterns`` and ``ignore_patterns``.

    Attributes:
        allow: None for every file.
        ignore: Overrides ``allow``.
    """

    allow: tuple[str, ...] | None
    ignore: tuple[str, ...]


def formats_of(names: Iterable[str]) -> tuple[Format, ...]:
    """Return the formats of the weights among these files."""
    suffixes = {PurePosixPath(name).suffix for name in names if _may_be_weights(name)}
    return tuple(format for format, known in FORMATS.items() if suffixes.intersection(known))


def choose_patterns(
    names: Collection[str],
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    format: Format | None = None,
) -> Patterns:
    """Return the patterns that select files of a repository.

    Args:
        names: All of its files.
        include: Select only files that match; without it and ``format``, what the engine loads.
        exclude: Skip files that match.
        format: Select weights in this format only, and all files that hold no weights.
    """
    if format is not None:
        others = [s for other, suffixes in FORMATS.items() if other != format for s in suffixes]
        ignore = (*OTHER_FRAMEWORKS, *_beside_weights(), *(f"*{suffix}" for suffix in others))
    elif include:
        ignore = ()
    else:
        ignore = (*OTHER_FRAMEWORKS, *_beside_weights(), *_duplicates(names))
    return Patterns(include or None, (*ignore, *exclude))


def _duplicates(names: Collection[str]) -> tuple[str, ...]:
    """Patterns of the same weights in other formats, if there are safetensors."""
    if not any(name.endswith(".safetensors") and "/" not in name for name in names):
        return ()
    others = (suffixes for format, suffixes in FORMATS.items() if format != "safetensors")
    return tuple(f"*{suffix}" for suffixes in others for suffix in suffixes)


def _beside_weights() -> tuple[str, ...]:
    """Files that a trainer writes beside the weights."""
    return tuple(sorted(NOT_WEIGHTS))


def _may_be_weights(name: str) -> bool:
    return PurePosixPath(name).name not in NOT_WEIGHTS
