"""A launch plan on OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from entrypoint.hardware.hardware import Kind
from entrypoint.note import Note
from entrypoint.openvino.weights import Weights
from entrypoint.planning.plan import LaunchPlan, PlannedOption
from entrypoint.settings import Settings, origin, variables
from entrypoint.shared.handover import OPENVINO_MODEL_VARIABLE

FIELDS = tuple(name for name in Settings.model_fields if name.startswith("openvino_"))
"""The settings that are OpenVINO's."""


def idle_notes(settings: Settings, environ: Mapping[str, str], kind: Kind) -> tuple[Note, ...]:
    """Return a note for each of OpenVINO's variables that is set where vLLM's own engine serves."""
    given = (origin(field, environ) for field in FIELDS if field in settings.model_fields_set)
    return tuple(
        Note("info", name, f"{name} is for OpenVINO, and has no effect on {kind}.")
        for name in given
        if name is not None
    )


def on_openvino(plan: LaunchPlan, weights: Weights, quantized: bool) -> LaunchPlan:
    """Return the plan with the OpenVINO model that the engine loads.

    Args:
        plan: The launch so far.
        weights: The model.
        quantized: Whether int8 weights are asked for.
    """
    path = str(weights.path)
    notes = plan.notes
    if quantized and weights.format is None:
        name = variables("openvino_enable_quantized_weights")[0]
        text = f"{name} has no effect: the model is OpenVINO's already, and served as it is."
        notes += (Note("warning", name, text),)
    if not weights.whole:
        text = f"The model is converted to OpenVINO once, with {weights.format} weights: {path}."
        notes += (Note("info", None, text),)
    return replace(
        plan,
        env={**plan.env, OPENVINO_MODEL_VARIABLE: path},
        options=(
            *plan.options,
            PlannedOption(OPENVINO_MODEL_VARIABLE, path, "accelerator", None),
        ),
        notes=notes,
    )
