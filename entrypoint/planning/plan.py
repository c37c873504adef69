"""The launch plan: what will run, with each option's reason. The centre of the runtime.

:func:`make_plan` is a pure function of four values, the settings, the model, the hardware and the
pod. Everything before it only reads; everything after it only acts on what it returns.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Hardware
from entrypoint.note import Note
from entrypoint.options.arguments import Argument, Parsed, parse, split
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.history import GONE
from entrypoint.options.openvino import check_one_rank
from entrypoint.options.values import check_value
from entrypoint.planning.access import access_notes
from entrypoint.planning.defaults.accelerator import accelerator_defaults
from entrypoint.planning.defaults.defaults import Defaults
from entrypoint.planning.listen import Listen
from entrypoint.planning.shards import Cut, check_cut
from entrypoint.pod.pod import Pod, check_pod
from entrypoint.secrets import MASK, SECRET_OPTIONS
from entrypoint.settings import MAX_PORT, Settings, variables
from entrypoint.shared.handover import TARBALL_FORMAT, TARBALL_INDEX, TARBALL_VARIABLE
from entrypoint.store.model import Model
from entrypoint.store.search.artifact import is_uri
from entrypoint.store.uri import name_in_uri

SECRET_VARIABLES = frozenset({"HF_TOKEN"})

BINDS_ITSELF = ("--headless", "--grpc", "--data-parallel-multi-port-external-lb")
"""Options with which vLLM opens other sockets than the one that could be handed to it."""

TENSOR_PARALLEL = "--tensor-parallel-size"
OTHER_PARALLEL = ("--pipeline-parallel-size", "--data-parallel-size")

OTHER_MACHINES = (
    "--nnodes",
    "--distributed-executor-backend",
    "--data-parallel-backend",
    "--data-parallel-size-local",
    "--data-parallel-address",
)
"""Options with which some of the ranks may be on other machines."""

CAPTURE = "--max-seq-len-to-capture"

LOADER_OPTIONS = (
    "--load-format",
    "--model-loader-extra-config",
    "--quantization",
    "--safetensors-load-strategy",
)
"""Options that choose how vLLM loads weights, or need a loader of their own."""

MODEL_OPTIONS = ("--model", "--revision")
"""Options that choose the model: the search for it takes them, and the engine gets its path."""

Origin = Literal["variable", "default", "accelerator", "ARG", "dialect"]


@dataclass(frozen=True, slots=True)
class PlannedOption:
    """One of vLLM's options, or one of its environment variables, and its reason.

    Attributes:
        option: ``--name``, or the name of the environment variable.
        value: As one string; None for a flag.
        origin: Where it comes from.
        variable: The variable of the contract that gave it, if one did.
        overrides: What it won over, as ``NAME=value``, if anything.
    """

    option: str
    value: str | None
    origin: Origin
    variable: str | None
    overrides: str | None = None


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """A launch, decided.

    Attributes:
        argv: vLLM's options, what follows ``vllm serve``. May hold secrets; show
            :meth:`as_dict` instead.
        env: What the engine gets beyond the current environment. May hold secrets.
        served_model_names: The names that the server answers to, the first in its answers.
        model: What is served.
        accelerator: What it runs on.
        options: Each option and its reason, secrets masked.
        notes: What the user should know.
        listen: Where the server listens.
        shutdown_timeout: Seconds that running requests get after SIGTERM.
        engine_binds: Whether vLLM opens its own sockets, as some of its modes need.
        dropped: Variables of the current environment that the engine does not get.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    served_model_names: tuple[str, ...]
    model: Model
    accelerator: Hardware
    options: tuple[PlannedOption, ...]
    notes: tuple[Note, ...]
    listen: Listen
    shutdown_timeout: int
    engine_binds: bool
    dropped: tuple[str, ...] = ()

    def model_dict(self) -> dict[str, Any]:
        """Return the plan's ``model`` object."""
        return {
            "source": self.model.source,
            "path": str(self.model.path) if self.model.path else None,
            "repository": self.model.repository,
            "revision": self.model.revision,
            "requested_revision": self.model.requested_revision,
            "bytes": self.model.bytes,
            "searched": [asdict(attempt) for attempt in self.model.searched],
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what ``plan --json`` prints: every field for programs, no secret."""
        return {
            "argv": list(masked_argv(self.argv)),
            "env": {k: MASK if k in SECRET_VARIABLES else v for k, v in self.env.items()},
            "served_model_names": list(self.served_model_names),
            "model": self.model_dict(),
            "accelerator": {
                "kind": self.accelerator.kind,
                "count": self.accelerator.count,
                "memory_bytes": self.accelerator.memory_bytes,
                "driver_version": self.accelerator.driver_version,
                "devices": [asdict(device) for device in self.accelerator.devices],
            },
            "options": [asdict(option) for option in self.options],
            "notes": [asdict(note) for note in self.notes],
        }


def masked_argv(argv: tuple[str, ...]) -> Iterator[str]:
    """Yield an argument list with the values of secret options masked."""
    secret = False
    for word in argv:
        if word.startswith("--"):
            name, joined, _ = word.partition("=")
            secret = name in SECRET_OPTIONS
            yield f"{name}={MASK}" if secret and joined else word
        else:
            yield MASK if secret else word


@cache
def read_arguments(text: str) -> Parsed:
    """Parse ARG.

    Raises:
        SettingError: ARG cannot be split, or one of its options is wrong.
    """
    return parse(split(text), load_catalogue())


def chosen_model(settings: Settings) -> tuple[str | None, str | None]:
    """Return the model id and revision that are wanted: ARG's, else the variables'.

    Without MODEL_ID, the model is what STORAGE_URI names.
    """
    parsed = read_arguments(settings.arg)
    model_id, revision = (_argument_value(parsed, name) for name in MODEL_OPTIONS)
    return model_id or settings.model_id or settings.storage_uri, revision or settings.revision


def chosen_tokenizer(settings: Settings) -> str | None:
    """Return the tokenizer that is wanted: ARG's, else TOKENIZER; None for the model's own."""
    return _argument_value(read_arguments(settings.arg), "--tokenizer") or settings.tokenizer


def loads_in_place(settings: Settings, hardware: Hardware) -> bool:
    """Whether the engine can load weights that are inside a tarball.

    OpenVINO's converter reads whole files, and so do the loaders that ARG can choose. Ours is a
    part of vLLM's own loader, and is used with no other vLLM than the one that it was tested with.
    """
    given = read_arguments(settings.arg).arguments
    chosen = any(argument.option.name in LOADER_OPTIONS for argument in given)
    tested = (hardware.vllm_version or "").partition("+")[0] == load_catalogue().version
    return hardware.kind != "openvino" and not chosen and tested


def chosen_listen(settings: Settings) -> Listen:
    """Return where to listen: ARG's host, port, socket and certificate, else the variables'.

    Raises:
        SettingError: ARG's port is none, or there is a certificate without a key.
    """
    parsed = read_arguments(settings.arg)
    port = int(_argument_value(parsed, "--port") or settings.port)
    if not 1 <= port <= MAX_PORT:
        raise SettingError(
            f"ARG gives --port the value {port}, which is not between 1 and {MAX_PORT}.",
            variable="ARG",
            hint="Leave it out, and set PORT.",
        )
    certificate, key = _certificate(settings, parsed)
    return Listen(
        host=_argument_value(parsed, "--host") or settings.host,
        port=port,
        uds=_argument_value(parsed, "--uds"),
        tls_certificate=certificate,
        tls_key=key,
        tls_variable="ARG" if _argument_value(parsed, "--ssl-certfile") else "TLS_CERT_FILE",
    )


def _certificate(settings: Settings, parsed: Parsed) -> tuple[str | None, str | None]:
    """Return the paths of the certificate and its key: ARG's, else the variables'.

    Raises:
        SettingError: TLS_CERT_FILE or TLS_KEY_FILE is set, and there is no other to it.
    """
    certificate = _argument_value(parsed, "--ssl-certfile") or _path(settings.tls_cert_file)
    key = _argument_value(parsed, "--ssl-keyfile") or _path(settings.tls_key_file)
    for set_, unset, path, other in (
        ("TLS_CERT_FILE", "TLS_KEY_FILE", settings.tls_cert_file, key),
        ("TLS_KEY_FILE", "TLS_CERT_FILE", settings.tls_key_file, certificate),
    ):
        if path is not None and other is None:
            raise SettingError(
                f"{set_}={path} is set, and {unset} is not: TLS needs both.",
                variable=set_,
                hint=f"Set {unset} too; where one file holds both, to the same.",
            )
    return certificate, key


def _path(path: Path | None) -> str | None:
    return str(path.expanduser()) if path else None


def served_names(settings: Settings, model: Model) -> tuple[str, ...]:
    """Return the names that the server answers to, the preferred one first.

    MODEL_SERVE_NAME's, else the one that is derived from the model: its first ``/`` becomes
    ``--``, as given and in lower case, and the model id itself. A directory is called by its last
    component, and so is a URI, which itself is no name.

    Raises:
        SettingError: MODEL_SERVE_NAME has an empty name in it.
    """
    if settings.model_serve_name is not None:
        names = [name.strip() for name in settings.model_serve_name.split(",")]
        if not all(names):
            raise SettingError(
                f"MODEL_SERVE_NAME={settings.model_serve_name!r} has an empty name in it.",
                variable="MODEL_SERVE_NAME",
                hint="Separate the names by one comma each.",
            )
        return tuple(dict.fromkeys(names))
    model_id = chosen_model(settings)[0] or ""
    if is_uri(model_id):
        derived = (model.repository or name_in_uri(model_id)).replace("/", "--", 1)
        return tuple(dict.fromkeys([derived, derived.lower()]))
    name = model.repository or model_id
    if model.path is not None and model.path == Path(model_id).expanduser().absolute():
        name = model.path.name
    derived = name.replace("/", "--", 1)
    return tuple(dict.fromkeys([derived, derived.lower(), model_id]))


def make_plan(settings: Settings, model: Model, hardware: Hardware, pod: Pod) -> LaunchPlan:
    """Decide the launch.

    Raises:
        SettingError: A setting, or an option in ARG, has a value that vLLM does not take.
        MachineError: The pod does not give the engine what it needs.
    """
    parsed = read_arguments(settings.arg)
    given = {a.option.name: a for a in parsed.arguments if a.words}
    names = _words(given.get("--served-model-name")) or served_names(settings, model)
    wanted = list(_wanted(settings, model, hardware, names))
    cut = _cut(settings, given, wanted)
    if hardware.kind == "openvino":
        check_one_rank(cut)
    elif not any(name in given for name in OTHER_MACHINES):
        check_cut(cut, model.config, hardware)
    check_pod(pod, hardware.kind, cut.ranks)
    dtype = _argument_value(parsed, "--dtype") or settings.dtype
    if "--quantization" in given:  # it decides which types it computes in
        dtype = dtype or "auto"
    chosen = settings.model_copy(update={"dtype": dtype})
    defaults = accelerator_defaults(chosen, model, hardware, cut.ranks)
    asked = {want.option for want in wanted}
    wanted += [
        _Want(option, (value,) if value is not None else (), "accelerator")
        for option, value in defaults.options.items()
        if option not in asked
    ]
    kept = [want for want in wanted if want.option not in given]
    overridden = {want.option: want for want in wanted if want.option in given}

    argv = [str(model.path or model.repository)]
    for want in kept:
        argv += [want.option, *want.words]
    for argument in parsed.arguments:
        if argument.option.name not in MODEL_OPTIONS:
            argv += argument.words

    environment = dict(_environment(settings, model, pod, defaults))
    options = [want.planned() for want in kept]
    options += [_from_argument(a, overridden.get(a.option.name)) for a in parsed.arguments]
    options += [_from_environment(name, reason) for name, reason in environment.items()]
    return LaunchPlan(
        argv=tuple(argv),
        env={name: reason.value for name, reason in environment.items()},
        served_model_names=names,
        model=model,
        accelerator=hardware,
        options=tuple(options),
        notes=(*_notes(settings, parsed, overridden, hardware, pod), *defaults.notes),
        listen=chosen_listen(settings),
        shutdown_timeout=int(
            _argument_value(parsed, "--shutdown-timeout") or settings.shutdown_timeout
        ),
        engine_binds=any(name in given for name in BINDS_ITSELF),
        dropped=pod.injected,
    )


@dataclass(frozen=True, slots=True)
class _Want:
    """An option that is asked for before ARG has had its say.

    Attributes:
        option: ``--name``.
        words: Its value's words, none for a flag.
        origin: What asks for it.
        variable: The variable of the user's that does, if one does.
    """

    option: str
    words: tuple[str, ...]
    origin: Origin
    variable: str | None = None

    def planned(self) -> PlannedOption:
        return PlannedOption(
            self.option, _shown(self.option, self.words), self.origin, self.variable
        )


def _wanted(
    settings: Settings, model: Model, hardware: Hardware, names: tuple[str, ...]
) -> Iterator[_Want]:
    """Yield the options that the variables and their defaults ask for, in vLLM's words."""

    def want(option: str, field: str, *words: str) -> _Want:
        variable = variables(field)[0]
        found = load_catalogue().find(option)
        for word in words:
            if found is not None:
                check_value(found, word, variable)
            if word.startswith("-"):
                shown = MASK if option in SECRET_OPTIONS else repr(word)
                raise SettingError(
                    f"{variable} has the value {shown}, which begins with a dash: vLLM would "
                    "read it as an option.",
                    variable=variable,
                    hint="Choose another value.",
                )
        if field not in settings.model_fields_set:
            return _Want(option, words, "default")
        return _Want(option, words, "variable", variable)

    yield want("--host", "host", settings.host)
    yield want("--port", "port", str(settings.port))
    yield want("--served-model-name", "model_serve_name", *names)
    shards = hardware.count if settings.num_shard == "max" else settings.num_shard
    if "num_shard" in settings.model_fields_set:
        yield want(TENSOR_PARALLEL, "num_shard", str(shards))
    if settings.trust_remote_code:
        yield want("--trust-remote-code", "trust_remote_code")
    # old templates pass the model's own id; its tokenizer is in its directory already
    if settings.tokenizer and settings.tokenizer not in (settings.model_id, model.repository):
        yield want("--tokenizer", "tokenizer", settings.tokenizer)
    if settings.dtype:
        yield want("--dtype", "dtype", settings.dtype)
    if model.packed is not None:
        yield _Want("--load-format", (TARBALL_FORMAT,), "default")
    if settings.block_size is not None:
        yield want("--block-size", "block_size", str(settings.block_size))
    if settings.max_num_seqs is not None:
        yield want("--max-num-seqs", "max_num_seqs", str(settings.max_num_seqs))
    yield want("--shutdown-timeout", "shutdown_timeout", str(settings.shutdown_timeout))
    for option, field in (("--ssl-certfile", "tls_cert_file"), ("--ssl-keyfile", "tls_key_file")):
        path: Path | None = getattr(settings, field)
        if path is not None:
            yield want(option, field, str(path.expanduser()))
    if settings.api_key is not None:
        yield want("--api-key", "api_key", settings.api_key.get_secret_value())


@dataclass(frozen=True, slots=True)
class _Variable:
    """An environment variable for the engine, and why."""

    value: str
    origin: Origin
    variable: str | None = None


def _environment(
    settings: Settings, model: Model, pod: Pod, defaults: Defaults
) -> Iterator[tuple[str, _Variable]]:
    """Yield what the engine gets beyond the current environment; VLLM_* as set there wins."""
    for name, value in pod.environment.items():
        yield name, _Variable(value, "default")
    if model.packed is not None and model.path is not None:
        yield TARBALL_VARIABLE, _Variable(str(model.path.parent / TARBALL_INDEX), "default")
    if settings.hf_hub_offline:
        yield "HF_HUB_OFFLINE", _Variable("1", "variable", "HF_HUB_OFFLINE")
    if settings.hf_hub_disable_telemetry:
        for name in ("HF_HUB_DISABLE_TELEMETRY", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"):
            yield name, _Variable("1", "variable", "HF_HUB_DISABLE_TELEMETRY")
        yield (
            "RAY_USAGE_STATS_ENABLED",
            _Variable("0", "variable", "HF_HUB_DISABLE_TELEMETRY"),
        )
    if settings.hf_token is not None:
        token = settings.hf_token.get_secret_value()
        yield "HF_TOKEN", _Variable(token, "variable", "HF_TOKEN")
    # the engine's own look-ups (a tokenizer, an adapter) go to the same cache
    for field in ("hf_hub_cache", "huggingface_hub_cache"):
        root = getattr(settings, field)
        if root is not None:
            yield "HF_HUB_CACHE", _Variable(str(root), "variable", variables(field)[0])
            break
    mine = {**settings.vllm_environment, **settings.library_environment}
    for name, value in defaults.environment.items():
        if name == "LD_PRELOAD" or not mine.get(name):  # the user's libraries are in it already
            yield name, _Variable(value, "accelerator")


def _cut(settings: Settings, given: dict[str, Argument], wanted: list[_Want]) -> Cut:
    """Return the tensor-parallel size, who gave it, and all ranks: tensor, pipeline, data.

    Raises:
        SettingError: ARG gives one of the sizes less than 1.
    """
    sizes = {want.option: int(want.words[0]) for want in wanted if want.option == TENSOR_PARALLEL}
    for option in (TENSOR_PARALLEL, *OTHER_PARALLEL):
        argument = given.get(option)
        if argument is None or argument.value is None:
            continue
        sizes[option] = int(argument.value)
        if sizes[option] < 1:
            raise SettingError(
                f"ARG gives {option} the value {argument.value}, which is less than 1.",
                variable="ARG",
                hint="Leave it out for 1." if option != TENSOR_PARALLEL else "Set NUM_SHARD.",
            )
    spelled = [f"ARG's {option} {size}" for option, size in sizes.items() if option in given]
    if TENSOR_PARALLEL in sizes and TENSOR_PARALLEL not in given:
        spelled.insert(0, f"NUM_SHARD={settings.num_shard}")
    return Cut(
        shards=sizes.get(TENSOR_PARALLEL, 1),
        ranks=math.prod(sizes.values()),
        variable="ARG" if spelled and spelled[0].startswith("ARG") else "NUM_SHARD",
        spelled=" with ".join(spelled),
    )


def _notes(
    settings: Settings,
    parsed: Parsed,
    overridden: dict[str, _Want],
    hardware: Hardware,
    pod: Pod,
) -> Iterator[Note]:
    yield from parsed.notes
    yield from access_notes(settings, parsed)
    known, installed = load_catalogue().version, hardware.vllm_version or ""
    if settings.arg and installed.partition("+")[0] != known:
        yield Note(
            "info",
            "ARG",
            f"ARG was checked against the options of vLLM {known}, and the installed one is "
            f"{installed}: what that does not have, it refuses by itself at its start.",
        )
    if pod.injected:
        yield Note(
            "info",
            pod.injected[0],
            f"{', '.join(pod.injected)}: set by Kubernetes for a Service of that name, and kept "
            "from the engine, which would read them as its own. To be rid of them: "
            "enableServiceLinks: false, or another name for the Service.",
        )
    losers = {
        name: (want.variable, _shown(name, want.words))
        for name, want in overridden.items()
        if want.variable is not None
    }
    for option, field in zip(MODEL_OPTIONS, ("model_id", "revision"), strict=True):
        value = getattr(settings, field)
        if value is not None and _argument_value(parsed, option) not in (None, value):
            losers[option] = (variables(field)[0], value)
    for option, (variable, value) in losers.items():
        yield Note("info", variable, f"ARG's {option} wins over {variable}={value or 'true'}.")
    if settings.max_seq_len_to_capture is not None:
        gone = GONE[CAPTURE]
        yield Note(
            "info",
            "MAX_SEQ_LEN_TO_CAPTURE",
            f"vLLM has no {CAPTURE} since {gone.since}, so MAX_SEQ_LEN_TO_CAPTURE is ignored: "
            f"{gone.advice}.",
        )
    if settings.disable_custom_kernels:
        yield Note(
            "info",
            "DISABLE_CUSTOM_KERNELS",
            "DISABLE_CUSTOM_KERNELS has no meaning for vLLM and is ignored.",
        )


def _from_argument(argument: Argument, loser: _Want | None) -> PlannedOption:
    overrides = None
    if loser is not None and loser.variable is not None:
        overrides = f"{loser.variable}={_shown(loser.option, loser.words) or 'true'}"
    words = _words(argument) or ((argument.value,) if argument.value is not None else ())
    value = _shown(argument.option.name, words)
    return PlannedOption(argument.option.name + argument.key, value, "ARG", "ARG", overrides)


def _from_environment(name: str, reason: _Variable) -> PlannedOption:
    value = MASK if name in SECRET_VARIABLES else reason.value
    return PlannedOption(name, value, reason.origin, reason.variable)


def _shown(option: str, words: tuple[str, ...]) -> str | None:
    """Return an option's words as one string for people, masked where they are secret."""
    if not words:
        return None
    return MASK if option in SECRET_OPTIONS else shlex.join(words)


def _words(argument: Argument | None) -> tuple[str, ...]:
    """Return the words that follow an option's name; none where name and value are one word."""
    return tuple(argument.words[1:]) if argument is not None else ()


def _argument_value(parsed: Parsed, name: str) -> str | None:
    """Return the value that ARG gives to an option, the last one where it repeats itself."""
    values = [a.value for a in parsed.arguments if a.option.name == name]
    return values[-1] if values else None
