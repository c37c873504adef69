"""The commands of ``inference-server``, one module each; light to import, each of them.

A module has ``add``, which describes the command to the parser, and ``run``, which does it and
returns the exit code. Whatever ``run`` needs, it imports itself.
"""

from __future__ import annotations

from entrypoint.commands import (
    download,
    health,
    models,
    options,
    pack,
    plan,
    pull,
    push,
    serve,
    sign,
    verify,
)
from entrypoint.commands.arguments import Commands

COMMANDS = (serve, plan, models, health, options, download, pack, verify, sign, push, pull)
"""In the order of ``--help``."""


def add_commands(commands: Commands) -> None:
    """Describe every command to the parser; ``run`` becomes its default."""
    for module in COMMANDS:
        module.add(commands).set_defaults(run=module.run)
