"""Writes ``docs/routes.md``: every route that the installed vLLM can have, and who may call it.

    python -m server.gate.page            # writes docs/routes.md
    python -m server.gate.page --check    # exits 1 if the committed one is not this vLLM's

vLLM's application is built with everything turned on that adds routes, as for a model that can do
everything; no model is loaded. A route that nothing was decided on stands on the page as closed.
"""

from __future__ import annotations

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

from server.gate.routes import LIVE, READY, Access, Decision, decide

OUTPUT = Path(__file__).resolve().parents[2] / "docs" / "routes.md"

EVERYTHING = {
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_PLUGINS": "inference_server",
}
"""vLLM's variables that add routes, and our plugin, which adds one."""

WHO = {
    Access.OPEN: "everybody",
    Access.METRICS: "a key; everybody with `METRICS_PUBLIC`",
    Access.KEY: "a key",
}

PROBES = {f"GET {path}" for path in (*READY, *LIVE)}
"""What the gate answers by itself."""

HEAD = """\
<!-- Written by `make routes`; do not edit. -->
# Routes

Every route that vLLM {version} can have, with all that adds one turned on, and who may call it.
Where no key is set (`API_KEY`, `API_KEY_FILE`), "a key" means everybody. *Limited* routes give the
engine work: their bodies are bounded, and they wait for one of the `MAX_CONCURRENT_REQUESTS`
places.

A route that is not here gets 404, also if a newer vLLM has it.

| route | who may call it | limited |
| --- | --- | --- |
"""


class _Embeds:
    """A stand-in for a model's configuration: while the routes are made, vLLM asks only for its
    pooling task, and with this one it adds all of pooling's."""

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


def _of_application(app: Any) -> Iterator[str]:
    for route in app.routes:
        methods = getattr(route, "methods", None)
        path = getattr(route, "path", None)
        if path is None:
            continue
        kind = type(route).__name__
        if methods is None:
            methods = {"WEBSOCKET"} if "WebSocket" in kind else {"GET"}
        for method in methods:
            if method != "HEAD" or "GET" not in methods:
                yield f"{method} {path}"


def every_route() -> set[str]:
    """Return ``METHOD /path`` of each route that the installed vLLM can have."""
    from vllm.entrypoints.launchers.api_server import entry
    from vllm.entrypoints.launchers.app import build_app
    from vllm.tasks import SupportedTask

    with patch.dict(os.environ, EVERYTHING), patch.object(entry, "serve_http", entry.serve_http):
        app = build_app(_arguments(), get_args(SupportedTask), _Embeds())
    return {*_of_application(app), *PROBES}


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
    parser = argparse.ArgumentParser(prog="python -m server.gate.page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    args = parser.parse_args(argv)
    text = render(every_route())
    if not args.check:
        OUTPUT.write_text(text)
        return 0
    if OUTPUT.exists() and OUTPUT.read_text() == text:
        return 0
    print(f"{OUTPUT} is not what the installed vLLM has. Run: make routes", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
