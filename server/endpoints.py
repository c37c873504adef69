"""What the runtime adds to vLLM's HTTP server: the gate before it, and where the launch is.

A ``vllm.endpoint_plugins`` entry point.
"""

from __future__ import annotations

import os
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI

from entrypoint.settings import read_settings
from entrypoint.shared.handover import Phase, read_status, report_phase
from entrypoint.shared.keys import Keys
from server.gate.admission import Admission
from server.gate.gate import Gate
from server.gate.health import Health
from server.gate.http_server import serve
from server.gate.progress import Progress

if TYPE_CHECKING:
    from starlette.datastructures import State
    from vllm.engine.protocol import EngineClient

router = APIRouter()


@router.get("/v1/status")
async def status() -> dict[str, Any]:
    """Where the launch is, and how long it took to get there."""
    return read_status() or {"phase": Phase.READY.value}


def take_keys(args: Namespace) -> Keys:
    """Return the keys that are let in, and keep them from vLLM.

    Its own check leaves routes open that generate, and knows nothing of a changed file.
    """
    # an option wins over the variable, as in vLLM
    own = os.environ.pop("VLLM_API_KEY", "")
    fixed = [key for key in args.api_key or [own] if key]
    args.api_key = None
    path = os.environ.get("API_KEY_FILE")
    return Keys(fixed, Path(path) if path else None)


class Endpoints:
    """The plugin, as vLLM's ``EndpointPlugin`` protocol wants it."""

    name = "inference_server"
    required_tasks = None

    def __init__(self) -> None:
        self._settings = read_settings(os.environ)
        self._progress = Progress()
        self._health = Health(self._progress, self._settings.stall_timeout)
        self._admission = Admission(
            self._settings.max_concurrent_requests,
            self._settings.max_queued_requests,
            self._settings.max_concurrent_requests_per_key,
            self._settings.max_tokens_per_minute_per_key,
        )

    def attach_router(self, app: FastAPI) -> None:
        """Add our route, and have vLLM serve its application behind the gate."""
        from vllm.entrypoints.launchers.api_server import entry

        app.include_router(router)
        args = app.state.args
        gate = Gate(
            app,
            take_keys(args),
            self._health,
            self._admission,
            max_request_bytes=self._settings.max_request_bytes,
            metrics_public=self._settings.metrics_public,
            admin_routes=self._settings.admin_routes,
            root_path=args.root_path,
            log_requests=not args.disable_uvicorn_access_log,
        )
        entry.serve_http = partial(serve, gate=gate, shutdown_timeout=args.shutdown_timeout)

    async def init_state(
        self, engine_client: EngineClient | None, state: State, args: Namespace
    ) -> None:
        """The engine is up and the server about to accept: let go of the socket."""
        if engine_client is not None:
            self._progress.watch(engine_client)
            self._health.attend(engine_client)
        report_phase(Phase.READY)
