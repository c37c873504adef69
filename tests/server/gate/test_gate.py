"""The steps of the gate, with stand-ins for vLLM's application and its engine."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from entrypoint.settings import ADMIN_ROUTES
from entrypoint.shared.cors import Cors
from entrypoint.shared.keys import Keys
from server.gate import gate as gate_module
from server.gate.activity import EngineActivity
from server.gate.admission import Admission
from server.gate.gate import Gate
from server.gate.health import Health
from server.gate.protocol import protocol_class
from server.gate.routes import DECISIONS, LIVE, READY, Access
from tests.support.asgi import Request
from tests.support.event_loop import in_event_loop

KEY = {"Authorization": "Bearer right"}


class Streaming:
    """A stand-in for vLLM: streams events until the client leaves, as vLLM does."""

    def __init__(self, kind: bytes = b"text/event-stream", chunk: bytes = b'data: {"n": 1}\n\n'):
        self.freed = asyncio.Event()
        self._kind = kind
        self._chunk = chunk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", self._kind)],
            }
        )
        left = asyncio.ensure_future(receive())
        while not left.done():
            await send({"type": "http.response.body", "body": self._chunk, "more_body": True})
            await asyncio.sleep(0.001)
        self.freed.set()


async def answer(_request: HttpRequest) -> PlainTextResponse:
    """Answer a request of a route."""
    return PlainTextResponse("done")


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """A stand-in for vLLM: runs until the client leaves, and sends nothing."""
    await receive()
    assert (await receive())["type"] == "http.disconnect"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """A stand-in for vLLM: answers with the headers that reach it."""
    await receive()
    body = json.dumps({n.decode(): v.decode() for n, v in scope["headers"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    """A stand-in for vLLM: answers with the method and the path that reach its router."""
    body = json.dumps({name: scope[name] for name in ("method", "path")}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def reached_by_both(scope: Scope, receive: Receive, send: Send) -> None:
    """A stand-in for vLLM: answers requests, and accepts WebSockets."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await reached(scope, receive, send)


def a_gate(
    app: ASGIApp = echo,
    keys: tuple[str, ...] = (),
    concurrent: int = 8,
    queued: int = 8,
    **how: Any,
) -> Gate:
    health = Health(EngineActivity(), 60)
    health.attend(SimpleNamespace(errored=False))
    limits = {"max_request_bytes": 1000, **how}
    return Gate(app, Keys(keys), health, Admission(concurrent, queued), **limits)


def concrete(route: str) -> tuple[str, str]:
    """Return a route's method and a path that it matches."""
    method, _, path = route.partition(" ")
    return method, re.sub(r"\{[\w:]+\}", "x", path)


