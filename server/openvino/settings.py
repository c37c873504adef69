"""The pipeline's settings, which the entrypoint passes in the environment."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from entrypoint.shared.handover import OPENVINO_MODEL_VARIABLE


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """How to run the pipeline.

    Attributes:
        model: Directory of the OpenVINO model.
        device: OpenVINO's name of the device.
        cache_gib: Size of the KV cache; 0 lets it grow.
        cache_precision: Type of the cache's numbers; None lets OpenVINO choose.
    """

    model: Path
    device: str
    cache_gib: int
    cache_precision: str | None


def take_settings(environ: MutableMapping[str, str]) -> PipelineSettings | None:
    """Return the pipeline's settings, None if vLLM's own engine is to run.

    The entrypoint has checked the values and filled in the defaults. Removes the variables: vLLM
    warns about each unknown VLLM_ variable.
    """
    ours = [name for name in environ if name.startswith("VLLM_OPENVINO_")]
    values = {name: environ.pop(name) for name in ours}
    model = environ.get(OPENVINO_MODEL_VARIABLE)
    if model is None:
        return None
    return PipelineSettings(
        model=Path(model),
        device=values["VLLM_OPENVINO_DEVICE"].upper(),
        cache_gib=int(values["VLLM_OPENVINO_KVCACHE_SPACE"]),
        cache_precision=values.get("VLLM_OPENVINO_KV_CACHE_PRECISION"),
    )
