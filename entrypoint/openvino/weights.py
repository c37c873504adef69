"""The OpenVINO model to serve: the model's own directory, or its conversion."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from entrypoint.errors import ArtifactError
from entrypoint.store.model import Model

MODEL_FILES = ("openvino_model.xml", "openvino_model.bin")
"""The files that every OpenVINO model has."""

CONVERTER_VERSION = 1
"""Part of each conversion's name. Increase it when the way of converting changes."""

Format = Literal["fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Weights:
    """The OpenVINO model of a launch.

    Attributes:
        path: Its directory.
        format: The format of the conversion, None for a model that is OpenVINO's already.
    """

    path: Path
    format: Format | None

    @property
    def complete(self) -> bool:
        """Whether it can be loaded now."""
        return is_converted(self.path)


def is_converted(directory: Path) -> bool:
    """Whether a directory holds an OpenVINO model."""
    return all((directory / name).is_file() for name in MODEL_FILES)


def choose_weights(model: Model, quantized: bool, scratch: Path) -> Weights:
    """Return the OpenVINO model that a launch serves.

    Args:
        model: The model, on the disk or not yet fetched.
        quantized: Whether to convert the weights to int8.
        scratch: The scratch directory, which keeps conversions.

    Raises:
        ArtifactError: The model is already quantized, in another format than OpenVINO's.
    """
    if model.on_disk and model.path is not None and is_converted(model.path):
        return Weights(model.path, None)
    quantization = model.config.get("quantization_config")
    if quantization:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        raise ArtifactError(
            f"The model at {model.path} is quantized ({method or 'quantization_config'}), and only "
            "unquantized models can be converted to OpenVINO.",
            variable="MODEL_ID",
            hint="Serve the unquantized model (VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS=ON for int8 "
            "weights), an OpenVINO model, or this one with ACCELERATOR=cpu.",
        )
    format_: Format = "int8" if quantized else "fp16"
    return Weights(scratch / "openvino" / _name(model, format_), format_)


def _name(model: Model, format_: Format) -> str:
    """Return the name of a conversion's directory, readable and unique for each content.

    The revision identifies the content. Without one, the files' sizes and times do.
    """
    identity = [str(CONVERTER_VERSION), model.repository or "", model.revision or "", format_]
    if model.revision is None and model.path is not None:
        identity.append(str(model.path.resolve()))
        if model.path.is_dir():
            for file in sorted(model.path.iterdir()):
                if file.is_file():
                    state = file.stat()
                    identity.append(f"{file.name} {state.st_size} {state.st_mtime_ns}")
    digest = hashlib.sha256("\n".join(identity).encode(errors="surrogateescape")).hexdigest()
    name = model.repository or (model.path.name if model.path else "model")
    return f"{name.replace('/', '--')[:64]}-{format_}-{digest[:12]}"
