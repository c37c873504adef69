"""What the user asked for: the variables and ARG, each read once.

Everything later takes an :class:`Asked`. Nothing later parses ARG or reads ``os.environ``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.environment.environment import Environment
from entrypoint.note import Note
from entrypoint.options.arguments import Parsed, read_arguments
from entrypoint.planning.listen import Listen, read_listen
from entrypoint.settings import (
    Settings,
    cache_roots,
    near_misses,
    origin,
    read_environment,
    read_settings,
    variables,
)

TRUST = {"--trust-remote-code": True, "--no-trust-remote-code": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """The variables and ARG of one launch. Where both give a value, it is ARG's.

    Attributes:
        settings: The variables.
        arguments: ARG, parsed.
        environ: The environment that both came from, with clean values.
        model_id: ``--model``, MODEL_ID or STORAGE_URI; None without any of them.
        revision: ``--revision`` or REVISION.
        tokenizer: ``--tokenizer`` or TOKENIZER; None for the model's own.
        hf_token: ``--hf-token`` or HF_TOKEN. Never shown.
        dtype: ``--dtype`` or DTYPE. ``auto`` if ARG has ``--quantization``, which chooses its own.
        trust_remote_code: Whether code that comes with the model may run.
        shutdown_timeout: Seconds that running requests get after SIGTERM.
        misspelled: Variables that are set and probably meant another: ``{MODELID: MODEL_ID}``.
    """

    settings: Settings
    arguments: Parsed
    environ: Environment = field(repr=False)
    model_id: str | None
    revision: str | None
    tokenizer: str | None
    hf_token: str | None = field(repr=False)
    dtype: str | None
    trust_remote_code: bool
    shutdown_timeout: int
    misspelled: Mapping[str, str]

    @property
    def listen(self) -> Listen:
        """Where to listen.

        Raises:
            SettingError: ARG's port is out of range, or a certificate lacks its key.
        """
        return read_listen(self.settings, self.arguments)

    @property
    def cache_roots(self) -> tuple[Path, ...]:
        """The folders to search for ``models--org--name``: ``--download-dir``, then the settings'.

        vLLM takes weights from ``--download-dir`` if it has it.
        """
        roots = cache_roots(self.settings, self.environ)
        first = self.arguments.value("--download-dir")
        return tuple(dict.fromkeys((Path(first).absolute(), *roots))) if first else roots

    @property
    def model_setting(self) -> str:
        """What holds ``model_id``: a variable, or ``--model in ARG``."""
        if self.arguments.value("--model"):
            return "--model in ARG"
        return "STORAGE_URI" if self.settings.model_id is None else self.variable("model_id")

    @property
    def api_key_file(self) -> Path | None:
        """The file that API_KEY_FILE names. Its keys change while the server runs."""
        path = self.environ.get("API_KEY_FILE")
        return Path(path) if path else None

    def variable(self, name: str) -> str:
        """Return the variable that set a field of the settings, else the field's first name."""
        return origin(name, self.environ) or variables(name)[0]

    def notes(self) -> tuple[Note, ...]:
        """Return what was changed in the variables, and a warning for each misspelled one."""
        return self.environ.notes + tuple(
            Note("warning", name, f"{name} is not a recognized variable. Did you mean {meant}?")
            for name, meant in self.misspelled.items()
        )


def read_asked(environ: Mapping[str, str]) -> Asked:
    """Read what an environment asks for.

    Raises:
        SettingError: A variable or an option in ARG is wrong.
    """
    environ = read_environment(environ)
    settings = read_settings(environ)
    arguments = read_arguments(settings.arg)
    value = arguments.value
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    dtype = value("--dtype") or settings.dtype
    trust = arguments.given.get("--trust-remote-code")
    return Asked(
        settings=settings,
        arguments=arguments,
        environ=environ,
        model_id=value("--model") or settings.model_id or settings.storage_uri,
        revision=value("--revision") or settings.revision,
        tokenizer=value("--tokenizer") or settings.tokenizer,
        hf_token=value("--hf-token") or token,
        dtype=dtype or ("auto" if "--quantization" in arguments.given else None),
        trust_remote_code=TRUST[trust.words[0]] if trust else settings.trust_remote_code,
        shutdown_timeout=int(value("--shutdown-timeout") or settings.shutdown_timeout),
        misspelled=near_misses(environ),
    )
