"""Who may call each route of vLLM's and ours. A route that is not listed here is closed.

:mod:`server.gate.page` writes ``docs/routes.md`` from this table and the installed vLLM's routes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from starlette.routing import compile_path

from entrypoint.settings import ADMIN_ROUTES


class Access(StrEnum):
    """Who may call a route."""

    OPEN = "open"
    """Everyone: probes send no key."""
    METRICS = "metrics"
    """Callers with a key; everyone if METRICS_PUBLIC is on."""
    KEY = "key"
    """Callers with a key; everyone if no key is set."""
    ADMIN = "admin"
    """Callers with a key, if ADMIN_ROUTES lists the route's group."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The rules for one route.

    Attributes:
        access: Who may call it.
        group: The group that ADMIN_ROUTES must list, for :data:`Access.ADMIN`.
        work: Whether it gives the engine work and so counts toward the limits.
    """

    access: Access
    group: str | None = None
    work: bool = False


WEBSOCKET = "WEBSOCKET"
"""Stands for the method of a WebSocket's route."""

READY = ("/health", "/health/ready", "/v1/health/ready", "/ping")
"""Readiness probes. SageMaker uses ``/ping``."""
LIVE = ("/health/live", "/v1/health/live")
"""Liveness probes."""

METRICS = ("/metrics", "/v1/metrics")
"""The second is for platforms that only route ``/v1``."""

_OPEN = (*(f"GET {path}" for path in (*READY, *LIVE)), "POST /ping")

_KEY = (
    "GET /v1/models",
    "GET /v1/models/{name:path}",
    "GET /v1/status",
    "GET /version",
    "GET /load",
    "GET /kv_event_sources",
    "GET /tokenizer_info",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/oauth2-redirect",
    "GET /redoc",
    "GET /v1/responses/{response_id}",
    "POST /v1/responses/{response_id}/cancel",
)

_WORK = (
    "/v1/chat/completions",
    "/v1/chat/completions/batch",
    "/v1/chat/completions/render",
    "/v1/chat/completions/derender",
    "/v1/completions",
    "/v1/completions/render",
    "/v1/completions/derender",
    "/v1/responses",
    "/v1/responses/render",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/messages/render",
    "/v1/systemone",
    "/v1/embeddings",
    "/v2/embed",
    "/v1/score",
    "/score",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/classify",
    "/pooling",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/cohere/v2/chat",
    "/cohere/v2/chat/render",
    "/generative_scoring",
    "/inference/v1/generate",
    "/invocations",
    "/tokenize",
    "/detokenize",
)

_ADMIN = {
    "lora": (
        "POST /v1/load_lora_adapter",
        "POST /v1/unload_lora_adapter",
        "POST /adapters",
        "DELETE /adapters/{adapter_name}",
    ),
    "scale": ("POST /scale_elastic_ep", "POST /is_scaling_elastic_ep"),
    "sleep": (
        "POST /sleep",
        "POST /wake_up",
        "POST /release_kv_cache_memory",
        "GET /is_sleeping",
    ),
    "profile": ("POST /start_profile", "POST /stop_profile"),
    "cache": ("POST /reset_prefix_cache", "POST /reset_mm_cache", "POST /reset_encoder_cache"),
    "weights": (
        "POST /init_weight_transfer_engine",
        "POST /shutdown_weight_transfer_engine",
        "POST /start_weight_update",
        "POST /start_draft_weight_update",
        "POST /update_weights",
        "POST /finish_weight_update",
        "POST /update_weight_version",
        "GET /weight_info",
        "POST /weight_checker",
        "GET /get_world_size",
    ),
    "pause": (
        "POST /pause",
        "POST /resume",
        "GET /is_paused",
        "POST /abort_requests",
        "POST /inference/v1/abort_requests",
    ),
    "debug": ("POST /collective_rpc", "GET /server_info"),
    "fault": ("POST /fault_tolerance/apply", "GET /fault_tolerance/status"),
}

DECISIONS: dict[str, Decision] = {
    **dict.fromkeys(_OPEN, Decision(Access.OPEN)),
    **{f"GET {path}": Decision(Access.METRICS) for path in METRICS},
    **dict.fromkeys(_KEY, Decision(Access.KEY)),
    **{f"POST {path}": Decision(Access.KEY, work=True) for path in _WORK},
    f"{WEBSOCKET} /v1/realtime": Decision(Access.KEY, work=True),
    **{route: Decision(Access.ADMIN, group) for group in ADMIN_ROUTES for route in _ADMIN[group]},
}
"""``{"METHOD /path/{template}": decision}``."""


@cache
def _templates() -> list[tuple[str, re.Pattern[str], Decision]]:
    """Return method, pattern and decision of each route with a variable part."""
    routes = (route.split(" ", 1) for route in DECISIONS if "{" in route)
    return [
        (method, compile_path(path)[0], DECISIONS[f"{method} {path}"]) for method, path in routes
    ]


def decide(method: str, path: str) -> Decision | None:
    """Return the decision on a route, None if there is none.

    Args:
        method: In capitals; :data:`WEBSOCKET` for a WebSocket.
        path: Without the root path, as the router matches it.
    """
    method = "GET" if method == "HEAD" else method
    exact = DECISIONS.get(f"{method} {path}")
    if exact is not None:
        return exact
    for template_method, pattern, decision in _templates():
        if template_method == method and pattern.fullmatch(path):
            return decision
    return None


def allowed_methods(path: str) -> list[str]:
    """Return the methods of a path as an ``Allow`` header lists them, none for an unknown path."""
    methods = [method for method in ("GET", "POST", "DELETE") if decide(method, path) is not None]
    if "GET" in methods:
        methods.insert(1, "HEAD")
    elif decide(WEBSOCKET, path) is not None:
        methods.insert(0, "GET")  # the method of a WebSocket's handshake
    return [*methods, "OPTIONS"] if methods else []


def without_trailing_slash(path: str) -> str:
    """Return the path of the route that a request means: clients may add a slash to it."""
    shorter = path.removesuffix("/")
    return shorter if allowed_methods(shorter) else path


def served_work(app: Any) -> list[str]:
    """Return the paths that give the engine work and that an application has for its model.

    Args:
        app: vLLM's application. Any other has no ``routes``, and so none of these paths.
    """
    paths = {getattr(route, "path", None) for route in getattr(app, "routes", ())}
    return [path for path in _WORK if path in paths]
