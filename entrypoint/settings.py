"""The environment contract: the variables, what they mean, and the values they accept.

``docs/configuration.md`` is generated from :class:`Settings`. The environment is always passed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from entrypoint.environment.environment import Environment
from entrypoint.environment.home import home_directory
from entrypoint.environment.value import Kind
from entrypoint.errors import SettingError
from entrypoint.shared.keys import read_keys
from entrypoint.spelling import nearest

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})

MAX_PORT = 65535

PASSED_ON = {
    "vllm_environment": ("VLLM_",),
    "library_environment": (
        "LD_PRELOAD",
        "OMP_",
        "KMP_",
        "GOMP_",
        "ONEDNN_",
        "CUDA_",
        "NCCL_",
        "HIP_",
        "ROCR_",
        "HABANA_",
        "PT_HPU_",
    ),
}
"""The prefixes of the variables that pass through to the engine unchanged, by field."""

KINDS = {
    "model_id": Kind.MODEL,
    "tokenizer": Kind.MODEL,
    "storage_uri": Kind.MODEL,
    "revision": Kind.NAME,
    "model_serve_name": Kind.NAME,
    "arg": Kind.ARG,
    "api_key": Kind.KEY,
    "api_key_file": Kind.PATH,
}
"""The kinds of values that a field's type does not show; see :func:`kind_of`."""

LIBRARY_KINDS = {
    "VLLM_API_KEY": Kind.KEY,
    **dict.fromkeys(("HF_TOKEN_PATH", "HF_ASSETS_CACHE", "HF_XET_CACHE", "HOME"), Kind.PATH),
    **dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), Kind.PATH),
    **dict.fromkeys(("VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "VLLM_ASSETS_CACHE"), Kind.PATH),
    **dict.fromkeys(("TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"), Kind.PATH),
    **dict.fromkeys(("NUMBA_CACHE_DIR", "TRANSFORMERS_CACHE", "HF_MODULES_CACHE"), Kind.PATH),
    **dict.fromkeys(("TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH"), Kind.PATH),
    **dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"), Kind.PATH),
    **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), Kind.TOKEN),
    **dict.fromkeys(("AWS_SESSION_TOKEN", "S3_SECRET_ACCESS_KEY"), Kind.TOKEN),
    **dict.fromkeys(("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"), Kind.TOKEN),
    **dict.fromkeys(("AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"), Kind.TOKEN),
}
"""The kinds of values of variables that libraries read; of others, :attr:`Kind.OTHER`."""

LIBRARY_PREFIXES = (
    *(prefix for prefixes in PASSED_ON.values() for prefix in prefixes),
    *("HF_", "HUGGING", "TRANSFORMERS_", "TOKENIZERS_", "TIKTOKEN_", "SAFETENSORS_"),
    *("TORCH", "PYTORCH_", "TRITON_", "FLASHINFER_", "NUMBA_", "MKL_", "RAY_", "MASTER_"),
    *("AWS_", "AZURE_", "GOOGLE_", "S3_", "XDG_", "NVIDIA_", "GLOO_", "UCX_", "OTEL_"),
)
"""How the variables start that the engine's libraries and the stores' clients read."""

OTHER_NAMES = {
    **dict.fromkeys(("HUGGINGFACE_TOKEN", "HUGGING_FACE_TOKEN", "HF_API_TOKEN"), "HF_TOKEN"),
    **dict.fromkeys(("HF_ACCESS_TOKEN", "HUGGINGFACE_API_TOKEN", "HF_API_KEY"), "HF_TOKEN"),
    "API_KEYS_FILE": "API_KEY_FILE",
    "SERVED_MODEL_NAME": "MODEL_SERVE_NAME",
    "TENSOR_PARALLEL_SIZE": "NUM_SHARD",
}
"""Names that other servers and clients use for a variable of the contract."""

NEEDLESS_PREFIXES = ("MODEL_", "LLM_", "HF_")

SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://")
"""How Kubernetes' variables for Services start, such as MODEL_PORT for a Service named model."""

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

NOT_CLEANED = frozenset({"VLLM_LOGGING_PREFIX"})
"""Variables whose blanks and colors are meant."""

ADMIN_ROUTES = ("lora", "scale", "sleep", "profile", "cache", "weights", "pause", "debug", "fault")
"""Groups of routes that change the server; see :mod:`server.gate.routes`."""

KSERVE_MOUNT = Path("/mnt/models")
"""Where KServe's init container downloads STORAGE_URI to. The path is hard-coded in KServe."""


def _boolean(value: object) -> bool:
    word = str(value).casefold()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise ValueError("must be one of 1, 0, true, false, yes, no, on, off")


def _shards(value: object) -> int | Literal["max"]:
    if value == "max":
        return "max"
    text = str(value)
    if re.fullmatch(r"\+?\d+(_\d+)*(\.0+)?", text, re.ASCII) and int(float(text)) >= 1:
        return int(float(text))
    raise ValueError("must be an integer of at least 1, or max")


def _keys(value: object) -> tuple[str, ...]:
    """Read the keys in API_KEY_FILE, one per line."""
    if isinstance(value, tuple):  # the default: BaseSettings validates that too
        return value
    return read_keys(Path(str(value)))


def _admin_routes(value: object) -> tuple[str, ...]:
    """Split ADMIN_ROUTES at its commas."""
    if isinstance(value, tuple):
        return value
    names = tuple(name.strip().casefold() for name in str(value).split(",") if name.strip())
    unknown = [name for name in names if name not in ADMIN_ROUTES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(ADMIN_ROUTES)}")
    return names


_HOST = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)?(?:\[(?P<v6>[^\[\]]*)\]|(?P<name>[^:/]*))"
    r"(?::(?P<port>\d*))?(?P<path>/.*)?",
    re.IGNORECASE | re.ASCII,
)


def read_host(value: object) -> str:
    """Return a host to listen on, an IPv6 address without its brackets.

    Raises:
        ValueError: The value is a URL, or has a port, or is a wildcard.
    """
    text = str(value)
    found = _HOST.fullmatch(text)
    if found is None:  # an IPv6 address without brackets
        return text
    host, port = found["v6"] or found["name"] or "0.0.0.0", found["port"]
    host = host if host != "*" else "0.0.0.0"
    instead = f"Set HOST={host}" + (f" and PORT={port}" if port else "")
    if found["scheme"] or found["path"]:
        raise ValueError(f"must be an address, not a URL. {instead}")
    if port is not None:
        raise ValueError(f"must be an address without a port. {instead}")
    if found["name"] == "*":
        raise ValueError(f"must be an address. {instead}")
    return host


def _web_address(value: object) -> str | None:
    if value is None:
        return None
    if re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", str(value), re.IGNORECASE):
        return str(value)
    raise ValueError("must be an address that starts with https:// or http://")


def _folded(value: object) -> str | None:
    return None if value is None else str(value).casefold()


def _device(value: object) -> str:
    text = str(value).upper()
    if not re.fullmatch(r"CPU|GPU(\.\d+)?", text):
        raise ValueError("must be CPU, GPU or GPU.n")
    return text


OpenVINODevice = Annotated[str, BeforeValidator(_device)]
WebAddress = Annotated[str | None, BeforeValidator(_web_address)]
Precision = Annotated[Literal["u8", "f16", "bf16", "f32"], BeforeValidator(_folded)]
Verify = Annotated[Literal["off", "size", "full"], BeforeValidator(_folded)]
Host = Annotated[str, BeforeValidator(read_host)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Keys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_keys)]
AdminRoutes = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_admin_routes)]
LogFormat = Annotated[Literal["text", "json"], BeforeValidator(_folded)]
Shards = Annotated[int | Literal["max"], BeforeValidator(_shards)]
Accelerator = Literal["auto", "cuda", "rocm", "hpu", "openvino", "cpu"]