class TestKeys:
    @pytest.mark.parametrize("route", [r for r in DECISIONS if not r.startswith("WEBSOCKET")])
    @in_event_loop
    async def test_every_route_except_the_probes_needs_a_key(self, route: str) -> None:
        method, path = concrete(route)
        status, headers, _ = await Request(a_gate(keys=("right",)), path, method).answer()
        if DECISIONS[route].access is Access.OPEN:
            assert status == 200
        else:
            assert status == 401
            assert headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic right", "right"])
    @in_event_loop
    async def test_a_wrong_key_is_refused(self, header: str) -> None:
        request = Request(a_gate(keys=("right",)), headers={"Authorization": header})
        assert (await request.error())[0] == 401

    @pytest.mark.parametrize("kind", ["http", "websocket"])
    @in_event_loop
    async def test_anthropics_header_holds_a_key_too(self, kind: str) -> None:
        path = "/v1/messages" if kind == "http" else "/v1/realtime"
        app = a_gate(reached_by_both, keys=("right",))
        for key, allowed in (("right", True), ("wrong", False)):
            request = Request(app, path, headers={"X-Api-Key": key}, kind=kind)
            await request.until(1)
            await request.task
            first = request.messages[0]
            assert (first.get("status") == 200 or first["type"] == "websocket.accept") == allowed

    @pytest.mark.parametrize("path", [*READY, *LIVE])
    @in_event_loop
    async def test_a_websocket_on_a_probes_path_is_refused(self, path: str) -> None:
        for keys in ((), ("right",)):
            request = Request(a_gate(keys=keys), path, kind="websocket")
            await request.task
            assert request.messages == [{"type": "websocket.close", "code": 1008}]

    @in_event_loop
    async def test_two_headers_are_not_one_key(self) -> None:
        twice = [("Authorization", "Bearer wrong"), ("Authorization", "Bearer right")]
        both = Request(a_gate(keys=("right",)), headers=twice)
        assert (await both.error())[0] == 401

    @in_event_loop
    async def test_only_callers_with_a_key_learn_that_a_path_is_unknown(self) -> None:
        app = a_gate(keys=("right",))
        assert (await Request(app, "/nope", "GET").error())[0] == 401
        assert (await Request(app, "/nope", "GET", headers=KEY).error())[0] == 404

    @in_event_loop
    async def test_metrics_may_be_public(self) -> None:
        app = a_gate(keys=("right",), metrics_public=True)
        assert (await Request(app, "/metrics", "GET").answer())[0] == 200
        assert (await Request(app, "/v1/metrics", "GET").answer())[0] == 200
        assert (await Request(app, "/metrics/x", "GET").error())[0] == 401
        assert (await Request(app, "/v1/models", "GET").error())[0] == 401

    @in_event_loop
    async def test_a_websocket_is_closed_before_it_is_accepted(self) -> None:
        request = Request(a_gate(keys=("right",)), "/v1/realtime", kind="websocket")
        await request.until(1)
        assert request.messages == [{"type": "websocket.close", "code": 1008}]

    @in_event_loop
    async def test_a_refused_handshake_has_status_and_error(self) -> None:
        """With uvicorn's own answer to a handshake."""
        app = a_gate(keys=("right",))
        config = uvicorn.Config(app, http=protocol_class(), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(
                b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            async with asyncio.timeout(30):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            server.should_exit = True
            await serving
            writer.close()
        assert head.startswith(b"HTTP/1.1 401 ")
        assert json.loads(body)["error"]["code"] == "invalid_api_key"


class TestRoutes:
    @pytest.mark.parametrize("group", ADMIN_ROUTES)
    @in_event_loop
    async def test_admin_routes_are_closed_unless_their_group_is_listed(self, group: str) -> None:
        for route, decision in DECISIONS.items():
            if decision.group != group:
                continue
            method, path = concrete(route)
            status, _, error = await Request(a_gate(), path, method).error()
            assert status == 403
            assert f"ADMIN_ROUTES={group}" in error["message"]
            asked = a_gate(admin_routes=(group,))
            assert (await Request(asked, path, method).answer())[0] == 200

    @pytest.mark.parametrize(
        "path", ["/", "/v1", "/v1/", "/v1//models", "/metricsfoo", "/v2/new", "/V1/models"]
    )
    @in_event_loop
    async def test_paths_without_a_decision_are_closed(self, path: str) -> None:
        assert (await Request(a_gate(), path, "GET").error())[0] == 404

    @in_event_loop
    async def test_a_wrong_method_gets_the_allowed_ones(self) -> None:
        status, headers, _ = await Request(a_gate(), "/v1/models", "DELETE").error()
        assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")

    @pytest.mark.parametrize("route", [r for r in DECISIONS if not r.startswith("WEBSOCKET")])
    @in_event_loop
    async def test_a_trailing_slash_changes_nothing(self, route: str) -> None:
        """Not the decision, and not what vLLM's router sees."""
        method, path = concrete(route)
        open_to_all = DECISIONS[route].access is Access.OPEN
        for app in (a_gate(reached), a_gate(reached, keys=("right",))):
            plain = await Request(app, path, method).answer()
            slashed = await Request(app, f"{path}/", method).answer()
            assert slashed[0] == plain[0]
            if slashed[0] == 200 and not open_to_all:
                assert json.loads(slashed[2])["path"] == path

    @pytest.mark.parametrize(
        "path",
        [
            "/sleep/",
            "/sleep//",
            "//sleep",
            "/./sleep",
            "/v1/../sleep",
            "/v1/models/../../sleep",
            "/sleep/.",
            "/sleep/..",
            "/sleep;x",
            "/sleep%2F",
            "/sleep\\",
        ],
    )
    @in_event_loop
    async def test_no_spelling_of_a_path_opens_a_closed_route(self, path: str) -> None:
        assert (await Request(a_gate(reached), path).answer())[0] in (403, 404, 405)

    @in_event_loop
    async def test_a_trailing_slash_keeps_the_limits(self) -> None:
        app = a_gate(Streaming(), concurrent=1, queued=0)
        runs = Request(app, "/v1/completions/")
        await runs.until(2)
        assert (await Request(app, "/v1/completions/").error())[0] == 429
        runs.leave()
        await runs.task

    @in_event_loop
    async def test_head_is_a_get_for_vllm(self) -> None:
        status, _, body = await Request(a_gate(reached), "/v1/models", "HEAD").answer()
        assert (status, json.loads(body)["method"]) == (200, "GET")
        assert (await Request(a_gate(), "/v1/completions", "HEAD").answer())[0] == 405
        assert (await Request(a_gate(), "/nope", "HEAD").answer())[0] == 404

    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/v1/models", "GET, HEAD, OPTIONS"),
            ("/v1/models/", "GET, HEAD, OPTIONS"),
            ("/v1/chat/completions", "POST, OPTIONS"),
            ("/health", "GET, HEAD, OPTIONS"),
            ("/v1/realtime", "GET, OPTIONS"),
        ],
    )
    @in_event_loop
    async def test_options_lists_the_methods(self, path: str, allowed: str) -> None:
        status, headers, body = await Request(a_gate(reached), path, "OPTIONS").answer()
        assert (status, headers["allow"], body) == (204, allowed, b"")

    @in_event_loop
    async def test_options_of_an_unknown_path_is_a_404(self) -> None:
        assert (await Request(a_gate(reached), "/nope", "OPTIONS").error())[0] == 404

    @in_event_loop
    async def test_a_websocket_needs_a_websocket_client(self) -> None:
        status, headers, error = await Request(a_gate(), "/v1/realtime", "GET").error()
        assert (status, headers["upgrade"]) == (426, "websocket")
        assert "WebSocket" in error["message"]
        status, headers, _ = await Request(a_gate(), "/v1/realtime", "POST").error()
        assert (status, headers["allow"]) == (405, "GET, OPTIONS")

    @in_event_loop
    async def test_a_route_that_only_other_models_have_names_those_of_this_one(self) -> None:
        app = Starlette(routes=[Route("/v1/completions", answer, methods=["POST"])])
        gate = a_gate(app)
        status, _, error = await Request(gate, "/v1/embeddings").error()
        assert (status, error["code"]) == (404, "unknown_url")
        assert "The loaded model has no route POST /v1/embeddings" in error["message"]
        assert "It has: /v1/completions." in error["message"]
        assert (await Request(gate, "/v1/completions").answer())[0] == 200

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            ("/v1/messages", {}),
            ("/team/v1/messages", {}),
            ("/v1/messages/count_tokens", {}),
            ("/v1/models", {"anthropic-version": "2023-06-01"}),
        ],
    )
    @in_event_loop
    async def test_anthropics_clients_get_anthropics_errors(
        self, path: str, headers: dict[str, str]
    ) -> None:
        app = a_gate(keys=("right",), root_path="/team")
        _, answered, body = await Request(app, path, headers=headers).answer()
        document = json.loads(body)
        assert document["type"] == "error"
        assert document["error"]["type"] == "authentication_error"
        assert document["request_id"] == answered["x-request-id"]

    @in_event_loop
    async def test_the_root_path_of_a_proxy_is_removed(self) -> None:
        app = a_gate(root_path="/team")
        assert (await Request(app, "/team/v1/models", "GET").answer())[0] == 200
        assert (await Request(app, "/v1/models", "GET").answer())[0] == 200
        assert (await Request(app, "/team/sleep").error())[0] == 403
        assert (await Request(app, "/teams/v1/models", "GET").error())[0] == 404


