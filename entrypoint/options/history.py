"""The options that vLLM removed, and what they are read as now.

The entries come from comparing the options in vLLM's source releases since 0.2.6 with the
catalogue. An option that exists under another name is translated. An option that tuned something
vLLM no longer has is ignored. Both leave a note. ``--rope-scaling`` and ``--rope-theta`` are
refused without each other: no exact translation exists, and the model would answer differently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from entrypoint.options.source import ARG, OptionSource

Takes = Literal["flag", "value", "list"]
"""How many words an option took: none, one, or at least one."""

TRUE = frozenset({"true", "True", "1", "yes", "on"})
FALSE = frozenset({"false", "False", "0", "no", "off"})


@dataclass(frozen=True)
class Use:
    """One use of a removed option.

    Attributes:
        option: The option.
        key: The key in ``--option.key``, with its dot; usually empty.
        values: Its words; for a flag ``("true",)`` or ``("false",)``.
        spelled: The option as the user spelled it.
        source: Where it was written.
    """

    option: RemovedOption
    key: str
    values: tuple[str, ...]
    spelled: str
    source: OptionSource = ARG

    @property
    def on(self) -> bool:
        """Whether a flag is on."""
        return self.values[0] in TRUE


Translate = Callable[[Use, Mapping[str, Use]], tuple[str, ...]]
"""Turns a use of an option, given the other uses, into today's words; none to ignore the option."""


@dataclass(frozen=True)
class RemovedOption:
    """An option that vLLM removed.

    Attributes:
        spelling: Its long spelling, with dashes.
        since: The release that removed it.
        takes: How many words it took.
        advice: The reason or the replacement, as a clause.
        translate: Turns it into today's words.
    """

    spelling: str
    since: str
    takes: Takes
    advice: str
    translate: Translate


@dataclass(frozen=True)
class RemovedValue:
    """A form of an option's value that vLLM no longer accepts.

    Attributes:
        option: The option's canonical name.
        since: The first release that refuses the value.
        pattern: Matches the entire value.
        advice: The reason or the replacement, as a clause.
        translate: Turns it into today's words; none to ignore it.
    """

    option: str
    since: str
    pattern: re.Pattern[str]
    advice: str
    translate: Callable[[str], tuple[str, ...]]


