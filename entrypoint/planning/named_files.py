"""Checks the files and folders that options name, before the engine starts.

vLLM looks most of them up after it has loaded the weights, and its error often names another file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from entrypoint.note import Note
from entrypoint.options.arguments import Argument
from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.source import OptionSource
from entrypoint.options.values import converted_value
from entrypoint.planning.adapter import adapter_paths, read_adapter
from entrypoint.planning.asked import Asked
from entrypoint.planning.chat_template import template_problem
from entrypoint.store.model import Model

TOKENIZER_FILES = re.compile(
    r"tokenizer.*\.(json|model)(\.v\d+)?|.*\.(model|tiktoken)|vocab\.(json|txt)|tekken.*\.json"
)
"""The files, one of which every tokenizer has."""
_REPOSITORY = re.compile(r"\w[\w.-]*/[\w.-]+")
RANK = "--max-lora-rank"


def _file_problem(value: str) -> str | None:
    """Return what is wrong with a file's path, None if nothing is."""
    try:
        mode = os.stat(value).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(mode):
        return "is not a file"
    return None if os.access(value, os.R_OK) else "cannot be read: permission denied"


def _folder_problem(value: str) -> str | None:
    path = Path(value)
    if not path.exists():
        return "does not exist"
    return None if path.is_dir() else "is not a folder"


def _plugin_problem(value: str) -> str | None:
    """Return what is wrong with a plugin: a Python file, or the name of a module."""
    if len(value) <= 3 or (re.fullmatch(r"\w+(\.\w+)*", value) and not value.endswith(".py")):
        return None  # vLLM ignores so short a value, and may find the module
    return _file_problem(value)


CHECKS: Mapping[str, Callable[[str], str | None]] = {
    "--allowed-local-media-path": _folder_problem,
    "--chat-template": template_problem,
    "--log-config-file": _file_problem,
    "--mm-encoder-fp8-scale-path": _file_problem,
    "--reasoning-parser-plugin": _plugin_problem,
    "--ssl-ca-certs": _file_problem,
    "--tool-parser-plugin": _plugin_problem,
}
"""Options whose value is a path, and what finds its problems."""

MODELS: Mapping[str, tuple[re.Pattern[str], str, tuple[str, ...]]] = {
    "--generation-config": (
        re.compile(r"generation_config\.json"),
        "generation_config.json",
        ("auto", "vllm"),
    ),
    "--hf-config-path": (re.compile(r"(config|params)\.json"), "config.json", ()),
    "--speculative-config": (re.compile(r"(config|params)\.json"), "config.json", ()),
    "--tokenizer": (TOKENIZER_FILES, "a tokenizer, such as tokenizer.json", ()),
}
"""Options whose value is a folder or a repository: the files that it must contain, how to name
them, and values that mean something else."""

ADAPTERS = ("--lora-modules", "--default-mm-loras")


def check_named_files(asked: Asked, model: Model) -> tuple[Note, ...]:
    """Check what the options in ARG and TOKENIZER name.

    Returns:
        A note for each adapter that was trained for another model.

    Raises:
        SettingError: It names the option or the variable, the path, and what is wrong with it.
    """
    notes: list[Note] = []
    for argument in asked.arguments.arguments:
        name, value = argument.option.name, argument.value
        if not argument.words or not value or (argument.option.nullable and value == "None"):
            continue
        if name in CHECKS and not argument.key:
            if problem := CHECKS[name](value):
                raise _error(argument.source, name, value, problem)
        elif name in ADAPTERS and not argument.key:
            notes += _check_adapters(argument, asked, model)
        elif name in MODELS and (named := _named_model(argument)):
            _check_model(argument.source, name, named, asked)
    tokenizer = asked.settings.tokenizer
    if "--tokenizer" in asked.arguments.given or not tokenizer:
        return tuple(notes)
    if tokenizer not in (asked.settings.model_id, model.repository):
        variable = asked.variable("tokenizer")
        _check_model(OptionSource(variable, variable), "--tokenizer", tokenizer, asked)
    return tuple(notes)


