"""``inference-server models``: what this node can serve."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.commands.arguments import add_json

if TYPE_CHECKING:
    from entrypoint.commands.arguments import Commands
    from entrypoint.store.progress import Progress

EPILOG = """\
To serve one: MODEL_ID=<model> inference-server serve, with REVISION=<revision> where it is not
main's, and MODEL_TARBALL=<where> for a tarball; --json names the variables of each.
"""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "models",
        help="list the models that are here",
        description="List the models in the caches that HF_HUB_CACHE and its like name, in plain "
        "directories there, and in the tarballs beside them or that MODEL_TARBALL names: revision, "
        "size, format, where, and why one cannot be served. What was found in a tarball is kept in "
        "the scratch directory, so that the next search need not read it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="read compressed tarballs to their end, once: only then it is known what they hold "
        "besides their first model",
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the list."""
    from entrypoint.commands.table import models_table
    from entrypoint.pod.scratch import make_scratch, scratch_directory
    from entrypoint.settings import cache_roots, read_settings
    from entrypoint.store.search.by_name import check_tarball_setting
    from entrypoint.store.search.inventory import take_inventory
    from entrypoint.store.tarballs.catalogue import Catalogue

    settings = read_settings(environ)
    check_tarball_setting(settings.model_tarball)
    scratch = scratch_directory(environ)
    make_scratch(scratch)
    catalogue = Catalogue(scratch)
    roots = cache_roots(settings, environ)
    with _Reading() as reading:
        try:
            items = take_inventory(
                roots, settings.model_tarball, catalogue, arguments.full, reading.show
            )
        finally:
            catalogue.save()
    models = [
        {
            "model": item.model,
            "revision": item.revision,
            "refs": list(item.refs),
            "bytes": item.bytes,
            "formats": list(item.formats),
            "source": item.source,
            "path": str(item.path),
            "problem": item.problem,
            "settings": item.settings(),
        }
        for item in items
    ]
    if arguments.json:
        print(json.dumps({"models": models}, indent=2))
    elif models:
        print(models_table(models))
    else:
        searched = ", ".join(map(str, filter(None, (settings.model_tarball, *roots))))
        print(f"no model is in {searched}")
    return 0


class _Reading:
    """Shows how far each tarball has been read."""

    def __init__(self) -> None:
        from contextlib import ExitStack

        self._stack = ExitStack()
        self._path: Path | None = None

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, path: Path, progress: Progress) -> None:
        """Show how far a tarball has been read."""
        from entrypoint.commands.bars import ProgressBar

        if path != self._path:
            self._stack.close()
            self._bar = self._stack.enter_context(ProgressBar(f"read {path.name}"))
            self._path = path
        self._bar(progress)
