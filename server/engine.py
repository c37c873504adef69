"""The engine's main process: vLLM's own ``vllm serve``, on a socket that already listens.

The entrypoint starts it with a :class:`~entrypoint.shared.handover.StartRequest` on standard input.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points

from entrypoint.shared.handover import StartRequest
from server.openvino.settings import take_settings
from server.parent import die_with, end_with

PLUGIN = "inference_server"
"""Our name in vLLM's plugin groups; see pyproject.toml."""

_DEFAULT_ON_GROUPS = (
    "vllm.general_plugins",
    "vllm.io_processor_plugins",
    "vllm.platform_plugins",
    "vllm.stat_logger_plugins",
)


def allowed_plugins(environ: Mapping[str, str]) -> str:
    """Return VLLM_PLUGINS with our plugin in it, and nothing that ran without it left out.

    vLLM loads endpoint plugins only when VLLM_PLUGINS names them, and then loads nothing else
    that it does not name.
    """
    named = environ.get("VLLM_PLUGINS")
    if named is not None:
        names = [name for name in named.split(",") if name]
    else:
        names = [point.name for group in _DEFAULT_ON_GROUPS for point in entry_points(group=group)]
    return ",".join(dict.fromkeys([*names, PLUGIN]))


def take_over(descriptor: int) -> None:
    """Make vLLM serve on the inherited socket instead of binding one of its own."""
    from vllm.entrypoints.launchers import launcher

    def inherited(*_args: object, **_kwargs: object) -> socket.socket:
        return socket.socket(fileno=descriptor)

    launcher.create_server_socket = inherited
    launcher.create_server_unix_socket = inherited


def serve(request: StartRequest) -> None:
    """Do what ``vllm serve`` does with the request's options; return when it has stopped."""
    os.environ["VLLM_PLUGINS"] = allowed_plugins(os.environ)
    pipeline = take_settings(os.environ)

    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.logger import configure_logging_from_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    if request.listener is not None:
        take_over(request.listener)
    cli_env_setup()
    parser = make_arg_parser(FlexibleArgumentParser(prog="vllm serve"))
    args = parser.parse_args(request.argv)
    args.subparser = ServeSubcommand.name  # what `vllm serve` sets, and validation asks for
    configure_logging_from_args(args)
    if pipeline is not None:
        from server.openvino.engine import take_over as run_on_openvino

        run_on_openvino(pipeline, args.dtype)
    command = ServeSubcommand()
    command.validate(args)
    command.cmd(args)


def main() -> None:
    """Read the request and serve."""
    request = StartRequest.load(sys.stdin.buffer.read())
    die_with(request.parent, request.grace)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    serve(request)


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":
    # multiprocessing runs this module first in each process that it spawns
    end_with(os.getppid())