def _error(source: OptionSource, name: str, value: str, problem: str) -> Exception:
    shown = value if len(value) <= 100 else f"{value[:100]}..."
    return source.error(
        f"{name} {shown!r} {problem}.",
        hint="Use the path in the container. ~ and variables are not expanded.",
    )


def _named_model(argument: Argument) -> str | None:
    """Return the folder or repository that an option names, None if it names none."""
    value = argument.value
    if argument.option.name != "--speculative-config":
        return None if argument.key else value
    if argument.key:
        return value if argument.key == ".model" and "/" in (value or "") else None
    data = converted_value(argument.option, value or "")
    named = data.get("model") if isinstance(data, dict) else None
    return named if isinstance(named, str) and "/" in named else None


def _check_model(source: OptionSource, option: str, value: str, asked: Asked) -> None:
    """Check that a folder has its files, or that a repository can be had.

    Raises:
        SettingError: It cannot be loaded.
    """
    wanted, named, other = MODELS[option]
    if value in other:
        return
    path = Path(value)
    if path.is_dir():
        try:
            names = os.listdir(path)
        except OSError as error:
            raise _error(source, option, value, f"cannot be read: {error.strerror}") from None
        if not any(wanted.fullmatch(each) for each in names):
            raise _error(source, option, value, f"does not contain {named}")
    elif path.exists():
        raise _error(source, option, value, "is a file, not a folder")
    elif not _is_repository(value):
        raise _error(source, option, value, "does not exist")
    else:
        _check_cached(source, option, value, asked)


def _is_repository(value: str) -> bool:
    return bool(_REPOSITORY.fullmatch(value)) or "/" not in value


def _check_cached(source: OptionSource, option: str, value: str, asked: Asked) -> None:
    """Check that a repository is in the cache if it cannot be downloaded.

    Raises:
        SettingError: It is not.
    """
    folder = f"models--{value.replace('/', '--')}"
    if not asked.settings.hf_hub_offline or any((r / folder).is_dir() for r in asked.cache_roots):
        return
    offline = asked.variable("hf_hub_offline")
    roots = ", ".join(map(str, asked.cache_roots))
    raise source.error(
        f"{option} {value!r} is neither a folder nor in the cache ({roots}), and {offline} forbids "
        "to download it.",
        hint="Use the path in the container, or add the repository to the cache: "
        f"inference-server download {value}",
    )


def _check_adapters(argument: Argument, asked: Asked, model: Model) -> Iterator[Note]:
    option, source = argument.option.name, argument.source
    given = asked.arguments.given
    enabled = given.get("--enable-lora")
    if option == "--lora-modules" and (enabled is None or enabled.words[0] != "--enable-lora"):
        raise source.error(f"{option} needs --enable-lora.", hint="Add --enable-lora to ARG.")
    limit = int(asked.arguments.value(RANK) or load_catalogue().by_spelling[RANK].default)
    # a value that starts with a dash shares a word with the option's name
    for word in argument.words[1:]:
        if word in ("", "None"):
            continue
        for path in adapter_paths(option, word):
            folder = Path(os.path.expanduser(path))
            if not folder.exists() and _REPOSITORY.fullmatch(path):
                _check_cached(source, option, path, asked)
                continue
            adapter = read_adapter(folder)
            if adapter.problem:
                raise _error(source, option, path, adapter.problem)
            if adapter.rank is not None and adapter.rank > limit:
                choices = load_catalogue().by_spelling[RANK].choices
                enough = next((c for c in choices if int(c) >= adapter.rank), None)
                raise source.error(
                    f"{option} {path!r} has rank {adapter.rank}, more than {RANK} {limit}.",
                    hint=f"Add {RANK} {enough} to ARG." if enough else None,
                )
            if adapter.base and model.repository and adapter.base != model.repository:
                yield source.note(
                    "info",
                    f"the adapter {path} was trained for {adapter.base}, and the model is "
                    f"{model.repository}.",
                )
