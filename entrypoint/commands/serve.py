"""``inference-server serve``: a launch from its first second to its exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoint.commands.arguments import Commands
    from entrypoint.logs.writer import LogWriter
    from entrypoint.secrets import Redactor
    from entrypoint.supervision.supervisor import Supervisor

WRITE_SECONDS = 0.5
"""What the last lines get to be written after a stop; the exit must not wait for a reader."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    return commands.add_parser(
        "serve",
        help="find the model, start the engine, stay until it stops",
        description="Find the model that MODEL_ID names, start vLLM on it, and stay until it "
        "stops. Answers on PORT from the first second: /health/live, /health/ready, /v1/status.",
    )


@contextlib.contextmanager
def _log(redact: Redactor, as_json: bool) -> Iterator[LogWriter]:
    """Send this process's log through a writer that nothing waits for."""
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
    """Serve until asked to stop."""
    import asyncio
    import logging

    from entrypoint.errors import InferenceServerError
    from entrypoint.secrets import Redactor
    from entrypoint.supervision.exhaustion import limits_named
    from entrypoint.supervision.termination import termination_message, write_termination

    redact = Redactor(environ)
    # not from the settings: an error in these is to be written as a record too
    as_json = environ.get("LOG_FORMAT", "").casefold() == "json"
    supervisor = None
    with limits_named(), _log(redact, as_json) as writer:
        try:
            with limits_named():
                supervisor = _supervisor(environ, writer)
                code = asyncio.run(supervisor.run())
        except InferenceServerError as error:
            if as_json:
                logging.getLogger("inference-server").error("%s", error.in_words())
            else:
                writer.write(2, f"{redact(error.in_words())}\n".encode(errors="replace"))
            tail = supervisor.tail() if supervisor else []
            write_termination(termination_message(error, tail, redact), environ)
            writer.flush()
            code = error.exit_code
    if supervisor is not None:
        supervisor.remove_run_directory()
        if supervisor.left_preparing():
            # Python would wait for threads that read or hash: where a disk is dead, for ever
            os._exit(code)
    return code


def _supervisor(environ: Mapping[str, str], writer: LogWriter) -> Supervisor:
    """Read and check everything but the model, and listen.

    Raises:
        InferenceServerError: The launch cannot work.
    """
    import logging

    from entrypoint.launch import prepare_launch, read_inputs
    from entrypoint.planning.access import fixed_keys
    from entrypoint.planning.plan import LaunchPlan
    from entrypoint.shared.keys import Keys
    from entrypoint.status.listener import open_listener
    from entrypoint.status.server import Guard
    from entrypoint.supervision.supervisor import Progress, Supervisor

    inputs = read_inputs(environ)
    asked = inputs.asked
    settings = asked.settings
    guard = Guard(Keys(fixed_keys(asked), asked.api_key_file), settings.metrics_public)
    listener = open_listener(asked.listen)

    def prepare(progress: Progress) -> LaunchPlan:
        plan = prepare_launch(inputs, progress.enter, progress.bytes, progress.planned)
        log = logging.getLogger("inference-server")
        for note in plan.notes:
            log.log(logging.WARNING if note.level == "warning" else logging.INFO, note.message)
        log.info("serving %s as %s", plan.model.path, ", ".join(plan.served_model_names))
        return plan

    return Supervisor(
        asked.listen,
        listener,
        prepare,
        environ,
        inputs.request.scratch,
        writer,
        as_json=settings.log_format == "json",
        start_timeout=settings.start_timeout,
        guard=guard,
    )