def _variable(
    *names: str,
    description: str,
    default: Any = None,
    ge: int | None = None,
    le: int | None = None,
) -> Any:
    """Declare a field of :class:`Settings` that one of several variables sets."""
    aliases = AliasChoices(*names)
    return Field(default, validation_alias=aliases, description=description, ge=ge, le=le)


class Settings(BaseSettings):
    """The variables of the contract. The first name of each field is the preferred one."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True
    )

    model_id: str | None = _variable(
        "MODEL_ID",
        "LLM_MODEL",
        description="Repository id, local directory, or URI of a tarball in an object store "
        "(`s3://`, `gs://`, `az://`) or on this machine (`file://`, `pvc://`, `oci://`). Required "
        "unless STORAGE_URI is set.",
    )
    revision: str | None = _variable(
        "REVISION",
        description="Branch, tag, or full or unique short commit. Default: the cache's "
        "`refs/main`, else its only snapshot.",
    )
    model_serve_name: str | None = _variable(
        "MODEL_SERVE_NAME",
        description="Served name, or several separated by commas. Default: the repository id with "
        "its first `/` replaced by `--`; the server also answers to that name in lower case and "
        "to MODEL_ID.",
    )
    num_shard: Shards = _variable(
        "NUM_SHARD",
        default=1,
        description="Tensor-parallel size, or `max` to use all accelerators.",
    )
    trust_remote_code: Boolean = _variable(
        "TRUST_REMOTE_CODE", default=False, description="Run Python code that comes with the model."
    )
    tokenizer: str | None = _variable(
        "TOKENIZER", description="vLLM's `--tokenizer`. Default: the model's own."
    )
    dtype: str | None = _variable(
        "DTYPE",
        description="vLLM's `--dtype`. Default: a dtype that is fast on the accelerator. `auto` is "
        "vLLM's own choice.",
    )
    block_size: int | None = _variable(
        "BLOCK_SIZE",
        ge=1,
        description="vLLM's `--block-size`: tokens in one block of the KV cache. Default: the "
        "accelerator's, else vLLM's.",
    )
    max_num_seqs: int | None = _variable(
        "MAX_NUM_SEQS",
        ge=1,
        description="vLLM's `--max-num-seqs`: requests that are processed at once. Default: the "
        "accelerator's, else vLLM's.",
    )
    max_seq_len_to_capture: int | None = _variable(
        "MAX_SEQ_LEN_TO_CAPTURE",
        ge=0,
        description="Ignored, with a note that names its replacement: vLLM 0.11.0 removed this "
        "option, but launch scripts still set it.",
    )
    host: Host = _variable(
        "HOST",
        default="0.0.0.0",
        description="Address to listen on. `0.0.0.0`: all IPv4 addresses. `::`: all addresses. "
        "`localhost`: `127.0.0.1` and `::1`.",
    )
    port: int = _variable("PORT", default=8000, ge=1, le=MAX_PORT, description="Port to listen on.")
    arg: str = _variable(
        "ARG",
        default="",
        description="More vLLM options, split into words like in a POSIX shell. They win over "
        "variables.",
    )
    model_tarball: Path | None = _variable(
        "MODEL_TARBALL",
        description="A tarball (`.tar`, `.tar.gz`, `.tar.zst`), or a directory of tarballs. "
        "Default: search for tarballs beside the cache.",
    )
    model_verify: Verify = _variable(
        "MODEL_VERIFY",
        default="size",
        description="What to verify before serving. `full`: the hash of each file, by its blob's "
        "name and by the manifest. `size`: each file's presence, and its size if a manifest "
        "states it. `off`: only what every start checks.",
    )
    model_signature_key: Path | None = _variable(
        "MODEL_SIGNATURE_KEY",
        description="Public key (PEM) to verify the model's OpenSSF model signature with. Requires "
        "the extra `sign`.",
    )
    model_signature: Path | None = _variable(
        "MODEL_SIGNATURE",
        description="The signature file. Default: the name of the tarball, the directory or the "
        "`models--org--name` folder with `.sig` appended.",
    )
    hf_hub_cache: Path | None = _variable(
        "HF_HUB_CACHE", description="Cache root: the folder that contains `models--org--name`."
    )
    huggingface_hub_cache: Path | None = _variable(
        "HUGGINGFACE_HUB_CACHE",
        description="Older name of HF_HUB_CACHE. If both are set, both are searched.",
    )
    hf_home: Path | None = _variable(
        "HF_HOME",
        description="Its folder `hub` is a cache root too. Default without any of the three: "
        "`~/.cache/huggingface/hub`.",
    )
    hf_token: SecretStr | None = _variable(
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HUGGINGFACEHUB_API_TOKEN",
        description="Token for gated and private repositories.",
    )
    hf_endpoint: WebAddress = _variable(
        "HF_ENDPOINT",
        description="URL of a Hugging Face mirror. Default: `https://huggingface.co`.",
    )
    hf_hub_offline: Boolean = _variable(
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        default=False,
        description="Never access the hub.",
    )
    hf_hub_disable_telemetry: Boolean = _variable(
        "HF_HUB_DISABLE_TELEMETRY",
        default=False,
        description="Send no usage reports to Hugging Face, vLLM or Ray.",
    )
    accelerator: Accelerator = _variable(
        "ACCELERATOR",
        default="auto",
        description="Accelerator to run on. `auto`: the one that the installed vLLM was built for.",
    )
    shutdown_timeout: int = _variable(
        "SHUTDOWN_TIMEOUT",
        default=25,
        ge=0,
        description="Seconds that running requests get to finish after SIGTERM.",
    )
    start_timeout: int = _variable(
        "START_TIMEOUT",
        default=3600,
        ge=0,
        description="Seconds until a start fails, downloads not counted. The error names the phase "
        "that it was in. 0: no limit.",
    )
    stall_timeout: int = _variable(
        "STALL_TIMEOUT",
        default=120,
        ge=1,
        description="Seconds after which an engine that produces no token, while several requests "
        "wait, counts as not ready. After twice as many it counts as not alive.",
    )
    termination_log: Path = _variable(
        "TERMINATION_LOG",
        default=Path("/dev/termination-log"),
        description="File for the cause of a failure, which Kubernetes shows. Skipped if it does "
        "not exist and cannot be created.",
    )
    log_format: LogFormat = _variable(
        "LOG_FORMAT", default="text", description="`text`, or `json` for one object per line."
    )
    api_key: SecretStr | None = _variable(
        "API_KEY",
        description="API key that requests must send (`Authorization: Bearer` or `X-Api-Key`). "
        "Health routes need no key.",
    )
    api_key_file: Keys = _variable(
        "API_KEY_FILE",
        default=(),
        description="File with more API keys, one per line. Read again when it changes.",
    )
    metrics_public: Boolean = _variable(
        "METRICS_PUBLIC", default=False, description="Serve `/metrics` without an API key."
    )
    admin_routes: AdminRoutes = _variable(
        "ADMIN_ROUTES",
        default=(),
        description="Groups of routes that change the server, separated by commas, to open: "
        + ", ".join(f"`{name}`" for name in ADMIN_ROUTES)
        + ". Default: all are closed.",
    )
    tls_cert_file: Path | None = _variable(
        "TLS_CERT_FILE",
        description="Certificate chain (PEM) to serve HTTPS with. Read again when it changes. Same "
        "as vLLM's `--ssl-certfile`.",
    )
    tls_key_file: Path | None = _variable(
        "TLS_KEY_FILE",
        description="The certificate's private key (PEM). Same as vLLM's `--ssl-keyfile`.",
    )
    max_request_bytes: int = _variable(
        "MAX_REQUEST_BYTES",
        default=64 << 20,
        ge=1,
        description="Maximum size of a request body in bytes. Larger ones get 413.",
    )
    max_concurrent_requests: int = _variable(
        "MAX_CONCURRENT_REQUESTS",
        default=1024,
        ge=1,
        description="Requests that the engine processes at once. More wait in a queue.",
    )
    max_queued_requests: int = _variable(
        "MAX_QUEUED_REQUESTS",
        default=1024,
        ge=0,
        description="Requests that wait in the queue. More get 429.",
    )
    max_concurrent_requests_per_key: int | None = _variable(
        "MAX_CONCURRENT_REQUESTS_PER_KEY",
        ge=1,
        description="Requests that one API key may have at once, waiting ones included. More get "
        "429.",
    )
    max_tokens_per_minute_per_key: int | None = _variable(
        "MAX_TOKENS_PER_MINUTE_PER_KEY",
        ge=1,
        description="Prompt and completion tokens that one API key may use per minute. Requests "
        "above that get 429.",
    )
    storage_uri: str | None = _variable(
        "STORAGE_URI",
        description="Set by KServe, which downloads it to `/mnt/models` before the start. That "
        "folder is then searched too. If it is empty, a tarball in an object store is downloaded "
        "to the scratch directory.",
    )
    s3_endpoint: str | None = _variable(
        "S3_ENDPOINT",
        description="S3: host and port of a store other than AWS, in KServe's form. Wins over "
        "AWS_ENDPOINT_URL. The client also reads AWS_DEFAULT_REGION, AWS_PROFILE, AWS_CA_BUNDLE "
        "and the credentials.",
    )
    s3_use_https: Boolean = _variable(
        "S3_USE_HTTPS", default=True, description="S3: use HTTPS for S3_ENDPOINT."
    )
    s3_verify_ssl: Boolean = _variable(
        "S3_VERIFY_SSL", default=True, description="S3: verify the store's TLS certificate."
    )
    s3_user_virtual_bucket: Boolean = _variable(
        "S3_USER_VIRTUAL_BUCKET",
        default=False,
        description="S3: put the bucket in the host name. KServe's spelling.",
    )
    aws_anonymous_credential: Boolean = _variable(
        "awsAnonymousCredential",
        default=False,
        description="S3: send no credentials, as for a public bucket. KServe's spelling.",
    )
    azure_storage_access_key: SecretStr | None = _variable(
        "AZURE_STORAGE_ACCESS_KEY",
        description="Azure: key of the storage account, under KServe's name. The client also reads "
        "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY and similar.",
    )
    vllm_environment: dict[str, str] = Field(
        default_factory=dict,
        description="All `VLLM_*` variables. They pass through to the engine. A note names "
        "those that vLLM does not read.",
    )
    library_environment: dict[str, str] = Field(
        default_factory=dict,
        description="Variables of the accelerators' libraries. They pass through to the engine "
        "unchanged and win over an accelerator's default. LD_PRELOAD is kept, and may be added "
        "to.",
    )
    openvino_device: OpenVINODevice = _variable(
        "VLLM_OPENVINO_DEVICE",
        default="CPU",
        description="OpenVINO: the device, `CPU`, `GPU`, or one of several GPUs, `GPU.1`.",
    )
    openvino_kvcache_space: int | None = _variable(
        "VLLM_OPENVINO_KVCACHE_SPACE",
        ge=0,
        description="OpenVINO: size of the KV cache in GiB; 0 lets it grow as needed. Default: by "
        "the available memory on a CPU, 0 on a GPU.",
    )
    openvino_kv_cache_precision: Precision | None = _variable(
        "VLLM_OPENVINO_KV_CACHE_PRECISION",
        "VLLM_OPENVINO_CPU_KV_CACHE_PRECISION",
        description="OpenVINO: precision of the KV cache, `u8`, `f16`, `bf16` or `f32`. Default: "
        "OpenVINO's choice for the device.",
    )
    openvino_enable_quantized_weights: Boolean = _variable(
        "VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS",
        default=False,
        description="OpenVINO: convert the model to int8 weights instead of fp16.",
    )
    openvino_converter: Path | None = _variable(
        "OPENVINO_CONVERTER",
        description="OpenVINO: virtual environment with optimum-intel, which converts models. "
        "Default: `/opt/openvino-convert`, then `.venv-convert` beside this environment.",
    )
    disable_custom_kernels: Boolean = _variable(
        "DISABLE_CUSTOM_KERNELS",
        default=False,
        description="Ignored: vLLM has no such option, but templates set it.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Use only the values that :func:`read_settings` passes in."""
        return (init_settings,)


