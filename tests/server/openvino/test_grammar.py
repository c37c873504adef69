"""Translation of structured output into grammars that the pipeline can read."""

from __future__ import annotations

import json

import pytest
import xgrammar
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import StructuredOutputsParams

from server.openvino.grammar import grammar_of, plain


class TestPlain:
    @pytest.mark.parametrize(
        ("printed", "read"),
        [
            ("root ::= ((digits{2, -1}))", "root ::= ((digits{2,}))"),
            ("root ::= ((digits{2, 3}))", "root ::= ((digits{2, 3}))"),
            ('root ::= (("x{0, -1}" y{0, -1}))', 'root ::= (("x{0, -1}" y{0,}))'),
            (r'root ::= (("\"{0, -1}"))', r'root ::= (("\"{0, -1}"))'),
            (r"root ::= (([{0, -1}\]Regex(]))", r"root ::= (([{0, -1}\]Regex(]))"),
            ('root ::= (("Regex("))', 'root ::= (("Regex("))'),
            ('root ::= TagDispatch(("a", b))', 'root ::= TagDispatch(("a", b))'),
        ],
    )
    def test_constructs_are_rewritten_for_the_older_version(self, printed: str, read: str) -> None:
        assert plain(printed) == read

    def test_a_construct_that_is_too_new_is_refused(self) -> None:
        with pytest.raises(VLLMValidationError, match="Token"):
            plain("root ::= Token(5)")

    def test_a_pattern_becomes_rules(self) -> None:
        read = plain('root ::= (("x" Regex("^[a-c]+\\\\d$", json_string=true)))')
        assert read.startswith('root ::= (("x" pattern_0_root))')
        assert "pattern_0_root ::=" in read
        xgrammar.Grammar.from_ebnf(read)

    @pytest.mark.parametrize("pattern", ["[^a]+", ".*", "a\\\\\\\\b", "(((["])
    def test_a_pattern_that_could_break_the_string_is_refused(self, pattern: str) -> None:
        with pytest.raises(VLLMValidationError, match="pattern"):
            plain(f'root ::= Regex("{pattern}", json_string=true)')


class TestGrammar:
    @pytest.mark.parametrize(
        "asked",
        [
            StructuredOutputsParams(json={"type": "object", "properties": {"a": {"enum": [1]}}}),
            StructuredOutputsParams(json='{"type": "integer"}'),
            StructuredOutputsParams(json_object=True),
            StructuredOutputsParams(regex="[0-9]{3}-[a-z]+"),
            StructuredOutputsParams(grammar='root ::= "a" | "b"'),
            StructuredOutputsParams(grammar='start: "a" | "b"'),
            StructuredOutputsParams(
                structural_tag=json.dumps(
                    {"type": "structural_tag", "format": {"type": "const_string", "value": "a"}}
                )
            ),
        ],
    )
    def test_every_kind_becomes_a_grammar(self, asked: StructuredOutputsParams) -> None:
        assert "root ::=" in grammar_of(asked)

    def test_white_space_can_be_forbidden(self) -> None:
        asked = StructuredOutputsParams(
            json={"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}
        )

        def root(any_whitespace: bool) -> str:
            rules = grammar_of(asked, any_whitespace).splitlines()
            return next(rule for rule in rules if rule.startswith("root ::="))

        assert "[ " in root(any_whitespace=True)
        assert "[ " not in root(any_whitespace=False)

    def test_a_grammar_for_another_backend_is_refused(self) -> None:
        params = StructuredOutputsParams(regex="a")
        params._backend = "guidance"
        with pytest.raises(VLLMValidationError, match="xgrammar"):
            grammar_of(params)

    def test_an_invalid_grammar_is_refused(self) -> None:
        with pytest.raises(VLLMValidationError, match="cannot enforce"):
            grammar_of(StructuredOutputsParams(grammar="root ::= ((("))
