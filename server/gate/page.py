"""Writes ``docs/routes.md``: every route of the installed vLLM, and who may call it.

    python -m server.gate.page            # writes docs/routes.md
    python -m server.gate.page --check    # exits 1 if the committed page is out of date

The script builds vLLM's application with every option that adds routes, as for a model with all
abilities; it loads no model. The page shows a route without a decision as closed.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from server import generated
from server.gate.routes import LIVE, READY, WEBSOCKET, Access, Decision, decide

OUTPUT = Path(__file__).resolve().parents[2] / "docs" / "routes.md"

EVERYTHING = {
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_PLUGINS": "inference_server",
}
"""vLLM's variables that add routes, and this project's plugin, which adds one."""

WHO = {
    Access.OPEN: "everyone",
    Access.METRICS: "a key; everyone if `METRICS_PUBLIC` is on",
    Access.KEY: "a key",
}

PROBES = {f"GET {path}" for path in (*READY, *LIVE)}
"""The routes that the gate answers itself."""

HEAD = """\
<!-- Written by `make routes`; do not edit. -->
# Routes

Every route of vLLM {version} with all optional routes turned on, and who may call it. If no key is
set (`API_KEY`, `API_KEY_FILE`), "a key" means everyone. *Limited* routes give the engine work: the
server limits the size of their bodies, and they wait for one of the `MAX_CONCURRENT_REQUESTS`
places.

A route that is not listed gets a 404, even if a newer vLLM has it. A slash at the end of a path
changes nothing. `HEAD` works wherever `GET` does, and `OPTIONS` lists the methods of a path.

| route | who may call it | limited |
| --- | --- | --- |
"""


class _Embeds:
    """A stand-in for a model's configuration: to build its routes, vLLM reads only the pooling
    task, and this one adds all pooling routes."""

    def get_pooling_task(self, _supported: object) -> str:
        return "embed"


def _arguments() -> Namespace:
    from vllm.config import ProfilerConfig
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    args: Namespace = make_arg_parser(FlexibleArgumentParser()).parse_args(["model"])
    args.enable_lora = True
    args.enable_tokenizer_info_endpoint = True
    args.enable_fault_tolerance = True
    args.profiler_config = ProfilerConfig(profiler="torch", torch_profiler_dir="/tmp")
    return args


def _routes_of(app: Any) -> Iterator[str]:
    for route in app.routes:
        methods = getattr(route, "methods", None)
        path = getattr(route, "path", None)
        if path is None:
            continue
        kind = type(route).__name__
        if methods is None:
            methods = {WEBSOCKET} if "WebSocket" in kind else {"GET"}
        for method in methods:
            if method != "HEAD" or "GET" not in methods:
                yield f"{method} {path}"


def every_route() -> set[str]:
    """Return ``METHOD /path`` of each route of the installed vLLM."""
    from vllm.entrypoints.launchers.api_server import entry
    from vllm.entrypoints.launchers.app import build_app
    from vllm.tasks import SupportedTask

    environ, serve_http = dict(os.environ), entry.serve_http
    os.environ.update(EVERYTHING)  # vLLM reads it while it builds the application
    try:
        app = build_app(_arguments(), get_args(SupportedTask), _Embeds())
    finally:
        entry.serve_http = serve_http  # the plugin has replaced it
        os.environ.clear()
        os.environ.update(environ)
    return {*_routes_of(app), *PROBES}


def _row(route: str, decision: Decision | None) -> str:
    if decision is None:
        return f"| `{route}` | nobody | |"
    who = WHO.get(decision.access) or f"a key, with `ADMIN_ROUTES={decision.group}`"
    return f"| `{route}` | {who} | {'yes' if decision.work else ''} |"


def render(routes: set[str]) -> str:
    """Return the page."""
    from vllm.version import __version__

    rows = []
    for route in sorted(routes, key=lambda each: each.split(" ")[::-1]):
        method, _, path = route.partition(" ")
        rows.append(_row(route, decide(method, path)))
    return HEAD.format(version=__version__.partition("+")[0]) + "\n".join(rows) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the page; return the exit status."""
    return generated.run(
        "python -m server.gate.page", __doc__, OUTPUT, lambda: render(every_route()), argv
    )


if __name__ == "__main__":
    sys.exit(main())
