"""Which web pages may read an answer, compared with the layer of Starlette that vLLM uses."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import Message

from entrypoint.shared.cors import EXPOSED_HEADERS, Cors

ORIGIN = "https://a.example"
SETTINGS: list[dict[str, Any]] = [
    {"origins": []},
    {"origins": [ORIGIN]},
    {"origins": ["https://b.example", ORIGIN]},
    {"origins": [f"{ORIGIN}:443", "null"]},
    {"origins": ["*"]},
    {"origins": ["*", ORIGIN]},
    {"origins": ["*"], "credentials": True},
    {"origins": [ORIGIN], "credentials": True},
    {"origins": [ORIGIN], "methods": ["GET"]},
    {"origins": [ORIGIN], "methods": ["GET", "POST"], "headers": []},
    {"origins": [ORIGIN], "headers": ["Authorization"]},
    {"origins": ["*"], "headers": ["X-Api-Key", "Authorization"], "credentials": True},
]
ORIGINS = [None, ORIGIN, "https://b.example", "http://a.example", ORIGIN.upper(), "null", ""]


def both(settings: dict[str, Any]) -> tuple[Cors, CORSMiddleware]:
    all_of = {"methods": ["*"], "headers": ["*"], "credentials": False, **settings}
    return Cors.from_options(**all_of), CORSMiddleware(
        PlainTextResponse("ok"),
        allow_origins=all_of["origins"],
        allow_methods=all_of["methods"],
        allow_headers=all_of["headers"],
        allow_credentials=all_of["credentials"],
        expose_headers=EXPOSED_HEADERS,
    )


def starlettes(layer: CORSMiddleware, method: str, asked: dict[str, str]) -> tuple[int, Any]:
    """Return the status and the CORS headers of an answer of Starlette's layer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in asked.items()]
    scope = {"type": "http", "method": method, "path": "/", "headers": headers}
    asyncio.run(layer(scope, None, send))  # type: ignore[arg-type]
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    named = {n: v for n, v in found.items() if n.startswith("access-control")}
    return sent[0]["status"], named


def as_sets(headers: dict[str, str]) -> dict[str, set[str]]:
    """Return headers with lists whose order and repetitions do not matter."""
    return {name: set(value.split(", ")) for name, value in headers.items() if name != "vary"}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_an_answer_has_starlettes_headers(settings: dict[str, Any]) -> None:
    cors, layer = both(settings)
    for origin in ORIGINS:
        _, expected = starlettes(layer, "GET", {} if origin is None else {"origin": origin})
        if "access-control-allow-origin" not in expected:
            expected = {}  # Starlette sends the others to everyone; browsers ignore them
        assert cors.answer_headers(origin) == expected


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_preflight_is_answered_as_by_starlette(settings: dict[str, Any]) -> None:
    cors, layer = both(settings)
    for origin, method, headers in product(
        [each for each in ORIGINS if each is not None],
        ["GET", "POST", "DELETE", "TRACE", "get"],
        [None, "content-type", "authorization, content-type", "x-new"],
    ):
        asked = {"origin": origin, "access-control-request-method": method}
        if headers is not None:
            asked["access-control-request-headers"] = headers
        status, expected = starlettes(layer, "OPTIONS", asked)
        problem = cors.preflight_problem(origin, method, headers)
        assert (problem is None) == (status == 200), asked
        if problem is None:
            found = as_sets(cors.answer_headers(origin) | cors.preflight_headers(headers))
            wanted = as_sets(expected)
            # no route has the method QUERY, and a preflight needs no exposed headers
            wanted["access-control-allow-methods"] -= {"QUERY"}
            del found["access-control-expose-headers"]
            assert found == wanted, asked


@pytest.mark.parametrize(
    ("cors", "asked", "words"),
    [
        (Cors(), (ORIGIN, "GET", None), ["--allowed-origins", f'["{ORIGIN}"]']),
        (Cors(("*",), methods=("GET",)), (ORIGIN, "PUT", None), ["--allowed-methods", "PUT"]),
        (Cors(("*",), headers=()), (ORIGIN, "GET", "X-One"), ["--allowed-headers", "X-One"]),
    ],
)
def test_a_refused_preflight_names_the_option(
    cors: Cors, asked: tuple[str, str, str | None], words: list[str]
) -> None:
    problem = cors.preflight_problem(*asked) or ""
    assert all(word in problem for word in words)


def test_a_long_origin_is_cut_in_the_error() -> None:
    assert len(Cors().preflight_problem("x" * 60_000, "GET", None) or "") < 1000


@pytest.mark.parametrize(
    ("value", "origins"),
    [("*", ("*",)), (ORIGIN, (ORIGIN,)), ([ORIGIN], (ORIGIN,)), ([], ()), (None, ()), (7, ())],
)
def test_every_json_value_of_the_option_is_read(value: object, origins: tuple[str, ...]) -> None:
    assert Cors.from_options(value, "*", "*", False).origins == origins
