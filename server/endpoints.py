"""What the runtime adds to vLLM's HTTP server: the paths that answered while the model loaded.

A ``vllm.endpoint_plugins`` entry point.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from entrypoint.handover import Phase, read_status, report

if TYPE_CHECKING:
    from starlette.datastructures import State
    from vllm.engine.protocol import EngineClient

router = APIRouter()


@router.get("/health/live")
@router.get("/v1/health/live")
async def live() -> dict[str, str]:
    """Whether the process is there."""
    return {"status": "alive"}


@router.get("/health/ready")
@router.get("/v1/health/ready")
async def ready(request: Request) -> JSONResponse:
    """Whether the engine can answer."""
    from vllm.v1.engine.exceptions import EngineDeadError

    engine: EngineClient | None = request.app.state.engine_client
    if engine is not None:
        try:
            await engine.check_health()
        except EngineDeadError:
            return JSONResponse({"status": "the engine is dead"}, status_code=503)
    return JSONResponse({"status": "ready"})


@router.get("/v1/status")
async def status() -> dict[str, Any]:
    """Where the launch is, and how long it took to get there."""
    return read_status() or {"phase": Phase.READY.value}


class Endpoints:
    """The plugin, as vLLM's ``EndpointPlugin`` protocol wants it."""

    name = "inference_server"
    required_tasks = None

    def attach_router(self, app: FastAPI) -> None:
        """Add the routes."""
        app.include_router(router)

    async def init_state(
        self, engine_client: EngineClient | None, state: State, args: Namespace
    ) -> None:
        """The engine is up and the server about to accept: let go of the socket."""
        report(Phase.READY)
