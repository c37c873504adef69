"""A launch plan on OpenVINO."""

from __future__ import annotations

from dataclasses import replace

from entrypoint.handover import OPENVINO_MODEL_VARIABLE
from entrypoint.note import Note
from entrypoint.openvino.weights import Weights
from entrypoint.plan import LaunchPlan, PlannedOption


def on_openvino(plan: LaunchPlan, weights: Weights) -> LaunchPlan:
    """Return the plan with the OpenVINO model that the engine loads."""
    path = str(weights.path)
    notes = plan.notes
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
