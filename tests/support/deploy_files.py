"""What is deployed, read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"
DASHBOARD = DEPLOY / "monitoring" / "grafana" / "dashboards" / "inference-server.json"

ENGINES = ("cpu", "cuda", "rocm", "hpu", "openvino", "openvino-gpu")


@cache
def services() -> dict[str, Any]:
    """Return the services of docker-compose.yml, anchors resolved and variables not."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """Return a value of docker-compose.yml as compose would with ``environ``."""

    def value(match: re.Match[str]) -> str:
        return environ.get(match[1]) or interpolated(match[2] or "", environ)

    return re.sub(r"\$\{(\w+)(?::-((?:[^{}]|\{[^{}]*\})*))?\}", value, str(text))


def environment_of(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a container of a service gets; a name without a value is passed on."""
    return {
        name: interpolated(value, environ) if value is not None else environ[name]
        for name, value in services()[service]["environment"].items()
        if value is not None or name in environ
    }


def expressions() -> list[str]:
    """Return the dashboard's PromQL, Grafana's own variables filled in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    filled = {"$__rate_interval": "1m", "$model": ".*"}
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    for name, value in filled.items():
        found = [expression.replace(name, value) for expression in found]
    return found
