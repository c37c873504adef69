"""The command line of the scripts that generate a file from the installed vLLM."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def run(
    prog: str,
    description: str | None,
    output: Path,
    make: Callable[[], str],
    argv: Sequence[str] | None,
) -> int:
    """Write the file, or check it with ``--check``; return the exit status.

    Args:
        prog: The command that runs the script.
        description: What the script does.
        output: The file to generate.
        make: Returns the file's content.
        argv: The arguments; those of this process if None.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--check", action="store_true", help="compare only; write nothing")
    parser.add_argument("--output", type=Path, default=output, help="default: %(default)s")
    args = parser.parse_args(argv)
    text = make()
    if not args.check:
        args.output.write_text(text, encoding="utf-8")
    elif not args.output.exists() or args.output.read_text(encoding="utf-8") != text:
        print(f"{args.output} does not match the installed vLLM. Run: {prog}", file=sys.stderr)
        return 1
    return 0
