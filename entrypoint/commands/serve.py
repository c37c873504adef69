"""``inference-server serve``: a launch from its first second to its exit code."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoint.commands.arguments import Commands


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    return commands.add_parser(
        "serve",
        help="find the model, start the engine, stay until it stops",
        description="Find the model that MODEL_ID names, start vLLM on it, and stay until it "
        "stops. Answers on PORT from the first second: /health/live, /health/ready, /v1/status.",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve until asked to stop."""
    import asyncio
    import logging

    from entrypoint.launch import draft, prepare_launch
    from entrypoint.listener import open_listener
    from entrypoint.plan import LaunchPlan, chosen_listen
    from entrypoint.supervisor import Progress, Supervisor

    logging.basicConfig(
        format="%(levelname)s %(asctime)s [%(name)s] %(message)s",
        datefmt="%m-%d %H:%M:%S",
        level=logging.INFO,
    )
    drafted = draft(environ)
    listen = chosen_listen(drafted.settings)
    listener = open_listener(listen)

    def prepare(progress: Progress) -> LaunchPlan:
        plan = prepare_launch(drafted, progress.enter, progress.bytes)
        log = logging.getLogger("inference-server")
        for note in plan.notes:
            log.log(logging.WARNING if note.level == "warning" else logging.INFO, note.message)
        log.info("serving %s as %s", plan.model.path, ", ".join(plan.served_model_names))
        return plan

    supervisor = Supervisor(listen, listener, prepare, environ, drafted.request.scratch)
    return asyncio.run(supervisor.run())
