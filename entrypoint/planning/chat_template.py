"""Checks the chat template that ARG names: a file, one of vLLM's own, or the template itself."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

BUILT_IN = Path("transformers_utils", "chat_templates")
"""The folder of vLLM's own templates, in its package."""


def template_problem(value: str) -> str | None:
    """Return what is wrong with ``--chat-template``, None if nothing is.

    As for vLLM, a value with a brace or a line break is the template itself if no such file exists.
    """
    try:
        text = Path(value).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "is not a text file"
    except (OSError, ValueError) as error:
        if any(character in value for character in "{}\n"):
            return _syntax_problem(value)
        try:
            return _syntax_problem((_built_in() / value).read_text(encoding="utf-8"))
        except OSError:
            return _why(error)
    return _syntax_problem(text)


def _built_in() -> Path:
    """Return the folder of vLLM's own templates. Does not import vLLM."""
    found = find_spec("vllm")
    places = (found.submodule_search_locations if found is not None else None) or ["."]
    return Path(places[0]) / BUILT_IN


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _syntax_problem(text: str) -> str | None:
    try:
        import jinja2  # vLLM brings it; slow, and few launches set a template
        from jinja2.ext import Extension
    except ImportError:
        return None  # without vLLM there is no engine, only plans

    class Generation(Extension):
        """The block with which transformers marks the model's own answers."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    extensions: list[str | type[Extension]] = ["jinja2.ext.loopcontrols", Generation]
    try:
        jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=extensions).parse(text)
    except jinja2.TemplateSyntaxError as error:
        return f"is not a valid Jinja template: line {error.lineno}: {error.message}"
    except RecursionError:
        return "is nested too deeply"
    return None
