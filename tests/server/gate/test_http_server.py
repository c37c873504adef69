"""The server under the gate, for real: sockets, signals, certificates; vLLM's application is a
stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import ssl
import subprocess
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from entrypoint.shared.keys import Keys
from server.gate import http_server
from server.gate.activity import EngineActivity
from server.gate.admission import Admission
from server.gate.gate import Gate
from server.gate.health import Health
from tests.support.event_loop import in_event_loop


class Running:
    """A server in this process, with its engine and its clients."""

    def __init__(self, **how: Any) -> None:
        self.engine = SimpleNamespace(errored=False)
        self.go_on = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        app = FastAPI()
        health = Health(EngineActivity(), 60)
        health.attend(self.engine)
        self.gate = Gate(app, Keys([]), health, Admission(100, 100), max_request_bytes=1000)

        @app.post("/v1/completions")
        async def completions() -> StreamingResponse:
            return StreamingResponse(self._events(), media_type="text/event-stream")

        @app.get("/v1/models")
        async def models() -> dict[str, str]:
            return {}

        self.task = asyncio.create_task(self._serve(app, how))

    async def _serve(self, app: FastAPI, how: dict[str, Any]) -> None:
        timeout = how.pop("shutdown_timeout", 5)
        after = await http_server.serve(
            app,
            self.listener,
            gate=self.gate,
            shutdown_timeout=timeout,
            lifespan="off",
            log_config=None,
            **how,
        )
        await after
        self.listener.close()  # vLLM's part, once its engine has stopped
        for writer in self.writers:
            writer.close()

    async def _events(self) -> AsyncIterator[bytes]:
        yield b'data: {"n": 1}\n\n'
        await self.go_on.wait()
        yield b"data: [DONE]\n\n"

    async def connect(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        self.writers.append(writer)
        return reader, writer

    async def ask(self, method: str, path: str) -> tuple[asyncio.StreamReader, bytes]:
        """Send a request on a new connection; return its stream and the answer's head."""
        reader, writer = await self.connect()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        )
        return reader, (await reader.readuntil(b"\r\n\r\n")).lower()

    async def until_accepting(self) -> None:
        await self.ask("GET", "/health")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "WATCH_SECONDS", 0.02)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Cycle:
    """Garbage that only a collection can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Freeze a large heap while the server starts, as vLLM does."""

    async def startup(server: uvicorn.Server, *sockets: Any) -> None:
        gc.collect()
        gc.freeze()
        await uvicorn.Server.startup(server, *sockets)

    monkeypatch.setattr(http_server.Server.__base__, "startup", startup)
    ballast: list[object] = [[] for _ in range(1_000_000)]  # stands for vLLM's modules
    yield
    gc.unfreeze()
    del ballast


@in_event_loop
async def test_garbage_is_collected_soon_after_a_freeze(frozen: None) -> None:
    """Garbage that has survived the young collections is found by a full one, before there is
    much of it."""
    server = Running()
    await server.until_accepting()
    cycle = Cycle()
    old = weakref.ref(cycle)
    gc.collect(0)
    gc.collect(1)  # moves it into the oldest generation
    del cycle
    kept: list[object] = []
    while old() is not None:
        kept += [Cycle() for _ in range(1000)]
        assert len(kept) < 100_000
    terminate()
    await server.task


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @in_event_loop
    async def test_an_idle_server_stops_at_once(self, number: signal.Signals) -> None:
        server = Running()
        await server.until_accepting()
        os.kill(os.getpid(), number)
        await server.task

    @in_event_loop
    async def test_a_stream_comes_to_its_end_and_new_requests_are_refused(self) -> None:
        server = Running()
        stream, head = await server.ask("POST", "/v1/completions")
        assert b" 200 " in head
        await stream.readuntil(b'{"n": 1}')
        terminate()
        while not server.gate.health.stopping:
            await asyncio.sleep(0.005)
        _, refused = await server.ask("POST", "/v1/completions")
        assert b" 503 " in refused
        assert b"connection: close" in refused
        assert b"retry-after" in refused
        server.go_on.set()
        assert b"[DONE]" in await stream.read()
        await server.task

    @in_event_loop
    async def test_at_the_deadline_a_stream_is_ended(self) -> None:
        server = Running(shutdown_timeout=0.05)
        stream, _ = await server.ask("POST", "/v1/completions")
        terminate()
        rest = await stream.read()
        assert b'"code": "service_unavailable"' in rest
        assert rest.rstrip().endswith(b"0"), "the last chunk, of no length"
        assert b"data: [DONE]\n\n" in rest
        await server.task

    @in_event_loop
    async def test_idle_connections_do_not_delay_a_stop(self) -> None:
        server = Running()
        await server.until_accepting()
        idle = [await server.connect() for _ in range(20)]
        terminate()
        await server.task
        for reader, _ in idle:
            assert await reader.read() == b""


