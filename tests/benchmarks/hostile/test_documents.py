"""Hostile documents have small token limits and are valid JSON."""

from __future__ import annotations

import json
import random

from benchmarks.hostile import documents

KEY = "right"


def test_large_token_limits_are_reduced() -> None:
    rng = random.Random(0)
    for limit, kept in ((None, 2), (1_000, 2), (1, 1), (2**31, 2**31), (-1, -1)):
        body = json.dumps({"max_tokens": limit, "n": 100}).encode()
        made = json.loads(documents.limited_body(body, "/v1/completions", rng) or b"")
        assert made["max_tokens"] == kept
        assert made["n"] == 4


def test_bodies_that_are_not_objects_stay() -> None:
    rng = random.Random(0)
    for body in (None, b"{", b"[]", b"\xff", b"[" * 100_000):
        assert documents.limited_body(body, "/v1/completions", rng) == body


def test_changed_documents_are_json() -> None:
    rng = random.Random(0)
    base = documents.BASES["/v1/chat/completions"]
    values = repr(documents.VALUES)
    made = {documents.mutated(rng, "/v1/chat/completions", base, ["seed"]) for _ in range(300)}
    assert len(made) > 200
    assert repr(documents.VALUES) == values
    for body in made:
        assert isinstance(json.loads(body), dict)
    assert base["messages"] == [{"role": "user", "content": "What is this?"}]


def test_every_value_is_sent_to_every_path() -> None:
    attacks = documents.engine_attacks(KEY)
    values = sum(len(values) for values in documents.ENGINE_VALUES.values())
    assert len(attacks) == values * len(documents.BASES)
