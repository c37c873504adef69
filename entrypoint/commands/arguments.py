"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import json
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

MAX_THREADS = 256


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_threads(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--threads``.

    Args:
        parser: The command's parser.
        what: What the number is, such as "how many files to hash in parallel".
    """
    help = f"{what} (default: the number of processors)"
    parser.add_argument("--threads", type=_count, metavar="N", help=help)


def add_max_workers(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--max-workers``, for work that waits for the network.

    Args:
        parser: The command's parser.
        what: What the number is, such as "how many files to download in parallel".
    """
    parser.add_argument(
        "--max-workers", type=_count, default=8, metavar="N", help=f"{what} (default: 8)"
    )


def print_result(
    arguments: argparse.Namespace, document: Any, text: object, indent: int | None = 2
) -> None:
    """Print what a command found or made: the document with ``--json``, otherwise the text."""
    print(json.dumps(document, indent=indent) if arguments.json else text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_THREADS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_THREADS}")
    return int(text)