@in_event_loop
async def test_a_dead_engine_ends_the_server() -> None:
    server = Running()
    stream, _ = await server.ask("POST", "/v1/completions")
    server.engine.errored = True
    assert b"[DONE]" in await stream.read()
    await server.task


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for a name, and its key."""
    pair = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", f"/CN={name}"),
            *("-keyout", str(pair[1]), "-out", str(pair[0])),
        ],
        check=True,
        capture_output=True,
    )
    return pair


class TestCertificate:
    @contextlib.asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[tuple[Running, Path, Path]]:
        """A server with a certificate, called ``first``."""
        cert, key = folder / "tls.crt", folder / "tls.key"
        for source, target in zip(certificate(folder, "first"), (cert, key), strict=True):
            os.replace(source, target)
        server = Running(ssl_certfile=str(cert), ssl_keyfile=str(key))
        try:
            yield server, cert, key
        finally:
            terminate()
            await server.task

    async def shown(self, server: Running) -> bytes:
        """Return the certificate that a new connection is shown."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _, writer = await server.connect(context)
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return found

    @in_event_loop
    async def test_a_changed_certificate_is_used_and_open_connections_stay(
        self, tmp_path: Path
    ) -> None:
        async with self.serving(tmp_path) as (server, cert, key):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            reader, writer = await server.connect(context)
            first = await self.shown(server)
            for source, target in zip(certificate(tmp_path, "second"), (cert, key), strict=True):
                os.replace(source, target)
            while (await self.shown(server)) == first:
                await asyncio.sleep(0.02)
            writer.write(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            writer.close()

    @in_event_loop
    async def test_a_mismatched_pair_leaves_the_old_one_in_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        errors: list[str] = []
        log = SimpleNamespace(
            error=lambda text, *args: errors.append(text % args),
            info=lambda *args: None,
            warning=lambda *args: None,
        )
        monkeypatch.setattr(http_server, "logger", log)

        async with self.serving(tmp_path) as (server, cert, _):
            first = await self.shown(server)
            os.replace(certificate(tmp_path, "second")[0], cert)
            while not errors:
                await asyncio.sleep(0.02)
            assert await self.shown(server) == first
        assert "tls.crt cannot be used" in errors[0]


@in_event_loop
async def test_changed_keys_are_reloaded(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("old\n")
    server = Running()
    server.gate.keys = Keys([], path)
    await server.until_accepting()
    (tmp_path / "new").write_text("new\n")
    os.replace(tmp_path / "new", path)
    while server.gate.keys.name_of("new") is None:
        await asyncio.sleep(0.01)
    assert server.gate.keys.name_of("old") is None
    _, head = await server.ask("GET", "/v1/models")
    assert b" 401 " in head
    terminate()
    await server.task


@in_event_loop
async def test_a_body_beyond_the_limit_gets_a_413() -> None:
    server = Running()
    reader, writer = await server.connect()
    writer.write(
        b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001
    )
    answer = await reader.read()
    assert b" 413 " in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_too_large"
    terminate()
    await server.task
