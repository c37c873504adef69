"""The ASGI application between the network and vLLM's.

A request passes these steps in order: the gate answers health probes; checks the key; checks the
route; refuses everything while the server stops; reads the body, within limits; waits for a place
if the request gives the engine work; vLLM answers. Errors have the format of the API that was
called.
"""

from __future__ import annotations

import asyncio
import time
from functools import cached_property
from typing import Any

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from vllm.logger import init_logger

from entrypoint.shared.api_errors import STOPPING, UNKNOWN_URL
from entrypoint.shared.cors import Cors
from entrypoint.shared.keys import MISSING_KEY, Keys
from server.gate.activity import current_ticket
from server.gate.admission import Admission, Ticket
from server.gate.body import Body, BodyMemory, ClientLeft, read_body
from server.gate.content import content_problem
from server.gate.exchange import RETRY_AFTER_SECONDS, Exchange
from server.gate.health import Health
from server.gate.metrics import REFUSED, RUNNING, WAITING
from server.gate.mistakes import described, is_mistake
from server.gate.probes import probe_response
from server.gate.refusal import ErrorType, Reason, Refusal
from server.gate.routes import (
    LIVE,
    METRICS,
    READY,
    WEBSOCKET,
    Access,
    Decision,
    allowed_methods,
    decide,
    served_work,
    without_trailing_slash,
)

logger = init_logger("vllm.server.gate")

LARGE_BODIES = 8
"""The memory for large bodies that are being read or wait, in multiples of MAX_REQUEST_BYTES."""

SHOWN_CHARACTERS = 200
"""Characters of a path that logs and errors show."""

SETTLE_SECONDS = 0.5
"""How long vLLM gets to release requests whose answers the gate ended."""
END_SECONDS = 0.3
"""How long a client gets to receive the end of its answer before its connection is closed."""


