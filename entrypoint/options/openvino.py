"""Which of vLLM's options mean something to OpenVINO's engine, and which it must refuse.

vLLM's front end is the same, so are its options. Those of vLLM's own engine either would be
ignored, which a note says, or would change the answers, which is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from entrypoint.errors import SettingError
from entrypoint.note import Note
from entrypoint.options.arguments import Argument

FRONT_END = ("General", "Frontend", "LoggingConfig", "StructuredOutputsConfig")
"""vLLM's groups of options that are its front end's."""

UNDERSTOOD = frozenset(
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
"""Options of the other groups that mean the same here."""

_ADAPTERS = "it has no LoRA adapters"
_ONE_PROCESS = "it serves by one process"
_CONFIGURATION = "a converted model does not follow it"
_PRECISION = "set VLLM_OPENVINO_KV_CACHE_PRECISION instead"
_WEIGHTS = "set VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS=ON for int8 weights"

REFUSED: dict[str, tuple[str, frozenset[str]]] = {
    "--api-server-count": (_ONE_PROCESS, frozenset({"1"})),
    "--decode-context-parallel-size": (_ONE_PROCESS, frozenset({"1"})),
    "--convert": ("it generates text and nothing else", frozenset({"auto", "none"})),
    "--default-mm-loras": (_ADAPTERS, frozenset()),
    "--ec-transfer-config": (_ONE_PROCESS, frozenset()),
    "--enable-lora": (_ADAPTERS, frozenset()),
    "--enable-prompt-embeds": ("it takes text and nothing else", frozenset()),
    "--enable-return-routed-experts": ("it does not tell them", frozenset()),
    "--enable-sleep-mode": ("it never sleeps", frozenset()),
    "--enable-trace-replay": ("it cannot replay", frozenset()),
    "--grpc": ("only the HTTP server runs on it", frozenset()),
    "--headless": (_ONE_PROCESS, frozenset()),
    "--hf-overrides": (_CONFIGURATION, frozenset()),
    "--kv-cache-dtype": (_PRECISION, frozenset({"auto"})),
    "--kv-transfer-config": (_ONE_PROCESS, frozenset()),
    "--logits-processors": ("it runs none", frozenset()),
    "--logprobs-mode": ("it gives raw log-probabilities only", frozenset({"raw_logprobs"})),
    "--lora-modules": (_ADAPTERS, frozenset()),
    "--pooler-config": ("it generates text and nothing else", frozenset()),
    "--prefill-context-parallel-size": (_ONE_PROCESS, frozenset({"1"})),
    "--quantization": (_WEIGHTS, frozenset()),
    "--return-sampling-mask": ("it does not tell it", frozenset()),
    "--runner": ("it generates text and nothing else", frozenset({"auto", "generate"})),
    "--scheduling-policy": ("it serves first come, first served", frozenset({"fcfs"})),
    "--speculative-config": ("it has no speculative decoding", frozenset()),
    "--watermark-config": ("it adds no watermark", frozenset()),
    "--weight-transfer-config": (_ONE_PROCESS, frozenset()),
}
"""Options that would change the answers if they were ignored: why not, and harmless values."""


def check_options(arguments: tuple[Argument, ...]) -> tuple[Note, ...]:
    """Check the options in ARG against what OpenVINO's engine supports.

    Returns:
        A note for each option that has no effect.

    Raises:
        SettingError: One would have to have an effect.
    """
    for argument in arguments:
        reason, harmless = REFUSED.get(argument.option.name, ("", frozenset()))
        if reason and argument.value not in harmless:
            raise SettingError(
                f"ARG gives {argument.option.name}, which OpenVINO's engine cannot follow: "
                f"{reason}.",
                variable="ARG",
                hint="Leave it out, or set ACCELERATOR=cpu for vLLM's own engine.",
            )
    return tuple(_notes(arguments))


def _notes(arguments: tuple[Argument, ...]) -> Iterator[Note]:
    for argument in arguments:
        name = argument.option.name
        if argument.option.group in FRONT_END or name in UNDERSTOOD | set(REFUSED):
            continue
        yield Note(
            "warning",
            "ARG",
            f"ARG's {name} is for vLLM's own engine and has no effect with OpenVINO.",
        )
