"""Translates every kind of structured output into an EBNF grammar for the pipeline.

The pipeline contains its own xgrammar, older than vLLM's, and parses a grammar in the middle of a
step: one that it cannot parse ends the pipeline. Therefore vLLM's xgrammar translates everything
(a JSON schema, a regular expression, Lark, a structural tag) into plain EBNF first, and this module
refuses what plain EBNF cannot express.
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
    | \{(?P<minimum>\d+),\ -1\}
    | \bRegex\((?P<pattern>"(?:\\.|[^"\\])*"),\ json_string=true\)
    | \b(?P<macro>\w+)\(
    | (?P<rule>[A-Za-z_]\w*)
    """,
    re.VERBOSE,
)
MACROS = frozenset({"TagDispatch"})
"""The macros that both versions of xgrammar have."""

ANY_OBJECT = '{"type": "object"}'

_NEEDS_ESCAPING = re.compile(r"\\|^\[\^|[\x00-\x1f]")
"""Parts of a pattern that could match characters that JSON escapes."""


@lru_cache(maxsize=256)
def _ebnf(kind: StructuredOutputOptions, text: str, any_whitespace: bool) -> str:
    if kind is StructuredOutputOptions.JSON:
        grammar = xgrammar.Grammar.from_json_schema(text, any_whitespace=any_whitespace)
    elif kind is StructuredOutputOptions.JSON_OBJECT:
        grammar = xgrammar.Grammar.from_json_schema(ANY_OBJECT, any_whitespace=any_whitespace)
    elif kind is StructuredOutputOptions.REGEX:
        grammar = xgrammar.Grammar.from_regex(text)
    elif kind is StructuredOutputOptions.GRAMMAR and grammar_is_likely_lark(text):
        grammar = xgrammar.Grammar.from_lark(text)
    elif kind is StructuredOutputOptions.GRAMMAR:
        grammar = xgrammar.Grammar.from_ebnf(text)
    elif kind is StructuredOutputOptions.STRUCTURAL_TAG:
        grammar = xgrammar.Grammar.from_structural_tag(json.loads(text))
    else:  # vLLM's validation turns a choice into a grammar
        raise ValueError(f"structured output of kind {kind}")
    return str(grammar)


def plain(grammar: str) -> str:
    """Rewrite a grammar printed by xgrammar so that an older xgrammar can read it.

    Raises:
        VLLMValidationError: It uses a construct that the older version does not support.
    """
    patterns: list[str] = []

    def rewritten(word: re.Match[str]) -> str:
        if word["minimum"] is not None:
            return "{" + word["minimum"] + ",}"
        if word["pattern"] is not None:
            prefix = f"pattern_{len(patterns)}_"
            patterns.append(_rules(word["pattern"], prefix))
            return f"{prefix}root"
        if word["macro"] is not None and word["macro"] not in MACROS:
            raise _unsupported(f"the construct {word['macro']}")
        return word[0]

    rules = _WORDS.sub(rewritten, grammar)
    return "\n".join([rules, *patterns])


def _rules(literal: str, prefix: str) -> str:
    """Return the rules of a regular expression inside a JSON string, with a prefix."""
    try:
        pattern = json.loads(literal)
        printed = str(xgrammar.Grammar.from_regex(pattern))
    except (RuntimeError, ValueError):
        raise _unsupported(f"the pattern {literal}") from None

    def renamed(word: re.Match[str]) -> str:
        if word["string"] is not None or word["characters"] is not None:
            if _NEEDS_ESCAPING.search(word[0]):
                raise _unsupported(
                    f"the pattern {literal}, which can match characters that JSON escapes,"
                )
            return word[0]
        return prefix + word["rule"] if word["rule"] is not None else word[0]

    return _WORDS.sub(renamed, plain(printed))


def _unsupported(what: str) -> VLLMValidationError:
    return VLLMValidationError(
        f"OpenVINO cannot enforce this structured output: {what} is not supported.",
        parameter="structured_outputs",
    )


def grammar_of(params: StructuredOutputsParams, any_whitespace: bool = True) -> str:
    """Return the EBNF grammar that the text must match.

    Args:
        params: Validated by vLLM.
        any_whitespace: Whether a JSON schema allows any white space between its parts.

    Raises:
        VLLMValidationError: The pipeline cannot enforce it.
    """
    if params._backend not in (None, "xgrammar"):
        raise VLLMValidationError(
            "OpenVINO cannot enforce this structured output: its only backend, xgrammar, does not "
            "support it.",
            parameter="structured_outputs",
        )
    kind, text = get_structured_output_key(params)
    try:
        return plain(_ebnf(kind, text, any_whitespace))
    except (RuntimeError, ValueError) as error:
        if isinstance(error, VLLMValidationError):
            raise
        raise VLLMValidationError(
            f"OpenVINO cannot enforce this structured output: {error}",
            parameter="structured_outputs",
        ) from error
