"""Structured output as the pipeline takes it: one grammar in EBNF, whatever was asked for.

The pipeline has a copy of xgrammar of its own, older than vLLM's, and reads a grammar in the middle
of a step: one that it cannot read ends the pipeline. So vLLM's xgrammar translates everything (a
JSON schema, a regular expression, Lark, a structural tag) into plain EBNF, and what has no plain
EBNF is refused here.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

import xgrammar
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.structured_output.backend_types import StructuredOutputOptions
from vllm.v1.structured_output.request import get_structured_output_key
from vllm.v1.structured_output.utils import grammar_is_likely_lark

_WORDS = re.compile(
    r"""
    (?P<string>"(?:\\.|[^"\\])*")
    | (?P<characters>\[(?:\\.|[^\]\\])*\])
    | \{(?P<least>\d+),\ -1\}
    | \bRegex\((?P<pattern>"(?:\\.|[^"\\])*"),\ json_string=true\)
    | \b(?P<macro>\w+)\(
    | (?P<rule>[A-Za-z_]\w*)
    """,
    re.VERBOSE,
)
MACROS = frozenset({"TagDispatch"})
"""Of xgrammar's macros, the ones that both versions of it have."""

ANY_OBJECT = '{"type": "object"}'

_NEEDS_ESCAPING = re.compile(r"\\|^\[\^|[\x00-\x1f]")
"""What a part of a pattern must not hold, or it could match what JSON writes with a backslash."""


@lru_cache(maxsize=256)
def _from(kind: StructuredOutputOptions, text: str, spaced: bool) -> str:
    if kind is StructuredOutputOptions.JSON:
        grammar = xgrammar.Grammar.from_json_schema(text, any_whitespace=spaced)
    elif kind is StructuredOutputOptions.JSON_OBJECT:
        grammar = xgrammar.Grammar.from_json_schema(ANY_OBJECT, any_whitespace=spaced)
    elif kind is StructuredOutputOptions.REGEX:
        grammar = xgrammar.Grammar.from_regex(text)
    elif kind is StructuredOutputOptions.GRAMMAR and grammar_is_likely_lark(text):
        grammar = xgrammar.Grammar.from_lark(text)
    elif kind is StructuredOutputOptions.GRAMMAR:
        grammar = xgrammar.Grammar.from_ebnf(text)
    elif kind is StructuredOutputOptions.STRUCTURAL_TAG:
        grammar = xgrammar.Grammar.from_structural_tag(json.loads(text))
    else:  # a choice has become a grammar when vLLM validated it
        raise ValueError(f"structured output of kind {kind}")
    return str(grammar)


def plain(grammar: str) -> str:
    """Return a grammar that xgrammar has printed so that an older xgrammar reads it.

    Raises:
        VLLMValidationError: It uses a construct that the older one does not have.
    """
    patterns: list[str] = []

    def rewritten(word: re.Match[str]) -> str:
        if word["least"] is not None:
            return "{" + word["least"] + ",}"
        if word["pattern"] is not None:
            prefix = f"pattern_{len(patterns)}_"
            patterns.append(_rules(word["pattern"], prefix))
            return f"{prefix}root"
        if word["macro"] is not None and word["macro"] not in MACROS:
            raise _unknown(f"the construct {word['macro']}")
        return word[0]

    rules = _WORDS.sub(rewritten, grammar)
    return "\n".join([rules, *patterns])


def _rules(literal: str, prefix: str) -> str:
    """Return the rules of a regular expression for the inside of a JSON string, renamed."""
    try:
        pattern = json.loads(literal)
        printed = str(xgrammar.Grammar.from_regex(pattern))
    except (RuntimeError, ValueError):
        raise _unknown(f"the pattern {literal}") from None

    def renamed(word: re.Match[str]) -> str:
        if word["string"] is not None or word["characters"] is not None:
            if _NEEDS_ESCAPING.search(word[0]):
                raise _unknown(f"the pattern {literal}, which can match what JSON escapes,")
            return word[0]
        return prefix + word["rule"] if word["rule"] is not None else word[0]

    return _WORDS.sub(renamed, plain(printed))


def _unknown(what: str) -> VLLMValidationError:
    return VLLMValidationError(
        f"OpenVINO cannot follow this structured output: {what} is not supported.",
        parameter="structured_outputs",
    )


def grammar_of(params: StructuredOutputsParams, spaced: bool = True) -> str:
    """Return what the text must match.

    Args:
        params: As validated by vLLM.
        spaced: Whether a JSON schema leaves the white space between its parts open.

    Raises:
        VLLMValidationError: The pipeline cannot follow it.
    """
    if params._backend not in (None, "xgrammar"):
        raise VLLMValidationError(
            "OpenVINO cannot follow this structured output: xgrammar, the only backend there, "
            "does not support it.",
            parameter="structured_outputs",
        )
    kind, text = get_structured_output_key(params)
    try:
        return plain(_from(kind, text, spaced))
    except (RuntimeError, ValueError) as error:
        if isinstance(error, VLLMValidationError):
            raise
        raise VLLMValidationError(
            f"OpenVINO cannot follow this structured output: {error}",
            parameter="structured_outputs",
        ) from error
