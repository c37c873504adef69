"""``inference-server health``: whether the server that runs here is well."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoint.commands.arguments import Commands


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    return commands.add_parser(
        "health",
        help="ask the server that runs here whether it is well",
        description="Ask /health of the server that the same variables started, on the address, "
        "port or socket that they say. Exits with 0 if it answers 200, else with 1. Images have "
        "it as their HEALTHCHECK.",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the answer."""
    from entrypoint.planning.asked import read_asked
    from entrypoint.status.health import ask_health

    healthy, answer = ask_health(read_asked(environ).listen)
    print(answer)
    return 0 if healthy else 1
