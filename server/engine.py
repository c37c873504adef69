"""The engine's main process: ``vllm serve`` on a socket that already listens.

The entrypoint starts it with a :class:`~entrypoint.shared.handover.StartRequest` on standard input.
:mod:`server.internals` lists what it replaces in vLLM.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, MutableMapping
from importlib.metadata import entry_points

from entrypoint.shared.handover import StartRequest
from server.openvino.settings import take_settings
from server.parent import die_with, end_with

PLUGIN = "inference_server"
"""The name of this project's plugins in vLLM's plugin groups; see pyproject.toml."""

_DEFAULT_ON_GROUPS = (
    "vllm.general_plugins",
    "vllm.io_processor_plugins",
    "vllm.platform_plugins",
    "vllm.stat_logger_plugins",
)


def allowed_plugins(environ: Mapping[str, str]) -> str:
    """Return VLLM_PLUGINS with this project's plugin and all that vLLM loads without it.

    vLLM loads an endpoint plugin only if VLLM_PLUGINS names it. Once VLLM_PLUGINS is set, vLLM
    loads no plugin that it does not name.
    """
    named = environ.get("VLLM_PLUGINS")
    if named is not None:
        names = [name for name in named.split(",") if name]
    else:
        names = [point.name for group in _DEFAULT_ON_GROUPS for point in entry_points(group=group)]
    return ",".join(dict.fromkeys([*names, PLUGIN]))


def take_over(descriptor: int) -> None:
    """Make vLLM serve on the inherited socket instead of creating one."""
    from vllm.entrypoints.launchers import launcher

    def inherited(*_args: object, **_kwargs: object) -> socket.socket:
        return socket.socket(fileno=descriptor)

    launcher.create_server_socket = inherited
    launcher.create_server_unix_socket = inherited


def serve(request: StartRequest, environ: MutableMapping[str, str]) -> None:
    """Run ``vllm serve`` with the request's options until it stops.

    Args:
        request: From the entrypoint.
        environ: The environment of this process, which vLLM reads too.
    """
    environ["VLLM_PLUGINS"] = allowed_plugins(environ)
    pipeline = take_settings(environ)

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
    args.subparser = ServeSubcommand.name  # as `vllm serve` does; its validation reads it
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
    serve(request, os.environ)


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":
    # multiprocessing imports this module first in each process that it spawns
    end_with(os.getppid())
