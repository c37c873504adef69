"""Bodies that vLLM answers with a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gate.content import MAX_DEPTH, content_problem

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(DOCUMENTS, st.booleans())
def test_ordinary_documents_pass(document: Any, ascii_only: bool) -> None:
    """Whatever can be encoded as UTF-8 passes, escaped or not."""
    if isinstance(document, dict):
        document.pop("structured_outputs", None)
    assert content_problem(json.dumps(document, ensure_ascii=ascii_only).encode()) is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 300, b'{"a": "\\ud8', b"NaN"])
def test_invalid_json_is_left_to_vllm(body: bytes) -> None:
    assert content_problem(body) is None


@pytest.mark.parametrize(("depth", "passes"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_limited(depth: int, passes: bool, opening: str, closing: str) -> None:
    body = opening * (depth - 1) + "[]" + closing * (depth - 1)
    problem = content_problem(body.encode())
    assert (problem is None) == passes
    assert passes or "deep" in str(problem)


def test_documents_too_deep_for_the_parser_are_refused() -> None:
    assert "deep" in str(content_problem(b"[" * 100_000 + b"]" * 100_000))


def test_a_broad_document_is_not_a_deep_one() -> None:
    assert content_problem(json.dumps([{"a": [1]}] * 1000).encode()) is None


@pytest.mark.parametrize("text", [r"\ud800", r"a\uDFFFb", r"\ude00\ud83d"])
def test_an_unpaired_surrogate_is_refused(text: str) -> None:
    body = f'{{"bad_words": ["{text}"]}}'.encode()
    assert "surrogate" in str(content_problem(body))


def test_a_surrogate_pair_is_a_character() -> None:
    assert content_problem(rb'{"prompt": "\ud83d\ude00"}') is None


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [({}, True), ({"regex": "a"}, True), (None, True), ("", False), (7, False), ([], False)],
)
def test_structured_outputs_must_be_an_object(wanted: object, passes: bool) -> None:
    problem = content_problem(json.dumps({"structured_outputs": wanted}).encode())
    assert (problem is None) == passes
