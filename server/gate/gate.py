"""What stands between the network and vLLM's application: an ASGI application around it.

A request goes through it in this order: health probes are answered; the key is looked at; the
route is looked up; a stopping server says so; the body is read, within its limits; the request
waits for its turn; vLLM answers. Whatever is refused is refused in OpenAI's words.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send
from vllm.logger import init_logger

from entrypoint.shared.keys import Keys
from server.gate.admission import Admission, Refused, Ticket
from server.gate.body import Body, BodyError, ClientLeft, Room, read_body
from server.gate.content import content_problem
from server.gate.exchange import RETRY_AFTER_SECONDS, Exchange
from server.gate.health import Health
from server.gate.metrics import REFUSED, RUNNING, WAITING
from server.gate.progress import current_ticket
from server.gate.refusal import Refusal
from server.gate.routes import LIVE, READY, Access, Decision, allowed_methods, decide

logger = init_logger("vllm.server.gate")

REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
"""What a client may call its request: it is written into logs and headers."""

PREFLIGHT = {b"origin", b"access-control-request-method"}
"""The headers by which vLLM's CORS layer knows a preflight, and answers it itself."""

LARGEST_BODIES = 8
"""So many times MAX_REQUEST_BYTES is the memory for large bodies that are read or wait."""

SHOWN_CHARACTERS = 200
"""Of a path, in logs and errors."""

SETTLE_SECONDS = 0.5
"""What vLLM gets to let go of requests whose answers were ended."""
END_SECONDS = 0.3
"""What a client gets to take the end of its answer, before the connection is closed."""


