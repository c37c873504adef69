"""``inference-server plan``: shows what serve would do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from entrypoint.commands.arguments import Commands, add_json, print_result


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "plan",
        help="show what serve would do, and start nothing",
        description="Show which model serve would start, under which names, on which hardware and "
        "with which options, and the variable that set each option. Fails with the same errors as "
        "serve.",
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the plan."""
    from entrypoint.commands.table import plan_table
    from entrypoint.launch import plan_launch
    from entrypoint.secrets import Redactor

    plan = Redactor(environ).every(plan_launch(environ).as_dict())
    print_result(arguments, plan, plan_table(plan))
    return 0
