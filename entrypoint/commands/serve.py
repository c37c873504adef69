"""``inference-server serve``: the complete launch."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from entrypoint.commands.arguments import Commands

if TYPE_CHECKING:
    from entrypoint.logs.writer import LogWriter
    from entrypoint.secrets import Redactor
    from entrypoint.supervision.supervisor import Supervisor

WRITE_SECONDS = 0.5
"""How long to wait for a reader of the last lines; the exit must not depend on one."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    return commands.add_parser(
        "serve",
        help="find the model, start the engine, and run until it stops",
        description="Find the model MODEL_ID, start vLLM with it, and run until it stops. The "
        "server answers on PORT immediately: /health/live, /health/ready, /v1/status.",
    )


@contextlib.contextmanager
def _log(redact: Redactor, as_json: bool) -> Iterator[LogWriter]:
    """Send this process's log through a writer that never blocks it."""
    import logging

    from entrypoint.logs.format import JsonFormatter, TextFormatter
    from entrypoint.logs.writer import LogHandler, LogWriter

    writer = LogWriter()
    handler = LogHandler(writer, redact.output)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield writer
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        writer.close(WRITE_SECONDS)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Serve until a signal asks to stop."""
    import asyncio
    import logging

    from entrypoint.errors import InferenceServerError
    from entrypoint.secrets import Redactor
    from entrypoint.settings import read_setting
    from entrypoint.supervision.exhaustion import named_limits, raise_file_limit
    from entrypoint.supervision.termination import termination_message, write_termination

    redact = Redactor(environ)
    # read separately: errors in other settings must follow this one
    as_json = read_setting("log_format", environ) == "json"
    supervisor = None
    with named_limits(), _log(redact, as_json) as writer:
        try:
            with named_limits():
                raise_file_limit()
                supervisor = _supervisor(environ, writer)
                code = asyncio.run(supervisor.run())
        except InferenceServerError as error:
            if as_json:
                logging.getLogger("inference-server").error("%s", error.in_words())
            else:
                writer.write(2, f"{redact(error.in_words())}\n".encode(errors="replace"))
            message = termination_message(error, supervisor.tail() if supervisor else [], redact)
            write_termination(message, read_setting("termination_log", environ))
            writer.flush()
            code = error.exit_code
    if supervisor is not None and supervisor.is_preparing():
        # Python would wait for threads that read or hash, on a dead disk forever
        os._exit(code)
    return code


def _supervisor(environ: Mapping[str, str], writer: LogWriter) -> Supervisor:
    """Read and check everything but the model, and listen.

    Raises:
        InferenceServerError: The launch cannot work.
    """
    import logging

    from entrypoint.launch import prepare_launch, read_inputs
    from entrypoint.planning.access import allowed_pages, fixed_keys
    from entrypoint.planning.plan import LaunchPlan
    from entrypoint.shared.keys import Keys
    from entrypoint.status.listener import open_listener
    from entrypoint.status.server import Guard
    from entrypoint.supervision.config import SupervisorConfig
    from entrypoint.supervision.preparation import Reporter
    from entrypoint.supervision.supervisor import Supervisor

    inputs = read_inputs(environ)
    asked = inputs.asked
    settings = asked.settings
    guard = Guard(
        Keys(fixed_keys(asked), asked.api_key_file),
        settings.metrics_public,
        allowed_pages(asked),
    )
    listener = open_listener(asked.listen)

    def prepare(reporter: Reporter) -> LaunchPlan:
        plan = prepare_launch(inputs, reporter.enter, reporter.on_progress, reporter.planned)
        log = logging.getLogger("inference-server")
        for note in plan.notes:
            log.log(logging.WARNING if note.level == "warning" else logging.INFO, note.message)
        log.info("serving %s as %s", plan.model.path, ", ".join(plan.served_model_names))
        return plan

    config = SupervisorConfig(
        listen=asked.listen,
        listener=listener,
        prepare=prepare,
        environ=environ,
        scratch=inputs.request.scratch,
        temporary=inputs.pod.temporary,
        writer=writer,
        as_json=settings.log_format == "json",
        start_timeout=settings.start_timeout,
        guard=guard,
    )
    return Supervisor(config)