PROBLEMS = {
    "int_parsing": "must be an integer",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}
"""What is wrong with a value, by pydantic's type of error. Others keep pydantic's message."""


class _MappingSource(EnvSettingsSource):
    """pydantic-settings' environment source over a given mapping."""

    def __init__(self, environ: Mapping[str, str]):
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in self._environ.items() if value != ""}


def variables(field: str) -> tuple[str, ...]:
    """Return the variables that set a field of :class:`Settings`, the preferred one first.

    Empty for the fields of :data:`PASSED_ON`, which collect many variables.
    """
    choices = cast(AliasChoices | None, Settings.model_fields[field].validation_alias)
    return tuple(str(name) for name in choices.choices) if choices else ()


def all_variables() -> tuple[str, ...]:
    """Return every variable of the contract."""
    return tuple(name for field in Settings.model_fields for name in variables(field))


def _kinds() -> Iterator[tuple[str, Kind]]:
    """Yield each variable of the contract and the kind of its value."""
    for field, info in Settings.model_fields.items():
        kind = KINDS.get(field, Kind.WORD)
        if field not in KINDS and SecretStr in get_args(info.annotation):
            kind = Kind.TOKEN
        elif Path in (info.annotation, *get_args(info.annotation)):
            kind = Kind.PATH
        for name in variables(field):
            yield name, kind


