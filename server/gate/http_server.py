"""Runs the gate under uvicorn, instead of vLLM's ``serve_http``.

vLLM's function stops the engine first, while its server still accepts requests: at the deadline,
clients are left with streams that never end. Here the answers end first, then the engine stops.

:mod:`server.internals` lists what this module relies on in uvicorn and vLLM.
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
from server.gate.bounds import HEAD_BYTES, HEADERS, Bounds
from server.gate.gate import Gate
from server.gate.mistakes import keep_out_of_log
from server.gate.protocol import protocol_class

logger = init_logger("vllm.server.gate")

WATCH_SECONDS = 1.0
"""How often to check the files that may change, and the engine's health."""
CLOSE_SECONDS = 1
"""How long connections get to close once every answer has ended."""


class Server(NoSignalServer):  # type: ignore[misc]  # vLLM ships no types
    """vLLM's server, without its accumulation of garbage.

    vLLM freezes its heap at startup. Python delays a full collection until the number of new
    objects reaches a quarter of what the last full collection left, here hundreds of thousands.
    Closed connections, which are reference cycles, would stay in memory until then. A collection
    after the freeze leaves few objects, so the next one comes early.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then collect garbage."""
        await super().startup(sockets)
        gc.collect()


class Certificate:
    """A TLS certificate whose files may change.

    Args:
        context: The TLS context of new connections.
        certificate: Path of the PEM file.
        key: Path of the key's PEM file, None if the certificate's file contains the key.
    """

    def __init__(self, context: ssl.SSLContext, certificate: str, key: str | None):
        self._context = context
        self._files = (certificate, key)
        self._stamp = self._stamps()

    def reload(self) -> None:
        """Reload the files if they have changed; keep the old pair if the new one is unusable."""
        now = self._stamps()
        if now == self._stamp:
            return
        self._stamp = now
        try:
            # into a separate context first: a failure between the files would leave a mixed pair
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self._context.load_cert_chain(*self._files)
        except OSError as error:  # ssl.SSLError is one
            logger.error(
                "The changed certificate %s cannot be used; the old one stays: %s",
                self._files[0],
                error,
            )
        else:
            logger.info("Reloaded the changed certificate %s", self._files[0])

    def _stamps(self) -> list[object]:
        return [stamp(Path(path)) for path in self._files if path]


def stop_signal() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    event = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


async def serve(
    app: FastAPI,
    sock: socket.socket | None,
    enable_ssl_refresh: bool = False,
    peer_loads: tuple[MutableSequence[int], int] | None = None,
    *,
    gate: Gate,
    shutdown_timeout: float,
    **options: Any,
) -> Coroutine[Any, Any, None]:
    """Serve until a signal arrives or the engine dies.

    Args:
        app: vLLM's application, behind the gate.
        sock: The listening socket.
        enable_ssl_refresh: Ignored: changed certificates are always reloaded.
        peer_loads: As in vLLM's ``serve_http``: the loads of all API servers.
        gate: The application that uvicorn runs.
        shutdown_timeout: Seconds that running requests get to finish.
        options: uvicorn's settings, and vLLM's limits on a request's head, which apply if they are
            lower than the gate's.

    Returns:
        A coroutine for vLLM to await once the engine has stopped. It does nothing.
    """
    head_bytes = options.pop("h11_max_incomplete_event_size", None) or HEAD_BYTES
    headers = options.pop("h11_max_header_count", None) or HEADERS
    options |= {
        "access_log": False,  # the gate logs requests
        "server_header": False,
        "timeout_graceful_shutdown": CLOSE_SECONDS,
        "http": protocol_class(
            Bounds(head_bytes=min(HEAD_BYTES, head_bytes), headers=min(HEADERS, headers))
        ),
    }
    config = uvicorn.Config(gate, **options)
    config.load()
    keep_out_of_log()
    server = Server(config, peer_loads=peer_loads)
    app.state.server = server  # vLLM's error handlers stop it when the engine has died
    certificate = None
    if config.ssl:
        certificate = Certificate(config.ssl, options["ssl_certfile"], options.get("ssl_keyfile"))
    stop = asyncio.create_task(stop_signal().wait())
    watch = asyncio.create_task(_watch(gate, certificate))
    serving = asyncio.create_task(server.serve(sockets=[sock] if sock else None))
    await asyncio.wait([serving, stop, watch], return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        await _drain(gate, shutdown_timeout)
    elif watch.done():
        logger.error("The engine has died: refusing new requests")
        gate.stop()
        # meanwhile vLLM ends its answers with an error, and new requests get a 503
        await asyncio.sleep(CLOSE_SECONDS)
        await gate.end()
    server.should_exit = True
    await serving
    report_drained()
    watch.cancel()
    stop.cancel()
    return asyncio.sleep(0)


async def _drain(gate: Gate, seconds: float) -> None:
    remaining = max(0.0, seconds - stopping_seconds())
    logger.info("Stopping: running requests get %.1f s, new ones get a 503", remaining)
    gate.stop()
    if not await gate.drained(remaining):
        count = await gate.end()
        logger.warning("Stopping: %d answers were cut short after %.1f s", count, seconds)


async def _watch(gate: Gate, certificate: Certificate | None) -> None:
    """Reload changed keys and certificates; return when the engine has died."""
    while not gate.health.dead:
        await asyncio.sleep(WATCH_SECONDS)
        gate.keys.reload()
        if certificate is not None:
            certificate.reload()
