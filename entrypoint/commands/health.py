"""``inference-server health``: whether the server on this machine is healthy."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from entrypoint.commands.arguments import Commands


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    return commands.add_parser(
        "health",
        help="check the health of the server on this machine",
        description="Request /health from the server that was started with the same variables, on "
        "their address, port or socket. Exits with 0 if it answers 200, otherwise with 1. The "
        "images use it as their HEALTHCHECK.",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the server's answer and return 0 if it is healthy."""
    from entrypoint.planning.asked import read_asked
    from entrypoint.status.health import ask_health

    healthy, answer = ask_health(read_asked(environ).listen)
    print(answer)
    return 0 if healthy else 1