CONTRACT_KINDS = dict(_kinds())


def kind_of(name: str) -> Kind | None:
    """Return the kind of a variable's value, None if neither we nor a library reads it."""
    if name in NOT_CLEANED:
        return None
    known = CONTRACT_KINDS.get(name) or LIBRARY_KINDS.get(name)
    if known is None and (name.startswith(LIBRARY_PREFIXES) or name.casefold() in PROXIES):
        return Kind.OTHER
    return known


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Return the environment with clean values; everything else reads the result."""
    return environ if isinstance(environ, Environment) else Environment(environ, kind_of)


def origin(field: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable that set a field, None if it has its default."""
    return next((name for name in variables(field) if environ.get(name)), None)


def is_secret(field: str) -> bool:
    """Whether a field's value must never be shown."""
    return Settings.model_fields[field].annotation == SecretStr | None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables of the contract. An empty variable counts as unset.

    Raises:
        SettingError: A value is not accepted. It names the variable, the value and the accepted
            values.
    """
    environ = read_environment(environ)
    environ.check()
    try:
        return Settings(
            vllm_environment=_passed_on("vllm_environment", environ),
            library_environment=_passed_on("library_environment", environ),
            **_MappingSource(environ)(),
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        field = next(f for f in Settings.model_fields if name in (f, *variables(f)))
        variable = origin(field, environ) or variables(field)[0]
        value = "***" if is_secret(field) else repr(environ.get(variable, ""))
        problem = first["msg"].removeprefix("Value error, ")
        if first["type"] in PROBLEMS:
            problem = PROBLEMS[first["type"]].format(**first.get("ctx", {}))
        if (first["type"] == "int_parsing" or field == "num_shard") and not is_secret(field):
            problem += _suggested_number(environ[variable])
        raise SettingError(
            f"{variable}={value} is not accepted: {problem}{'' if problem.endswith('?') else '.'}",
            variable=variable,
            hint=Settings.model_fields[field].description,
        ) from None


_UNITS = {
    **{"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "k": 1000, "kb": 1000, "g": 10**9},
    **{"ki": 1 << 10, "kib": 1 << 10, "mb": 10**6, "mi": 1 << 20, "mib": 1 << 20},
    **{"gb": 10**9, "gi": 1 << 30, "gib": 1 << 30},
}
_ADDRESS_OR_PORT = re.compile(r"(?:.*:)?(\d+)(?:/\w+)?/?", re.ASCII)
_WITH_UNIT = re.compile(r"(\d+) ?([a-z]*)", re.ASCII | re.IGNORECASE)


def _suggested_number(text: str) -> str:
    """Return a question for the number that was probably meant, empty without one."""
    number: int | None = None
    plain = re.sub(r"(?<=\d)[,'](?=\d{3}\b)", "", text)
    if re.fullmatch(r"0x[0-9a-fA-F]+", text):
        number = int(text, 16)
    elif re.fullmatch(r"\d+[eE]\d", text, re.ASCII):
        number = int(float(text))
    elif (found := _WITH_UNIT.fullmatch(plain)) and found[2].casefold() in _UNITS:
        number = int(found[1]) * _UNITS[found[2].casefold()]
    elif found := _ADDRESS_OR_PORT.fullmatch(text):
        number = int(found[1])
    return f". Did you mean {number}?" if number is not None else ""


def read_setting(field: str, environ: Mapping[str, str]) -> Any:
    """Return the value of one field even if other variables are wrong; its default if it is."""
    environ = read_environment(environ)
    own = {n: environ[n] for n in variables(field) if n in environ and n not in environ.problems}
    try:
        return getattr(Settings(**_MappingSource(own)()), field)
    except ValidationError:
        return Settings.model_fields[field].default


def _passed_on(field: str, environ: Mapping[str, str]) -> dict[str, str]:
    contract = all_variables()
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(PASSED_ON[field]) and (value or name not in contract)
    }


def near_misses(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that probably mean another: ``{name that is set: intended name}``.

    Only compares names that share the first two letters and have a similar length, so that a pod's
    many other variables raise no false alarm.
    """
    known = all_variables()
    found: dict[str, str] = {}
    for name, value in environ.items():
        if not value or name in known or SERVICE_ADDRESS.match(value):
            continue
        meant = _meant_variable(name, known)
        if meant and not any(environ.get(other) for other in _same_field(meant)):
            found[name] = meant
    return found


