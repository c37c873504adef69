"""The command ``inference-server``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from entrypoint.errors import InferenceServerError, UsageError

DESCRIPTION = "Serve a language model with vLLM, as the environment variables say."
EPILOG = """\
The variables are in docs/configuration.md; the least is MODEL_ID.
Exit codes: 0 stopped as asked, 64 wrong command line, 65 artifact corrupt or refused, 66 model
not there, 69 hub did not answer, 70 engine failed, 71 this machine cannot run it, 74 read or
write failed, 78 wrong setting, 128+n after signal n.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.", hint=f"See: {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = _Parser(
        prog="inference-server",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the versions and exit")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser(
        "serve",
        help="find the model, start the engine, stay until it stops",
        description="Find the model that MODEL_ID names, start vLLM on it, and stay until it "
        "stops. Answers on PORT from the first second: /health/live, /health/ready, /v1/status.",
    )
    plan = commands.add_parser(
        "plan",
        help="show what serve would do, and start nothing",
        description="Show which model would be served, as what, on what, and with which options, "
        "each with the variable that it comes from. Fails as serve would, with the same words.",
    )
    commands.add_parser(
        "health",
        help="ask the server that runs here whether it is well",
        description="Ask /health of the server that the same variables started, on the address, "
        "port or socket that they say. Exits with 0 if it answers 200, else with 1. Images have "
        "it as their HEALTHCHECK.",
    )
    options = commands.add_parser(
        "options",
        help="list the vLLM options that ARG takes",
        description="List the options of the installed vLLM, and those that it no longer has, "
        "with what takes their place.",
    )
    options.add_argument(
        "word", nargs="?", help="only those with this word in them, as: max-model-len"
    )
    for command in (plan, options):
        command.add_argument("--json", action="store_true", help="print JSON, for programs")
    return parser


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command and return its exit code."""
    as_json = False
    try:
        parser = make_parser()
        arguments = parser.parse_args(argv)
        as_json = getattr(arguments, "json", False)
        if arguments.version:
            return _version()
        if arguments.command == "serve":
            return _serve(environ)
        if arguments.command == "plan":
            return _plan(environ, as_json)
        if arguments.command == "health":
            return _health(environ)
        if arguments.command == "options":
            return _options(arguments.word, as_json)
        parser.print_help()
        return 0
    except InferenceServerError as error:
        _print_error(error, environ, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `inference-server options | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _print_error(error: InferenceServerError, environ: Mapping[str, str], as_json: bool) -> None:
    from entrypoint.secrets import redact, secrets_of

    secrets = secrets_of(environ)
    if as_json:
        print(redact(json.dumps({"error": error.as_dict()}), secrets))
    text = f"inference-server: error: {error.message}"
    if error.hint:
        text += f"\n  {error.hint}"
    print(redact(text, secrets), file=sys.stderr)


def _version() -> int:
    from importlib.metadata import version

    from entrypoint.hardware.build import installed_vllm

    engine, built_for = installed_vllm()
    print(f"inference-server {version('inference-server')}")
    print(f"vllm {engine} ({built_for})" if engine else "vllm is not installed")
    return 0


def _plan(environ: Mapping[str, str], as_json: bool) -> int:
    from entrypoint.launch import plan_launch

    plan = plan_launch(environ).as_dict()
    if as_json:
        print(json.dumps(plan, indent=2))
    else:
        from entrypoint.table import plan_table

        print(plan_table(plan))
    return 0


def _health(environ: Mapping[str, str]) -> int:
    from entrypoint.health import ask_health
    from entrypoint.plan import chosen_listen
    from entrypoint.settings import read_settings

    healthy, answer = ask_health(chosen_listen(read_settings(environ)))
    print(answer)
    return 0 if healthy else 1


def _options(word: str | None, as_json: bool) -> int:
    from entrypoint.options.catalogue import load_catalogue
    from entrypoint.options.listing import describe, matching

    catalogue = load_catalogue()
    if as_json:
        print(json.dumps(matching(catalogue, word), indent=2))
    else:
        print(describe(catalogue, word))
    return 0


def _serve(environ: Mapping[str, str]) -> int:
    import asyncio

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


if __name__ == "__main__":
    sys.exit(main())