class Gate:
    """The application that uvicorn runs.

    Args:
        app: vLLM's application.
        keys: Authenticates callers.
        health: Answers the probes.
        admission: Limits concurrent work.
        max_request_bytes: MAX_REQUEST_BYTES.
        metrics_public: METRICS_PUBLIC.
        admin_routes: ADMIN_ROUTES.
        root_path: vLLM's ``--root-path``, which a proxy in front removes from paths.
        log_requests: Whether to log each request once it is answered.
        cors: Which web pages may read the answers.
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
        cors: Cors | None = None,
    ):
        self.keys = keys
        self.health = health
        self.admission = admission
        self._max_request_bytes = max_request_bytes
        self._memory = BodyMemory(LARGE_BODIES * max_request_bytes)
        self._app = app
        self._metrics_public = metrics_public
        self._admin_routes = admin_routes
        self._root_path = root_path
        self._log_requests = log_requests
        self._cors = cors or Cors()
        self._in_flight: set[Exchange] = set()
        self._drained = asyncio.Event()
        self._drained.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or have vLLM answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._cors, self._root_path)
        path = self._route_path(exchange)
        if exchange.method not in ("OPTIONS", WEBSOCKET) and path in (*READY, *LIVE):
            await exchange.answer(await probe_response(exchange, path, self.health))
            return
        self._in_flight.add(exchange)
        self._drained.clear()
        try:
            await self._answer(exchange, path)
        except Refusal as refusal:
            await self._refuse(exchange, refusal)
        except Exception as error:
            await exchange.fail(*described(error))
            if not is_mistake(error):
                raise  # uvicorn logs it
            if exchange.status is not None and exchange.status >= 500:
                # the web framework has answered it as a fault of the server
                logger.exception("Request %s failed", exchange.request_id)
        finally:
            self._in_flight.discard(exchange)
            if not self._in_flight:
                self._drained.set()
            self._log(exchange)

    def stop(self) -> None:
        """Refuse new requests; those in flight continue."""
        self.health.stopping = True
        for exchange in self._in_flight:
            exchange.closing = True

    async def drained(self, seconds: float) -> bool:
        """Wait until nothing is in flight; return False if that takes longer than ``seconds``."""
        try:
            await asyncio.wait_for(self._drained.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def end(self) -> int:
        """End all answers in flight; return how many were cut short."""
        cut_short = [exchange for exchange in self._in_flight if not exchange.finished]
        ends = [asyncio.wait_for(exchange.end(), END_SECONDS) for exchange in cut_short]
        await asyncio.gather(*ends, return_exceptions=True)
        await self.drained(SETTLE_SECONDS)
        return len(cut_short)

    def _route_path(self, exchange: Exchange) -> str:
        """Return the path that decides about the request, and make vLLM's router match the same.

        vLLM's own router redirects a path with a trailing slash, to a host that is wrong behind a
        proxy, and has no HEAD.
        """
        path = get_route_path({"path": exchange.path, "root_path": self._root_path})
        known = without_trailing_slash(path)
        exchange.scope = {**exchange.scope}
        if known != path:
            exchange.path = exchange.scope["path"] = exchange.path.removesuffix("/")
        if exchange.method == "HEAD":  # uvicorn, which has the original scope, sends no body
            exchange.scope["method"] = "GET"
        return known

    async def _answer(self, exchange: Exchange, path: str) -> None:
        if _is_preflight(exchange):  # browsers send no key with it
            await exchange.answer(self._preflight_response(exchange.headers))
            return
        decision = decide(exchange.method, path)
        exchange.key = self._authenticate(exchange, decision)
        if exchange.method == "OPTIONS" and (allowed := allowed_methods(path)):
            await exchange.answer(Response(None, 204, {"allow": ", ".join(allowed)}))
            return
        decision = self._authorize(exchange, path, decision)
        if self.health.stopping:
            raise Refusal(
                503,
                ErrorType.UNAVAILABLE,
                STOPPING,
                reason=Reason.STOPPING,
                retry_after=RETRY_AFTER_SECONDS,
                close=True,
            )
        if exchange.method == WEBSOCKET:
            await self._pass_on(exchange, None, decision)
            return
        try:
            body = await read_body(
                exchange.receive, exchange.headers, self._max_request_bytes, self._memory
            )
        except ClientLeft:
            return
        try:
            if _is_json(exchange) and (problem := content_problem(body.content)):
                raise Refusal(400, ErrorType.INVALID_REQUEST, problem, reason=Reason.CONTENT)
            await self._pass_on(exchange, body, decision)
        finally:
            body.drop()

    def _preflight_response(self, headers: Headers) -> Response:
        """Return what a browser may send for a page of another origin.

        Raises:
            Refusal: Not the request that it asks about.
        """
        asked = headers.get("access-control-request-headers")
        answer = self._cors.preflight_headers(asked)
        problem = self._cors.preflight_problem(
            headers["origin"], headers["access-control-request-method"], asked
        )
        if problem is not None:
            raise Refusal(
                400, ErrorType.INVALID_REQUEST, problem, reason=Reason.CORS, headers=answer
            )
        return Response(None, 200, answer)

    async def _pass_on(self, exchange: Exchange, body: Body | None, decision: Decision) -> None:
        """Have vLLM answer, as soon as a place is free if the request gives the engine work."""
        receive = body.replay if body else exchange.receive
        if not decision.work:
            await self._app(exchange.scope, receive, exchange.send)
            return
        admission = self.admission.admit(exchange.key)
        entering = asyncio.ensure_future(admission.__aenter__())
        try:
            with WAITING.track_inprogress():
                await _admitted_or_left(entering, body)
            if not entering.done():
                return
            current_ticket.set(entering.result())
            with RUNNING.track_inprogress():
                await self._app(exchange.scope, receive, exchange.send)
        finally:
            # however this ends: give back the place if there was one
            if not entering.cancel() and entering.exception() is None:
                await admission.__aexit__(None, None, None)

    def _authenticate(self, exchange: Exchange, decision: Decision | None) -> str | None:
        """Return the name of the request's key, None if the request needs no key.

        Raises:
            Refusal: The key is missing or wrong.
        """
        if not self.keys:
            return None
        name = self.keys.name_in(exchange.headers.raw)
        public = decision and decision.access is Access.METRICS and self._metrics_public
        if name is None and not public:
            raise Refusal(
                401,
                ErrorType.AUTHENTICATION,
                MISSING_KEY,
                headers={"www-authenticate": "Bearer"},
            )
        return name

    def _authorize(self, exchange: Exchange, path: str, decision: Decision | None) -> Decision:
        """Return the decision on the request's route.

        Raises:
            Refusal: The route does not exist or is closed.
        """
        route = f"{exchange.method} {exchange.path[:SHOWN_CHARACTERS]}"
        if decision is None:
            allowed = ", ".join(allowed_methods(path))
            if not allowed:
                raise Refusal(
                    404,
                    ErrorType.NOT_FOUND,
                    f"This server has no route {route}.",
                    kind=UNKNOWN_URL,
                )
            if decide(WEBSOCKET, path) and exchange.method == "GET":
                raise Refusal(
                    426,
                    ErrorType.INVALID_REQUEST,
                    f"{route} is a WebSocket. Connect with a WebSocket client.",
                    headers={"upgrade": "websocket", "connection": "upgrade"},
                )
            raise Refusal(
                405,
                ErrorType.INVALID_REQUEST,
                f"This server has no route {route}. Allowed methods: {allowed}.",
                headers={"allow": allowed},
            )
        if decision.group is not None and decision.group not in self._admin_routes:
            raise Refusal(
                403,
                ErrorType.PERMISSION,
                f"{route} changes or exposes the server and is closed. The server's operator can "
                f"open it with ADMIN_ROUTES={decision.group}.",
            )
        if self._is_missing(exchange.method, path, decision):
            served = [each for each in self._served if not each.endswith("render")]
            raise Refusal(
                404,
                ErrorType.NOT_FOUND,
                f"The loaded model has no route {route}. It has: {', '.join(served)}.",
                kind=UNKNOWN_URL,
            )
        return decision

    def _is_missing(self, method: str, path: str, decision: Decision) -> bool:
        """Whether the route is one that only other models have."""
        return (
            decision.work and method == "POST" and self._served != [] and path not in self._served
        )

    @cached_property
    def _served(self) -> list[str]:
        # vLLM adds the last routes after it has made the gate
        return served_work(self._app)

    async def _refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        REFUSED.labels(refusal.reason).inc()
        exchange.closing = exchange.closing or self.health.stopping
        await exchange.refuse(refusal)

    def _log(self, exchange: Exchange) -> None:
        if not self._log_requests or exchange.path in METRICS:
            return
        logger.info(
            "%s %s %s in %.3f s, request %s%s%s",
            exchange.method,
            # escaped: a line break in a path must not start a new line of the log
            exchange.path.encode("unicode_escape").decode()[:SHOWN_CHARACTERS],
            exchange.logged_status or "unanswered",
            time.monotonic() - exchange.started,
            exchange.request_id,
            f", key {exchange.key}" if exchange.key else "",
            f", {exchange.error.code}" if exchange.error else "",
        )


async def _admitted_or_left(entering: asyncio.Future[Ticket], body: Body | None) -> None:
    """Wait until the request is admitted or refused, or until the client leaves.

    Only a request whose body has been read can notice that: before, the application must read
    whatever the channel yields.
    """
    if body is None:
        await asyncio.wait([entering])
        return
    await asyncio.sleep(0)
    if entering.done():  # the usual case: a place was free
        return
    leaving = asyncio.ensure_future(body.client_left())
    either: list[asyncio.Future[Any]] = [entering, leaving]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()


def _is_json(exchange: Exchange) -> bool:
    types = exchange.headers.getlist("content-type")
    return not types or "json" in types[-1].lower()


def _is_preflight(exchange: Exchange) -> bool:
    """Whether a browser asks what a page of another origin may send."""
    return (
        exchange.method == "OPTIONS"
        and "origin" in exchange.headers
        and "access-control-request-method" in exchange.headers
    )
