"""Writes the catalogue of the options of ``vllm serve``.

    python -m server.catalogue            # writes entrypoint/options/catalogue.json
    python -m server.catalogue --check    # exits 1 if the committed file is out of date

With it, the entrypoint checks options without importing vLLM. The script reads vLLM's own parser;
the result does not depend on the machine: plugins are off, and choices that depend on the
accelerator include those of all accelerators. Options to which plugins may add values have known
values instead of choices.
"""

from __future__ import annotations

import argparse
import enum
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from server import generated

OUTPUT = Path(__file__).resolve().parent.parent / "entrypoint" / "options" / "catalogue.json"

CHOICES_ANYWHERE = {"--mm-processor-device": ["auto", "cpu", "cuda", "xpu"]}
"""Choices that the parser limits to the current machine."""


class UnsupportedOption(TypeError):
    """The parser has an option that this script cannot describe yet."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``vllm serve`` with help texts, without plugins."""
    from vllm import plugins
    from vllm.engine import arg_utils
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    # vLLM omits the texts unless --help is on the command line, and caches the result
    needs_help, arg_utils.NEEDS_HELP = arg_utils.NEEDS_HELP, True
    loaded, plugins.plugins_loaded = plugins.plugins_loaded, True
    arg_utils._compute_kwargs.cache_clear()
    try:
        parser: argparse.ArgumentParser = make_arg_parser(FlexibleArgumentParser())
        return parser
    finally:
        arg_utils.NEEDS_HELP, plugins.plugins_loaded = needs_help, loaded
        arg_utils._compute_kwargs.cache_clear()


def describe_parser(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Return each option of a parser as plain data, sorted by name.

    Raises:
        UnsupportedOption: This script cannot describe an option.
    """
    known = known_values()
    options = []
    for group in parser._action_groups:
        # argparse's title for options without a group
        title = "General" if group.title == "options" else group.title
        for action in group._group_actions:
            if action.option_strings:
                options.append(_describe(action, title or "", known))
    return sorted(options, key=lambda option: str(option["name"]))


def known_values() -> dict[str, list[str]]:
    """Return vLLM's own values of options to which plugins may add values."""
    from vllm.config.vllm import OptimizationLevel
    from vllm.model_executor.layers.quantization import QuantizationMethods
    from vllm.model_executor.model_loader import LoadFormats
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    return {
        "--quantization": sorted(get_args(QuantizationMethods)),
        "--load-format": sorted(get_args(LoadFormats)),
        "--reasoning-parser": sorted(ReasoningParserManager.list_registered()),
        "--tool-call-parser": sorted(ToolParserManager.list_registered()),
        "--optimization-level": [str(level.value) for level in OptimizationLevel],
    }


def _describe(action: argparse.Action, group: str, known: dict[str, list[str]]) -> dict[str, Any]:
    name = next(s for s in action.option_strings if s.startswith("--"))
    kind = _kind(action)
    described: dict[str, Any] = {"name": name}
    if list(action.option_strings) != [name]:
        described["spellings"] = list(action.option_strings)
    described["group"] = group
    described["kind"] = kind
    if kind not in ("flag", "boolean", "help"):
        described |= _describe_type(action)
        if name in known:
            described["known"] = known[name]
        elif isinstance(action.metavar, list):
            described["known"] = [value for value in action.metavar if value is not None]
        elif action.choices is not None:
            choices = CHOICES_ANYWHERE.get(name, action.choices)
            described["choices"] = [choice for choice in choices if choice is not None]
    default = _plain(action.default)
    if default is not None:
        described["default"] = default
    help_text = first_sentence(action.help or "")
    if help_text:
        described["help"] = help_text
    return described


def _kind(action: argparse.Action) -> str:
    name = type(action).__name__
    if isinstance(action, argparse._HelpAction):
        return "help"
    if isinstance(action, argparse.BooleanOptionalAction):
        return "boolean"
    if isinstance(action, argparse._StoreTrueAction):
        return "flag"
    if name == "_AppendAction" and action.nargs is None:
        return "append"
    if isinstance(action, argparse._StoreAction) or name in _STORING_ACTIONS:
        match action.nargs:
            case None:
                return "value"
            case "?":
                return "optional-value"
            case "+":
                return "list"
    raise UnsupportedOption(f"{action.option_strings}: action {name} with nargs {action.nargs!r}")


_STORING_ACTIONS = frozenset({"DeprecatedLogConfigFileAction", "LoRAParserAction"})
"""vLLM's own actions that store a value like argparse's ``store``."""

_TYPES: dict[str, str] = {
    "str": "str",
    "int": "int",
    "float": "float",
    "loads": "json",
    "union_dict_and_str": "json-or-str",
    "human_readable_int": "human-int",
    "human_readable_int_or_auto": "human-int-or-auto",
}


def _describe_type(action: argparse.Action) -> dict[str, Any]:
    """Return an option's type, whether it accepts ``None``, and the keys of its JSON object."""
    convert = action.type
    described: dict[str, Any] = {}
    if type(action).__name__ == "LoRAParserAction":
        from vllm.entrypoints.openai.models.protocol import LoRAModulePath

        keys = sorted(field.name for field in fields(LoRAModulePath))
        return {"type": "lora", "nullable": True, "keys": keys}
    for wrapper, optional in (("optional_type", True), ("parse_type", False)):
        if getattr(convert, "__qualname__", "").startswith(f"{wrapper}.<locals>"):
            assert inspect.isfunction(convert)
            convert = inspect.getclosurevars(convert).nonlocals["return_type"]
            if optional:
                described["nullable"] = True
    if convert is None:
        return {"type": "str", **described}
    name = getattr(convert, "__qualname__", repr(convert))
    if name in _TYPES:
        return {"type": _TYPES[name], **described}
    if name.endswith(".parse_dataclass"):
        assert inspect.isfunction(convert)
        assert convert.__defaults__
        return {"type": "json", **described, "keys": _keys(convert.__defaults__[0])}
    if name.endswith("<lambda>"):
        assert callable(convert)
        return {"type": _lambda_type(action, convert), **described}
    raise UnsupportedOption(f"{action.option_strings}: type {name}")


def _lambda_type(action: argparse.Action, convert: Callable[[str], object]) -> str:
    """Return the type of a lambda, judged by its result for a sample word."""
    made = convert("A-b")
    if made == "a_b":
        return "folded-str"
    if made == ["A-b"]:
        return "str"
    raise UnsupportedOption(f"{action.option_strings}: a type that turns 'A-b' into {made!r}")


def _keys(cls: type) -> list[str]:
    """Return the keys that a configuration class accepts; it must refuse others."""
    if not is_dataclass(cls) or getattr(cls, "__pydantic_config__", {}).get("extra") != "forbid":
        raise UnsupportedOption(f"the class {cls.__name__} may accept other keys")
    return sorted(field.name for field in fields(cls) if field.init)


def _plain(value: object) -> object:
    """Return a default as JSON data, None if it has no short form."""
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, set | frozenset | tuple):
        return sorted(value)
    if isinstance(value, str) and value == argparse.SUPPRESS:
        return None
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return value
    return None


