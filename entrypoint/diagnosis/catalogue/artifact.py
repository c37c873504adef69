"""Models that cannot be used, are not there, or may not be had."""

from entrypoint.diagnosis.catalogue.failure import SPAN, ExitCode, Failure, Sign, Weight, innermost

FETCH_AGAIN = (
    "Fetch the model again, or copy it from where it is whole; `inference-server verify` compares "
    "each file with its hash."
)

FAILURES = (
    Failure(
        kind="remote-code-refused",
        exit_code=ExitCode.SETTING,
        shown="The model brings Python code of its own, and running it is off.",
        cause="the model brings Python code of its own, and running it is not allowed",
        repair="Read that code; if you trust it, set TRUST_REMOTE_CODE=true, and REVISION to the "
        "commit that you have read. Else take a model that needs none.",
        signs=(
            Sign(r"trust[-_]remote[-_]code=True"),
            Sign(r"^EOFError\b", within=r"resolve_trust_remote_code"),
            Sign(r"(?:requires|contains) (?:you to execute|custom code)" + SPAN),
            Sign(r"set the (?:option|argument|flag) [`'\"]?(?:--)?trust[-_]remote[-_]code"),
            Sign(r"pass (?:the argument )?[`'\"]?(?:--)?trust[-_]remote[-_]code"),
        ),
    ),
    Failure(
        kind="architecture-unsupported",
        exit_code=ExitCode.ARTIFACT,
        shown="The model's architecture is not one that this vLLM has.",
        cause="this vLLM does not have the model's architecture",
        repair="Use an image with a newer vLLM, if that has it (vLLM's documentation lists the "
        "supported models), or another model. ARG=--model-impl transformers runs some that vLLM "
        "does not have itself.",
        signs=(
            Sign(
                r"Model architectures? \[?(?P<architectures>[^\]\n]{1,200}?)\]? (?:are|is) not "
                r"supported (?:by \w+ )?(?:for now|yet)",
                cause="this vLLM does not have the model's architecture {architectures}",
            ),
            Sign(
                r"has model type [`'](?P<type>[^`'\n]{1,100})[`'] but Transformers does not "
                r"recognize this architecture",
                cause="the model's type {type} is not one that the installed Transformers know",
            ),
            Sign(
                r"Model architectures? \[?(?P<architectures>[^\]\n]{1,200})\]? failed to be "
                r"inspected",
                cause="the code of the model's architecture {architectures} cannot be loaded",
            ),
            Sign(r"Cannot find model module|has no vLLM implementation"),
            Sign(r"The Transformers implementation of .{0,200} is not compatible with vLLM"),
            Sign(r"No model architectures are specified"),
            Sign(r"Unrecognized model in .{0,300}Should have a [`']model_type[`'] key"),
            Sign(r"Unrecognized configuration class .{0,300} for this kind of AutoModel"),
            Sign(r"does not support (?:the )?\w+ (?:task|runner|pooling)"),
            Sign(r"does not recognize this architecture"),
            Sign(
                r"Model architectures? (?P<architecture>\S{1,100}) was supported in vLLM until "
                r"(?P<version>v[\d.]*\d)",
                cause="this vLLM does not have the model's architecture {architecture} any more",
                repair="Use an image with vLLM {version} or older, or another model.",
            ),
            Sign(r"^KeyError: '\w{1,60}'$", within=r"configuration_auto\.py"),
            Sign(r"^\w*Error\b", within=innermost(r"vllm/model_executor/models/registry\.py")),
            Sign(r"Unknown gguf model_type|GGUF model with architecture \S{1,60} is not supported"),
        ),
    ),
    Failure(
        kind="gated-model",
        exit_code=ExitCode.MODEL,
        shown="The hub wants a token, or another one: the repository is gated or private.",
        cause="the hub does not let this token, or no token, read the repository",
        repair="Accept the model's conditions on its page on the hub, and set HF_TOKEN to a token "
        "of that account which may read it.",
        signs=(
            Sign(r"GatedRepoError|Cannot access gated repo|is a gated repo"),
            Sign(r"You are trying to access a gated repo"),
            Sign(r"Access to model (?P<model>\S{1,200}) is restricted"),
            Sign(r"\b40[13] Client Error|HTTPStatusError" + SPAN + r"\b40[13]\b"),
            Sign(r"(?:Unauthorized|Forbidden) for url|\b40[13] (?:Unauthorized|Forbidden): "),
            Sign(r"Invalid (?:username or password|user token|credentials in Authorization)"),
            Sign(r"Your request to access model \S+ (?:has been rejected|is awaiting)"),
        ),
    ),
    Failure(
        kind="hub-unreachable",
        exit_code=ExitCode.HUB,
        shown="The hub, or what stands for it, does not answer.",
        cause="the hub did not answer",
        repair="Where there is no way to it, set HF_HUB_OFFLINE=1 and bring the model with "
        "`inference-server download`; else check the proxy (HTTPS_PROXY) and HF_ENDPOINT.",
        signs=(
            Sign(r"We couldn't connect to '?https?://\S+"),
            Sign(r"error happened while trying to locate the files? on the Hub"),
            Sign(r"check your internet connection|connection error, and we cannot find"),
            Sign(
                r"(?:Max retries exceeded|NameResolutionError|ConnectTimeout|ReadTimeout|"
                r"ConnectError|ConnectionError|ProxyError|SSLError)[\s\S]{0,600}?"
                r"(?:huggingface|hf\.co|modelscope|hub)"
            ),
            Sign(
                r"(?:huggingface\.co|hf\.co|modelscope)[\s\S]{0,300}?(?:timed out|Connection "
                r"refused)"
            ),
            Sign(
                r"Temporary failure in name resolution|Name or service not known|"
                r"nodename nor servname",
                within=r"huggingface_hub|requests|httpx|urllib3",
            ),
            Sign(r"\b(?:50[0234]|429) (?:Server|Client) Error"),
            Sign(
                r"^(?:\w+\.)*\w*(?:Connect|Connection|Timeout|Protocol|Proxy|SSL|Network|Read|Chunked\w*|"
                r"Encoding)(?:Error|Timeout|Exception)?\b",
                within=innermost(
                    r"/(?:huggingface_hub|httpx|httpcore|requests|urllib3|modelscope)/"
                ),
            ),
            Sign(
                r"CAS service error|Consistency check failed: file should be of size",
                cause="a download from the hub broke off",
                repair="Start again: what was fetched is kept. Or fetch the model with "
                "`inference-server download`, which goes on where it was cut off.",
            ),
            Sign(
                r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
                cause="the certificate of the hub, or of the proxy before it, is not trusted here",
                repair="Mount the certificate of your proxy's authority, and point SSL_CERT_FILE "
                "and REQUESTS_CA_BUNDLE at it.",
            ),
        ),
    ),
    Failure(
        kind="model-missing",
        exit_code=ExitCode.MODEL,
        shown="The model, or a file that it must have, is not where it is looked for.",
        cause="the model or one of its files is not where vLLM looks for it",
        repair="Compare MODEL_ID and REVISION with what is there: `inference-server plan` shows "
        "what was searched. Fetch the model where there is internet with: inference-server "
        "download",
        signs=(
            Sign(
                r"Cannot find any model weights with [`'](?P<place>[^`'\n]{1,300})",
                cause="there is no file of weights in {place}",
            ),
            Sign(r"RepositoryNotFoundError|RevisionNotFoundError|RemoteEntryNotFoundError"),
            Sign(r"\b404 Client Error|EntryNotFoundError"),
            Sign(
                r"(?<!\S)(?P<model>\S{1,200}) is not a local folder and is not a valid model "
                r"identifier",
                cause="{model} is neither a folder nor a model of the hub",
            ),
            Sign(r"Repo id must be in the form|HFValidationError"),
            Sign(
                r"LocalEntryNotFoundError|OfflineModeIsEnabled|outgoing traffic has been disabled"
            ),
            Sign(r"Cannot find the requested files in the (?:disk|local) cache"),
            Sign(r"cannot find the appropriate snapshot folder"),
            Sign(r"does not appear to have (?:a file|files) named (?P<file>\S+)"),
            Sign(r"No safetensors? files? found|Invalid repository ID or local directory"),
            Sign(r"Invalid model path|model path " + SPAN + "does not exist"),
            Sign(
                r"No such file or directory:? ['\"]?(?P<file>(?!\S{0,300}adapter_)[^'\"\n]{1,300}"
                r"(?:\.safetensors|\.bin|\.gguf|\.pth?|\.index\.json|processor_config\.json))",
                cause="{file} is not there",
            ),
            Sign(
                r"Error no file named |Can't load (?:the )?(?:image processor|feature extractor|"
                r"video processor|processor) for"
            ),
            Sign(r"is not a valid git identifier|modelscope[^\n]{0,80}NotExist"),
            Sign(r"(?:Can't|Couldn't|Unable to) (?:load|find)[^\n]{0,80}(?:config|the model)"),
        ),
    ),
    Failure(
        kind="weights-corrupt",
        exit_code=ExitCode.ARTIFACT,
        shown="A file of weights is damaged, cut off, or not a file of weights at all.",
        cause="a file of weights is damaged, cut off, or no file of weights at all",
        repair=FETCH_AGAIN + " A file of some hundred bytes is a pointer of Git LFS: fetch what it "
        "stands for with `git lfs pull`.",
        signs=(
            Sign(
                r"SafetensorError: [^\n]{0,120}?(?P<what>incomplete metadata, file not fully "
                r"covered|"
                r"header too (?:large|small)|invalid header|invalid UTF-8|invalid "
                r"offset[^\n]{0,60}|"
                r"MetadataIncompleteBuffer|HeaderToo(?:Large|Small)|InvalidHeader\w*)",
                cause="a file of weights is damaged or cut off ({what})",
            ),
            Sign(r"SafetensorError: (?:Error while deserializing|.{0,60}header)"),
            Sign(r"(?:Metadata|InvalidHeader)(?:IncompleteBuffer|Deserialization|Start|Length)"),
            Sign(
                r"^(?:MemoryError|OverflowError|struct\.error|UnicodeDecodeError|"
                r"json\.(?:decoder\.)?JSONDecodeError|EOFError)\b",
                within=r"safetensors",
            ),
            Sign(
                r"UnpicklingError|Weights only load failed|invalid load key|pickle data was "
                r"truncated"
            ),
            Sign(r"PytorchStreamReader failed|failed finding central directory"),
            Sign(r"not a ZIP archive|file not found: archive/data\.pkl"),
            Sign(
                r"^(?:\w+\.)*\w+Error\b",
                within=innermost(r"(?:torch/serialization\.py|/safetensors/|/gguf/)"),
            ),
            Sign(r"unexpected EOF, expected \d+ more bytes|Ran out of input"),
            Sign(r"(?:GGUF|gguf)" + SPAN + r"(?:magic|corrupt|truncat|invalid)"),
        ),
    ),
    Failure(
        kind="weights-mismatch",
        exit_code=ExitCode.ARTIFACT,
        shown="The weights are not those of the model that config.json describes.",
        cause="the weights do not fit the model that config.json describes",
        repair=FETCH_AGAIN + " If the files are whole, config.json is another model's, or the "
        "weights were made for another program (an adapter alone, another quantization).",
        signs=(
            Sign(r"weights? were not initialized from checkpoint"),
            Sign(r"size mismatch for|shape mismatch|(?:Attempted|Tried) to load weight"),
            Sign(
                r"The size of tensor a \(\d+\) must match[\s\S]{0,80}",
                within=r"load_weights|loader",
            ),
            Sign(
                r"start \(\d+\) \+ length \(\d+\) exceeds dimension size|shape '\[[^\]]{0,60}\]' "
                r"is "
                r"invalid|must match the size|exceeds dimension",
                within=r"load_weights|weight_loader",
            ),
            Sign(r"^AssertionError\b", within=r"weight_loader|load_column|load_row|load_qkv"),
            Sign(r"failed to map GGUF parameters"),
            Sign(r"There is no module or parameter named '?(?P<name>[\w.]{1,200})"),
            Sign(r"^KeyError: ['\"][\w.]{1,200}(?:weight|bias|scale\w*)", within=r"load_weights"),
            Sign(
                r"^KeyError: ['\"](?:[\w]{1,60}\.){0,6}(?:layers|h|blocks)"
                r"\.\d{1,4}\.[\w.]{1,200}['\"]"
            ),
            Sign(r"^KeyError: ['\"](?:model|layers|transformer|lm_head)\.", within=r"load_weights"),
            Sign(
                r"^(?:Value|Assertion|Runtime|Index|Attribute|Key|Type)Error\b",
                within=innermost(
                    r", in (?:\w*weight_loader|load_weights|_?load_(?:column|row|qkv|merged|w\d|"
                    r"model_weight|per_\w+_weight))"
                ),
            ),
        ),
    ),
    Failure(
        kind="adapter-unusable",
        exit_code=ExitCode.ARTIFACT,
        shown="A LoRA adapter that --lora-modules names is missing or does not fit.",
        cause="a LoRA adapter is missing or does not fit the model",
        repair="Compare the paths of ARG=--lora-modules with what is mounted: each must hold "
        "adapter_config.json and adapter_model.safetensors, made for this model; its rank must not "
        "be above ARG=--max-lora-rank.",
        signs=(
            Sign(
                r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<limit>\d+)",
                cause="a LoRA adapter has rank {rank}, above the limit of {limit}",
                repair="Set ARG='--max-lora-rank {rank}', or the next larger value that vLLM "
                "takes.",
            ),
            Sign(r"adapter_config\.json"),
            Sign(r"No adapter found for|Loading lora \S{1,200} failed"),
            Sign(
                r"(?P<what>\S{1,200} is (?:an )?unsupported LoRA weight)",
                cause="a LoRA adapter does not fit the model: {what}",
            ),
            Sign(
                r"expected target modules in|No supported LoRA modules found|Missing required "
                r"configuration fields"
            ),
            Sign(
                r"^(?:ValueError|RuntimeError|AssertionError|KeyError): (?P<what>[^\n]{1,300})",
                within=innermost(r"vllm/lora/"),
                cause="a LoRA adapter cannot be used: {what}",
            ),
            Sign(
                r"(?:lora|adapter)[^\n]{0,200}(?:not found|does not exist|doesn't contain|"
                r"unsupported)"
            ),
            Sign(r"unexpected modules in|is not supported by LoRA|does not support LoRA"),
        ),
    ),
    Failure(
        kind="chat-template-missing",
        exit_code=ExitCode.SETTING,
        shown="The chat template that ARG names is not there, or cannot be read.",
        cause="the chat template is not there or cannot be used",
        repair="Point ARG=--chat-template at a file of Jinja that is mounted, or leave it out: the "
        "model's own is used then.",
        signs=(
            Sign(r"chat template[^\n]{0,200}(?:path|not found|does(?: not|n't) exist|failed)"),
            Sign(r"No such file or directory[^\n]{0,200}", within=r"load_chat_template"),
            Sign(r"TemplateSyntaxError|jinja2\.exceptions"),
        ),
    ),
    Failure(
        kind="tokenizer-unusable",
        exit_code=ExitCode.ARTIFACT,
        shown="The tokenizer's files are missing or damaged, or need a package that is not here.",
        cause="the model's tokenizer is missing, damaged, or needs a package that is not here",
        repair="The model needs tokenizer.json (or tokenizer.model) and tokenizer_config.json. "
        + FETCH_AGAIN
        + " TOKENIZER takes the tokenizer of another folder.",
        signs=(
            Sign(r"Couldn't instantiate the backend tokenizer"),
            Sign(r"Can't load tokenizer for|Failed to load the tokenizer|Error loading tokenizer"),
            Sign(r"Unable to load (?:the )?(?:vocabulary|tokenizer)"),
            Sign(r"Tokenizer class \S{1,100} does not exist"),
            Sign(r"data did not match any variant of untagged enum"),
            Sign(r"Converting from [^\n]{0,60}(?:Tiktoken|SentencePiece)[^\n]{0,40} failed"),
            Sign(r"No tokenizer file|Could not find (?:tiktoken|tokenizer|tekken)\S{0,40}"),
            Sign(
                r"No such file or directory[^\n]{0,300}(?:tokenizer|tekken|vocab|tiktoken)\S{0,60}"
            ),
            Sign(
                r"HarmonyError|downloading or loading vocab file",
                cause="the vocabulary of openai_harmony cannot be had: it comes from the internet",
                repair="Bring its files o200k_base.tiktoken and cl100k_base.tiktoken, and set "
                "TIKTOKEN_ENCODINGS_BASE to their folder.",
            ),
            Sign(
                r"^(?:\w+\.)*(?:JSONDecodeError|Exception|ValueError|TypeError|KeyError|"
                # a name that is not in quotes is one that newer Transformers do not have
                r"UnicodeDecodeError|RuntimeError|OSError|AttributeError(?!: \w+ has no))\b",
                within=r"(?:from_file|Tokenizer(?:Fast)?\.from_|cached_get_tokenizer|"
                r"tokenization_\w+\.py|cached_tokenizer_from_config|SentencePieceProcessor)",
            ),
        ),
    ),
    Failure(
        kind="config-unusable",
        exit_code=ExitCode.ARTIFACT,
        shown="config.json is missing, damaged, or says what vLLM cannot use.",
        cause="the model's config.json is missing, damaged, or says what cannot be used",
        repair=FETCH_AGAIN,
        signs=(
            Sign(
                r"config file at '(?P<file>[^'\n]{1,300})' is not a valid JSON file",
                cause="{file} is not valid JSON",
            ),
            Sign(r"No such file or directory: '?\S{0,200}config\.json|no config\.json"),
            Sign(r"Invalid repository|Failed to (?:load|parse) (?:the )?(?:model )?config"),
            Sign(
                r"^(?:\w+\.)*(?:JSONDecodeError|StrictDataclass\w+|KeyError|AttributeError|"
                r"TypeError)",
                within=r"configuration_utils\.py|transformers_utils/config\.py|configuration_auto",
            ),
            Sign(
                r"validation errors? for ModelConfig\n[\s\S]{0,80}?(?:Expecting (?:value|property|"
                r"',')|Extra data:|Unterminated string|Invalid (?:control character|\\escape))",
                cause="a file of JSON that belongs to the model is empty or damaged",
            ),
            Sign(
                r"^(?:ValueError|AssertionError|NotImplementedError)\b",
                within=innermost(
                    r"vllm/transformers_utils/(?:config|configs/\w+|model_arch\w*)\.py"
                ),
            ),
            Sign(
                r"^(?:Value|Type|Attribute|Key|OS)Error\b",
                within=innermost(
                    r"transformers/(?:processing_utils|(?:image|video)_processing\w*|feature_"
                    r"extraction\w*|models/auto/\w+)\.py"
                ),
            ),
            Sign(r"Could not detect config format|No supported config format found"),
            Sign(r"Unrecognized (?:image|video|audio|feature) \w+ in "),
            Sign(r"rope_(?:scaling|parameters)"),
            Sign(r"StrictDataclass(?:Field|Class)?ValidationError"),
        ),
        weight=Weight.SYMPTOM,
    ),
)
