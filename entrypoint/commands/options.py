"""``inference-server options``: the options that ARG accepts."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from entrypoint.commands.arguments import Commands, add_json, print_result


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "options",
        help="list the vLLM options that ARG accepts",
        description="List the options of the installed vLLM, and the options that it no longer "
        "has, with their replacements.",
    )
    parser.add_argument(
        "word",
        metavar="WORD",
        nargs="?",
        help="list only options that contain this word, such as max-model-len",
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the options."""
    from entrypoint.options.catalogue import load_catalogue
    from entrypoint.options.listing import describe, matching

    catalogue = load_catalogue()
    word: str | None = arguments.word
    print_result(arguments, matching(catalogue, word), describe(catalogue, word))
    return 0
