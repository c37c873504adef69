"""vLLM's options: what the variables, the defaults and ARG make of its command line."""

from __future__ import annotations

from collections.abc import Iterator

from entrypoint.errors import SettingError
from entrypoint.hardware.hardware import Hardware
from entrypoint.options.arguments import Argument
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.source import OptionSource
from entrypoint.options.values import check_value
from entrypoint.planning.asked import Asked
from entrypoint.planning.option import PlannedOption, RequestedOption, shown
from entrypoint.planning.parallel import TENSOR_PARALLEL, shard_count
from entrypoint.secrets import MASK, SECRET_OPTIONS
from entrypoint.shared.handover import TARBALL_FORMAT
from entrypoint.store.model import Model


def requested_options(
    asked: Asked, model: Model, hardware: Hardware, names: tuple[str, ...]
) -> Iterator[RequestedOption]:
    """Yield the options that the variables and our defaults set, ARG not counted.

    Raises:
        SettingError: vLLM does not accept a variable's value.
    """
    settings = asked.settings

    def request(option: str, field: str, *words: str) -> RequestedOption:
        variable = asked.variable(field)
        _check_words(option, words, variable)
        if field not in settings.model_fields_set:
            return RequestedOption(option, words, "default")
        return RequestedOption(option, words, "variable", variable)

    yield request("--host", "host", settings.host)
    yield request("--port", "port", str(settings.port))
    yield request("--served-model-name", "model_serve_name", *names)
    if "num_shard" in settings.model_fields_set:
        yield request(TENSOR_PARALLEL, "num_shard", str(shard_count(asked, hardware)))
    if settings.trust_remote_code:
        yield request("--trust-remote-code", "trust_remote_code")
    # old templates pass the model's own id; its tokenizer is already in its directory
    if settings.tokenizer and settings.tokenizer not in (settings.model_id, model.repository):
        yield request("--tokenizer", "tokenizer", settings.tokenizer)
    if settings.dtype:
        yield request("--dtype", "dtype", settings.dtype)
    if model.packed is not None:
        yield RequestedOption("--load-format", (TARBALL_FORMAT,), "default")
    if settings.block_size is not None:
        yield request("--block-size", "block_size", str(settings.block_size))
    if settings.max_num_seqs is not None:
        yield request("--max-num-seqs", "max_num_seqs", str(settings.max_num_seqs))
    yield request("--shutdown-timeout", "shutdown_timeout", str(settings.shutdown_timeout))
    if settings.tls_cert_file is not None:
        yield request("--ssl-certfile", "tls_cert_file", str(settings.tls_cert_file))
    if settings.tls_key_file is not None:
        yield request("--ssl-keyfile", "tls_key_file", str(settings.tls_key_file))
    if settings.api_key is not None:
        yield request("--api-key", "api_key", settings.api_key.get_secret_value())


def _check_words(option: str, words: tuple[str, ...], variable: str) -> None:
    """Check a variable's value as vLLM's parser would.

    Raises:
        SettingError: vLLM does not accept it, or would read it as another option.
    """
    known = load_catalogue().find(option)
    for word in words:
        if known is not None:
            check_value(known, word, OptionSource(variable, variable))
        if word.startswith("-"):
            value = MASK if option in SECRET_OPTIONS else repr(word)
            raise SettingError(
                f"{variable}={value} starts with a dash, so vLLM would read it as an option.",
                variable=variable,
                hint="Choose a value that does not start with a dash.",
            )


def planned_argument(argument: Argument, overridden: RequestedOption | None) -> PlannedOption:
    """Return an option of ARG for a plan.

    Args:
        argument: The option.
        overridden: The same option as a variable or a default sets it, if one does.
    """
    overrides = None
    if overridden is not None and overridden.variable is not None:
        overrides = f"{overridden.variable}={overridden.shown or 'true'}"
    # a value that starts with a dash shares a word with the option's name
    words = argument.words[1:] or ((argument.value,) if argument.value is not None else ())
    value = shown(argument.option.name, tuple(words))
    name, file = argument.option.name + argument.key, argument.source.file
    if file is not None:
        return PlannedOption(name, value, "config", "ARG", overrides, str(file))
    return PlannedOption(name, value, "ARG", "ARG", overrides)
