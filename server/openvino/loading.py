"""Decides what the pipeline's process loads."""

from __future__ import annotations

from vllm.config import VllmConfig

from server.openvino.messages import Load
from server.openvino.settings import PipelineSettings

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""vLLM's names of types, and OpenVINO's."""

ELEMENT_BYTES = {"u8": 1, "f32": 4}
"""Bytes of one number in the cache; 2 for types that are not listed."""


def load_message(config: VllmConfig, settings: PipelineSettings, dtype: str) -> Load:
    """Return the message that makes the pipeline's process load the model.

    Args:
        config: vLLM's configuration.
        settings: The pipeline's settings.
        dtype: The value of ``--dtype``.
    """
    properties = {}
    if settings.cache_precision is not None:
        properties["KV_CACHE_PRECISION"] = settings.cache_precision
    if dtype in PRECISIONS:
        properties["INFERENCE_PRECISION_HINT"] = PRECISIONS[dtype]
    elif settings.cache_precision == "f32":
        # a processor with bfloat16 uses it by default, and then refuses a float32 cache
        properties["INFERENCE_PRECISION_HINT"] = "f32"
    scheduler = config.scheduler_config
    return Load(
        model=str(settings.model),
        device=settings.device,
        cache_gib=settings.cache_gib,
        max_num_seqs=scheduler.max_num_seqs,
        max_num_batched_tokens=scheduler.max_num_batched_tokens,
        prefix_caching=bool(config.cache_config.enable_prefix_caching),
        chunked_prefill=bool(scheduler.enable_chunked_prefill),
        properties=properties,
    )


def check_cache(config: VllmConfig, load: Load) -> None:
    """Check that the KV cache has room for one sequence of the full context length.

    The pipeline never schedules a sequence without room.

    Raises:
        RuntimeError: The cache is too small.
    """
    model = config.model_config
    numbers = (
        2
        * model.get_num_layers(config.parallel_config)
        * model.get_num_kv_heads(config.parallel_config)
        * model.get_head_size()
    )
    precision = load.properties.get("KV_CACHE_PRECISION", "")
    tokens = (load.cache_gib << 30) // (numbers * ELEMENT_BYTES.get(precision, 2))
    if load.cache_gib > 0 and tokens < model.max_model_len:
        raise RuntimeError(
            f"A KV cache of {load.cache_gib} GiB (VLLM_OPENVINO_KVCACHE_SPACE) holds only "
            f"{tokens} tokens; the model's context length is {model.max_model_len}. Increase the "
            f"cache, or set ARG=--max-model-len {tokens}."
        )