PAGE = "https://page.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-stainless-os",
}


class TestPages:
    """What a browser lets a page of another origin read."""

    CORS = Cors((PAGE,))

    def refused(self) -> dict[int, tuple[Gate, dict[str, Any]]]:
        """Return a gate and a request that it refuses, for each status."""
        stopping = a_gate(cors=self.CORS)
        stopping.stop()
        dead = a_gate(cors=self.CORS)
        dead.health.attend(SimpleNamespace(errored=True))
        full = a_gate(Streaming(), concurrent=1, queued=0, cors=self.CORS)
        plain = a_gate(cors=self.CORS)
        return {
            200: (plain, {}),
            204: (plain, {"path": "/v1/models", "method": "OPTIONS"}),
            400: (plain, {"body": b"[" * 300 + b"]" * 300}),
            401: (a_gate(keys=("right",), cors=self.CORS), {}),
            403: (plain, {"path": "/sleep"}),
            404: (plain, {"path": "/nope"}),
            405: (plain, {"path": "/v1/completions", "method": "GET"}),
            413: (plain, {"body": b"x" * 2000}),
            415: (plain, {"headers": {"Content-Encoding": "br"}}),
            426: (plain, {"path": "/v1/realtime", "method": "GET"}),
            429: (full, {}),
            503: (stopping, {}),
            -503: (dead, {"path": "/health", "method": "GET"}),
        }

    @pytest.mark.parametrize(
        "status", [200, 204, 400, 401, 403, 404, 405, 413, 415, 426, 429, 503, -503]
    )
    @in_event_loop
    async def test_a_refusal_has_the_headers_of_an_answer(self, status: int) -> None:
        app, asked = self.refused()[status]
        runs = Request(app) if status == 429 else None
        if runs:
            await runs.until(2)
        for origin, allowed in ((PAGE, PAGE), ("https://b.example", None)):
            headers = {"Origin": origin, **asked.get("headers", {})}
            got, found, _ = await Request(app, **{**asked, "headers": headers}).answer()
            assert got == abs(status)
            assert found.get("access-control-allow-origin") == allowed
            assert found["vary"] == "Origin"
        if runs:
            runs.leave()
            await runs.task

    @pytest.mark.parametrize("path", ["/v1/completions", "/v1/models/", "/health", "/sleep", "/x"])
    @in_event_loop
    async def test_a_preflight_needs_no_key_on_any_path(self, path: str) -> None:
        app = a_gate(silent, keys=("right",), cors=self.CORS)
        for stopping in (False, True):
            app.health.stopping = stopping
            status, headers, body = await Request(app, path, "OPTIONS", headers=PREFLIGHT).answer()
            assert (status, body) == (200, b"")
            assert headers["access-control-allow-origin"] == PAGE
            assert headers["access-control-allow-headers"] == "authorization,x-stainless-os"
            assert "POST" in headers["access-control-allow-methods"]
            assert "x-request-id" in headers

    @in_event_loop
    async def test_a_preflight_from_elsewhere_names_the_option(self) -> None:
        request = Request(a_gate(silent), "/v1/completions", "OPTIONS", headers=PREFLIGHT)
        status, headers, error = await request.error()
        assert status == 400
        assert "--allowed-origins" in error["message"]
        assert "access-control-allow-origin" not in headers

    @in_event_loop
    async def test_options_without_the_headers_of_a_preflight_need_the_key(self) -> None:
        app = a_gate(keys=("right",), cors=self.CORS)
        for asked in ({}, {"Origin": PAGE}, {"Access-Control-Request-Method": "POST"}):
            bare = Request(app, "/v1/completions", "OPTIONS", headers=asked)
            assert (await bare.error())[0] == 401


