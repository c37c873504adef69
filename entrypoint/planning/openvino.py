"""What a launch plan on OpenVINO checks and notes."""

from __future__ import annotations

from collections.abc import Iterator

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Kind
from entrypoint.note import Note
from entrypoint.openvino.weights import Weights
from entrypoint.planning.asked import Asked
from entrypoint.planning.parallel import ParallelSizes
from entrypoint.settings import Settings

FIELDS = tuple(name for name in Settings.model_fields if name.startswith("openvino_"))
"""OpenVINO's settings."""


def check_one_rank(sizes: ParallelSizes) -> None:
    """Check that the model runs as one rank.

    Raises:
        SettingError: The user asked for more. OpenVINO's engine has no tensor, pipeline or data
            parallelism.
    """
    if sizes.ranks > 1:
        raise SettingError(
            f"{sizes.spelled}: OpenVINO's engine runs on one device and does not support tensor, "
            "pipeline or data parallelism.",
            variable=sizes.variable,
            hint="Remove it. vLLM's own engine supports it: set ACCELERATOR=cpu, or use the cuda, "
            "rocm or hpu image.",
        )


def openvino_notes(asked: Asked, weights: Weights) -> Iterator[Note]:
    """Yield notes about the OpenVINO model that is served."""
    if asked.settings.openvino_enable_quantized_weights and weights.format is None:
        name = asked.variable("openvino_enable_quantized_weights")
        text = f"{name} has no effect: the model is already in OpenVINO's format."
        yield Note("warning", name, text)
    if not weights.complete:
        text = f"The model is converted to OpenVINO once, with {weights.format} weights, at "
        yield Note("info", None, f"{text}{weights.path}.")


def unused_openvino_notes(asked: Asked, kind: Kind) -> Iterator[Note]:
    """Yield a note for each of OpenVINO's variables that is set for another accelerator."""
    for field in FIELDS:
        if field in asked.settings.model_fields_set:
            name = asked.variable(field)
            yield Note("info", name, f"{name} is for OpenVINO and has no effect on {kind}.")