def _drop(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    return ()


def _rename(name: str) -> Translate:
    def translate(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
        if use.option.takes == "flag":
            return (name if use.on else name.replace("--", "--no-", 1),)
        return (name + use.key, *use.values)

    return translate


def _imply(*words: str) -> Translate:
    def translate(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
        return words if use.on else ()

    return translate


def _set_key(option_and_key: str) -> Translate:
    def translate(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
        if use.option.takes == "flag":
            return (option_and_key, "true" if use.on else "false")
        return (option_and_key, use.values[0])

    return translate


def _log_requests(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    return () if use.on else ("--enable-log-requests",)


def _graph_sizes(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    if len(use.values) == 1:
        return ("--max-cudagraph-capture-size", use.values[0])
    return ("--cudagraph-capture-sizes", *use.values)


_TASKS: dict[str, tuple[str, ...]] = {
    "auto": (),
    "generate": ("--runner", "generate"),
    "transcription": ("--runner", "generate"),
    "draft": ("--runner", "draft"),
    "embedding": ("--runner", "pooling", "--convert", "embed"),
    "embed": ("--runner", "pooling", "--convert", "embed"),
    "classify": ("--runner", "pooling", "--convert", "classify"),
    # vLLM chooses the conversion of these itself and no longer has a name for it
    "score": ("--runner", "pooling"),
    "reward": ("--runner", "pooling"),
}


def _task(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    task = use.values[0]
    if task not in _TASKS:
        raise use.source.error(
            f"--task {task} is not a task that any release of vLLM accepted. "
            f"Accepted: {', '.join(_TASKS)}.",
            hint="Use --runner and --convert instead of --task.",
        )
    return _TASKS[task]


def _guided_backend(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    """Read ``backend`` or ``backend:option,option``."""
    backend, _, options = use.values[0].partition(":")
    words = ["--structured-outputs-config.backend", backend]
    if "disable-any-whitespace" in options:
        words += ["--structured-outputs-config.disable_any_whitespace", "true"]
    if "no-additional-properties" in options:
        words += ["--structured-outputs-config.disable_additional_properties", "true"]
    return tuple(words)


def _speculative_model(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    model = use.values[0]
    if model in ("[ngram]", "ngram"):
        return ("--speculative-config.method", "ngram")
    return ("--speculative-config.model", model)


def _rope_scaling(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    """Return ``rope_parameters``, in which vLLM now combines the scaling and the theta."""
    scaling: Any
    try:
        scaling = json.loads(use.values[0])
    except ValueError:
        scaling = None
    if use.key or not isinstance(scaling, dict):
        raise use.source.error(
            f"--rope-scaling{use.key} {use.values[0]!r} is not a JSON object.",
            hint=_ROPE_HINT,
        )
    if "type" in scaling:
        scaling.setdefault("rope_type", scaling.pop("type"))
    if "rope_theta" not in scaling and "--rope-theta" not in others:
        raise use.source.error(
            "vLLM 0.11.1 combined --rope-scaling and --rope-theta into one setting. "
            "--rope-scaling alone would discard the model's own theta.",
            hint=f"Add --rope-theta with the rope_theta in the model's config.json. {_ROPE_HINT}",
        )
    return ("--hf-overrides.rope_parameters", json.dumps(scaling))


def _rope_theta(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    if "--rope-scaling" in others:
        return ("--hf-overrides.rope_parameters.rope_theta", use.values[0])
    raise use.source.error(
        "vLLM 0.11.1 combined --rope-scaling and --rope-theta into one setting. "
        "--rope-theta alone would discard the model's own scaling.",
        hint=_ROPE_HINT,
    )


_ROPE_HINT = (
    "Replace both with: "
    '--hf-overrides \'{"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}\', '
    "with the model's values."
)
_NO_RAY = "the server runs its engine in a separate process"
_OLD_ENGINE = "it tuned an engine that vLLM no longer has, and nothing replaces it"
_PROMPT_ADAPTERS = "prompt adapters are no longer supported; --enable-lora serves LoRA adapters"
_IMAGES = "vLLM reads it from the model; --limit-mm-per-prompt limits the images in a request"
_TOKENIZER_POOL = "--renderer-num-workers sets the number of tokenizer threads"
_SPECULATIVE = "use --speculative-config.{}"
_SPECULATIVE_REMOVED = "speculative decoding no longer has such an option"
_EPLB = "use --eplb-config.{}"
_STRUCTURED = "use --structured-outputs-config.{}"
_CONTEXT_GRAPHS = "graphs are captured by batch size now, see --max-cudagraph-capture-size"


def _entries() -> Iterator[RemovedOption]:
    flag: Takes = "flag"
    value: Takes = "value"
    several: Takes = "list"

    def removed(
        spelling: str, since: str, takes: Takes, advice: str, translate: Translate = _drop
    ) -> RemovedOption:
        return RemovedOption(spelling, since, takes, advice, translate)

    # options of 0.2.6
    yield removed("--max-paddings", "0.4", value, "batches are no longer padded")
    yield removed("--engine-use-ray", "0.6.2", flag, _NO_RAY)
    yield removed("--max-context-len-to-capture", "0.6.4", value, _CONTEXT_GRAPHS)
    yield removed(
        "--worker-use-ray",
        "0.7.0",
        flag,
        "use --distributed-executor-backend ray",
        _imply("--distributed-executor-backend", "ray"),
    )
    yield removed(
        "--disable-log-requests",
        "0.17.0",
        flag,
        "requests are logged only with --enable-log-requests",
        _log_requests,
    )
    yield removed(
        "--swap-space",
        "0.18.0",
        value,
        "vLLM recomputes preempted requests; --kv-offloading-size keeps KV cache in main memory",
    )

    # the scheduler, the cache and the workers
    yield removed("--device", "0.10.0", value, "vLLM detects the device; ACCELERATOR selects one")
    yield removed("--use-v2-block-manager", "0.10.0", flag, "it is the only block manager")
    yield removed(
        "--num-scheduler-steps",
        "0.10.1",
        value,
        "--async-scheduling hides the time between steps, and is the default if supported",
    )
    yield removed("--multi-step-stream-outputs", "0.10.1", flag, "--stream-interval is similar")
    yield removed("--max-seq-len-to-capture", "0.11.0", value, _CONTEXT_GRAPHS)
    yield removed("--preemption-mode", "0.11.0", value, "vLLM always recomputes preempted requests")
    yield removed("--scheduler-delay-factor", "0.11.0", value, _OLD_ENGINE)
    yield removed("--disable-async-output-proc", "0.11.0", flag, _OLD_ENGINE)
    yield removed("--num-lookahead-slots", "0.12.0", value, "--speculative-config determines it")
    yield removed(
        "--cuda-graph-sizes",
        "0.13.0",
        several,
        "use --cudagraph-capture-sizes, or --max-cudagraph-capture-size for one size",
        _graph_sizes,
    )
    yield removed("--disable-frontend-multiprocessing", "0.19.0", flag, _NO_RAY)
    for name in ("--max-num-partial-prefills", "--max-long-partial-prefills"):
        yield removed(name, "0.27.0", value, "--long-prefill-token-threshold limits long prompts")
    yield removed(
        "--calculate-kv-scales", "0.28.0", flag, "the scales come from the model, or are 1"
    )
    yield removed(
        "--enable-bf16x3-router-gemm",
        "0.30.0",
        flag,
        "it was an experiment; --linear-backend selects kernels",
    )
    yield removed(
        "--enable-mamba-fine-grained-prefix-cache",
        "0.31.0",
        flag,
        "its new name is --enable-mamba-shared-prefix-checkpoint",
        _rename("--enable-mamba-shared-prefix-checkpoint"),
    )

    # the model
    yield removed("--quantization-param-path", "0.7.0", value, "the scales come from the model")
    yield removed(
        "--qlora-adapter-name-or-path",
        "0.10.0",
        value,
        "--enable-lora and --lora-modules serve adapters",
    )
    yield removed(
        "--override-neuron-config",
        "0.10.2",
        value,
        "Neuron is now a plugin, configured with --additional-config",
    )
    yield removed("--rope-scaling", "0.11.1", value, "use --hf-overrides", _rope_scaling)
    yield removed("--rope-theta", "0.11.1", value, "use --hf-overrides", _rope_theta)
    yield removed(
        "--override-pooler-config",
        "0.12.0",
        value,
        "its new name is --pooler-config",
        _rename("--pooler-config"),
    )
    yield removed("--task", "0.13.0", value, "use --runner and --convert", _task)
    yield removed(
        "--logits-processor-pattern",
        "0.17.0",
        value,
        "requests can no longer choose processors; --logits-processors sets the server's",
    )
    yield removed(
        "--use-gpu-for-pooling-score",
        "0.18.0",
        flag,
        "its new name is --enable-flash-late-interaction",
        _rename("--enable-flash-late-interaction"),
    )
    yield removed(
        "--override-attention-dtype", "0.28.0", value, "--dtype and --kv-cache-dtype determine it"
    )

    # adapters
    yield removed(
        "--long-lora-scaling-factors", "0.10.0", several, "long LoRA is no longer supported"
    )
    yield removed(
        "--enable-lora-bias", "0.11.1", flag, "adapters with a bias are no longer supported"
    )
    yield removed("--lora-extra-vocab-size", "0.12.0", value, "adapters can no longer add words")
    yield removed("--prompt-adapters", "0.10.0", several, _PROMPT_ADAPTERS)
    yield removed("--max-prompt-adapters", "0.10.0", value, _PROMPT_ADAPTERS)
    yield removed("--max-prompt-adapter-token", "0.10.0", value, _PROMPT_ADAPTERS)
    yield removed("--enable-prompt-adapter", "0.10.2", flag, _PROMPT_ADAPTERS)

    # images
    for name in ("type", "shape"):
        yield removed(f"--image-input-{name}", "0.5.1", value, _IMAGES)
    for name in ("token-id", "feature-size", "processor", "processor-revision"):
        yield removed(f"--image-{name}", "0.5.1", value, _IMAGES)
    yield removed("--disable-image-processor", "0.5.1", flag, _IMAGES)
    yield removed(
        "--mm-cache-preprocessor",
        "0.6.6",
        flag,
        "it is the default; --mm-processor-cache-gb sets its size",
    )
    yield removed(
        "--disable-mm-preprocessor-cache",
        "0.13.0",
        flag,
        "use --mm-processor-cache-gb 0",
        _imply("--mm-processor-cache-gb", "0"),
    )
    yield removed(
        "--enable-multimodal-encoder-data-parallel",
        "0.13.0",
        flag,
        "use --mm-encoder-tp-mode data",
        _imply("--mm-encoder-tp-mode", "data"),
    )

    # the interface
    yield removed(
        "--chat-template-text-format",
        "0.6.5",
        value,
        "its new name is --chat-template-content-format",
        _rename("--chat-template-content-format"),
    )
    yield removed("--enable-reasoning", "0.10.0", flag, "--reasoning-parser turns it on")
    yield removed(
        "--expand-tools-even-if-tool-choice-none",
        "0.10.0",
        flag,
        "it is the default; --exclude-tools-when-tool-choice-none is its opposite",
    )
    for name in ("size", "type", "extra-config"):
        yield removed(f"--tokenizer-pool-{name}", "0.10.0", value, _TOKENIZER_POOL)

    # structured outputs
    yield removed(
        "--guided-decoding-backend",
        "0.12.0",
        value,
        _STRUCTURED.format("backend"),
        _guided_backend,
    )
    for key in ("disable_any_whitespace", "disable_additional_properties"):
        yield removed(
            f"--guided-decoding-{key.replace('_', '-')}",
            "0.12.0",
            flag,
            _STRUCTURED.format(key),
            _set_key(f"--structured-outputs-config.{key}"),
        )
    yield removed(
        "--guided-decoding-disable-fallback",
        "0.12.0",
        flag,
        "only --structured-outputs-config.backend auto falls back",
    )

    # expert parallelism
    for spelling, key in (
        ("--num-redundant-experts", "num_redundant_experts"),
        ("--eplb-window-size", "window_size"),
        ("--eplb-step-interval", "step_interval"),
        ("--eplb-log-balancedness", "log_balancedness"),
    ):
        yield removed(
            spelling,
            "0.12.0",
            flag if spelling == "--eplb-log-balancedness" else value,
            _EPLB.format(key),
            _set_key(f"--eplb-config.{key}"),
        )

    # speculative decoding
    yield removed(
        "--speculative-model",
        "0.8.3",
        value,
        _SPECULATIVE.format("model"),
        _speculative_model,
    )
    for spelling, key in (
        ("--num-speculative-tokens", "num_speculative_tokens"),
        ("--speculative-model-quantization", "quantization"),
        ("--speculative-draft-tensor-parallel-size", "draft_tensor_parallel_size"),
        ("-spec-draft-tp", "draft_tensor_parallel_size"),
        ("--speculative-max-model-len", "max_model_len"),
        ("--ngram-prompt-lookup-max", "prompt_lookup_max"),
        ("--ngram-prompt-lookup-min", "prompt_lookup_min"),
    ):
        yield removed(
            spelling,
            "0.8.3",
            value,
            _SPECULATIVE.format(key),
            _set_key(f"--speculative-config.{key}"),
        )
    for spelling in (
        "--speculative-disable-by-batch-size",
        "--spec-decoding-acceptance-method",
        "--typical-acceptance-sampler-posterior-threshold",
        "--typical-acceptance-sampler-posterior-alpha",
    ):
        yield removed(spelling, "0.8.3", value, _SPECULATIVE_REMOVED)
    for spelling in (
        "--speculative-disable-mqa-scorer",
        "--disable-logprobs-during-spec-decoding",
    ):
        yield removed(spelling, "0.8.3", flag, _SPECULATIVE_REMOVED)

    # -O was short for --compilation-config; vLLM accepts it again with a bare level
    yield removed(
        "-O",
        "0.12.0",
        value,
        "its new name is --compilation-config, or -cc",
        _rename("--compilation-config"),
    )


REMOVED: dict[str, RemovedOption] = {entry.spelling: entry for entry in _entries()}
"""Every option that vLLM removed since 0.2.6, by its spelling."""


def _limits_as_json(value: str) -> tuple[str, ...]:
    limits = dict(pair.split("=") for pair in value.split(","))
    return ("--limit-mm-per-prompt", json.dumps({name: int(n) for name, n in limits.items()}))


REMOVED_VALUES: tuple[RemovedValue, ...] = (
    RemovedValue(
        "--tokenizer-mode",
        "0.31.0",
        re.compile("slow"),
        "vLLM always loads the model's own tokenizer class",
        lambda value: (),
    ),
    RemovedValue(
        "--limit-mm-per-prompt",
        "0.10.0",
        re.compile(r"\w+=\d+(,\w+=\d+)*"),
        "it takes a JSON object now",
        _limits_as_json,
    ),
    RemovedValue(
        "--collect-detailed-traces",
        "0.31.0",
        re.compile(r"\w+(,\w+)+"),
        "it takes several words now",
        lambda value: ("--collect-detailed-traces", *value.split(",")),
    ),
    RemovedValue(
        "--compilation-config",
        "0.10.1",
        re.compile("[0-3]"),
        "it takes a JSON object now, with the number as its mode",
        lambda value: ("--compilation-config.mode", value),
    ),
    RemovedValue(
        "--prefix-caching-hash-algo",
        "0.10.2",
        re.compile("builtin"),
        "use sha256",
        lambda value: ("--prefix-caching-hash-algo", "sha256"),
    ),
    RemovedValue(
        "--prefix-caching-hash-algo",
        "0.10.2",
        re.compile("sha256_cbor_64bit"),
        "use sha256_cbor",
        lambda value: ("--prefix-caching-hash-algo", "sha256_cbor"),
    ),
)
"""Values that an option no longer accepts, with their translation."""

ONCE_BOOLEAN: dict[str, str] = {"--enable-chunked-prefill": "0.8.5"}
"""Flags that took ``true`` or ``false`` before this release."""

RENAMED_KEYS: dict[str, dict[str, str]] = {
    "--compilation-config": {
        "level": "mode",
        "max_capture_size": "max_cudagraph_capture_size",
        "use_cudagraph": "cudagraph_mode",
        "full_cuda_graph": "cudagraph_mode",
        "compile_ranges_split_points": "compile_ranges_endpoints",
        "use_inductor": "backend",
    },
    "--pooler-config": {"normalize": "use_activation"},
}
"""Keys that an option's JSON object no longer has, with their replacement."""

REFUSED_VALUES: dict[str, dict[str, str]] = {
    "--quantization": {
        "aqlm": "0.9.2",
        "auto-round": "0.14.1",
        "bitblas": "0.14.1",
        "cpu_awq": "0.22.1",
        "cpu_gptq": "0.13.0",
        "deepspeedfp": "0.14.1",
        "gptq_bitblas": "0.14.1",
        "gptq_marlin_24": "0.14.1",
        "hqq": "0.14.1",
        "ipex": "0.14.1",
        "marlin": "0.9.2",
        "neuron_quant": "0.9.2",
        "nvfp4": "0.8.5",
        "petit_nvfp4": "0.19.1",
        "ptpc_fp8": "0.18.1",
        "qqq": "0.9.2",
        "rtn": "0.14.1",
        "sparseml": "0.4.3",
        "squeezellm": "0.6.0",
        "tpu_int8": "0.13.0",
    }
}
"""Values without a replacement, each with a late release that accepted it.

Without gguf and bitsandbytes, which a plugin may provide.
"""


def removed_value(option: str, value: str) -> RemovedValue | None:
    """Return the entry of a value that an option no longer accepts, None for any other."""
    return next(
        (
            gone
            for gone in REMOVED_VALUES
            if gone.option == option and gone.pattern.fullmatch(value)
        ),
        None,
    )
