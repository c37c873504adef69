"""The options that vLLM once had, and what is done with them now.

Each entry was found by comparing the options in vLLM's source releases since 0.2.6 with the
catalogue. An option whose meaning exists under another name is translated; one whose purpose is
gone is dropped, because what it tuned is no longer there to be tuned; both leave a note. Two are
refused where no exact translation exists, since the model would answer differently:
``--rope-scaling`` and ``--rope-theta`` without each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from entrypoint.errors import SettingError

Takes = Literal["flag", "value", "list"]
"""How many words an option took: none, one, or one and more."""

TRUE = frozenset({"true", "True", "1", "yes", "on"})
FALSE = frozenset({"false", "False", "0", "no", "off"})


@dataclass(frozen=True)
class Use:
    """One use of an option that is gone.

    Attributes:
        option: What it was.
        key: What follows the name in ``--option.key``, with its dot; mostly empty.
        values: Its words; for a flag ``("true",)`` or ``("false",)``.
    """

    option: GoneOption
    key: str
    values: tuple[str, ...]

    @property
    def on(self) -> bool:
        """Whether a flag is switched on."""
        return self.values[0] in TRUE


Translate = Callable[[Use, Mapping[str, Use]], tuple[str, ...]]
"""Makes the words that mean the same today, none to drop the option; knows its fellows too."""


@dataclass(frozen=True)
class GoneOption:
    """An option that vLLM no longer has.

    Attributes:
        spelling: Its long spelling, with dashes.
        since: The first release without it.
        takes: How many words it took.
        advice: Why it is gone and what takes its place, as a sentence's end.
        translate: What it is read as.
    """

    spelling: str
    since: str
    takes: Takes
    advice: str
    translate: Translate


@dataclass(frozen=True)
class GoneValue:
    """A form of an option's value that vLLM no longer takes.

    Attributes:
        option: The option's canonical name.
        since: The first release that refuses the value.
        pattern: Matches the whole value.
        advice: Why, and what takes its place, as a sentence's end.
        translate: Makes the option's words of today; none to drop it.
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
    # vLLM chooses the conversion itself for these, and has no name for theirs any more
    "score": ("--runner", "pooling"),
    "reward": ("--runner", "pooling"),
}


