"""The command ``inference-server``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from entrypoint.commands import add_commands
from entrypoint.errors import InferenceServerError, UsageError

DESCRIPTION = "Serve a language model with vLLM, configured by environment variables."
EPILOG = """\
Only MODEL_ID is required. docs/configuration.md lists all variables.
Exit codes: 0 stopped on request, 64 wrong command line, 65 model corrupt or refused, 66 model not
found, 69 hub or store unavailable, 70 engine failed, 71 unsuitable machine, 74 read or write
failed, 78 wrong setting, 128+n stopped by signal n.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.", hint=f"See: {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser: argparse.ArgumentParser = _Parser(
        prog="inference-server",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="store_true",
        help="print the versions and exit",
    )
    add_commands(parser.add_subparsers(title="commands", metavar="COMMAND"))
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
        if hasattr(arguments, "run"):
            from entrypoint.settings import read_environment

            environ = read_environment(environ)
            code: int = arguments.run(arguments, environ)
            return code
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
    from entrypoint.secrets import Redactor

    redact = Redactor(environ)
    if as_json:
        print(json.dumps({"error": redact.every(error.as_dict())}))
    print(redact(error.in_words()), file=sys.stderr)


def _version() -> int:
    from importlib.metadata import version

    from entrypoint.hardware.build import installed_vllm

    engine, built_for = installed_vllm()
    print(f"inference-server {version('inference-server')}")
    print(f"vllm {engine} ({built_for})" if engine else "vllm is not installed")
    return 0
