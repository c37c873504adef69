"""Which files of a repository are wanted: by format, by patterns, else what the engine loads."""

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
"""The suffixes of a format's files, the format that is loaded first before the others."""
# vLLM loads none of these, whatever else there is.
OTHER_FRAMEWORKS = ("*.msgpack", "*.h5", "*.ot", "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel")


@dataclass(frozen=True, slots=True)
class Patterns:
    """What is taken and what is left out, as huggingface_hub's ``allow_patterns``, ``ignore_...``.

    Attributes:
        take: None for everything.
        leave: Wins over ``take``.
    """

    take: tuple[str, ...] | None
    leave: tuple[str, ...]


def formats_of(names: Iterable[str]) -> tuple[Format, ...]:
    """The formats that the weights among these files are in."""
    suffixes = {PurePosixPath(name).suffix for name in names if _may_be_weights(name)}
    return tuple(format for format, known in FORMATS.items() if suffixes.intersection(known))


def choose_patterns(
    names: Collection[str],
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    format: Format | None = None,
) -> Patterns:
    """Say which of a repository's files are wanted.

    Args:
        names: All of its files.
        include: Only what matches; without it, and without ``format``, what the engine loads.
        exclude: Not what matches.
        format: Weights in this format only; what holds no weights stays.
    """
    if format is not None:
        others = [s for other, suffixes in FORMATS.items() if other != format for s in suffixes]
        leave = (*OTHER_FRAMEWORKS, *_beside_weights(), *(f"*{suffix}" for suffix in others))
    elif include:
        leave = ()
    else:
        leave = (*OTHER_FRAMEWORKS, *_beside_weights(), *_duplicates(names))
    return Patterns(include or None, (*leave, *exclude))


def _duplicates(names: Collection[str]) -> tuple[str, ...]:
    """The same weights again, where there are safetensors."""
    if not any(name.endswith(".safetensors") and "/" not in name for name in names):
        return ()
    others = (suffixes for format, suffixes in FORMATS.items() if format != "safetensors")
    return tuple(f"*{suffix}" for suffixes in others for suffix in suffixes)


def _beside_weights() -> tuple[str, ...]:
    """What a trainer leaves beside the weights."""
    return tuple(sorted(NOT_WEIGHTS))


def _may_be_weights(name: str) -> bool:
    return PurePosixPath(name).name not in NOT_WEIGHTS
