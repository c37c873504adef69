"""Settings that do not fit the model, the device or each other."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Sign, Weight, innermost

# how vLLM says that settings, model and device do not go together
_REFUSED = (
    r"\b(?:is|are|was) (?:currently |presently )?(?:not|un)(?: yet| currently)? ?(?:supported|"
    r"allowed|available with)\b|\bnot (?:yet |currently )?supported\b|"
    r"\b(?:does|do|did) not (?:yet |currently )?support\b|\bdoesn't support\b|"
    r"\bonly (?:currently )?support(?:s|ed)?\b|\b(?:in|not )compatible with\b|"
    r"\bunsupported (?!operand)|"
    # a setting by its name in vLLM's code
    r"\b(?:max|min|num|gpu|kv|block|data|tensor|pipeline|expert)_\w{2,60}\b[^\n]{0,60}\b(?:must be|"
    r"should be|exceeds?|is (?:smaller|greater|larger|less|lower) than)\b|"
    r"\b(?:unknown|invalid|unexpected) (?:[\w-]+ ){0,4}(?:backend|method|format|strategy|value|"
    r"option|keys?)\b|"
    # a variable, and what it asks for
    r"\b(?:set|requires?|must|invalid)\b[^\n]{0,80}\bVLLM_[A-Z]|"
    r"\bVLLM_[A-Z_]{3,60}\b[^\n]{0,80}\b(?:must|requires?|expected|should|cannot|is set but)\b|"
    # an option, and what it asks for
    r"\bmutually exclusive\b|\bcannot be (?:used|combined|enabled) (?:with|together|when|without)|"
    r"(?<!\w)--[a-z][a-z-]{3,60}\b[^\n]{0,80}\b(?:must|requires?|should|need)\b|"
    r"\b(?:must|requires?|should|set|specify|need)\b[^\n]{0,80}(?<!\w)--[a-z][a-z-]{3,60}\b"
)

FAILURES = (
    Failure(
        kind="length-above-model",
        exit_code=ExitCode.SETTING,
        shown="--max-model-len is above what the model was made for.",
        cause="the context asked for is longer than what the model was made for",
        repair="Set a smaller ARG=--max-model-len, or leave it out.",
        signs=(
            Sign(
                r"max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len "
                r"\([^\n]{0,80}?=(?P<most>\d+)",
                cause="a context of {asked} tokens is asked for, and the model was made for {most}",
                repair="Set ARG='--max-model-len {most}' or less, or leave it out. What the model "
                "answers beyond that is mostly useless; VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 allows it.",
            ),
            Sign(r"greater than the derived max_model_len"),
            Sign(r"max_model_len" + SPAN + r"(?:should be (?:at )?less|is greater|exceeds)"),
        ),
    ),
    Failure(
        kind="shards-do-not-divide",
        exit_code=ExitCode.SETTING,
        shown="The model cannot be split into as many parts as NUM_SHARD says.",
        cause="the model cannot be split into that many parts",
        repair="Set NUM_SHARD to a number that divides the model's attention heads (1, 2, 4, 8 "
        "mostly do).",
        signs=(
            Sign(
                r"number of attention heads \((?P<heads>\d+)\) must be divisible by tensor "
                r"parallel "
                r"size \((?P<shards>\d+)\)",
                cause="the model's {heads} attention heads cannot be split into {shards} equal "
                "parts",
                repair="Set NUM_SHARD to a divisor of {heads}.",
            ),
            Sign(r"divisible by (?:the )?(?:(?:tensor|expert)[ _]parallel|tp|ep|world)[ _]?size"),
            Sign(
                r"(?P<size>\d+) is not divisible by (?P<shards>\d+)",
                cause="a part of the model of size {size} cannot be split into {shards} equal "
                "parts",
            ),
            Sign(
                r"is not divisible by|not divisible by weight quantization block",
                within=r"parallel|linear|vocab_parallel|fp8|quant",
            ),
            Sign(r"size \(?\d+\)? must be divisible by \(?\d+"),
            Sign(r"is not aligned with the quantized weight shape|too large tensor parallel size"),
            Sign(
                r"(?:size_[kn]|input_size|output_size|intermediate_size|hidden_size)\w{0,40}\b[^\n]"
                r"{0,60}\bdivi(?:sible|de)\b",
            ),
            Sign(
                r"^AssertionError\b",
                within=r"assert [^\n]{0,80}% (?:self\.)?(?:tp|tensor)_?\w* == 0",
            ),
        ),
    ),
    Failure(
        kind="quantization-unsupported",
        exit_code=ExitCode.SETTING,
        shown="The quantization is not one that vLLM, the device or the model knows.",
        cause="the quantization cannot be used here",
        repair="Leave ARG=--quantization out: vLLM reads the method from the model. Else use a "
        "model "
        "that is quantized otherwise (docs/accelerators.md), or a device that has the method.",
        signs=(
            Sign(
                r"Unknown quantization method:? ?(?P<method>[^\s.,]{0,60})",
                cause="vLLM does not have the quantization method {method}",
            ),
            Sign(
                r"quantization method (?P<method>\S{1,60}) is not supported for the current GPU\. "
                r"Minimum capability: (?P<needed>\d+)\. Current capability: (?P<has>\d+)",
                cause="the quantization method {method} takes a device of compute capability "
                "{needed} (80 means 8.0), and this one has {has}",
            ),
            Sign(
                r"(?<![\w-])(?P<method>[\w-]{1,60}) quantization is currently not supported",
                cause="the quantization method {method} cannot be used on this device",
            ),
            Sign(
                r"Quantization method specified in the model config \((?P<model>[^)\n]{1,60})\) "
                r"does not "
                r"match the quantization method specified in the [`']quantization[`'] argument "
                r"\((?P<asked>[^)\n]{1,60})\)",
                cause="the model is quantized with {model}, and ARG asks for {asked}",
                repair="Leave ARG=--quantization out: vLLM reads the method from the model.",
            ),
            Sign(
                r"Invalid quantization method:? ?(?P<method>[^\s.,]{0,60})",
                cause="vLLM does not have the quantization method {method}",
            ),
            Sign(
                r"Unsupported num_bits|No compressed-tensors compatible scheme|Unsupported FusedMoe"
            ),
            Sign(
                r"(?P<what>Cannot find any of \[[^\]\n]{1,120}\] in the model's quantization "
                r"config)",
                cause="the model does not say how it is quantized: {what}",
            ),
            Sign(r"different quantization schemes|same quantization scheme"),
            Sign(r"^AssertionError\b", within=r"assert [^\n]{0,40}quant_method is not None"),
            Sign(
                r"^(?:ValueError|NotImplementedError|AssertionError): (?P<what>[^\n]{1,300})",
                within=innermost(r"layers/quantization/"),
                cause="the quantization cannot be used here: {what}",
            ),
            Sign(r"Cannot find the config file for \w+|is not a valid GGMLQuantizationType"),
            Sign(
                r"quantization[^\n]{0,200}(?:not support|unsupported|is not implemented|no "
                r".{0,20}kernel)"
            ),
            Sign(r"(?:not support|unsupported)[^\n]{0,120}quantiz"),
            Sign(r"Quantization scheme is not supported for the current GPU"),
            Sign(
                r"type (?P<type>fp\w{1,20}) not supported in this architecture",
                cause="the model is quantized to {type}, in which this device cannot compute",
            ),
            Sign(
                r"_C::\w{0,60}(?:quant|fp8|int8|awq|gptq|marlin)\w{0,60}\(\) expected at most",
                cause="vLLM's build for this device lacks the kernels of the quantization",
            ),
            Sign(r"Failed to find a kernel that can implement the .{0,80}(?:linear|MoE)"),
            Sign(
                r"is not supported for quantization|does not support (?:fp8|awq|gptq|bitsandbytes)"
            ),
            Sign(
                r"(?:Marlin|Machete|GPTQ|AWQ)[^\n]{0,120}(?:not supported|unsupported|does not "
                r"support)"
            ),
        ),
    ),
    Failure(
        kind="adapter-limit",
        exit_code=ExitCode.SETTING,
        shown="The LoRA options contradict each other.",
        cause="the LoRA options contradict each other",
        repair="Set ARG=--enable-lora with --max-loras and --max-lora-rank as the adapters need.",
        signs=(
            Sign(r"max_cpu_loras \(\d+\) must be|max_loras|max_lora_rank \(\d+\) must be"),
            Sign(r"LoRA is not enabled"),
            Sign(
                r"validation errors? for LoRAConfig\n(?P<field>\w{1,60})\n\s{0,4}"
                r"(?P<what>[^\n]{1,300}?) \[type=",
                cause="vLLM refuses the LoRA option {field}: {what}",
            ),
            Sign(r"validation errors? for LoRAConfig"),
        ),
    ),
    Failure(
        kind="ray-unreachable",
        exit_code=ExitCode.MACHINE,
        shown="Ray is not installed, does not answer, or has no room for the engine.",
        cause="Ray cannot be used",
        repair="On one machine leave Ray out: ARG='--distributed-executor-backend mp'. For "
        "several, "
        "start the cluster first and set RAY_ADDRESS to its head.",
        signs=(
            Sign(r"Ray is not (?:installed|available)|import Ray|Failed to import Ray|install ray"),
            Sign(r"requires? installation of ray|Ray (?:Compiled Graph|version \S{1,40}) is"),
            Sign(r"Ray workers have not started|does not support ray"),
            Sign(r"Cannot provide a placement group|not included in a placement\s+group"),
            Sign(r"Every node should have a unique IP address"),
            Sign(r"No nodes with resources found in Ray|DP master node[^\n]{0,80}missing or dead"),
            Sign(r"Ray is not initialized|Created \d+ DP placement groups, expected"),
            Sign(r"No module named 'ray'"),
            Sign(r"Could not (?:find any running Ray|connect to) "),
            Sign(r"ray\.exceptions\.(?:RaySystemError|RpcError|OwnerDiedError)"),
            Sign(
                r"(?:GCS|Ray|raylet)[^\n]{0,120}(?:not reachable|unreachable|timed out|failed to "
                r"connect"
                r"|cannot be reached|unable to register)"
            ),
            Sign(r"Ray does not allocate any GPUs on the driver node"),
            Sign(r"ConnectionError: ray://|Ray Client"),
            Sign(
                r"^(?:\w+\.)*(?:Runtime|Value|Connection|Timeout)Error\b",
                within=innermost(r"(?:site|dist)-packages/ray/"),
            ),
            Sign(r"Failed to (?:connect to|register)[^\n]{0,40}(?:GCS|raylet)"),
        ),
    ),
    Failure(
        kind="package-missing",
        exit_code=ExitCode.MACHINE,
        shown="An option or a model needs a Python package that this image does not have.",
        cause="a Python package is missing",
        repair="Build an image with the package in it, or leave out the option that asks for it.",
        signs=(
            Sign(
                r"No module named ['\"](?P<package>[\w.]{1,100})['\"]",
                cause="the Python package {package} is missing",
            ),
            Sign(
                r"(?:Please|You (?:have|need) to|required[^\n]{0,40}) (?:install|use)\s*:? "
                r"?[^\n]{0,40}?"
                r"[`'\"]?(?:pip install|uv pip install) (?P<package>[\w.\-\[\]]{1,80})",
                cause="the Python package {package} is missing",
            ),
            Sign(
                r"PackageNotFoundError: (?:No package metadata was found for "
                r")?(?P<package>\S{1,80})",
                cause="the Python package {package} is missing",
            ),
            Sign(r"(?:Please|You (?:have|need) to) install "),
            Sign(
                r"requires the following packages that were not found in your environment: "
                r"(?P<package>[^\n.]{1,100})",
                cause="Python packages are missing: {package}",
            ),
            Sign(
                r"ImportError: [^\n]{0,200}(?:not installed|requires the \S+ (?:library|package)|"
                r"to be installed|(?:is|are) required(?! for a normal)|"
                r"requires? [^\n]{0,60}installation|\bInstall (?:it|via)\b)"
            ),
        ),
    ),
    Failure(
        kind="library-broken",
        exit_code=ExitCode.MACHINE,
        shown="A library does not fit the others: the image's packages do not belong together, or "
        "a mounted library hides one.",
        cause="a library cannot be loaded, or does not fit the others",
        repair="Use the image as it was built: packages added to it, or LD_LIBRARY_PATH and "
        "mounted "
        "libraries, can hide what vLLM was built against.",
        signs=(
            Sign(r"undefined symbol:? ?(?P<symbol>\w{0,200})"),
            Sign(r"cannot open shared object file: No such file"),
            Sign(r"version [`']GLIBC(?:XX)?_[\d.]+' not found"),
            Sign(r"ImportError: cannot import name|circular import"),
            Sign(
                r"^AttributeError: (?P<what>(?:\w{0,60}Tokenizer\w{0,60}|\w{1,60}Backend) has no "
                r"attribute \w{1,80})",
                cause="the installed Transformers are not those that vLLM was made for: {what}",
            ),
            Sign(
                r"^AttributeError: (?:partially initialized )?module '\S{1,100}' has no attribute"
            ),
            Sign(
                r"operator \S{1,60}::\S{1,60} does not exist|Numba needs NumPy|libcudart is not "
                r"loaded|Invalid type of HuggingFace processor|Only one platform plugin can be "
                r"activated"
            ),
            Sign(
                # a library that fails while it is imported
                r"^(?:Value|Type|Attribute|Name|Runtime)Error: (?P<what>[^\n]{1,300})",
                within=r"(?:site|dist)-packages/(?!vllm/)[^\n\"]{1,200}\", line \d+, in <module>",
                cause="a library fails as it is imported: {what}",
            ),
            Sign(r"requires transformers>=|is required for a normal functioning of this module"),
            Sign(r"^(?:\w+)Error\b", within=innermost(r"(?:site|dist)-packages/bitsandbytes/")),
            Sign(r"cuDNN version incompatibility|failed to open \S*nvrtc-builtins"),
            Sign(r"numpy\.dtype size changed|compiled using NumPy 1\.x"),
            Sign(r"'_OpNamespace' '\S{1,60}' object has no attribute"),
        ),
    ),
    Failure(
        kind="connector-failed",
        exit_code=ExitCode.SETTING,
        shown="The connector that --kv-transfer-config or --ec-transfer-config names failed.",
        cause="the connector that hands the cache on failed",
        repair="Compare ARG=--kv-transfer-config (--ec-transfer-config) with what the connector's "
        "own version asks for, and look whether its other end answers; without the option the "
        "engine serves alone.",
        weight=Weight.SYMPTOM,
        signs=(
            Sign(
                r"^(?:\w+\.)*\w+Error: (?P<what>[^\n]{1,300})",
                within=innermost(r"/(?:kv_transfer|ec_transfer|lmcache|mooncake|nixl)/"),
                cause="the connector that hands the cache on failed: {what}",
            ),
            Sign(
                r"^(?:\w+\.)*\w+Error\b",
                within=innermost(r"/(?:kv_transfer|ec_transfer|lmcache|mooncake|nixl)/"),
            ),
            Sign(
                r"(?P<what>\b(?:\w{0,40}(?:KV|EC)\w{0,40}Connector\w{0,40}|NIXL_ERR_\w+|Mooncake\w*|LMCache\w*)\b"
                r"[^\n]{0,120}\b(?:fail(?:ed)?|not|must|requires?|unsupported|cannot|error)\b"
                r"[^\n]{0,120})",
                cause="the connector that hands the cache on failed: {what}",
            ),
        ),
    ),
    Failure(
        kind="invalid-option",
        exit_code=ExitCode.SETTING,
        shown="vLLM refuses the value of an option, or two that exclude each other.",
        cause="vLLM refuses an option's value",
        repair="Mend it in ARG, or in the variable that it comes from: `inference-server plan` "
        "shows where each option comes from, `inference-server options` what vLLM takes.",
        weight=Weight.SYMPTOM,
        signs=(
            Sign(
                r"error: argument (?P<option>\S{1,80}?): (?P<what>[^\n]{1,300})",
                cause="vLLM refuses the option {option}: {what}",
            ),
            Sign(
                r"(?:serve|api_server|engine|vllm)(?:\.py)?(?: serve)?: error: "
                r"(?P<what>[^\n]{1,300})",
                cause="vLLM refuses its command line: {what}",
            ),
            Sign(
                r"ValidationError: \d+ validation errors? for (?P<config>\w+)\n"
                r"(?:(?P<field>[\w.\-\[\]]{1,100})\n)?\s{0,4}(?P<what>[^\n]{1,400})",
                cause="vLLM refuses its configuration ({config}): {what}",
            ),
            Sign(
                r"(?P<what>[^\n:]{0,120}(?:only supports?|does not support|not supported "
                r"(?:on|by|in|with)) (?:the )?V[01]\b[^\n]{0,100})",
                cause="vLLM refuses the configuration: {what}",
            ),
            Sign(
                r"(?P<what>No common block size for [^\n]{1,200})",
                cause="vLLM refuses ARG=--block-size: {what}",
            ),
            Sign(
                r"(?P<what>invalid tool call parser: [^\n]{1,80})",
                cause="vLLM refuses an option's value: {what}",
            ),
            Sign(
                r"(?P<what>invalid reasoning parser: [^\n]{1,80})",
                cause="vLLM refuses an option's value: {what}",
            ),
            Sign(
                r"pipeline parallelism is not supported|does not support pipeline parallel",
                cause="the model, or its draft model, cannot be split into stages",
                repair="Leave ARG=--pipeline-parallel-size out: NUM_SHARD splits each layer over "
                "the devices instead.",
            ),
            Sign(
                r"(?P<what>\S{1,40} kv-cache is not supported with[^\n]{1,100})",
                cause="the data type of the key-value cache does not go with the model's: {what}",
                repair="Leave ARG=--kv-cache-dtype out.",
            ),
            Sign(
                r"Cannot re-initialize CUDA in forked subprocess",
                cause="a process was forked when the device was in use already",
                repair="Set VLLM_WORKER_MULTIPROC_METHOD=spawn.",
            ),
            Sign(
                r"^(?:KeyError|ValueError|TypeError|AssertionError|NotImplementedError|"
                r"\S*ArgumentTypeError): (?P<what>[^\n]{1,300})",
                within=r"arg_utils\.py|cli_args\.py|argparse\.py|vllm/config/|validate_parsed|"
                r"create_engine_config|vllm/platforms/|vllm/envs\.py|model_loader/__init__",
                cause="vLLM refuses the configuration: {what}",
            ),
            Sign(
                r"^(?:ValueError|NotImplementedError): (?P<what>[^\n]{1,300})",
                within=innermost(r"vllm/v1/(?:core/kv_cache_\w+\.py|[\w/]*spec_decode/)"),
                cause="vLLM refuses the configuration: {what}",
            ),
            # last, since any part of vLLM may say so of what it is told to do
            Sign(
                r"^(?:ValueError|NotImplementedError|AssertionError|RuntimeError): "
                r"(?P<what>[^\n]{0,300}(?:" + _REFUSED + r")[^\n]{0,200})",
                cause="vLLM refuses the configuration: {what}",
            ),
        ),
    ),
)
