"""What the entrypoint has decided for this engine, read from the environment."""

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
        device: As OpenVINO names it.
        cache_gib: Size of the key-value cache; 0 lets it grow.
        cache_precision: Of the cache's numbers, None for OpenVINO's choice.
    """

    model: Path
    device: str
    cache_gib: int
    cache_precision: str | None


def take_settings(environ: MutableMapping[str, str]) -> PipelineSettings | None:
    """Return how to run the pipeline, None where vLLM's own engine is to run.

    The entrypoint has checked the values, and given those that the user has left out. What is
    read is taken out: vLLM warns of each VLLM_ variable that it does not know.
    """
    ours = [name for name in environ if name.startswith("VLLM_OPENVINO_")]
    said = {name: environ.pop(name) for name in ours}
    model = environ.get(OPENVINO_MODEL_VARIABLE)
    if model is None:
        return None
    return PipelineSettings(
        model=Path(model),
        device=said["VLLM_OPENVINO_DEVICE"].upper(),
        cache_gib=int(said["VLLM_OPENVINO_KVCACHE_SPACE"]),
        cache_precision=said.get("VLLM_OPENVINO_KV_CACHE_PRECISION"),
    )