def _task(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    task = use.values[0]
    if task not in _TASKS:
        raise SettingError(
            f"ARG gives --task the value {task!r}, which no release of vLLM took; "
            f"it took: {', '.join(_TASKS)}.",
            variable="ARG",
            hint="Write --runner and --convert instead of --task.",
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
    """Make ``rope_parameters`` of the scaling and the theta, which vLLM keeps together now."""
    scaling: Any
    try:
        scaling = json.loads(use.values[0])
    except ValueError:
        scaling = None
    if use.key or not isinstance(scaling, dict):
        raise SettingError(
            f"ARG gives --rope-scaling{use.key} the value {use.values[0]!r}, "
            "which is not a JSON object.",
            variable="ARG",
            hint=_ROPE_HINT,
        )
    if "type" in scaling:
        scaling.setdefault("rope_type", scaling.pop("type"))
    if "rope_theta" not in scaling and "--rope-theta" not in others:
        raise SettingError(
            "ARG has --rope-scaling, which is gone since vLLM 0.11.1, without --rope-theta. vLLM "
            "keeps the two together now, and the model's own theta would be lost.",
            variable="ARG",
            hint=f"Add --rope-theta with the rope_theta of the model's config.json. {_ROPE_HINT}",
        )
    return ("--hf-overrides.rope_parameters", json.dumps(scaling))


def _rope_theta(use: Use, others: Mapping[str, Use]) -> tuple[str, ...]:
    if "--rope-scaling" in others:
        return ("--hf-overrides.rope_parameters.rope_theta", use.values[0])
    raise SettingError(
        "ARG has --rope-theta, which is gone since vLLM 0.11.1, without --rope-scaling. vLLM keeps "
        "the two together now, and a scaling that the model has of its own would be lost.",
        variable="ARG",
        hint=_ROPE_HINT,
    )


_ROPE_HINT = (
    "What replaces both: "
    '--hf-overrides \'{"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}\', '
    "with the values of the model."
)
_NO_RAY = "the server runs its engine in a process of its own"
_OLD_ENGINE = "it tuned an engine that vLLM no longer has; nothing takes its place"
_PROMPT_ADAPTERS = "prompt adapters are no longer served; --enable-lora serves LoRA adapters"
_IMAGES = "vLLM reads it from the model; --limit-mm-per-prompt bounds the images of a request"
_TOKENIZER_POOL = "--renderer-num-workers sets how many threads tokenize"
_SPECULATIVE = "--speculative-config.{} takes its place"
_SPECULATIVE_GONE = "speculative decoding no longer has it, nor does --speculative-config"
_EPLB = "--eplb-config.{} takes its place"
_STRUCTURED = "--structured-outputs-config.{} takes its place"
_CONTEXT_GRAPHS = (
    "graphs are captured by batch size, not by context length: --max-cudagraph-capture-size"
)


def _entries() -> Iterator[GoneOption]:
    flag: Takes = "flag"
    value: Takes = "value"
    several: Takes = "list"

    def gone(
        spelling: str, since: str, takes: Takes, advice: str, translate: Translate = _drop
    ) -> GoneOption:
        return GoneOption(spelling, since, takes, advice, translate)

    # what 0.2.6 had
    yield gone("--max-paddings", "0.4", value, "batches are not padded any more")
    yield gone("--engine-use-ray", "0.6.2", flag, _NO_RAY)
    yield gone("--max-context-len-to-capture", "0.6.4", value, _CONTEXT_GRAPHS)
    yield gone(
        "--worker-use-ray",
        "0.7.0",
        flag,
        "--distributed-executor-backend ray takes its place",
        _imply("--distributed-executor-backend", "ray"),
    )
    yield gone(
        "--disable-log-requests",
        "0.17.0",
        flag,
        "requests are logged only with --enable-log-requests",
        _log_requests,
    )
    yield gone(
        "--swap-space",
        "0.18.0",
        value,
        "vLLM recomputes what it once swapped out; --kv-offloading-size keeps cache in main memory",
    )

    # the scheduler, the cache and the workers
    yield gone("--device", "0.10.0", value, "vLLM finds the device; ACCELERATOR chooses one")
    yield gone("--use-v2-block-manager", "0.10.0", flag, "it is the only block manager")
    yield gone(
        "--num-scheduler-steps",
        "0.10.1",
        value,
        "--async-scheduling hides the time between steps, and is the default where it works",
    )
    yield gone("--multi-step-stream-outputs", "0.10.1", flag, "--stream-interval is near to it")
    yield gone("--max-seq-len-to-capture", "0.11.0", value, _CONTEXT_GRAPHS)
    yield gone("--preemption-mode", "0.11.0", value, "vLLM always recomputes what it preempted")
    yield gone("--scheduler-delay-factor", "0.11.0", value, _OLD_ENGINE)
    yield gone("--disable-async-output-proc", "0.11.0", flag, _OLD_ENGINE)
    yield gone("--num-lookahead-slots", "0.12.0", value, "--speculative-config decides it")
    yield gone(
        "--cuda-graph-sizes",
        "0.13.0",
        several,
        "--cudagraph-capture-sizes, or --max-cudagraph-capture-size for one, takes its place",
        _graph_sizes,
    )
    yield gone("--disable-frontend-multiprocessing", "0.19.0", flag, _NO_RAY)
    for name in ("--max-num-partial-prefills", "--max-long-partial-prefills"):
        yield gone(name, "0.27.0", value, "--long-prefill-token-threshold bounds a long prompt")
    yield gone(
        "--calculate-kv-scales", "0.28.0", flag, "the scales come from the model, else they are 1"
    )
    yield gone(
        "--enable-bf16x3-router-gemm",
        "0.30.0",
        flag,
        "it was an experiment; --linear-backend chooses kernels",
    )
    yield gone(
        "--enable-mamba-fine-grained-prefix-cache",
        "0.31.0",
        flag,
        "it is called --enable-mamba-shared-prefix-checkpoint",
        _rename("--enable-mamba-shared-prefix-checkpoint"),
    )

    # the model
    yield gone("--quantization-param-path", "0.7.0", value, "the scales come from the model")
    yield gone(
        "--qlora-adapter-name-or-path",
        "0.10.0",
        value,
        "--enable-lora and --lora-modules serve adapters",
    )
    yield gone(
        "--override-neuron-config",
        "0.10.2",
        value,
        "Neuron is a plugin now, configured by --additional-config",
    )
    yield gone("--rope-scaling", "0.11.1", value, "--hf-overrides takes its place", _rope_scaling)
    yield gone("--rope-theta", "0.11.1", value, "--hf-overrides takes its place", _rope_theta)
    yield gone(
        "--override-pooler-config",
        "0.12.0",
        value,
        "it is called --pooler-config",
        _rename("--pooler-config"),
    )
    yield gone("--task", "0.13.0", value, "--runner and --convert take its place", _task)
    yield gone(
        "--logits-processor-pattern",
        "0.17.0",
        value,
        "requests cannot name processors any more; --logits-processors names the server's",
    )
    yield gone(
        "--use-gpu-for-pooling-score",
        "0.18.0",
        flag,
        "it is called --enable-flash-late-interaction",
        _rename("--enable-flash-late-interaction"),
    )
    yield gone(
        "--override-attention-dtype", "0.28.0", value, "--dtype and --kv-cache-dtype decide it"
    )

    # adapters
    yield gone("--long-lora-scaling-factors", "0.10.0", several, "long LoRA is no longer served")
    yield gone("--enable-lora-bias", "0.11.1", flag, "adapters with a bias are no longer served")
    yield gone("--lora-extra-vocab-size", "0.12.0", value, "adapters bring no words of their own")
    yield gone("--prompt-adapters", "0.10.0", several, _PROMPT_ADAPTERS)
    yield gone("--max-prompt-adapters", "0.10.0", value, _PROMPT_ADAPTERS)
    yield gone("--max-prompt-adapter-token", "0.10.0", value, _PROMPT_ADAPTERS)
    yield gone("--enable-prompt-adapter", "0.10.2", flag, _PROMPT_ADAPTERS)

    # images
    for name in ("type", "shape"):
        yield gone(f"--image-input-{name}", "0.5.1", value, _IMAGES)
    for name in ("token-id", "feature-size", "processor", "processor-revision"):
        yield gone(f"--image-{name}", "0.5.1", value, _IMAGES)
    yield gone("--disable-image-processor", "0.5.1", flag, _IMAGES)
    yield gone(
        "--mm-cache-preprocessor",
        "0.6.6",
        flag,
        "it is the default; --mm-processor-cache-gb sets its size",
    )
    yield gone(
        "--disable-mm-preprocessor-cache",
        "0.13.0",
        flag,
        "--mm-processor-cache-gb 0 takes its place",
        _imply("--mm-processor-cache-gb", "0"),
    )
    yield gone(
        "--enable-multimodal-encoder-data-parallel",
        "0.13.0",
        flag,
        "--mm-encoder-tp-mode data takes its place",
        _imply("--mm-encoder-tp-mode", "data"),
    )

    # the interface
    yield gone(
        "--chat-template-text-format",
        "0.6.5",
        value,
        "it is called --chat-template-content-format",
        _rename("--chat-template-content-format"),
    )
    yield gone("--enable-reasoning", "0.10.0", flag, "--reasoning-parser switches it on by itself")
    yield gone(
        "--expand-tools-even-if-tool-choice-none",
        "0.10.0",
        flag,
        "it is the default; --exclude-tools-when-tool-choice-none is its opposite",
    )
    for name in ("size", "type", "extra-config"):
        yield gone(f"--tokenizer-pool-{name}", "0.10.0", value, _TOKENIZER_POOL)

    # structured outputs
    yield gone(
        "--guided-decoding-backend",
        "0.12.0",
        value,
        _STRUCTURED.format("backend"),
        _guided_backend,
    )
    for key in ("disable_any_whitespace", "disable_additional_properties"):
        yield gone(
            f"--guided-decoding-{key.replace('_', '-')}",
            "0.12.0",
            flag,
            _STRUCTURED.format(key),
            _set_key(f"--structured-outputs-config.{key}"),
        )
    yield gone(
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
        yield gone(
            spelling,
            "0.12.0",
            flag if spelling == "--eplb-log-balancedness" else value,
            _EPLB.format(key),
            _set_key(f"--eplb-config.{key}"),
        )

    # speculative decoding
    yield gone(
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
        yield gone(
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
        yield gone(spelling, "0.8.3", value, _SPECULATIVE_GONE)
    for spelling in (
        "--speculative-disable-mqa-scorer",
        "--disable-logprobs-during-spec-decoding",
    ):
        yield gone(spelling, "0.8.3", flag, _SPECULATIVE_GONE)

    # -O was the short form of --compilation-config; with a bare level it is one of vLLM's again
    yield gone(
        "-O",
        "0.12.0",
        value,
        "it is called --compilation-config, in short -cc",
        _rename("--compilation-config"),
    )


GONE: dict[str, GoneOption] = {entry.spelling: entry for entry in _entries()}
"""Every option that vLLM had in some release since 0.2.6 and no longer has, by its spelling."""


def _limits_as_json(value: str) -> tuple[str, ...]:
    limits = dict(pair.split("=") for pair in value.split(","))
    return ("--limit-mm-per-prompt", json.dumps({name: int(n) for name, n in limits.items()}))


GONE_VALUES: tuple[GoneValue, ...] = (
    GoneValue(
        "--tokenizer-mode",
        "0.31.0",
        re.compile("slow"),
        "the model's own tokenizer class is loaded whichever it is",
        lambda value: (),
    ),
    GoneValue(
        "--limit-mm-per-prompt",
        "0.10.0",
        re.compile(r"\w+=\d+(,\w+=\d+)*"),
        "it takes a JSON object",
        _limits_as_json,
    ),
    GoneValue(
        "--collect-detailed-traces",
        "0.31.0",
        re.compile(r"\w+(,\w+)+"),
        "it takes several words",
        lambda value: ("--collect-detailed-traces", *value.split(",")),
    ),
    GoneValue(
        "--compilation-config",
        "0.10.1",
        re.compile("[0-3]"),
        "it takes a JSON object, in which the number is the mode",
        lambda value: ("--compilation-config.mode", value),
    ),
    GoneValue(
        "--prefix-caching-hash-algo",
        "0.10.2",
        re.compile("builtin"),
        "sha256 takes its place",
        lambda value: ("--prefix-caching-hash-algo", "sha256"),
    ),
    GoneValue(
        "--prefix-caching-hash-algo",
        "0.10.2",
        re.compile("sha256_cbor_64bit"),
        "sha256_cbor takes its place",
        lambda value: ("--prefix-caching-hash-algo", "sha256_cbor"),
    ),
)
"""Values that an option once took, each with what it is read as."""

ONCE_WITH_A_BOOLEAN: dict[str, str] = {"--enable-chunked-prefill": "0.8.5"}
"""Flags that took ``true`` or ``false`` before this release."""

GONE_KEYS: dict[str, dict[str, str]] = {
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
"""Keys that an option's JSON object once had, each with the key in whose place it stood."""

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
"""Values that nothing replaces, each with a late release that took it.

gguf and bitsandbytes are not among them: what is gone from vLLM itself may come as a plugin.
"""


def gone_value(option: str, value: str) -> GoneValue | None:
    """Return what is known of a value that an option no longer takes, or None."""
    return next(
        (gone for gone in GONE_VALUES if gone.option == option and gone.pattern.fullmatch(value)),
        None,
    )
