"""Select the files of a repository: by format, by patterns, otherwise what the engine loads."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from entrypoint.store.disk.loading import NOT_WEIGHTS
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


def formats_of(names: Iterable[str]) -> tuple[Format, ...]:
    """Return the formats of the weights among these files."""
    paths = map(PurePosixPath, names)
    suffixes = {path.suffix for path in paths if path.name not in NOT_WEIGHTS}
    return tuple(format for format, known in FORMATS.items() if suffixes.intersection(known))


def choose_patterns(
    names: Collection[str],
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    format: Format | None = None,
) -> tuple[list[str] | None, list[str]]:
    """Return huggingface_hub's ``allow_patterns`` and ``ignore_patterns`` for a repository.

    Args:
        names: All of its files.
        include: Select only files that match; without it and ``format``, what the engine loads.
        exclude: Skip files that match.
        format: Select weights in this format only, and all files that hold no weights.
    """
    ignore = [*OTHER_FRAMEWORKS, *sorted(NOT_WEIGHTS)]
    if format is not None:
        ignore += _other_formats(format)
    elif include:
        ignore = []
    elif any(name.endswith(".safetensors") and "/" not in name for name in names):
        ignore += _other_formats("safetensors")  # the same weights again
    return list(include) or None, [*ignore, *exclude]


def _other_formats(format: Format) -> list[str]:
    others = (suffixes for other, suffixes in FORMATS.items() if other != format)
    return [f"*{suffix}" for suffixes in others for suffix in suffixes]