_SENTENCE = re.compile(r"(.*?(?<!e\.g)(?<!i\.e)(?<!etc)[.!?])(?=\s|$)")


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text, on one line, without the colon before a list."""
    paragraph = " ".join(text.replace("%%", "%").strip().split("\n\n")[0].split())
    found = _SENTENCE.match(paragraph)
    return found[1] if found else paragraph.rstrip(":")


def make_catalogue() -> dict[str, Any]:
    """Return the catalogue of the installed vLLM."""
    from vllm.model_executor.models.registry import _PREVIOUSLY_SUPPORTED_MODELS
    from vllm.version import __version__

    return {
        # a build's local version (+cpu, +cu129) does not affect its options
        "vllm": __version__.split("+")[0],
        "options": describe_parser(make_parser()),
        "removed_architectures": _PREVIOUSLY_SUPPORTED_MODELS,
        "variables": own_variables(),
    }


def own_variables() -> list[str]:
    """Return the names of vLLM's own environment variables."""
    from vllm.envs import environment_variables

    return sorted(name for name in environment_variables if name.startswith("VLLM_"))


def render(catalogue: dict[str, Any]) -> str:
    """Return a catalogue as JSON text with one option per line, for readable differences."""
    return "".join(_lines(catalogue))


def _lines(catalogue: dict[str, Any]) -> Iterator[str]:
    yield f'{{"vllm": {json.dumps(catalogue["vllm"])}, "options": [\n'
    yield ",\n".join(json.dumps(option, ensure_ascii=False) for option in catalogue["options"])
    yield '\n], "removed_architectures": {\n'
    removed = catalogue["removed_architectures"]
    yield ",\n".join(f"{json.dumps(name)}: {json.dumps(removed[name])}" for name in sorted(removed))
    yield '\n}, "variables": [\n'
    yield ",\n".join(json.dumps(name) for name in catalogue["variables"])
    yield "\n]}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the catalogue; return the exit status."""
    return generated.run(
        "python -m server.catalogue", __doc__, OUTPUT, lambda: render(make_catalogue()), argv
    )


if __name__ == "__main__":
    sys.exit(main())
