"""Answers to health probes."""

from __future__ import annotations

from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse

from entrypoint.shared.health import HealthState
from server.gate.exchange import RETRY_AFTER_SECONDS, Exchange
from server.gate.health import Health
from server.gate.refusal import ErrorType, Refusal
from server.gate.routes import LIVE, allowed_methods, decide


async def probe_response(exchange: Exchange, path: str, health: Health) -> JSONResponse:
    """Return the answer to a probe: 200 if healthy, else 503.

    With ``deep=1``, a readiness probe also checks that the engine can generate a token.

    Args:
        exchange: The probe.
        path: One of the probes' paths.
        health: Checks the engine.
    """
    if decide(exchange.method, path) is None:
        return Refusal(
            405,
            ErrorType.INVALID_REQUEST,
            "Send health probes with GET.",
            headers={"allow": ", ".join(allowed_methods(path))},
        ).response()
    if path in LIVE:
        verdict = health.liveness()
    else:
        verdict = health.readiness()
        deep = QueryParams(exchange.scope.get("query_string", b"")).get("deep")
        if verdict.state is HealthState.HEALTHY and deep in ("1", "true"):
            verdict = await health.deep_readiness()
    healthy = verdict.state is HealthState.HEALTHY
    headers = {} if healthy else {"retry-after": str(RETRY_AFTER_SECONDS)}
    if health.stopping:
        headers["connection"] = "close"
    return JSONResponse({"status": verdict.text}, 200 if healthy else 503, headers)
