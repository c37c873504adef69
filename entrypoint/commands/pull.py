"""``inference-server pull``: a tarball from an object store."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from entrypoint.commands.arguments import Commands, add_json, add_max_workers, print_result


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "pull",
        help="copy a tarball from an object store",
        description="Copy an object from S3 (s3://), Azure (az://, abfs://, "
        "https://ACCOUNT.blob.core.windows.net/) or Google Cloud (gs://) to a file. The file "
        "appears when it is complete and verified: by the SHA-256 that push stored, otherwise by "
        "S3's ETag if possible. An interrupted pull resumes when you rerun the command.",
    )
    parser.add_argument("uri", metavar="URI", help="the object, such as s3://bucket/key.tar")
    parser.add_argument(
        "destination",
        metavar="DESTINATION",
        nargs="?",
        default=".",
        help="a file, an existing folder, or a new folder with '/' at the end (default: the "
        "current folder)",
    )
    add_max_workers(parser, "how many parts to fetch in parallel")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Pull, and print where the file is."""
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.settings import read_settings
    from entrypoint.store.objects.checksum import COMPARED
    from entrypoint.store.objects.opening import open_store
    from entrypoint.store.objects.pull import find_object, pull
    from entrypoint.store.uri import parse_uri
    from entrypoint.units import human_bytes

    uri = parse_uri(arguments.uri)
    store = open_store(uri, read_settings(environ), arguments.max_workers)
    state = find_object(store)
    destination: str = arguments.destination
    target = Path(destination)
    if destination.endswith("/") or os.path.isdir(destination):
        target /= uri.name
    with ProgressBar("pull") as bar:
        pulled = pull(store, state, target, arguments.max_workers, bar)
    document = {
        "uri": str(uri),
        "path": str(pulled.path.absolute()),
        "bytes": pulled.size,
        "fetched_bytes": pulled.fetched,
        "sha256": pulled.sha256,
        "verified": pulled.verified,
    }
    text = f"{pulled.path} ({human_bytes(pulled.size)}, {COMPARED[pulled.verified]})"
    if not pulled.fetched and pulled.size:
        text = f"{pulled.path} is up to date ({COMPARED[pulled.verified]})"
    print_result(arguments, document, text, indent=None)
    return 0