class Gate:
    """The application that uvicorn runs.

    Args:
        app: vLLM's application.
        keys: Who is let in.
        health: Answers the probes.
        admission: How much is worked on at once.
        max_request_bytes: MAX_REQUEST_BYTES.
        metrics_public: METRICS_PUBLIC.
        admin_routes: ADMIN_ROUTES.
        root_path: The path that a proxy in front takes away, vLLM's ``--root-path``.
        log_requests: Whether each request is logged once it is answered.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        health: Health,
        admission: Admission,
        *,
        max_request_bytes: int,
        metrics_public: bool = False,
        admin_routes: tuple[str, ...] = (),
        root_path: str = "",
        log_requests: bool = True,
    ):
        self.keys = keys
        self.health = health
        self.admission = admission
        self._max_request_bytes = max_request_bytes
        self._room = Room(LARGEST_BODIES * max_request_bytes)
        self._app = app
        self._metrics_public = metrics_public
        self._admin_routes = admin_routes
        self._root_path = root_path
        self._log_requests = log_requests
        self._in_flight: set[Exchange] = set()
        self._none_in_flight = asyncio.Event()
        self._none_in_flight.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have vLLM answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        exchange = Exchange(scope, send, request_id)
        path = self._route_path(scope["path"])
        if path in READY or path in LIVE:
            await self._answer_probe(exchange, scope, path)
            return
        self._in_flight.add(exchange)
        self._none_in_flight.clear()
        try:
            await self._answer(exchange, scope, path, receive)
        except Refusal as refusal:
            await self._refuse(exchange, refusal)
        finally:
            self._in_flight.discard(exchange)
            if not self._in_flight:
                self._none_in_flight.set()
            self._log(exchange)

    def stop(self) -> None:
        """Let nothing new in; what is in flight goes on."""
        self.health.stopping = True
        for exchange in self._in_flight:
            exchange.closing = True

    async def drained(self, seconds: float) -> bool:
        """Wait until nothing is in flight; return whether that was within ``seconds``."""
        try:
            await asyncio.wait_for(self._none_in_flight.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def end(self) -> int:
        """End whatever is in flight, properly; return how many answers were cut short."""
        cut = [exchange for exchange in self._in_flight if not exchange.finished]
        ends = [asyncio.wait_for(exchange.end(), END_SECONDS) for exchange in cut]
        await asyncio.gather(*ends, return_exceptions=True)
        await self.drained(SETTLE_SECONDS)
        return len(cut)

    async def _answer(self, exchange: Exchange, scope: Scope, path: str, receive: Receive) -> None:
        decision = decide(exchange.method, path)
        if _is_preflight(scope):  # the browser asks without a key; no route is reached
            await self._app(scope, receive, exchange.send)
            return
        exchange.key = self._key_name(scope, decision)
        self._check_open(exchange, path, decision)
        if self.health.stopping:
            raise Refusal(
                503,
                "service_unavailable",
                "The server is stopping. Ask another, or this one after its restart.",
                reason="stopping",
                retry_after=RETRY_AFTER_SECONDS,
                close=True,
            )
        if exchange.method == "WEBSOCKET":
            await self._pass_on(exchange, scope, receive, None, decision)
            return
        try:
            body = await self._read_body(scope, receive)
        except ClientLeft:
            return
        try:
            if _is_json(scope) and (problem := content_problem(body.content)):
                raise Refusal(400, "invalid_request_error", problem, reason="content")
            await self._pass_on(exchange, scope, receive, body, decision)
        finally:
            body.drop()

    async def _read_body(self, scope: Scope, receive: Receive) -> Body:
        """Read the request's body.

        Raises:
            ClientLeft: Nobody reads an answer.
            Refusal: The body cannot be used, or not now.
        """
        try:
            return await read_body(receive, scope["headers"], self._max_request_bytes, self._room)
        except ClientLeft:
            raise
        except BodyError as error:
            raise Refusal(
                error.status,
                error.kind,
                str(error),
                reason=error.reason,
                retry_after=error.retry_after,
                close=True,
            ) from None

    async def _pass_on(
        self,
        exchange: Exchange,
        scope: Scope,
        receive: Receive,
        body: Body | None,
        decision: Decision | None,
    ) -> None:
        """Have vLLM answer, in its turn where that is work."""
        if decision is not None and decision.work:
            await self._work(exchange, scope, receive, body)
        else:
            await self._app(scope, body.replay if body else receive, exchange.send)

    async def _work(
        self, exchange: Exchange, scope: Scope, receive: Receive, body: Body | None
    ) -> None:
        """Wait for a place, and have vLLM answer."""
        turn = self.admission.admit(exchange.key)
        entering = asyncio.ensure_future(turn.__aenter__())
        try:
            with WAITING.track_inprogress():
                await _done_or_left(entering, body)
            if not entering.done():
                return
            current_ticket.set(_admitted(entering))
            with RUNNING.track_inprogress():
                await self._app(scope, body.replay if body else receive, exchange.send)
        finally:
            # whatever happened when: a place that was given is given back
            if not entering.cancel() and entering.exception() is None:
                await turn.__aexit__(None, None, None)

    def _key_name(self, scope: Scope, decision: Decision | None) -> str | None:
        """Return the name of the request's key, None where none is needed.

        Raises:
            Refusal: One is needed, and it has none that is let in.
        """
        if not self.keys:
            return None
        shown = b"".join(value for name, value in scope["headers"] if name == b"authorization")
        name = self.keys.name_of(shown.decode(errors="surrogateescape"))
        open_metrics = (
            self._metrics_public and decision is not None and decision.access is Access.METRICS
        )
        if name is None and not open_metrics:
            raise Refusal(
                401,
                "authentication_error",
                "The API key is missing or wrong. Send it as: Authorization: Bearer KEY.",
                headers=[(b"www-authenticate", b"Bearer")],
            )
        return name

    def _check_open(self, exchange: Exchange, path: str, decision: Decision | None) -> None:
        if decision is None:
            route = f"{exchange.method} {exchange.path[:SHOWN_CHARACTERS]}"
            allowed = allowed_methods(path)
            if allowed:
                raise Refusal(
                    405,
                    "invalid_request_error",
                    f"This server has no route {route}; it takes {', '.join(allowed)} there.",
                    headers=[(b"allow", ", ".join(allowed).encode())],
                )
            raise Refusal(404, "not_found_error", f"This server has no route {route}.")
        if decision.group is not None and decision.group not in self._admin_routes:
            raise Refusal(
                403,
                "permission_error",
                f"{exchange.method} {exchange.path} changes or exposes the server, and is closed. "
                f"Whoever runs it can open it: ADMIN_ROUTES={decision.group}.",
            )

    async def _answer_probe(self, exchange: Exchange, scope: Scope, path: str) -> None:
        if exchange.method not in ("GET", "HEAD") and (exchange.method, path) != ("POST", "/ping"):
            await Refusal(405, "invalid_request_error", "Probes are asked with GET.").answer(
                exchange.send
            )
            return
        if path in LIVE:
            trouble, word = self.health.not_alive(), "alive"
        else:
            trouble, word = self.health.not_ready(), "ready"
            deep = parse_qs(scope.get("query_string", b"")).get(b"deep", [b""])[-1]
            if trouble is None and deep in (b"1", b"true"):
                trouble = await self.health.fails_deep()
        payload = json.dumps({"status": trouble or word}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(payload)),
        ]
        if trouble is not None:
            headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
        if self.health.stopping:
            headers.append((b"connection", b"close"))
        status = 200 if trouble is None else 503
        await exchange.send({"type": "http.response.start", "status": status, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": payload})

    async def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        REFUSED.labels(refusal.reason).inc()
        if exchange.method == "WEBSOCKET":
            # before it is accepted: uvicorn answers the handshake with 403
            await exchange.send({"type": "websocket.close", "code": 1008})
        elif exchange.status is None:
            exchange.closing = exchange.closing or self.health.stopping
            await refusal.answer(exchange.send)

    def _route_path(self, path: str) -> str:
        """Return the path as the router matches it."""
        root = self._root_path
        return path[len(root) :] if root and path.startswith(f"{root}/") else path

    def _request_id(self, scope: Scope) -> str:
        """Return the request's id, which vLLM reads from the header too: a new one unless the
        client brought one that can be used."""
        brought = [value for name, value in scope["headers"] if name == b"x-request-id"]
        shown: str = brought[0].decode("latin-1") if len(brought) == 1 else ""
        if REQUEST_ID.fullmatch(shown):
            return shown
        made = uuid.uuid4().hex
        others = [pair for pair in scope["headers"] if pair[0] != b"x-request-id"]
        scope["headers"] = [*others, (b"x-request-id", made.encode())]
        return made

    def _log(self, exchange: Exchange) -> None:
        if not self._log_requests or exchange.path == "/metrics":
            return
        logger.info(
            "%s %s %s in %.3f s, request %s%s",
            exchange.method,
            # a path may hold line breaks: nobody writes lines of the log but us
            exchange.path.encode("unicode_escape").decode()[:SHOWN_CHARACTERS],
            exchange.status or "unanswered",
            time.monotonic() - exchange.began,
            exchange.request_id,
            f", key {exchange.key}" if exchange.key else "",
        )


async def _done_or_left(entering: asyncio.Future[Ticket], body: Body | None) -> None:
    """Wait for a place, or until the client has left.

    Only a body that has been read tells: before that, what comes is the application's to read.
    """
    if body is None:
        await asyncio.wait([entering])
        return
    leaving = asyncio.ensure_future(body.client_left())
    either: list[asyncio.Future[Any]] = [entering, leaving]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()


def _admitted(entering: asyncio.Future[Ticket]) -> Ticket:
    try:
        return entering.result()
    except Refused as refused:
        raise Refusal(
            refused.status,
            "rate_limit_error",
            refused.message,
            reason=refused.reason,
            retry_after=refused.retry_after,
        ) from None


def _is_json(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return not kinds or b"json" in kinds[-1].lower()


def _is_preflight(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return scope.get("method") == "OPTIONS" and names >= PREFLIGHT
