"""``inference-server models``: the models that this node can serve."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.commands.arguments import Commands, add_json, print_result

if TYPE_CHECKING:
    from entrypoint.store.progress import Progress

DESCRIPTION = """\
List the available models, with revision, size, format, place, and the reason if a model cannot be
served. The command searches the caches (HF_HUB_CACHE and the like), the plain directories and
tarballs in them, and MODEL_TARBALL. It remembers the contents of tarballs in the scratch directory,
so that the next search is faster.
"""
EPILOG = """\
To serve a model: MODEL_ID=<model> inference-server serve. Add REVISION=<revision> if it is not the
commit of main, and MODEL_TARBALL=<where> for a tarball. --json lists the variables of each model.
"""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    parser = commands.add_parser(
        "models",
        help="list the available models",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="read compressed tarballs to their end, to list all models in them and not only the "
        "first",
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the list."""
    from contextlib import ExitStack
    from dataclasses import asdict

    from entrypoint.commands.bars import ProgressBar
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
    with ExitStack() as stack:
        bars: dict[Path, ProgressBar] = {}

        def on_read(path: Path, progress: Progress) -> None:
            if path not in bars:
                stack.close()
                bars[path] = stack.enter_context(ProgressBar(f"read {path.name}"))
            bars[path](progress)

        try:
            items = take_inventory(
                roots, settings.model_tarball, catalogue, arguments.full, on_read
            )
        finally:
            catalogue.save()
    models = [
        {**asdict(item), "path": str(item.path), "settings": item.settings()} for item in items
    ]
    searched = ", ".join(map(str, filter(None, (settings.model_tarball, *roots))))
    text = models_table(models) if models else f"no models in {searched}"
    print_result(arguments, {"models": models}, text)
    return 0
