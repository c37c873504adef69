"""Models that are missing, unusable, or not accessible."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Role, Rule, innermost

DOWNLOAD_AGAIN = (
    "Download the model again, or copy it from a complete copy. `inference-server verify` compares "
    "each file with its hash."
)

FAILURES = (
    Failure(
        kind="remote-code-refused",
        exit_code=ExitCode.SETTING,
        summary="The model contains Python code, and TRUST_REMOTE_CODE is not set.",
        cause="the model contains Python code, and TRUST_REMOTE_CODE is not set",
        hint="Read the code. If you trust it, set TRUST_REMOTE_CODE=true, and set REVISION to the "
        "commit that you read. Otherwise use a model without code.",
        rules=(
            Rule(r"trust[-_]remote[-_]code=True"),
            Rule(r"^EOFError\b", within=r"resolve_trust_remote_code"),
            Rule(r"(?:requires|contains) (?:you to execute|custom code)" + SPAN),
            Rule(r"set the (?:option|argument|flag) [`'\"]?(?:--)?trust[-_]remote[-_]code"),
            Rule(r"pass (?:the argument )?[`'\"]?(?:--)?trust[-_]remote[-_]code"),
        ),
    ),
    Failure(
        kind="remote-code-failed",
        exit_code=ExitCode.ARTIFACT,
        summary="The model's Python code failed.",
        cause="the model's Python code failed",
        hint="The code may need another version of Transformers or vLLM than the image has: use "
        "the model's revision that matches them (REVISION), or another image. If vLLM supports the "
        "model without its code, unset TRUST_REMOTE_CODE.",
        rules=(
            Rule(
                # a package that the code needs is another kind
                r"^(?!ModuleNotFoundError|ImportError: This modeling)(?P<what>(?:\w+\.)*"
                r"\w*(?:Error|Exception)\b[^\n]{0,300})",
                within=innermost(r"/transformers_modules/"),
                cause="the model's Python code failed: {what}",
            ),
            Rule(
                # also if the code called a library in a way that this version does not support
                r"^(?P<what>(?:Type|Name|Attribute|UnboundLocal|Import|Key|Index|ZeroDivision|"
                r"NotImplemented)Error\b(?!: This modeling)[^\n]{0,300})",
                within=r"/transformers_modules/",
                cause="the model's Python code failed: {what}",
            ),
            Rule(
                r"^(?P<what>(?:Syntax|Indentation|Tab)Error\b[^\n]{0,300})",
                within=r"transformers_modules|dynamic_module_utils",
                cause="the model's Python code is invalid: {what}",
            ),
            Rule(
                r"(?P<what>module 'transformers_modules\.[^\n]{0,200}has no attribute[^\n]{0,100})",
                cause="the model's Python code failed: {what}",
            ),
        ),
    ),
    Failure(
        kind="architecture-unsupported",
        exit_code=ExitCode.ARTIFACT,
        summary="This version of vLLM does not support the model's architecture.",
        cause="this version of vLLM does not support the model's architecture",
        hint="Use an image with a newer vLLM that supports it (see the list of supported models "
        "in vLLM's documentation), or use another model. ARG='--model-impl transformers' runs "
        "some models that vLLM does not implement.",
        rules=(
            Rule(
                r"Model architectures? \[?(?P<architectures>[^\]\n]{1,200}?)\]? (?:are|is) not "
                r"supported (?:by \w+ )?(?:for now|yet)",
                cause="this version of vLLM does not support the model's architecture "
                "{architectures}",
            ),
            Rule(
                r"has model type [`'](?P<type>[^`'\n]{1,100})[`'] but Transformers does not "
                r"recognize this architecture",
                cause="the installed version of Transformers does not support the model type "
                "{type}",
            ),
            Rule(
                r"Model architectures? \[?(?P<architectures>[^\]\n]{1,200})\]? failed to be "
                r"inspected",
                cause="the code of the model's architecture {architectures} cannot be loaded",
            ),
            Rule(r"Cannot find model module|has no vLLM implementation"),
            Rule(r"The Transformers implementation of .{0,200} is not compatible with vLLM"),
            Rule(r"No model architectures are specified"),
            Rule(r"Unrecognized model in .{0,300}Should have a [`']model_type[`'] key"),
            Rule(r"Unrecognized configuration class .{0,300} for this kind of AutoModel"),
            Rule(r"does not support (?:the )?\w+ (?:task|runner|pooling)"),
            Rule(r"does not recognize this architecture"),
            Rule(
                r"Model architectures? (?P<architecture>\S{1,100}) was supported in vLLM until "
                r"(?P<version>v[\d.]*\d)",
                cause="this version of vLLM no longer supports the model's architecture "
                "{architecture}",
                hint="Use an image with vLLM {version} or older, or use another model.",
            ),
            Rule(r"^KeyError: '\w{1,60}'$", within=r"configuration_auto\.py"),
            Rule(
                # a subprocess's error states another cause
                r"^(?!RuntimeError: Error raised in subprocess)\w*Error\b",
                within=innermost(r"vllm/model_executor/models/registry\.py"),
            ),
            Rule(r"Unknown gguf model_type|GGUF model with architecture \S{1,60} is not supported"),
        ),
    ),
    Failure(
        kind="gated-model",
        exit_code=ExitCode.MODEL,
        summary="The repository on the hub is gated or private, and the token is missing or not "
        "allowed to read it.",
        cause="the hub denied access to the repository",
        hint="Accept the model's terms on its hub page, and set HF_TOKEN to a token of that "
        "account with read access.",
        rules=(
            Rule(r"GatedRepoError|Cannot access gated repo|is a gated repo"),
            Rule(r"You are trying to access a gated repo"),
            Rule(r"Access to model (?P<model>\S{1,200}) is restricted"),
            Rule(r"\b40[13] Client Error|HTTPStatusError" + SPAN + r"\b40[13]\b"),
            Rule(r"(?:Unauthorized|Forbidden) for url|\b40[13] (?:Unauthorized|Forbidden): "),
            Rule(r"Invalid (?:username or password|user token|credentials in Authorization)"),
            Rule(r"Your request to access model \S+ (?:has been rejected|is awaiting)"),
        ),
    ),
    Failure(
        kind="hub-unreachable",
        exit_code=ExitCode.HUB,
        summary="The hub, or its mirror or proxy, does not answer.",
        cause="the hub did not answer",
        hint="Check HF_ENDPOINT and the proxy (HTTPS_PROXY). If this machine has no network "
        "access, download the model elsewhere with `inference-server download`, mount it, and set "
        "HF_HUB_OFFLINE=1.",
        rules=(
            Rule(r"We couldn't connect to '?https?://\S+"),
            Rule(r"error happened while trying to locate the files? on the Hub"),
            Rule(r"check your internet connection|connection error, and we cannot find"),
            Rule(
                r"(?:Max retries exceeded|NameResolutionError|ConnectTimeout|ReadTimeout|"
                r"ConnectError|ConnectionError|ProxyError|SSLError)[\s\S]{0,600}?"
                r"(?:huggingface|hf\.co|modelscope|hub)"
            ),
            Rule(
                r"(?:huggingface\.co|hf\.co|modelscope)[\s\S]{0,300}?(?:timed out|Connection "
                r"refused)"
            ),
            Rule(
                r"Temporary failure in name resolution|Name or service not known|"
                r"nodename nor servname",
                within=r"huggingface_hub|requests|httpx|urllib3",
            ),
            Rule(r"\b(?:50[0234]|429) (?:Server|Client) Error"),
            Rule(
                r"^(?:\w+\.)*\w*(?:Connect|Connection|Timeout|Protocol|Proxy|SSL|Network|Read|Chunked\w*|"
                r"Encoding)(?:Error|Timeout|Exception)?\b",
                within=innermost(
                    r"/(?:huggingface_hub|httpx|httpcore|requests|urllib3|modelscope)/"
                ),
            ),
            Rule(
                r"CAS service error|Consistency check failed: file should be of size",
                cause="a download from the hub was interrupted",
                hint="Start again; the downloaded files are kept. Or download the model with "
                "`inference-server download`, which resumes an interrupted download.",
            ),
            Rule(
                r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
                cause="the TLS certificate of the hub or of its proxy could not be verified",
                hint="Mount the CA certificate of your proxy, and set SSL_CERT_FILE and "
                "REQUESTS_CA_BUNDLE to its path.",
            ),
        ),
    ),
    Failure(
        kind="tokenizer-unusable",
        exit_code=ExitCode.ARTIFACT,
        summary="The tokenizer's files are missing or damaged, or need a package that is not "
        "installed.",
        cause="the model's tokenizer is missing, damaged, or needs a package that is not installed",
        hint="The model needs tokenizer.json (or tokenizer.model) and tokenizer_config.json. "
        + DOWNLOAD_AGAIN
        + " To use the tokenizer of another folder, set TOKENIZER.",
        rules=(
            Rule(r"Couldn't instantiate the backend tokenizer"),
            Rule(
                r"Repo id must be in the form 'repo_name' or 'namespace/repo_name': "
                r"'(?P<place>[^'\n]{1,300})'",
                within=r"in (?:\w*get_tokenizer|\w*tokenizer_from_config)\b|self\.tokenizer = ",
                cause="the tokenizer {place} does not exist",
                hint="Set TOKENIZER to a folder with tokenizer.json, or unset it.",
            ),
            Rule(r"Can't load tokenizer for|Failed to load the tokenizer|Error loading tokenizer"),
            Rule(r"Unable to load (?:the )?(?:vocabulary|tokenizer)"),
            Rule(r"Tokenizer class \S{1,100} does not exist"),
            Rule(r"data did not match any variant of untagged enum"),
            Rule(r"Converting from [^\n]{0,60}(?:Tiktoken|SentencePiece)[^\n]{0,40} failed"),
            Rule(r"No tokenizer file|Could not find (?:tiktoken|tokenizer|tekken)\S{0,40}"),
            Rule(
                r"No such file or directory[^\n]{0,300}(?:tokenizer|tekken|vocab|tiktoken)\S{0,60}"
            ),
            Rule(
                r"HarmonyError|downloading or loading vocab file",
                cause="the vocabulary of openai_harmony could not be downloaded",
                hint="Mount its files o200k_base.tiktoken and cl100k_base.tiktoken, and set "
                "TIKTOKEN_ENCODINGS_BASE to their folder.",
            ),
            Rule(
                r"^(?:\w+\.)*(?:JSONDecodeError|Exception|ValueError|TypeError|KeyError|"
                # a name without quotes is an attribute that newer Transformers removed
                r"UnicodeDecodeError|RuntimeError|OSError|AttributeError(?!: \w+ has no))\b",
                within=r"(?:from_file|Tokenizer(?:Fast)?\.from_|cached_get_tokenizer|"
                r"tokenization_\w+\.py|cached_tokenizer_from_config|SentencePieceProcessor)",
            ),
        ),
    ),
    Failure(
        kind="adapter-unusable",
        exit_code=ExitCode.ARTIFACT,
        summary="A LoRA adapter in --lora-modules is missing or does not match the model.",
        cause="a LoRA adapter is missing or does not match the model",
        hint="Check the paths in ARG=--lora-modules. Each folder must contain adapter_config.json "
        "and adapter_model.safetensors for this model, and the adapter's rank must not exceed "
        "ARG=--max-lora-rank.",
        rules=(
            Rule(
                r"^(?P<what>(?:\w+\.)*(?:SafetensorError|UnpicklingError|JSONDecodeError|EOFError|"
                r"OfflineModeIsEnabled|\w*NotFoundError|HFValidationError|"
                r"RuntimeError: PytorchStreamReader)\b[^\n]{0,300})",
                within=r"vllm/lora/",
                cause="a file of a LoRA adapter is missing or damaged: {what}",
            ),
            Rule(
                r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<limit>\d+)",
                cause="a LoRA adapter has rank {rank}, and --max-lora-rank is {limit}",
                hint="Set ARG='--max-lora-rank {rank}', or the next larger value that vLLM "
                "accepts.",
            ),
            Rule(r"adapter_config\.json"),
            Rule(r"No adapter found for|Loading lora \S{1,200} failed"),
            Rule(
                r"(?P<what>\S{1,200} is (?:an )?unsupported LoRA weight)",
                cause="a LoRA adapter does not match the model: {what}",
            ),
            Rule(
                r"expected target modules in|No supported LoRA modules found|Missing required "
                r"configuration fields"
            ),
            Rule(
                r"^(?:ValueError|RuntimeError|AssertionError|KeyError): (?P<what>[^\n]{1,300})",
                within=innermost(r"vllm/lora/"),
                cause="a LoRA adapter cannot be used: {what}",
            ),
            Rule(
                r"(?:lora|adapter)[^\n]{0,200}(?:not found|does not exist|doesn't contain|"
                r"unsupported)"
            ),
            Rule(r"unexpected modules in|is not supported by LoRA|does not support LoRA"),
        ),
    ),
    Failure(
        kind="model-missing",
        exit_code=ExitCode.MODEL,
        summary="The model or one of its required files is missing.",
        cause="the model or one of its required files is missing",
        hint="Check MODEL_ID and REVISION; `inference-server plan` shows where the model was "
        "searched. To download the model, run `inference-server download` on a machine with "
        "network access.",
        rules=(
            Rule(
                r"Cannot find any model weights with [`'](?P<place>[^`'\n]{1,300})",
                cause="{place} contains no weight files",
            ),
            Rule(r"RepositoryNotFoundError|RevisionNotFoundError|RemoteEntryNotFoundError"),
            Rule(
                r"(?P<what>(?:could not|cannot|can't|unable to) find (?:any |the )?(?:checkpoint|"
                r"weight|model)\w* files?[^\n]{0,200}|"
                r"files referenced in index but missing[^\n]{0,200})",
                cause="weight files are missing: {what}",
            ),
            Rule(r"\b404 Client Error|EntryNotFoundError"),
            Rule(
                r"(?<!\S)(?P<model>\S{1,200}) is not a local folder and is not a valid model "
                r"identifier",
                cause="{model} is neither a folder nor a model on the hub",
            ),
            Rule(r"Repo id must be in the form|HFValidationError"),
            Rule(
                r"LocalEntryNotFoundError|OfflineModeIsEnabled|outgoing traffic has been disabled"
            ),
            Rule(r"Cannot find the requested files in the (?:disk|local) cache"),
            Rule(r"cannot find the appropriate snapshot folder"),
            Rule(r"does not appear to have (?:a file|files) named (?P<file>\S+)"),
            Rule(r"No safetensors? files? found|Invalid repository ID or local directory"),
            Rule(r"Invalid model path|model path " + SPAN + "does not exist"),
            Rule(
                r"No such file or directory:? ['\"]?(?P<file>(?!\S{0,300}adapter_)[^'\"\n]{1,300}"
                r"(?:\.safetensors|\.bin|\.gguf|\.pth?|\.index\.json|processor_config\.json))",
                cause="{file} is missing",
            ),
            Rule(
                r"Error no file named |Can't load (?:the )?(?:image processor|feature extractor|"
                r"video processor|processor) for"
            ),
            Rule(r"is not a valid git identifier|modelscope[^\n]{0,80}NotExist"),
            Rule(r"(?:Can't|Couldn't|Unable to) (?:load|find)[^\n]{0,80}(?:config|the model)"),
        ),
    ),
    Failure(
        kind="weights-corrupt",
        exit_code=ExitCode.ARTIFACT,
        summary="A weight file is damaged, truncated, or not a weight file.",
        cause="a weight file is damaged, truncated, or not a weight file",
        hint=DOWNLOAD_AGAIN + " A file of a few hundred bytes is a Git LFS pointer: download the "
        "file itself with `git lfs pull`.",
        rules=(
            Rule(
                r"SafetensorError: [^\n]{0,120}?(?P<what>incomplete metadata, file not fully "
                r"covered|"
                r"header too (?:large|small)|invalid header|invalid UTF-8|invalid "
                r"offset[^\n]{0,60}|"
                r"MetadataIncompleteBuffer|HeaderToo(?:Large|Small)|InvalidHeader\w*)",
                cause="a weight file is damaged or truncated ({what})",
            ),
            Rule(r"^KeyError: 'weight_map'", cause="the index of the weights has no weight_map"),
            Rule(r"SafetensorError: (?:Error while deserializing|.{0,60}header)"),
            Rule(
                # the last files that the configuration reads are the headers of the weights
                r"validation errors? for VllmConfig\n[\s\S]{0,80}?(?:Expecting (?:value|property|"
                r"',')|Extra data:|Unterminated string|Invalid (?:control character|\\escape)|"
                r"codec can't decode)",
                cause="the header of a weight file cannot be read",
            ),
            Rule(r"(?:Metadata|InvalidHeader)(?:IncompleteBuffer|Deserialization|Start|Length)"),
            Rule(
                r"^(?:MemoryError|OverflowError|struct\.error|UnicodeDecodeError|"
                r"json\.(?:decoder\.)?JSONDecodeError|EOFError)\b",
                within=r"safetensors",
            ),
            Rule(
                r"UnpicklingError|Weights only load failed|invalid load key|pickle data was "
                r"truncated"
            ),
            Rule(r"PytorchStreamReader failed|failed finding central directory"),
            Rule(r"not a ZIP archive|file not found: archive/data\.pkl"),
            Rule(
                r"^(?:\w+\.)*\w+Error\b",
                within=innermost(r"(?:torch/serialization\.py|/safetensors/|/gguf/)"),
            ),
            Rule(r"unexpected EOF, expected \d+ more bytes|Ran out of input"),
            Rule(r"(?:GGUF|gguf)" + SPAN + r"(?:magic|corrupt|truncat|invalid)"),
        ),
    ),
    Failure(
        kind="weights-mismatch",
        exit_code=ExitCode.ARTIFACT,
        summary="The weights do not match the model that config.json describes.",
        cause="the weights do not match the model that config.json describes",
        hint=DOWNLOAD_AGAIN + " If the files are complete, config.json is another model's, or the "
        "weights are for another program (only an adapter, or another quantization).",
        rules=(
            Rule(r"weights? were not initialized from checkpoint"),
            Rule(r"size mismatch for|shape mismatch|(?:Attempted|Tried) to load weight"),
            Rule(
                r"The size of tensor a \(\d+\) must match[\s\S]{0,80}",
                within=r"load_weights|loader",
            ),
            Rule(
                r"start \(\d+\) \+ length \(\d+\) exceeds dimension size|shape '\[[^\]]{0,60}\]' "
                r"is "
                r"invalid|must match the size|exceeds dimension",
                within=r"load_weights|weight_loader",
            ),
            Rule(r"^AssertionError\b", within=r"weight_loader|load_column|load_row|load_qkv"),
            Rule(r"failed to map GGUF parameters"),
            Rule(r"There is no module or parameter named '?(?P<name>[\w.]{1,200})"),
            Rule(r"^KeyError: ['\"][\w.]{1,200}(?:weight|bias|scale\w*)", within=r"load_weights"),
            Rule(
                r"^KeyError: ['\"](?:[\w]{1,60}\.){0,6}(?:layers|h|blocks)"
                r"\.\d{1,4}\.[\w.]{1,200}['\"]"
            ),
            Rule(r"^KeyError: ['\"](?:model|layers|transformer|lm_head)\.", within=r"load_weights"),
            Rule(
                r"^(?:Value|Assertion|Runtime|Index|Attribute|Key|Type)Error\b",
                within=innermost(
                    r", in (?:\w*weight_loader|load_weights|_?load_(?:column|row|qkv|merged|w\d|"
                    r"model_weight|per_\w+_weight))"
                ),
            ),
        ),
    ),
    Failure(
        kind="chat-template-missing",
        exit_code=ExitCode.SETTING,
        summary="The file in --chat-template is missing or cannot be used.",
        cause="the chat template is missing or cannot be used",
        hint="Set ARG=--chat-template to the path of a Jinja file in the container, or remove it "
        "to use the model's own template.",
        rules=(
            Rule(r"chat template[^\n]{0,200}(?:path|not found|does(?: not|n't) exist|failed)"),
            Rule(r"No such file or directory[^\n]{0,200}", within=r"load_chat_template"),
            Rule(r"TemplateSyntaxError|jinja2\.exceptions"),
        ),
    ),
    Failure(
        kind="config-unusable",
        exit_code=ExitCode.ARTIFACT,
        summary="config.json is missing or damaged, or has values that vLLM does not support.",
        cause="the model's config.json is missing or damaged, or has values that vLLM does not "
        "support",
        hint=DOWNLOAD_AGAIN,
        rules=(
            Rule(
                r"config file at '(?P<file>[^'\n]{1,300})' is not a valid JSON file",
                cause="{file} is not valid JSON",
            ),
            Rule(r"No such file or directory: '?\S{0,200}config\.json|no config\.json"),
            Rule(r"Invalid repository|Failed to (?:load|parse) (?:the )?(?:model )?config"),
            Rule(
                r"^(?:\w+\.)*(?:JSONDecodeError|StrictDataclass\w+|KeyError|AttributeError|"
                r"TypeError)",
                within=r"configuration_utils\.py|transformers_utils/config\.py|configuration_auto",
            ),
            Rule(
                r"validation errors? for ModelConfig\n[\s\S]{0,80}?(?:Expecting (?:value|property|"
                r"',')|Extra data:|Unterminated string|Invalid (?:control character|\\escape))",
                cause="one of the model's JSON files is empty or damaged",
            ),
            Rule(
                r"^(?:ValueError|AssertionError|NotImplementedError)\b",
                within=innermost(
                    r"vllm/transformers_utils/(?:config|configs/\w+|model_arch\w*)\.py"
                ),
            ),
            Rule(
                r"^(?:Value|Type|Attribute|Key|OS)Error\b",
                within=innermost(
                    r"transformers/(?:processing_utils|(?:image|video)_processing\w*|feature_"
                    r"extraction\w*|models/auto/\w+)\.py"
                ),
            ),
            Rule(r"Could not detect config format|No supported config format found"),
            Rule(r"Unrecognized (?:image|video|audio|feature) \w+ in "),
            Rule(r"rope_(?:scaling|parameters)"),
            Rule(r"StrictDataclass(?:Field|Class)?ValidationError"),
            Rule(
                # what no option sets
                r"validation errors? for \w*Config\n(?P<field>architectures|hf_(?:text_)?config|"
                r"model_arch\w*)\S*\n\s*(?P<what>[^\n]{1,300})",
                cause="the model's config.json has values that vLLM does not support: {field} "
                "{what}",
                is_cause=True,
            ),
            Rule(
                r"(?P<what>num_(?:attention_)?heads \S{1,20} is not divisible by "
                r"num_(?:key_value|kv)_heads[^\n]{0,40})",
                cause="the model's config.json has values that vLLM does not support: {what}",
                is_cause=True,
            ),
            Rule(
                r"Error parsing config for \S{1,300}: (?P<what>[^\n]{1,300})",
                cause="the model's config.json cannot be used: {what}",
                is_cause=True,
            ),
        ),
        role=Role.SYMPTOM,
    ),
)
