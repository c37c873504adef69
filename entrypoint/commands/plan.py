"""``inference-server plan``: what serve would do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from entrypoint.commands.arguments import add_json

if TYPE_CHECKING:
    from entrypoint.commands.arguments import Commands


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "plan",
        help="show what serve would do, and start nothing",
        description="Show which model would be served, as what, on what, and with which options, "
        "each with the variable that it comes from. Fails as serve would, with the same words.",
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the plan."""
    from entrypoint.launch import plan_launch
    from entrypoint.secrets import Redactor

    plan = Redactor(environ).every(plan_launch(environ).as_dict())
    if arguments.json:
        print(json.dumps(plan, indent=2))
    else:
        from entrypoint.commands.table import plan_table

        print(plan_table(plan))
    return 0
