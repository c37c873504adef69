"""Which of vLLM's options OpenVINO's engine supports, and which it must refuse.

The options of vLLM's front end all work. An option of vLLM's own engine either has no effect,
which leaves a note, or would change the answers, which is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from entrypoint.note import Note
from entrypoint.options.arguments import Argument

FRONT_END = ("General", "Frontend", "LoggingConfig", "StructuredOutputsConfig")
"""vLLM's groups of front-end options."""

SUPPORTED = frozenset(
    {
        "--code-revision",
        "--data-parallel-size",
        "--config-format",
        "--custom-histogram-buckets",
        "--dtype",
        "--enable-chunked-prefill",
        "--enable-prefix-caching",
        "--generation-config",
        "--hf-config-path",
        "--hf-token",
        "--max-logprobs",
        "--max-model-len",
        "--max-num-batched-tokens",
        "--max-num-queued-reqs",
        "--max-num-queued-tokens",
        "--max-num-seqs",
        "--model",
        "--otlp-traces-endpoint",
        "--pipeline-parallel-size",
        "--override-generation-config",
        "--renderer-num-workers",
        "--revision",
        "--served-model-name",
        "--show-hidden-metrics-for-version",
        "--stream-interval",
        "--structured-outputs-config",
        "--tensor-parallel-size",
        "--tokenizer",
        "--tokenizer-mode",
        "--tokenizer-revision",
        "--trust-remote-code",
    }
)
"""Options of the other groups that work the same here."""

_ADAPTERS = "it does not support LoRA adapters"
_ONE_PROCESS = "it serves from one process"
_CONFIGURATION = "it does not apply to a converted model"
_PRECISION = "set VLLM_OPENVINO_KV_CACHE_PRECISION instead"
_WEIGHTS = "set VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS=ON for int8 weights"

REFUSED: dict[str, tuple[str, frozenset[str]]] = {
    "--api-server-count": (_ONE_PROCESS, frozenset({"1"})),
    "--decode-context-parallel-size": (_ONE_PROCESS, frozenset({"1"})),
    "--convert": ("it only generates text", frozenset({"auto", "none"})),
    "--default-mm-loras": (_ADAPTERS, frozenset()),
    "--ec-transfer-config": (_ONE_PROCESS, frozenset()),
    "--enable-lora": (_ADAPTERS, frozenset()),
    "--enable-prompt-embeds": ("it only accepts text", frozenset()),
    "--enable-return-routed-experts": ("it does not report them", frozenset()),
    "--enable-sleep-mode": ("it has no sleep mode", frozenset()),
    "--enable-trace-replay": ("it does not support trace replay", frozenset()),
    "--grpc": ("only the HTTP server runs on it", frozenset()),
    "--headless": (_ONE_PROCESS, frozenset()),
    "--hf-overrides": (_CONFIGURATION, frozenset()),
    "--kv-cache-dtype": (_PRECISION, frozenset({"auto"})),
    "--kv-transfer-config": (_ONE_PROCESS, frozenset()),
    "--logits-processors": ("it does not run any", frozenset()),
    "--logprobs-mode": ("it only returns raw log-probabilities", frozenset({"raw_logprobs"})),
    "--lora-modules": (_ADAPTERS, frozenset()),
    "--pooler-config": ("it only generates text", frozenset()),
    "--prefill-context-parallel-size": (_ONE_PROCESS, frozenset({"1"})),
    "--quantization": (_WEIGHTS, frozenset()),
    "--return-sampling-mask": ("it does not report it", frozenset()),
    "--runner": ("it only generates text", frozenset({"auto", "generate"})),
    "--scheduling-policy": ("it schedules first come, first served", frozenset({"fcfs"})),
    "--speculative-config": ("it does not support speculative decoding", frozenset()),
    "--watermark-config": ("it does not add watermarks", frozenset()),
    "--weight-transfer-config": (_ONE_PROCESS, frozenset()),
}
"""Options that would change the answers: why each is refused, and its harmless values."""


def check_options(arguments: tuple[Argument, ...]) -> tuple[Note, ...]:
    """Check the options in ARG against what OpenVINO's engine supports.

    Returns:
        A note for each option that has no effect.

    Raises:
        SettingError: An option that it does not support would change the answers.
    """
    for argument in arguments:
        reason, harmless = REFUSED.get(argument.option.name, ("", frozenset()))
        if reason and argument.value not in harmless:
            raise argument.source.error(
                f"OpenVINO's engine does not support {argument.option.name}: {reason}.",
                hint="Remove it, or set ACCELERATOR=cpu to use vLLM's own engine.",
            )
    return tuple(_notes(arguments))


def _notes(arguments: tuple[Argument, ...]) -> Iterator[Note]:
    for argument in arguments:
        name = argument.option.name
        if argument.option.group in FRONT_END or name in SUPPORTED | set(REFUSED):
            continue
        yield argument.source.note(
            "warning", f"{name} is for vLLM's own engine and has no effect with OpenVINO."
        )
