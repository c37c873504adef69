"""Runs the gate under uvicorn, in the place of vLLM's ``serve_http``.

vLLM's own stops the engine first, while its server still accepts: at the deadline clients are left
with streams that have no end. Here the answers end first, and the engine after them.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import ssl
from collections.abc import Coroutine, MutableSequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from vllm.entrypoints.launchers.launcher import NoSignalServer
from vllm.logger import init_logger

from entrypoint.shared.handover import report_drained, stopping_seconds
from entrypoint.shared.keys import stamp
from server.gate.gate import Gate
from server.gate.protocol import HEAD_BYTES, HEADERS, Bounds, protocol_class

logger = init_logger("vllm.server.gate")

WATCH_SECONDS = 1.0
"""How often files that may change, and the engine's health, are looked at."""
CLOSE_SECONDS = 1
"""What connections get to close once every answer has ended."""


class Server(NoSignalServer):  # type: ignore[misc]  # vLLM ships no types
    """vLLM's server, whose garbage does not pile up.

    vLLM freezes its heap as it starts. Python puts a full collection off until there are a quarter
    as many new objects as the last one left, so hundreds of thousands would have to come; closed
    connections, which refer to themselves, would stay until then. The collection after the freeze
    leaves few.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and collect what the start has left."""
        await super().startup(sockets)
        gc.collect()


class Certificate:
    """A TLS certificate whose files may change.

    Args:
        context: What new connections are made with.
        certificate: Path of its PEM file.
        key: Path of its key's, None where that is in the same file.
    """

    def __init__(self, context: ssl.SSLContext, certificate: str, key: str | None):
        self._context = context
        self._files = (certificate, key)
        self._stamp = self._stamps()

    def reload(self) -> None:
        """Load the files again if they have changed; a pair that cannot be used leaves the old."""
        now = self._stamps()
        if now == self._stamp:
            return
        self._stamp = now
        try:
            # into a context of its own first: a failure half-way would leave a mixed pair
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self._context.load_cert_chain(*self._files)
        except OSError as error:  # ssl.SSLError is one
            logger.error("The changed certificate %s cannot be used: %s", self._files[0], error)
        else:
            logger.info("The certificate %s has changed and was read again", self._files[0])

    def _stamps(self) -> list[object]:
        return [stamp(Path(path)) for path in self._files if path]


class Stop:
    """SIGTERM and SIGINT, once the server runs."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked.set)

    async def wait(self) -> None:
        """Wait until one comes."""
        await self._asked.wait()


async def serve(
    app: FastAPI,
    sock: socket.socket | None,
    enable_ssl_refresh: bool = False,
    peer_loads: tuple[MutableSequence[int], int] | None = None,
    *,
    gate: Gate,
    shutdown_timeout: float,
    **how: Any,
) -> Coroutine[Any, Any, None]:
    """Serve until a signal asks to stop, or the engine has died.

    Args:
        app: vLLM's application, which the gate stands before.
        sock: The listening socket.
        enable_ssl_refresh: Of vLLM's ``serve_http``; certificates are watched in any case.
        peer_loads: As in vLLM's ``serve_http``: how busy the other API servers are.
        gate: What uvicorn runs.
        shutdown_timeout: Seconds that running requests get to finish.
        how: Settings of uvicorn's, and vLLM's options on the size of a request's head, which
            count where they are lower than ours.

    Returns:
        What vLLM awaits once the engine has stopped: nothing is left to do.
    """
    kept = {name: value for name, value in how.items() if not name.startswith("h11_")}
    kept |= {"access_log": False, "server_header": False}  # the gate logs
    kept["timeout_graceful_shutdown"] = CLOSE_SECONDS
    kept["http"] = protocol_class(
        Bounds(
            head_bytes=min(HEAD_BYTES, how.get("h11_max_incomplete_event_size") or HEAD_BYTES),
            headers=min(HEADERS, how.get("h11_max_header_count") or HEADERS),
        )
    )
    config = uvicorn.Config(gate, **kept)
    config.load()
    server = Server(config, peer_loads=peer_loads)
    app.state.server = server  # vLLM's error handlers stop it when the engine has died
    certificate = (
        Certificate(config.ssl, how["ssl_certfile"], how.get("ssl_keyfile")) if config.ssl else None
    )
    stop = asyncio.create_task(Stop().wait())
    watch = asyncio.create_task(_watch(gate, certificate))
    serving = asyncio.create_task(server.serve(sockets=[sock] if sock else None))
    await asyncio.wait([serving, stop, watch], return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        await _drain(gate, shutdown_timeout)
    elif watch.done():
        logger.error("The engine has died: nothing more is taken")
        gate.stop()
        # vLLM ends their answers with an error, each at once; who asks now is told, not refused
        await asyncio.sleep(CLOSE_SECONDS)
        await gate.end()
    server.should_exit = True
    await serving
    report_drained()
    watch.cancel()
    stop.cancel()
    return _nothing()


async def _drain(gate: Gate, seconds: float) -> None:
    left = max(0.0, seconds - stopping_seconds())
    logger.info("Stopping: running requests get %.1f s, new ones a 503", left)
    gate.stop()
    if not await gate.drained(left):
        cut = await gate.end()
        logger.warning("Stopping: %d answers were cut short after %.1f s", cut, seconds)


async def _watch(gate: Gate, certificate: Certificate | None) -> None:
    """Look after what changes; return when the engine has died."""
    while not gate.health.dead:
        await asyncio.sleep(WATCH_SECONDS)
        gate.keys.reload()
        if certificate is not None:
            certificate.reload()


async def _nothing() -> None:
    pass
