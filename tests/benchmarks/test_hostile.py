"""Making hostile requests, and judging their answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from benchmarks.hostile import documents, schema, wire
from benchmarks.hostile.attack import (
    Attack,
    Outcome,
    json_request,
    request_bytes,
    send,
    trickle,
)
from benchmarks.hostile.run import judge, unhandled
from tests.support.launch import DEMO

KEY = "right"
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "small", "version": "1"},
    "paths": {
        "/health": {"get": {"responses": {"200": {"description": "well"}}}},
        "/tokenize": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "anyOf": [
                                    {"$ref": "#/components/schemas/Text"},
                                    {"$ref": "#/components/schemas/Count"},
                                ]
                            }
                        }
                    },
                },
                "responses": {"200": {"description": "well"}},
            }
        },
    },
    "components": {
        "schemas": {
            "Text": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
            "Count": {
                "type": "object",
                "properties": {"count": {"type": "integer"}},
                "required": ["count"],
            },
        }
    },
}


def outcome(*statuses: int, end: str = "closed", answer: bytes = b"") -> Outcome:
    return Outcome(statuses, end, answer)


class TestJudge:
    ATTACK = Attack("a", b"")
    NO_KEY = Attack("a", b"", keyed=False)
    MODELS = b'HTTP/1.1 200 OK\r\n\r\n{"id": "' + DEMO.encode() + b'"}'

    def test_refusals_and_closed_connections_are_right(self) -> None:
        for right in (
            outcome(400),
            outcome(501),
            outcome(200),
            outcome(end="reset"),
            outcome(end="left"),
        ):
            assert judge(self.ATTACK, right) is None
        assert judge(self.ATTACK, outcome(200, answer=self.MODELS)) is None
        assert judge(self.NO_KEY, outcome(401)) is None

    def test_server_errors_and_missing_answers_are_wrong(self) -> None:
        assert judge(self.ATTACK, outcome(400, 500)) == "500"
        vllms = b'{"error":{"message":"","type":"InternalServerError","param":null,"code":500}}'
        assert judge(self.ATTACK, outcome(500, answer=vllms)) is None
        assert judge(self.ATTACK, outcome(503, answer=vllms)) == "503"
        assert judge(self.ATTACK, outcome(end="hung")) == "no answer"
        assert judge(self.ATTACK, outcome(end="refused")) == "connection refused"
        assert judge(self.NO_KEY, outcome(200, answer=self.MODELS)) == "answered without the key"


def test_unhandled_exceptions_are_found_in_the_log() -> None:
    log = """\
