"""What the engine was doing when an exception was raised that no rule knows.

The frames of a traceback name the part of vLLM, or the library, that failed. That identifies the
kind of failure whatever the exception is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrypoint.diagnosis.catalogue.failure import Failure, Rule, compiled


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the start.

    Attributes:
        kind: The kind of failure of what fails in it.
        frames: Matches a frame's first line, which has the file and the function.
        cause: What happened, as a clause; ``{what}`` is the exception.
        raised: Must match the exception, if it decides on the kind.
    """

    kind: str
    frames: str
    cause: str
    raised: str = ""


_LOADING = (
    r"in (?:\w*load_weights\w*|\w*weight_loader\w*|_load_module)$|"
    r"model_loader/(?:default_loader|weight_utils|sharded_state_loader)\.py"
)
STAGES = (
    Stage(
        "invalid-option",
        r"argparse_utils\.py|cli_args\.py|/argparse\.py|engine/arg_utils\.py|vllm/config/|"
        r"vllm/envs\.py|vllm/utils/(?:cpu_resource_utils|ompmultiprocessing)\.py|"
        r"vllm/platforms/\w+\.py\", line \d+, in (?:check|pre_|apply)|"
        r"in (?:validate_parsed_serve_args|_configure_vllm_root_logger|check_and_update_config)$|"
        r"logging/config\.py|yaml/\w+\.py|in load_config_file$|spec_decode/|speculative\.py|"
        r"in (?:build_app|init_entrypoints_middleware|resolve_obj_by_qualname|"
        r"import_from_path|load_logitsprocs\w*|"
        r"build_logitsprocs|import_tool_parser|import_reasoning_parser)$",
        "vLLM rejected its options: {what}",
    ),
    Stage(
        "remote-code-failed",
        r"/transformers_modules/|dynamic_module_utils\.py",
        "the model's Python code failed: {what}",
    ),
    Stage(
        "config-unusable",
        r"transformers_utils/(?:config|configs/\w+|model_arch\w*)\.py|/configuration_\w+\.py|"
        r"huggingface_hub/dataclasses\.py|in (?:initialize_model|get_config|get_hf_text_config|"
        r"get_rope|get_act_fn|_init_rotary_emb|make_layers)$|"
        r"vllm/model_executor/models/\w+\.py\", line \d+, in (?:__init__|<lambda>|make_layers)$|"
        r"transformers/modeling_rope_utils\.py|transformers/generation/configuration\w*\.py|"
        r"vllm/model_executor/layers/(?!quantization)[\w/]+\.py\", line \d+, in __init__$",
        "the model cannot be built from its config.json: {what}",
    ),
    Stage(
        "config-unusable",
        r"/(?:image_|video_)?processing_\w+\.py|/feature_extraction_\w+\.py|"
        r"vllm/multimodal/(?:processing|registry|profiling)|in cached_processor_from_config$",
        "the model's processor cannot be used: {what}",
    ),
    Stage(
        "weights-mismatch",
        _LOADING,
        "the weights cannot be loaded: {what}",
    ),
    Stage(
        "weights-corrupt",
        _LOADING + r"|/safetensors/|parse_safetensors_file_metadata$",
        "a weight file cannot be read: {what}",
        raised=r"^(?:EOFError|MemoryError|OverflowError|UnicodeDecodeError|BadZipFile|"
        r"IsADirectoryError|OSError: No such device|"
        r"(?:\w+\.)*(?:JSONDecodeError|SafetensorError|UnpicklingError|error))\b",
    ),
    Stage(
        "model-missing",
        _LOADING,
        "a weight file is missing: {what}",
        raised=r"^FileNotFoundError|\b(?:not find|missing|does not exist|not found)\b",
    ),
    Stage(
        "tokenizer-unusable",
        r"vllm/tokenizers/|/tokenization_\w+\.py|in (?:\w*get_tokenizer|\w*tokenizer_from_config|"
        r"init_tokenizer\w*)$|site-packages/(?:sentencepiece|tiktoken|mistral_common)/",
        "the model's tokenizer cannot be used: {what}",
    ),
    Stage(
        "chat-template-missing",
        r"in \w*chat_template\w*$|site-packages/jinja2/",
        "the chat template cannot be used: {what}",
    ),
    Stage(
        "adapter-unusable",
        r"vllm/lora/|in (?:\w*lora_requests?\w*|load_lora_adapter|add_lora|init_static_loras)$",
        "a LoRA adapter cannot be used: {what}",
    ),
    Stage(
        "quantization-unsupported",
        r"layers/quantization/",
        "the quantization is not supported: {what}",
    ),
    Stage(
        "attention-unsupported",
        r"vllm/v1/attention/|in get_attn_backend$|model_executor/layers/attention/",
        "the attention backend does not support this configuration: {what}",
    ),
    Stage(
        "compile-failed",
        r"torch/_(?:inductor|dynamo|functorch)/|site-packages/triton/|"
        r"vllm/compilation/(?!decorators)",
        "compiling code for the model failed: {what}",
    ),
    Stage(
        "collective-failed",
        r"torch/distributed/|in (?:init_(?:worker_)?distributed_environment|"
        r"initialize_model_parallel)$|device_communicators/",
        "the engine's processes cannot communicate: {what}",
    ),
    Stage(
        "connector-failed",
        r"/kv_transfer/|/ec_transfer/|in ensure_kv_transfer_initialized$",
        "the connector in --kv-transfer-config or --ec-transfer-config failed: {what}",
    ),
    Stage(
        "tls-unusable",
        r"in (?:create_ssl_context|load_cert_chain|load_ssl\w*)$|/ssl\.py\"",
        "the TLS certificate or its key cannot be used: {what}",
    ),
    Stage(
        "invalid-option",
        r"in make_zmq_socket$",
        "the sockets between the engine's processes cannot be created in VLLM_RPC_BASE_PATH: "
        "{what}",
        raised=r"\bipc path\b",
    ),
    Stage(
        "port-taken",
        r"in (?:_?create_server(?:_unix)?_socket|bind_sockets?)$",
        "the engine cannot listen: {what}",
    ),
    Stage(
        "invalid-option",
        r"in (?:_?create_server(?:_unix)?_socket|bind_sockets?)$|"
        r"model_loader/\w+\.py\", line \d+, in __init__$",
        "vLLM rejected its options: {what}",
        raised=r"^(?:Overflow|Value|Type|Key)Error\b",
    ),
    Stage("ray-unreachable", r"site-packages/ray/", "Ray failed: {what}"),
    Stage(
        "library-broken",
        r"(?:site|dist)-packages/(?!vllm/)[^\"\n]+\", line \d+, in <module>$",
        "importing a library failed: {what}",
    ),
)
"""All stages. If several match the same frame, the last one counts."""


def find_stage(
    failures: Sequence[Failure], frames: Sequence[str], raised: str
) -> tuple[Failure, Rule] | None:
    """Return the kind of failure of the innermost known stage, None if no frame shows one.

    Args:
        failures: The known kinds.
        frames: The lines of a traceback, the innermost call last.
        raised: The exception as Python prints it.
    """
    by_kind = {failure.kind: failure for failure in failures}
    for line in reversed(frames):
        for stage in reversed(STAGES):
            if compiled(stage.frames).search(line) and compiled(stage.raised).search(raised):
                return by_kind[stage.kind], Rule(r"(?P<what>[\s\S]*)", cause=stage.cause)
    return None
