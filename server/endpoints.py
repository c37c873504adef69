"""Puts the gate in front of vLLM's HTTP server, and adds ``/v1/status`` and ``/v1/models/{name}``.

A ``vllm.endpoint_plugins`` entry point.
"""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from entrypoint.settings import read_settings
from entrypoint.shared.cors import Cors
from entrypoint.shared.handover import Phase, read_status, report_phase
from entrypoint.shared.keys import Keys
from server.asked_names import answer_with_asked_names
from server.gate.activity import EngineActivity
from server.gate.admission import Admission
from server.gate.gate import Gate
from server.gate.health import Health
from server.gate.http_server import serve
from server.gate.refusal import ErrorType

if TYPE_CHECKING:
    from starlette.datastructures import State
    from vllm.engine.protocol import EngineClient

router = APIRouter()


@router.get("/v1/status")
async def status() -> dict[str, Any]:
    """Return the launch's phase and the duration of each phase."""
    return read_status() or {"phase": Phase.READY.value}


@router.get("/v1/metrics")
async def metrics() -> Response:
    """Return what ``/metrics`` returns, for platforms that only route ``/v1``."""
    from vllm.v1.metrics.prometheus import get_prometheus_registry

    return Response(generate_latest(get_prometheus_registry()), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/models/{name:path}")
async def model(name: str, request: Request) -> JSONResponse:
    """Return the entry of ``/v1/models`` with a name, as OpenAI's API does and vLLM does not."""
    served = await request.app.state.openai_serving_models.show_available_models()
    for card in served.data:
        # the gate has removed a slash at the end of the path
        if card.id.rstrip("/") == name:
            return JSONResponse(card.model_dump())
    error = {
        "message": f"The model {name!r} does not exist. GET /v1/models lists those that do.",
        "type": ErrorType.NOT_FOUND,
        "param": "model",
        "code": "model_not_found",
    }
    return JSONResponse({"error": error}, 404)


def take_keys(args: Namespace, environ: MutableMapping[str, str]) -> Keys:
    """Return the accepted keys, and remove them from vLLM's options and variables.

    vLLM's own check leaves some generating routes open, and does not reload a changed file.
    """
    # an option takes precedence over the variable, as in vLLM
    key = environ.pop("VLLM_API_KEY", "")
    fixed = [key for key in args.api_key or [key] if key]
    args.api_key = None
    path = environ.get("API_KEY_FILE")
    return Keys(fixed, Path(path) if path else None)


def take_cors(args: Namespace) -> Cors:
    """Return which web pages may read the answers, and remove it from vLLM's options.

    vLLM's own layer leaves the gate's refusals without headers.
    """
    cors = Cors.from_options(
        args.allowed_origins, args.allowed_methods, args.allowed_headers, args.allow_credentials
    )
    args.allowed_origins, args.allow_credentials = [], False
    return cors


class Endpoints:
    """The plugin; implements vLLM's ``EndpointPlugin``.

    Args:
        environ: The environment of this process.
    """

    name = "inference_server"
    required_tasks = None

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._settings = read_settings(environ)
        self._activity = EngineActivity()
        self._health = Health(self._activity, self._settings.stall_timeout)

    def attach_router(self, app: FastAPI) -> None:
        """Add the two routes, and make vLLM serve its application behind the gate."""
        from vllm.entrypoints.launchers.api_server import entry

        from server import corrections

        corrections.apply()
        app.include_router(router)
        args, settings = app.state.args, self._settings
        admission = Admission(
            settings.max_concurrent_requests,
            settings.max_queued_requests,
            settings.max_concurrent_requests_per_key,
            settings.max_tokens_per_minute_per_key,
        )
        gate = Gate(
            app,
            take_keys(args, self._environ),
            self._health,
            admission,
            max_request_bytes=settings.max_request_bytes,
            metrics_public=settings.metrics_public,
            admin_routes=settings.admin_routes,
            root_path=args.root_path,
            log_requests=not args.disable_uvicorn_access_log,
            cors=take_cors(args),
        )
        entry.serve_http = partial(serve, gate=gate, shutdown_timeout=args.shutdown_timeout)

    async def init_state(
        self, engine_client: EngineClient | None, state: State, args: Namespace
    ) -> None:
        """Prepare vLLM's objects, and report that the engine is ready.

        vLLM calls this just before its server starts.
        """
        if engine_client is not None:
            self._activity.watch(engine_client)
            self._health.attend(engine_client)
            answer_with_asked_names(state.openai_serving_models)
        report_phase(Phase.READY)