(APIServer pid=7) INFO 11-21 07:07:08 [gate.py:291] POST /a 500 in 0.026 s
(APIServer pid=7) ERROR:    Exception in ASGI application
(APIServer pid=7) Traceback (most recent call last):
(APIServer pid=7)   File "a.py", line 1, in a
(APIServer pid=7) ValueError: first
(APIServer pid=7)
(APIServer pid=7) During handling of the above exception, another exception occurred:
(APIServer pid=7) Traceback (most recent call last):
(APIServer pid=7) json.decoder.JSONDecodeError: last
(APIServer pid=7) INFO:     connection closed
(APIServer pid=7) ValueError: one that was handled
(APIServer pid=7) ERROR:    Exception in ASGI application
(APIServer pid=7) RuntimeError: second"""
    assert unhandled(log) == {"json.decoder.JSONDecodeError: last": 1, "RuntimeError: second": 1}
    assert not unhandled("INFO: nothing")


@pytest.mark.parametrize("kind", wire.KINDS)
def test_wire_attacks_follow_from_the_seed(
    kind: Callable[[random.Random, str], Attack],
) -> None:
    made = [kind(random.Random(seed), KEY) for seed in range(40)]
    assert made == [kind(random.Random(seed), KEY) for seed in range(40)]
    assert len({attack.payload for attack in made}) > 5
    assert all(attack.payload for attack in made)


def test_an_attack_without_a_key_does_not_contain_it() -> None:
    rng = random.Random(0)
    for attack in (wire.wire_attack(rng, KEY) for _ in range(2_000)):
        if not attack.keyed:
            assert f"Bearer {KEY}\r\n".encode() not in attack.payload


def test_a_request_has_correct_framing() -> None:
    assert json_request("/tokenize", {"a": 1}, KEY) == (
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nAuthorization: Bearer right\r\n"
        b'Content-Length: 8\r\n\r\n{"a": 1}'
    )


class TestDocuments:
    def test_large_token_limits_are_reduced(self) -> None:
        rng = random.Random(0)
        for limit, kept in ((None, 2), (1_000, 2), (1, 1), (2**31, 2**31), (-1, -1)):
            body = json.dumps({"max_tokens": limit, "n": 100}).encode()
            made = json.loads(documents.limited_body(body, "/v1/completions", rng) or b"")
            assert made["max_tokens"] == kept
            assert made["n"] == 4

    def test_bodies_that_are_not_objects_stay(self) -> None:
        rng = random.Random(0)
        for body in (None, b"{", b"[]", b"\xff", b"[" * 100_000):
            assert documents.limited_body(body, "/v1/completions", rng) == body

    def test_changed_documents_are_json(self) -> None:
        rng = random.Random(0)
        base = documents.BASES["/v1/chat/completions"]
        values = repr(documents.VALUES)
        made = {documents.mutated(rng, "/v1/chat/completions", base, ["seed"]) for _ in range(300)}
        assert len(made) > 200
        assert repr(documents.VALUES) == values
        for body in made:
            assert isinstance(json.loads(body), dict)
        assert base["messages"] == [{"role": "user", "content": "What is this?"}]

    def test_every_value_is_sent_to_every_path(self) -> None:
        attacks = documents.engine_attacks(KEY)
        values = sum(len(values) for values in documents.ENGINE_VALUES.values())
        assert len(attacks) == values * len(documents.BASES)


class TestSchema:
    def test_only_operations_with_input_are_listed(self) -> None:
        assert schema.operations(OPENAPI) == ["POST /tokenize"]

    def test_property_names_include_all_alternatives(self) -> None:
        assert set(schema.property_names(OPENAPI, "/tokenize")) == {"text", "count"}
        assert schema.property_names(OPENAPI, "/health") == []

    @pytest.mark.parametrize("negative", [False, True])
    @pytest.mark.slow
    def test_requests_follow_or_break_the_schema(self, negative: bool) -> None:
        made = schema.make(OPENAPI, "POST /tokenize", negative, 20, seed=1)
        assert len(made) >= 10
        right = 0
        for case in made:
            assert (case.method, case.negative) == ("POST", negative)
            assert case.target.startswith("/tokenize")
            document = None
            with contextlib.suppress(ValueError):
                document = json.loads(case.body or b"null")
            right += isinstance(document, dict) and (
                isinstance(document.get("text"), str) or isinstance(document.get("count"), int)
            )
        assert right == len(made) if not negative else right < len(made)


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def against(answer: Answer, ask: Callable[[int], Awaitable[Any]]) -> Any:
    """Return the result of ``ask`` with the port of a server that runs ``answer``."""

    async def serve_and_ask() -> Any:
        answered = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await answer(reader, writer)
            writer.transport.abort()
            answered.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            came = await ask(server.sockets[0].getsockname()[1])
            await answered.wait()
        await asyncio.sleep(0)  # the transports close in the loop's next turn
        return came

    return asyncio.run(serve_and_ask())


class TestSend:
    def test_each_answer_is_counted(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n{}\nHTTP/1.1 404 Not Found\r\n\r\n")
            writer.close()

        attack = Attack("a", request_bytes("GET", "/"))
        came = against(answer, lambda port: send(port, attack))
        assert (came.statuses, came.end, came.label) == ((200, 404), "closed", "200")

    def test_the_client_leaves_half_a_request(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        attack = Attack("a", b"GET /", complete=False)
        came = against(answer, lambda port: send(port, attack))
        assert (came.statuses, came.label) == ((), "left")


class TestTrickle:
    def test_a_connection_that_the_server_closes_is_closed(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(3)
            writer.close()

        assert against(answer, lambda port: trickle(port, b"abcdef", 0.01, 30)) == "closed"

    def test_a_connection_that_stays_open_is_held(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        assert against(answer, lambda port: trickle(port, b"", 0.01, 0.1)) == "held"

    def test_bytes_sent_at_once_can_be_answered(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(2)
            writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            await reader.read()
            writer.close()

        came = against(answer, lambda port: trickle(port, b"", 0.01, 30, at_once=b"ab"))
        assert came == "answered"
