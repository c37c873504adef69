"""The limits as clients see them: through HTTP, uvicorn, and the gate.

Behind the gate is a stand-in for vLLM's application, which runs each request until a test finishes
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from starlette.types import Receive, Scope, Send

from entrypoint.shared.keys import Keys
from server.gate import gate as gate_module
from server.gate.activity import EngineActivity, current_ticket
from server.gate.admission import Admission
from server.gate.body import SMALL_BYTES
from server.gate.gate import Gate
from server.gate.health import Health
from server.gate.protocol import protocol_class
from tests.support.connections import PATIENCE, Client, Server, serving

KEYS = ("alpha", "beta", "gamma")
MODEL = "model"


class HeldApp:
    """Runs each request until :meth:`finish`; X-Request-Id is a request's name."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.left: list[str] = []
        self.tokens = 0
        self._ends: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope["headers"])[b"x-request-id"].decode()
        end = self._ends[name] = asyncio.Event()
        assert not (await receive()).get("more_body")
        self.started.append(name)
        if self.tokens:
            ticket = current_ticket.get()
            assert ticket is not None
            ticket.spend(self.tokens)
            end.set()
        leaving = asyncio.ensure_future(receive())
        ending = asyncio.ensure_future(end.wait())
        await asyncio.wait([leaving, ending], return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            self.left.append(name)
        else:
            body = json.dumps({"id": name, "object": "text_completion", "choices": []}).encode()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        leaving.cancel()
        ending.cancel()

    def finish(self, name: str) -> None:
        self._ends[name].set()

    def finish_all(self) -> None:
        for end in self._ends.values():
            end.set()

    @property
    def running(self) -> list[str]:
        return [name for name in self.started if not self._ends[name].is_set()]


class Limited:
    """A server with limits, and the clients of a test."""

    def __init__(self, server: Server, app: HeldApp, admission: Admission):
        self.server = server
        self.app = app
        self.admission = admission
        self.clients: dict[str, Client] = {}

    def post(self, name: str, key: str, content: bytes = b'{"model": "model"}') -> None:
        """Send a request without waiting for its answer."""
        client = self.clients[name] = Client(self.server)
        head = (
            f"POST /v1/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\n"
            f"x-request-id: {name}\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        client.send(head.encode() + content)

    def answer(self, name: str) -> tuple[int, dict[str, str], Any]:
        """Wait for an answer; return its status, headers and document."""
        client = self.clients[name]
        head = client.until(b"\r\n\r\n").decode()
        status, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if "content-length" in headers:
            body = b""
            while len(body) < int(headers["content-length"]):
                body += client.socket.recv(65536)
        else:
            body = client.until(b"0\r\n\r\n").split(b"\r\n")[1]
        return int(status.split()[1]), headers, json.loads(body)

    def until(self, running: int, waiting: int) -> None:
        """Wait until this number of requests runs and waits."""
        self.server.until(
            lambda: (self.admission.running, self.admission.waiting) == (running, waiting)
        )

    def until_started(self, count: int) -> None:
        """Wait until the application has started this number of requests."""
        self.server.until(lambda: len(self.app.started) >= count)

    def finish(self, name: str) -> None:
        """Make the application answer a request."""
        self.server.ask(lambda: self.app.finish(name))

    def openai(self, key: str = KEYS[0], **how: Any) -> openai.OpenAI:
        url = f"http://127.0.0.1:{self.server.port}/v1"
        return openai.OpenAI(base_url=url, api_key=key, timeout=PATIENCE, **how)


@contextlib.contextmanager
def limited(
    concurrent: int = 1,
    queued: int = 1,
    per_key: int | None = None,
    tokens: int | None = None,
    max_request_bytes: int = 10_000,
) -> Generator[Limited, None, None]:
    app = HeldApp()
    admission = Admission(concurrent, queued, per_key, tokens)
    health = Health(EngineActivity(), 60)
    health.attend(SimpleNamespace(errored=False))
    gate = Gate(
        app,
        Keys(KEYS),
        health,
        admission,
        max_request_bytes=max_request_bytes,
        admin_routes=("lora",),
    )
    with serving(gate, http=protocol_class()) as server:
        here = Limited(server, app, admission)
        try:
            yield here
        finally:
            for client in here.clients.values():
                client.socket.close()
            server.ask(app.finish_all)
            here.until(0, 0)


class TestQueue:
    def test_requests_beyond_the_queue_get_a_429(self) -> None:
        with limited() as here:
            here.post("one", "alpha")
            here.until(1, 0)
            here.post("two", "alpha")
            here.until(1, 1)
            here.post("three", "alpha")
            status, headers, body = here.answer("three")
            assert status == 429
            assert 1 <= int(headers["retry-after"]) <= 60
            assert "MAX_QUEUED_REQUESTS=1" in body["error"]["message"]
            assert body["error"]["code"] == "rate_limit_exceeded"
            for name in ("one", "two"):
                here.until_started(1 if name == "one" else 2)
                here.finish(name)
                assert here.answer(name)[0] == 200

    def test_probes_do_not_wait(self) -> None:
        with limited(queued=0) as here:
            here.post("one", "alpha")
            here.until(1, 0)
            probe = httpx.get(f"http://127.0.0.1:{here.server.port}/health/ready")
            assert probe.status_code == 200

    def test_who_leaves_it_is_never_worked_on(self) -> None:
        with limited(queued=2) as here:
            here.post("one", "alpha")
            here.until(1, 0)
            here.post("two", "alpha")
            here.until(1, 1)
            here.post("three", "alpha")
            here.until(1, 2)
            here.clients["two"].socket.close()
            here.until(1, 1)
            here.finish("one")
            here.server.until(lambda: here.app.started == ["one", "three"])

    def test_who_leaves_while_it_runs_makes_room(self) -> None:
        with limited() as here:
            here.post("one", "alpha")
            here.until(1, 0)
            here.post("two", "alpha")
            here.until(1, 1)
            here.clients["one"].socket.close()
            here.server.until(lambda: here.app.started == ["one", "two"])
            assert here.app.left == ["one"]

    def test_clients_that_leave_keep_no_place(self) -> None:
        with limited(concurrent=2, queued=3) as here:
            for n in range(60):
                here.post(f"r{n}", KEYS[n % 3])
                if n >= 3:
                    here.clients[f"r{n - 3}"].socket.close()
            for client in here.clients.values():
                client.socket.close()
            here.until(0, 0)
            here.post("last", "alpha")
            here.server.until(lambda: "last" in here.app.started)


class TestFairness:
    def test_a_flood_from_one_key_does_not_keep_out_others(self) -> None:
        """1. One key fills the places and the queue. 2. Others send one request after the other.
        3. Each starts before the flood has had two more turns, and none is refused."""
        with limited(concurrent=2, queued=10) as here:
            for n in range(20):
                here.post(f"flood{n}", "alpha")
            here.until(2, 10)
            for n in range(8):
                name, key = f"single{n}", KEYS[1 + n % 2]
                here.post(name, key)
                here.server.until(lambda: here.admission.keys == 2)
                here.until(2, 10)  # it has taken the place of the flood's newest
                before = len(here.app.started)
                for _ in range(2):
                    here.finish(next(flood for flood in here.app.running if flood != name))
                    here.until_started(before + 1)
                    before += 1
                assert name in here.app.started[-2:]
                here.finish(name)
                assert here.answer(name)[0] == 200
                here.until_started(before + 1)
                for part in "abc":
                    here.post(f"refill{n}{part}", "alpha")
                here.until(2, 10)


class TestKey:
    def test_a_key_has_a_limit_of_concurrent_requests(self) -> None:
        with limited(concurrent=8, queued=8, per_key=2) as here:
            for name in ("one", "two"):
                here.post(name, "alpha")
            here.until(2, 0)
            here.post("three", "alpha")
            status, headers, body = here.answer("three")
            assert status == 429
            assert int(headers["retry-after"]) >= 1
            assert "MAX_CONCURRENT_REQUESTS_PER_KEY=2" in body["error"]["message"]
            here.post("other", "beta")
            here.until(3, 0)

    def test_a_key_has_a_token_budget(self) -> None:
        """1. A request uses two minutes' tokens. 2. The key's next must wait for one minute."""
        with limited(tokens=1000) as here:
            here.app.tokens = 2000
            here.post("one", "alpha")
            assert here.answer("one")[0] == 200
            here.post("two", "alpha")
            status, headers, body = here.answer("two")
            assert (status, headers["retry-after"]) == (429, "60")
            assert "MAX_TOKENS_PER_MINUTE_PER_KEY=1000" in body["error"]["message"]
            here.post("other", "beta")
            assert here.answer("other")[0] == 200


class TestBody:
    @pytest.mark.parametrize(
        "path", ["/v1/completions", "/v1/load_lora_adapter", "/v1/responses/one/cancel"]
    )
    def test_bodies_are_limited_on_every_route(self, path: str) -> None:
        """Even on routes that give the engine no work."""
        with limited() as here, Client(here.server) as client:
            client.send(
                f"POST {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer alpha\r\n"
                "transfer-encoding: chunked\r\n\r\n".encode()
            )
            client.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            client.send(b"2000\r\n" + b"x" * 8192 + b"\r\n")
            assert client.until(b"\r\n").startswith(b"HTTP/1.1 413 ")
            assert here.app.started == []

    def test_large_bodies_share_their_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """1. Two large bodies wait and fill the memory. 2. A third gets a 429; a small one waits.
        3. One of the two starts: there is memory again."""
        monkeypatch.setattr(gate_module, "LARGE_BODIES", 1)
        most = 3 * SMALL_BYTES
        large = b'{"prompt": "' + b"x" * (most - SMALL_BYTES // 2 - 100) + b'"}'
        with limited(queued=9, max_request_bytes=most) as here:
            here.post("running", "alpha")
            here.until(1, 0)
            here.post("first", "alpha", large)
            here.until(1, 1)
            here.post("second", "alpha", large)
            here.until(1, 2)
            here.post("third", "alpha", large)
            status, headers, body = here.answer("third")
            assert (status, headers["retry-after"], headers["connection"]) == (429, "1", "close")
            assert f"{most} bytes" in body["error"]["message"]
            here.post("small", "alpha")
            here.until(1, 3)
            here.finish("running")
            here.until_started(2)
            here.post("fourth", "alpha", large)
            here.until(1, 3)


class TestOpenAIClient:
    """How the official client reports a refusal."""

    def test_a_429_is_a_rate_limit_error(self) -> None:
        with limited(queued=0) as here:
            here.post("one", "alpha")
            here.until(1, 0)
            with here.openai(max_retries=0) as client, pytest.raises(openai.RateLimitError) as e:
                client.completions.create(model=MODEL, prompt="Hi")
            assert e.value.status_code == 429
            assert "MAX_CONCURRENT_REQUESTS=1" in str(e.value)

    def test_the_client_retries_after_the_given_time(self) -> None:
        with limited(queued=0) as here:
            here.post("one", "alpha")
            here.until(1, 0)
            refusals: list[httpx.Response] = []

            def seen(response: httpx.Response) -> None:
                if response.status_code == 429:
                    refusals.append(response)
                    here.server.ask(here.app.finish_all)
                    here.until(0, 0)
                    here.app.tokens = 1  # the next is answered at once

            hooks = httpx.Client(event_hooks={"response": [seen]})
            with here.openai(max_retries=1, http_client=hooks) as client:
                assert client.completions.create(model=MODEL, prompt="Hi").choices == []
            assert [response.headers["retry-after"] for response in refusals] == ["1"]

    @pytest.mark.parametrize("size", [10_001, 8 << 20])
    def test_a_413_reaches_the_client(self, size: int) -> None:
        with (
            limited() as here,
            here.openai(max_retries=0) as client,
            pytest.raises(openai.APIStatusError) as error,
        ):
            client.completions.create(model=MODEL, prompt="x" * size)
        assert error.value.status_code == 413
        assert "MAX_REQUEST_BYTES=10000" in str(error.value)
        assert here.app.started == []

    def test_a_408_reaches_the_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("server.gate.body.GRACE_SECONDS", 0.1)
        with limited() as here:
            http_client = httpx.Client(transport=Pausing(here.server))
            with (
                here.openai(max_retries=0, http_client=http_client) as client,
                pytest.raises(openai.APIStatusError) as error,
            ):
                client.completions.create(model=MODEL, prompt="Hi")
            assert error.value.status_code == 408
            assert here.app.started == []


class Pausing(httpx.HTTPTransport):
    """Sends a byte of each body, and the rest once the server has answered."""

    def __init__(self, server: Server):
        super().__init__()
        self._server = server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()

        def pieces() -> Iterator[bytes]:
            yield content[:1]
            self._server.until(lambda: bool(self._server.server_state.tasks))
            self._server.until(lambda: not self._server.server_state.tasks)
            yield content[1:]

        headers = {k: v for k, v in request.headers.items() if k != "content-length"}
        paused = httpx.Request(request.method, request.url, headers=headers, content=pieces())
        return super().handle_request(paused)
