"""The command ``inference-server``."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from entrypoint.commands import add_commands
from entrypoint.errors import InferenceServerError, MachineError, StorageError, UsageError
from entrypoint.supervision.exhaustion import named_limits

DESCRIPTION = "Serve a language model with vLLM, configured by environment variables."
EPILOG = """\
Only MODEL_ID is required. docs/configuration.md lists all variables.
Exit codes: 0 stopped on request, 64 wrong command line, 65 model corrupt or refused, 66 model not
found, 69 hub or store unavailable, 70 engine failed, 71 unsuitable machine, 74 read or write
failed, 78 wrong setting, 128+n stopped by signal n.
"""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write to a full or broken disk fails with."""


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
    _open_missing_streams()
    as_json = False
    try:
        with named_limits(), _written_output():
            arguments = make_parser().parse_args(argv)
            as_json = getattr(arguments, "json", False)
            return _run(arguments, environ)
    except InferenceServerError as error:
        try:
            _print_error(error, environ, as_json)
        except OSError:  # nobody reads it, or its disk is full
            for stream in (sys.stdout, sys.stderr):  # Python tries again at the exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `inference-server options | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    if arguments.version:
        return _version()
    if not hasattr(arguments, "run"):
        make_parser().print_help()
        return 0
    from entrypoint.settings import read_environment

    _check_working_directory()
    code: int = arguments.run(arguments, read_environment(environ))
    return code


def _open_missing_streams() -> None:
    """Open the standard streams that the caller has closed, as in ``inference-server plan >&-``.

    Otherwise the next opened file or socket gets the number of one, and output goes there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


@contextlib.contextmanager
def _written_output() -> Iterator[None]:
    """Write what the body has printed, also the end of it.

    Raises:
        BrokenPipeError: The reader has left.
        StorageError: The disk that standard output goes to is full.
    """
    try:
        try:
            yield
        finally:  # --help raises SystemExit
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StorageError(
            f"Cannot write to standard output: {error.strerror}.",
            hint="Send it to a file system with free space.",
        ) from None


def _check_working_directory() -> None:
    """Check that relative paths mean something.

    Raises:
        MachineError: The working directory was removed, or its parents cannot be read.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise MachineError(
            f"The working directory cannot be found: {error.strerror}.",
            hint="Start in a directory that exists (docker: --workdir; Kubernetes: workingDir).",
        ) from None


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