def _meant_variable(name: str, known: tuple[str, ...]) -> str | None:
    folded = name.upper()
    if folded in OTHER_NAMES:
        return OTHER_NAMES[folded]
    for prefix in NEEDLESS_PREFIXES:
        if folded.startswith(prefix) and folded.removeprefix(prefix) in known:
            return folded.removeprefix(prefix)
    alike = [k for k in known if k[:2] == folded[:2] and abs(len(k) - len(name)) <= 2]
    swapped = next((k for k in alike if sorted(k) == sorted(folded)), None)
    return swapped or (nearest(name, alike, cutoff=0.85) if alike else None)


def _same_field(variable: str) -> tuple[str, ...]:
    """Return the variables that set the same field."""
    every = (variables(field) for field in Settings.model_fields)
    return next(names for names in every if variable in names)


def cache_roots(settings: Settings, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders to search for ``models--org--name``, in order."""
    roots = [settings.hf_hub_cache, settings.huggingface_hub_cache]
    if settings.hf_home is not None:
        roots.append(settings.hf_home / "hub")
    if not any(roots):
        # Docker too gives a user without a home the home /
        cache_home = environ.get("XDG_CACHE_HOME") or Path(home_directory(environ) or "/", ".cache")
        roots.append(Path(cache_home) / "huggingface" / "hub")
    if settings.storage_uri is not None:
        roots.append(KSERVE_MOUNT)
    # the same folder is often named twice; search it once
    return tuple(dict.fromkeys(root.absolute() for root in roots if root is not None))
