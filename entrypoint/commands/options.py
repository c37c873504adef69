"""``inference-server options``: the options that ARG accepts."""

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
        "options",
        help="list the vLLM options that ARG accepts",
        description="List the options of the installed vLLM, and the options that it no longer "
        "has, with their replacements.",
    )
    parser.add_argument(
        "word", nargs="?", help="list only options that contain this word, such as max-model-len"
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the options."""
    from entrypoint.options.catalogue import load_catalogue
    from entrypoint.options.listing import describe, matching

    catalogue = load_catalogue()
    if arguments.json:
        print(json.dumps(matching(catalogue, arguments.word), indent=2))
    else:
        print(describe(catalogue, arguments.word))
    return 0
