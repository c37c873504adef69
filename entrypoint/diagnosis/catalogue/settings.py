"""Settings that are incompatible with the model, the device or each other."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Role, Rule, innermost

# how vLLM words that settings, model and device are incompatible
_REFUSED = (
    r"\b(?:is|are|was) (?:currently |presently )?(?:not|un)(?: yet| currently)? ?(?:supported|"
    r"allowed|available with)\b|\bnot (?:yet |currently )?supported\b|"
    r"\b(?:does|do|did) not (?:yet |currently )?support\b|\bdoesn't support\b|"
    r"\bonly (?:currently )?support(?:s|ed)?\b|\b(?:in|not )compatible with\b|"
    r"\bunsupported (?!operand)|"
    # a setting, by its name in vLLM's code
    r"\b(?:max|min|num|gpu|kv|block|data|tensor|pipeline|expert)_\w{2,60}\b[^\n]{0,60}\b(?:must be|"
    r"should be|exceeds?|is (?:smaller|greater|larger|less|lower) than)\b|"
    r"\b(?:unknown|invalid|unexpected) (?:[\w-]+ ){0,4}(?:backend|method|format|strategy|value|"
    r"option|keys?)\b|"
    # a variable and its requirement
    r"\b(?:set|requires?|must|invalid)\b[^\n]{0,80}\bVLLM_[A-Z]|"
    r"\bVLLM_[A-Z_]{3,60}\b[^\n]{0,80}\b(?:must|requires?|expected|should|cannot|is set but)\b|"
    # an option and its requirement
    r"\bmutually exclusive\b|\bcannot be (?:used|combined|enabled) (?:with|together|when|without)|"
    r"(?<!\w)--[a-z][a-z-]{3,60}\b[^\n]{0,80}\b(?:must|requires?|should|need)\b|"
    r"\b(?:must|requires?|should|set|specify|need)\b[^\n]{0,80}(?<!\w)--[a-z][a-z-]{3,60}\b"
)

_IMPORTING = r"(?:site|dist)-packages/(?!vllm/)[^\n\"]{1,200}\", line \d+, in <module>"
REFUSAL = Rule(
    r"^(?:ValueError|NotImplementedError|AssertionError|RuntimeError): "
    r"(?P<what>[^\n]{0,300}(?:" + _REFUSED + r")[^\n]{0,200})",
    cause="vLLM rejected the configuration: {what}",
)
"""The words that every part of vLLM uses; they count if nothing else is known of an exception."""

_CHECK_SPELLING = (
    "Remove it from ARG, or fix its spelling: `inference-server options` lists vLLM's options."
)
INVALID_OPTION = Failure(
    kind="invalid-option",
    exit_code=ExitCode.SETTING,
    summary="vLLM rejected an option's value, or a combination of options.",
    cause="vLLM rejected an option's value",
    hint="Fix the option in ARG, or in the variable that sets it: `inference-server plan` "
    "shows where each option comes from, and `inference-server options` lists vLLM's options.",
    role=Role.SYMPTOM,
    rules=(
        Rule(
            r"error: unrecognized arguments: (?P<option>[^\n]{1,200})",
            cause="vLLM does not have the option {option}",
            hint=_CHECK_SPELLING,
        ),
        Rule(
            r"error: ambiguous option: (?P<option>\S{1,80}) could match (?P<what>[^\n]{1,300})",
            cause="the option {option} is ambiguous: it could be {what}",
            hint=_CHECK_SPELLING,
        ),
        Rule(
            r"error: argument (?P<option>\S{1,80}?): (?P<what>[\s\S]{1,300})",
            cause="vLLM rejected the option {option}: {what}",
        ),
        Rule(
            r"(?:serve|api_server|engine|vllm)(?:\.py)?(?: serve)?: error: "
            r"(?P<what>[^\n]{1,300})",
            cause="vLLM rejected its command line: {what}",
        ),
        Rule(
            r"ValidationError: \d+ validation errors? for (?P<config>\w+)\n"
            r"(?:(?P<field>[^\s]{1,100})\n)?\s{0,4}(?P<what>[^\n]{1,400})",
            cause="vLLM rejected its configuration ({config}): {field} {what}",
        ),
        Rule(
            r"(?P<what>[^\n:]{0,120}(?:only supports?|does not support|not supported "
            r"(?:on|by|in|with)) (?:the )?V[01]\b[^\n]{0,100})",
            cause="vLLM rejected the configuration: {what}",
        ),
        Rule(
            r"(?P<what>No common block size for [^\n]{1,200})",
            cause="vLLM rejected ARG=--block-size: {what}",
        ),
        Rule(
            r"(?P<what>invalid tool call parser: [^\n]{1,80})",
            cause="vLLM rejected an option's value: {what}",
        ),
        Rule(
            r"(?P<what>invalid reasoning parser: [^\n]{1,80})",
            cause="vLLM rejected an option's value: {what}",
        ),
        Rule(
            r"pipeline parallelism is not supported|does not support pipeline parallel",
            cause="the model or its draft model does not support pipeline parallelism",
            hint="Remove ARG=--pipeline-parallel-size. NUM_SHARD splits each layer over the "
            "devices instead.",
        ),
        Rule(
            r"(?P<what>\S{1,40} kv-cache is not supported with[^\n]{1,100})",
            cause="the KV cache's data type is incompatible with the model's: {what}",
            hint="Remove ARG=--kv-cache-dtype.",
        ),
        Rule(
            r"Cannot re-initialize CUDA in forked subprocess",
            cause="a process was forked after the device was initialized",
            hint="Set VLLM_WORKER_MULTIPROC_METHOD=spawn.",
        ),
        Rule(
            r"^(?:ValueError|NotImplementedError): (?P<what>[^\n]{1,300})",
            within=innermost(r"vllm/v1/(?:core/kv_cache_\w+\.py|[\w/]*spec_decode/)"),
            cause="vLLM rejected the configuration: {what}",
        ),
    ),
)

FAILURES = (
    Failure(
        kind="length-above-model",
        exit_code=ExitCode.SETTING,
        summary="--max-model-len exceeds the model's maximum context length.",
        cause="--max-model-len exceeds the model's maximum context length",
        hint="Lower ARG=--max-model-len, or remove it.",
        rules=(
            Rule(
                r"max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len "
                r"\([^\n]{0,80}?=(?P<most>\d+)",
                cause="--max-model-len is {asked}, and the model's maximum context length is "
                "{most}",
                hint="Set ARG='--max-model-len {most}' or less, or remove it. "
                "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 allows a longer context, but the answers are "
                "usually useless.",
            ),
            Rule(r"greater than the derived max_model_len"),
            Rule(r"max_model_len" + SPAN + r"(?:should be (?:at )?less|is greater|exceeds)"),
        ),
    ),
    Failure(
        kind="shards-do-not-divide",
        exit_code=ExitCode.SETTING,
        summary="The model cannot be split into NUM_SHARD equal parts.",
        cause="the model cannot be split into NUM_SHARD equal parts",
        hint="Set NUM_SHARD to a divisor of the model's number of attention heads (usually 1, 2, "
        "4 or 8).",
        rules=(
            Rule(
                r"number of attention heads \((?P<heads>\d+)\) must be divisible by tensor "
                r"parallel "
                r"size \((?P<shards>\d+)\)",
                cause="the model's {heads} attention heads cannot be split into {shards} equal "
                "parts",
                hint="Set NUM_SHARD to a divisor of {heads}.",
            ),
            Rule(r"divisible by (?:the )?(?:(?:tensor|expert)[ _]parallel|tp|ep|world)[ _]?size"),
            Rule(
                r"(?P<size>\d+) is not divisible by (?P<shards>\d+)",
                cause="a dimension of the model, {size}, cannot be split into {shards} equal parts",
            ),
            Rule(
                r"is not divisible by|not divisible by weight quantization block",
                within=r"parallel|linear|vocab_parallel|fp8|quant",
            ),
            Rule(r"size \(?\d+\)? must be divisible by \(?\d+"),
            Rule(r"is not aligned with the quantized weight shape|too large tensor parallel size"),
            Rule(
                r"(?:size_[kn]|input_size|output_size|intermediate_size|hidden_size)\w{0,40}\b[^\n]"
                r"{0,60}\bdivi(?:sible|de)\b",
            ),
            Rule(
                r"^AssertionError\b",
                within=r"assert [^\n]{0,80}% (?:self\.)?(?:tp|tensor)_?\w* == 0",
            ),
        ),
    ),
    Failure(
        kind="quantization-unsupported",
        exit_code=ExitCode.SETTING,
        summary="vLLM, the device or the model does not support the quantization.",
        cause="vLLM, the device or the model does not support the quantization",
        hint="Remove ARG=--quantization, because vLLM reads the method from the model. If it "
        "still fails, use a model with another quantization (see docs/accelerators.md), or a "
        "device that supports this one.",
        rules=(
            Rule(
                r"Unknown quantization method:? ?(?P<method>[^\s.,]{0,60})",
                cause="vLLM does not support the quantization method {method}",
            ),
            Rule(
                r"quantization method (?P<method>\S{1,60}) is not supported for the current GPU\. "
                r"Minimum capability: (?P<needed>\d+)\. Current capability: (?P<has>\d+)",
                cause="the quantization method {method} requires compute capability {needed} (80 "
                "means 8.0), and the device has {has}",
            ),
            Rule(
                r"(?<![\w-])(?P<method>[\w-]{1,60}) quantization is currently not supported",
                cause="the device does not support the quantization method {method}",
            ),
            Rule(
                r"Quantization method specified in the model config \((?P<model>[^)\n]{1,60})\) "
                r"does not "
                r"match the quantization method specified in the [`']quantization[`'] argument "
                r"\((?P<asked>[^)\n]{1,60})\)",
                cause="the model is quantized with {model}, and ARG sets --quantization {asked}",
                hint="Remove ARG=--quantization; vLLM reads the method from the model.",
            ),
            Rule(
                r"Invalid quantization method:? ?(?P<method>[^\s.,]{0,60})",
                cause="vLLM does not support the quantization method {method}",
            ),
            Rule(
                r"Unsupported num_bits|No compressed-tensors compatible scheme|Unsupported FusedMoe"
            ),
            Rule(
                r"(?P<what>Cannot find any of \[[^\]\n]{1,120}\] in the model's quantization "
                r"config)",
                cause="the model does not specify its quantization: {what}",
            ),
            Rule(r"different quantization schemes|same quantization scheme"),
            Rule(r"^AssertionError\b", within=r"assert [^\n]{0,40}quant_method is not None"),
            Rule(
                r"^(?:ValueError|NotImplementedError|AssertionError): (?P<what>[^\n]{1,300})",
                within=innermost(r"layers/quantization/"),
                cause="the quantization is not supported: {what}",
            ),
            Rule(r"Cannot find the config file for \w+|is not a valid GGMLQuantizationType"),
            Rule(
                r"quantization[^\n]{0,200}(?:not support|unsupported|is not implemented|no "
                r".{0,20}kernel)"
            ),
            Rule(r"(?:not support|unsupported)[^\n]{0,120}quantiz"),
            Rule(r"Quantization scheme is not supported for the current GPU"),
            Rule(
                r"type (?P<type>fp\w{1,20}) not supported in this architecture",
                cause="the model is quantized to {type}, which the device does not support",
            ),
            Rule(
                r"_C::\w{0,60}(?:quant|fp8|int8|awq|gptq|marlin)\w{0,60}\(\) expected at most",
                cause="vLLM was built without the quantization's kernels for this device",
            ),
            Rule(r"Failed to find a kernel that can implement the .{0,80}(?:linear|MoE)"),
            Rule(
                r"is not supported for quantization|does not support (?:fp8|awq|gptq|bitsandbytes)"
            ),
            Rule(
                r"(?:Marlin|Machete|GPTQ|AWQ)[^\n]{0,120}(?:not supported|unsupported|does not "
                r"support)"
            ),
        ),
    ),
    Failure(
        kind="adapter-limit",
        exit_code=ExitCode.SETTING,
        summary="The LoRA options contradict each other.",
        cause="the LoRA options contradict each other",
        hint="Set ARG=--enable-lora, and set --max-loras and --max-lora-rank to what the adapters "
        "need.",
        rules=(
            Rule(r"max_cpu_loras \(\d+\) must be|max_loras|max_lora_rank \(\d+\) must be"),
            Rule(r"LoRA is not enabled"),
            Rule(
                r"validation errors? for LoRAConfig\n(?P<field>\w{1,60})\n\s{0,4}"
                r"(?P<what>[^\n]{1,300}?) \[type=",
                cause="vLLM rejected the LoRA option {field}: {what}",
            ),
            Rule(r"validation errors? for LoRAConfig"),
        ),
    ),
    Failure(
        kind="ray-unreachable",
        exit_code=ExitCode.MACHINE,
        summary="Ray is not installed, does not answer, or has too few free resources.",
        cause="Ray is not installed, does not answer, or has too few free resources",
        hint="On one machine, run without Ray: ARG='--distributed-executor-backend mp'. On "
        "several machines, start the Ray cluster first and set RAY_ADDRESS to its head node.",
        rules=(
            Rule(r"Ray is not (?:installed|available)|import Ray|Failed to import Ray|install ray"),
            Rule(r"requires? installation of ray|Ray (?:Compiled Graph|version \S{1,40}) is"),
            Rule(r"Ray workers have not started|does not support ray"),
            Rule(r"Cannot provide a placement group|not included in a placement\s+group"),
            Rule(r"Every node should have a unique IP address"),
            Rule(r"No nodes with resources found in Ray|DP master node[^\n]{0,80}missing or dead"),
            Rule(r"Ray is not initialized|Created \d+ DP placement groups, expected"),
            Rule(r"No module named 'ray'"),
            Rule(r"Could not (?:find any running Ray|connect to) "),
            Rule(r"ray\.exceptions\.(?:RaySystemError|RpcError|OwnerDiedError)"),
            Rule(
                r"(?:GCS|Ray|raylet)[^\n]{0,120}(?:not reachable|unreachable|timed out|failed to "
                r"connect"
                r"|cannot be reached|unable to register)"
            ),
            Rule(r"Ray does not allocate any GPUs on the driver node"),
            Rule(r"ConnectionError: ray://|Ray Client"),
            Rule(
                r"^(?:\w+\.)*(?:Runtime|Value|Connection|Timeout)Error\b",
                within=innermost(r"(?:site|dist)-packages/ray/"),
            ),
            Rule(r"Failed to (?:connect to|register)[^\n]{0,40}(?:GCS|raylet)"),
        ),
    ),
    Failure(
        kind="package-missing",
        exit_code=ExitCode.MACHINE,
        summary="An option or the model needs a Python package that is not installed.",
        cause="a Python package is not installed",
        hint="Build an image with the package, or remove the option that needs it.",
        rules=(
            Rule(
                r"No module named ['\"](?P<package>[\w.]{1,100})['\"]",
                cause="the Python package {package} is not installed",
            ),
            Rule(
                r"(?:Please|You (?:have|need) to|required[^\n]{0,40}) (?:install|use)\s*:? "
                r"?[^\n]{0,40}?"
                r"[`'\"]?(?:pip install|uv pip install) (?P<package>[\w.\-\[\]]{1,80})",
                cause="the Python package {package} is not installed",
            ),
            Rule(
                r"PackageNotFoundError: (?:No package metadata was found for "
                r")?(?P<package>\S{1,80})",
                cause="the Python package {package} is not installed",
            ),
            Rule(r"(?:Please|You (?:have|need) to) install "),
            Rule(
                r"requires the following packages that were not found in your environment: "
                r"(?P<package>[^\n.]{1,100})",
                cause="Python packages are not installed: {package}",
            ),
            Rule(
                r"ImportError: [^\n]{0,200}(?:not installed|requires the \S+ (?:library|package)|"
                r"to be installed|(?:is|are) required(?! for a normal)|"
                r"requires? [^\n]{0,60}installation|\bInstall (?:it|via)\b)"
            ),
        ),
    ),
    Failure(
        kind="library-broken",
        exit_code=ExitCode.MACHINE,
        summary="A library cannot be loaded or is incompatible with the others, because of added "
        "packages or mounted libraries.",
        cause="a library cannot be loaded or is incompatible with the others",
        hint="Use the image unchanged. Added packages, LD_LIBRARY_PATH and mounted libraries can "
        "hide the versions that vLLM was built with.",
        rules=(
            Rule(r"undefined symbol:? ?(?P<symbol>\w{0,200})"),
            Rule(r"cannot open shared object file: No such file"),
            Rule(r"version [`']GLIBC(?:XX)?_[\d.]+' not found"),
            Rule(r"ImportError: cannot import name|circular import"),
            Rule(
                r"^AttributeError: (?P<what>(?:\w{0,60}Tokenizer\w{0,60}|\w{1,60}Backend) has no "
                r"attribute \w{1,80})",
                cause="the installed version of Transformers is incompatible with vLLM: {what}",
            ),
            Rule(
                r"^AttributeError: (?:partially initialized )?module '\S{1,100}' has no attribute",
                within=_IMPORTING,
            ),
            Rule(
                r"operator \S{1,60}::\S{1,60} does not exist|Numba needs NumPy|libcudart is not "
                r"loaded|Invalid type of HuggingFace processor|Only one platform plugin can be "
                r"activated"
            ),
            Rule(
                # an import that fails
                r"^(?:Value|Type|Attribute|Name|Runtime)Error: (?P<what>[^\n]{1,300})",
                within=_IMPORTING,
                cause="importing a library failed: {what}",
            ),
            Rule(r"requires transformers>=|is required for a normal functioning of this module"),
            Rule(r"^(?:\w+)Error\b", within=innermost(r"(?:site|dist)-packages/bitsandbytes/")),
            Rule(r"cuDNN version incompatibility|failed to open \S*nvrtc-builtins"),
            Rule(r"numpy\.dtype size changed|compiled using NumPy 1\.x"),
            Rule(r"'_OpNamespace' '\S{1,60}' object has no attribute"),
        ),
    ),
    Failure(
        kind="connector-failed",
        exit_code=ExitCode.SETTING,
        summary="The connector in --kv-transfer-config or --ec-transfer-config failed.",
        cause="the connector in --kv-transfer-config or --ec-transfer-config failed",
        hint="Check ARG=--kv-transfer-config (--ec-transfer-config) against the documentation of "
        "the connector's version, and check that the other end answers. Without the option, the "
        "engine serves alone.",
        role=Role.SYMPTOM,
        rules=(
            Rule(
                r"^(?:\w+\.)*\w+Error: (?P<what>[^\n]{1,300})",
                within=innermost(r"/(?:kv_transfer|ec_transfer|lmcache|mooncake|nixl)/"),
                cause="the connector in --kv-transfer-config or --ec-transfer-config failed: "
                "{what}",
            ),
            Rule(
                r"^(?:\w+\.)*\w+Error\b",
                within=innermost(r"/(?:kv_transfer|ec_transfer|lmcache|mooncake|nixl)/"),
            ),
            Rule(
                r"(?P<what>Unsupported connector type: \w{1,80})",
                cause="the connector in --kv-transfer-config or --ec-transfer-config failed: "
                "{what}",
            ),
            Rule(
                r"(?P<what>\b(?:\w{0,40}(?:KV|EC)\w{0,40}Connector\w{0,40}|NIXL_ERR_\w+|Mooncake\w*|LMCache\w*)\b"
                r"[^\n]{0,120}\b(?:fail(?:ed)?|not|must|requires?|unsupported|cannot|error)\b"
                r"[^\n]{0,120})",
                cause="the connector in --kv-transfer-config or --ec-transfer-config failed: "
                "{what}",
            ),
        ),
    ),
    Failure(
        kind="tls-unusable",
        exit_code=ExitCode.SETTING,
        summary="The TLS certificate or its key cannot be used.",
        cause="the TLS certificate or its key cannot be used",
        hint="Check the files in TLS_CERT_FILE and TLS_KEY_FILE (ARG=--ssl-certfile, "
        "--ssl-keyfile, --ssl-ca-certs): they must exist, have the PEM format, and the key must be "
        "the certificate's.",
        rules=(
            Rule(
                r"^(?P<what>[^\n]{1,300})",
                within=r"in (?:create_ssl_context|load_cert_chain|load_verify_locations)\b",
                cause="the TLS certificate or its key cannot be used: {what}",
            ),
        ),
    ),
    INVALID_OPTION,
)