class TestRequestId:
    @in_event_loop
    async def test_a_new_id_reaches_vllm_and_the_client(self) -> None:
        _, headers, body = await Request(a_gate()).answer()
        assert len(headers["x-request-id"]) == 32
        assert json.loads(body)["x-request-id"] == headers["x-request-id"]

    @in_event_loop
    async def test_the_clients_own_id_is_kept(self) -> None:
        _, headers, body = await Request(a_gate(), headers={"X-Request-Id": "a-1.b"}).answer()
        assert headers["x-request-id"] == json.loads(body)["x-request-id"] == "a-1.b"

    @pytest.mark.parametrize("bad", ["", "a b", "a\nb", "x" * 129, "ä"])
    @in_event_loop
    async def test_an_id_that_could_forge_log_lines_is_replaced(self, bad: str) -> None:
        _, headers, body = await Request(a_gate(), headers={"X-Request-Id": bad}).answer()
        assert len(headers["x-request-id"]) == 32
        assert json.loads(body)["x-request-id"] == headers["x-request-id"]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that the gate logs."""
    logged: list[str] = []

    def note(text: str, *args: object) -> None:
        logged.append(text % args)

    monkeypatch.setattr(gate_module, "logger", SimpleNamespace(info=note))
    return logged


async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    """A stand-in for vLLM, whose routes answer `null` when they find that the client has left."""
    await silent(scope, receive, send)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"null"})


class TestLog:
    @in_event_loop
    async def test_a_request_is_logged_on_one_line(self, lines: list[str]) -> None:
        app = a_gate(keys=("right",))
        headers = {**KEY, "X-Request-Id": "mine"}
        await Request(app, "/no\npe" + "e" * 1000, "GET", headers=headers).error()
        await Request(app, "/health", "GET").answer()
        assert len(lines) == 1, "probes arrive every second and are not logged"
        assert lines[0].startswith("GET /no\\npe")
        assert "404" in lines[0]
        assert "mine" in lines[0]
        assert "right" not in lines[0]
        assert len(lines[0]) < 400

    @pytest.mark.parametrize(
        ("app", "messages"),
        [
            (silent, 0),
            (cancelled, 0),
            (Streaming(), 1),
            (Streaming(), 3),
            (Streaming(kind=b"application/json", chunk=b"[1,"), 2),
        ],
        ids=["before-the-answer", "vllm-answers-null", "at-its-start", "in-a-stream", "in-a-list"],
    )
    @in_event_loop
    async def test_a_client_that_leaves_is_logged_as_499(
        self, lines: list[str], app: ASGIApp, messages: int
    ) -> None:
        request = Request(a_gate(app))
        await request.until(messages)
        await asyncio.sleep(0)
        request.leave()
        await request.task
        assert [line.split()[2] for line in lines] == ["499"]

    @in_event_loop
    async def test_a_client_that_leaves_the_queue_is_logged_as_499(self, lines: list[str]) -> None:
        app = a_gate(Streaming(), concurrent=1)
        runs = Request(app)
        await runs.until(2)
        waits = Request(app)
        while not app.admission.waiting:
            await asyncio.sleep(0)
        waits.leave()
        await waits.task
        assert [line.split()[2] for line in lines] == ["499"]
        runs.leave()
        await runs.task

    @in_event_loop
    async def test_a_client_that_leaves_its_body_unfinished_is_logged_as_499(
        self, lines: list[str]
    ) -> None:
        request = Request(a_gate(), body=None)
        await asyncio.sleep(0)
        request.leave()
        await request.task
        assert [line.split()[2] for line in lines] == ["499"]

    @in_event_loop
    async def test_a_client_that_leaves_after_the_end_is_logged_with_its_status(
        self, lines: list[str]
    ) -> None:
        async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
            await echo(scope, receive, send)
            assert (await receive())["type"] == "http.disconnect"

        assert (await Request(a_gate(lingers)).answer())[0] == 200
        assert [line.split()[2] for line in lines] == ["200"]

    @pytest.mark.parametrize(
        ("app", "messages", "status"),
        [(Streaming(), 2, "200"), (silent, 0, "503"), (Streaming(b"text/plain"), 2, "200")],
    )
    @in_event_loop
    async def test_an_answer_that_the_server_ends_is_not_the_clients(
        self, lines: list[str], app: ASGIApp, messages: int, status: str
    ) -> None:
        gate = a_gate(app)
        request = Request(gate)
        await request.until(messages)
        await asyncio.sleep(0)
        await gate.end()
        request.leave()  # uvicorn reports this once it has closed the connection
        await request.task
        assert [line.split()[2] for line in lines] == [status]

    @pytest.mark.parametrize(("key", "status"), [("right", "101"), ("wrong", "403")])
    @in_event_loop
    async def test_a_websocket_is_logged_with_its_status(
        self, lines: list[str], key: str, status: str
    ) -> None:
        app = a_gate(reached_by_both, keys=("right",))
        await Request(app, "/v1/realtime", headers={"X-Api-Key": key}, kind="websocket").task
        assert [line.split()[2] for line in lines] == [status]


class TestFailures:
    @pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/messages"])
    @in_event_loop
    async def test_a_clients_mistake_in_a_stream_becomes_its_last_event(self, path: str) -> None:
        app = a_gate(Failing(ValueError("bad grammar")))
        body = (await Request(app, path).answer())[2]
        *_, error, done, nothing = body.split(b"\n\n")
        assert b"bad grammar" in error
        assert b"invalid_request_error" in error
        assert (done, nothing) == (b"data: [DONE]", b"")

    @in_event_loop
    async def test_a_fault_in_a_stream_becomes_its_last_event_and_is_raised(self) -> None:
        request = Request(a_gate(Failing(KeyError("x"))))
        with pytest.raises(KeyError):
            await request.task
        assert b'"server_error"' in request.messages[-1]["body"]

    @in_event_loop
    async def test_a_fault_before_the_answer_is_answered_and_raised(self) -> None:
        async def fails(scope: Scope, receive: Receive, send: Send) -> None:
            raise KeyError("x")

        request = Request(a_gate(fails))
        with pytest.raises(KeyError):
            await request.task
        assert request.messages[0]["status"] == 500
        assert json.loads(request.messages[1]["body"])["error"]["code"] == "server_error"

    @in_event_loop
    async def test_an_exception_that_was_answered_as_a_fault_is_logged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The web framework's answer to an exception while vLLM's answer is written."""

        async def fails(scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
            raise ValueError("Out of range float values are not JSON compliant")

        logged: list[BaseException | None] = []
        monkeypatch.setattr(
            gate_module.logger, "exception", lambda *_: logged.append(sys.exc_info()[1])
        )
        status, _, error = await Request(a_gate(fails)).error()
        assert (status, error["code"]) == (500, "server_error")
        assert "not JSON compliant" in str(logged[0])


class Failing:
    """An application that fails in the middle of a stream."""

    def __init__(self, error: Exception):
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        raise self._error


class TestStop:
    @in_event_loop
    async def test_new_requests_are_sent_elsewhere(self) -> None:
        app = a_gate()
        app.stop()
        status, headers, error = await Request(app).error()
        assert status == 503
        assert int(headers["retry-after"]) > 0
        assert headers["connection"] == "close"
        assert error["code"] == "service_unavailable"
        assert (await Request(app, "/health/ready", "GET").answer())[0] == 503
        assert (await Request(app, "/health/live", "GET").answer())[0] == 200
        assert await app.drained(5)

    @in_event_loop
    async def test_running_requests_finish_and_close_their_connections(self) -> None:
        go = asyncio.Event()

        async def waits(scope: Scope, receive: Receive, send: Send) -> None:
            await go.wait()
            await echo(scope, receive, send)

        app = a_gate(waits)
        request = Request(app)
        await asyncio.sleep(0)
        app.stop()
        assert not await app.drained(0.01)
        go.set()
        assert await app.drained(5)
        status, headers, _ = await request.answer()
        assert (status, headers["connection"]) == (200, "close")

    @in_event_loop
    async def test_a_stream_gets_an_error_and_its_end(self) -> None:
        streaming = Streaming()
        app = a_gate(streaming)
        request = Request(app)
        await request.until(4)
        app.stop()
        assert await app.end() == 1
        _, _, body = await request.answer()
        *before, error, done, nothing = body.decode().split("\n\n")
        assert (done, nothing) == ("data: [DONE]", "")
        assert json.loads(error.removeprefix("data: "))["error"]["code"] == "service_unavailable"
        assert set(before) == {'data: {"n": 1}'}
        assert streaming.freed.is_set(), "the sequence must be freed"

    @in_event_loop
    async def test_a_stream_in_the_middle_of_an_event_ends_on_a_new_line(self) -> None:
        app = a_gate(Streaming(chunk=b"data: half"))
        request = Request(app)
        await request.until(2)
        await app.end()
        body = (await request.answer())[2]
        assert b"half\n\ndata: {" in body

    @pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/v1/messages/"])
    @in_event_loop
    async def test_streams_with_named_events_get_a_named_error(self, path: str) -> None:
        app = a_gate(Streaming())
        request = Request(app, path)
        await request.until(2)
        await app.end()
        last = (await request.answer())[2].decode().split("\n\n")[-3]
        event, data = last.split("\n")
        assert event == "event: error"
        assert json.loads(data.removeprefix("data: "))["type"] == "error"

    @in_event_loop
    async def test_an_answer_that_has_not_started_becomes_a_503(self) -> None:
        app = a_gate(silent)
        request = Request(app)
        await asyncio.sleep(0)
        app.stop()
        await app.end()
        status, headers, error = await request.error()
        assert (status, headers["connection"]) == (503, "close")
        assert "not finished" in error["message"]

    @in_event_loop
    async def test_an_incomplete_body_is_not_completed(self) -> None:
        """The client must notice that a part is missing."""
        app = a_gate(Streaming(kind=b"application/json", chunk=b"[1,"))
        request = Request(app)
        await request.until(2)
        await app.end()
        assert request.messages[-1].get("more_body") is True
        request.leave()
        await request.task

    @in_event_loop
    async def test_a_complete_answer_is_left_alone(self) -> None:
        lingers = asyncio.Event()

        async def background(scope: Scope, receive: Receive, send: Send) -> None:
            await echo(scope, receive, send)
            await lingers.wait()

        app = a_gate(background)
        request = Request(app)
        await request.until(2)
        assert await app.end() == 0
        lingers.set()
        assert (await request.answer())[0] == 200


class TestLimits:
    """What a client gets at a limit."""

    @in_event_loop
    async def test_a_body_that_is_too_large_gets_a_413(self) -> None:
        request = Request(a_gate(max_request_bytes=10), body=b"x" * 11)
        status, headers, error = await request.error()
        assert (status, headers["connection"]) == (413, "close")
        assert "MAX_REQUEST_BYTES=10" in error["message"]

    @in_event_loop
    async def test_a_compressed_body_reaches_vllm_decoded(self) -> None:
        headers = {"Content-Encoding": "gzip", "Content-Length": "1"}
        request = Request(a_gate(), headers=headers, body=gzip.compress(b'{"prompt": "a"}'))
        status, _, body = await request.answer()
        assert status == 200
        assert json.loads(body)["content-length"] == "15"
        assert "content-encoding" not in json.loads(body)

    @in_event_loop
    async def test_the_decoded_content_is_checked(self) -> None:
        deep = gzip.compress(b"[" * 300 + b"]" * 300)
        request = Request(a_gate(), headers={"Content-Encoding": "gzip"}, body=deep)
        assert "nest" in (await request.error())[2]["message"]

    @in_event_loop
    async def test_an_unknown_coding_gets_a_415(self) -> None:
        request = Request(a_gate(), headers={"Content-Encoding": "br"})
        status, headers, error = await request.error()
        assert (status, headers["connection"]) == (415, "close")
        assert headers["accept-encoding"] == "gzip, deflate, zstd"
        assert "br" in error["message"]

    @in_event_loop
    async def test_requests_beyond_the_queue_get_a_429(self) -> None:
        app = a_gate(Streaming(), concurrent=1, queued=1)
        runs = Request(app)
        await runs.until(2)
        waits = Request(app)
        while not app.admission.waiting:
            await asyncio.sleep(0)
        status, headers, error = await Request(app).error()
        assert status == 429
        assert int(headers["retry-after"]) > 0
        assert error["code"] == "rate_limit_exceeded"
        runs.leave()
        await waits.until(2)
        waits.leave()
        await asyncio.gather(runs.task, waits.task)
        assert (app.admission.running, app.admission.waiting) == (0, 0)

    @in_event_loop
    async def test_a_client_that_leaves_the_queue_frees_its_place(self) -> None:
        app = a_gate(Streaming(), concurrent=1)
        runs, leaves = Request(app), None
        await runs.until(2)
        leaves = Request(app)
        while not app.admission.waiting:
            await asyncio.sleep(0)
        leaves.leave()
        await leaves.task
        assert app.admission.waiting == 0
        assert leaves.messages == []
        runs.leave()
        await runs.task

    @in_event_loop
    async def test_a_waiting_request_gets_a_503_when_the_server_stops(self) -> None:
        app = a_gate(Streaming(), concurrent=1)
        runs = Request(app)
        await runs.until(2)
        waits = Request(app)
        while not app.admission.waiting:
            await asyncio.sleep(0)
        app.stop()
        assert await app.end() == 2
        assert (await waits.error())[0] == 503
        await runs.task

    @in_event_loop
    async def test_requests_without_work_need_no_place(self) -> None:
        app = a_gate(Streaming(), concurrent=1, queued=0)
        runs = Request(app)
        await runs.until(2)
        other = Request(app, "/v1/models", "GET")
        await other.until(2)
        for request in (runs, other):
            request.leave()
            await request.task


class TestProbes:
    @pytest.mark.parametrize("path", [*READY, *LIVE])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @in_event_loop
    async def test_probes_answer_without_a_key(self, path: str, method: str) -> None:
        assert (await Request(a_gate(keys=("right",)), path, method).answer())[0] == 200

    @in_event_loop
    async def test_probes_report_a_dead_engine(self) -> None:
        app = a_gate()
        app.health.attend(SimpleNamespace(errored=True))
        for path in (*READY, *LIVE):
            status, _, body = await Request(app, path, "GET").answer()
            assert status == 503
            assert json.loads(body)["status"] == "the engine is dead"

    @pytest.mark.parametrize("path", ["/health", "/health/live"])
    @in_event_loop
    async def test_probes_refuse_post(self, path: str) -> None:
        status, headers, _ = await Request(a_gate(), path, "POST").error()
        assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@in_event_loop
async def test_lifespan_events_are_passed_on() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await a_gate(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
