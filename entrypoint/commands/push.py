"""``inference-server push``: a tarball to an object store."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.commands.arguments import Commands, add_json, add_max_workers, print_result
from entrypoint.errors import UsageError

if TYPE_CHECKING:
    from entrypoint.store.uri import ObjectUri


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "push",
        help="copy a tarball to an object store",
        description="Copy a tarball to S3 (s3://), Azure (az://) or Google Cloud (gs://), with its "
        "SHA-256 as metadata, which pull verifies. An interrupted push to S3 resumes when you "
        "rerun the command. An object with the same SHA-256 is not sent again.",
    )
    parser.add_argument("tarball", metavar="TARBALL", type=Path, help="a .tar, .tar.gz or .tar.zst")
    parser.add_argument(
        "uri",
        metavar="URI",
        help="the object, such as s3://bucket/key.tar; or a bucket, or a folder with '/' at the "
        "end: then the key in it is models/FAMILY/REVISION/ORG--NAME.tar, from the model in the "
        "tarball",
    )
    parser.add_argument(
        "--family",
        help="FAMILY in this key, such as falcon (default: model_type in the model's config.json)",
    )
    add_max_workers(parser, "how many parts to send in parallel")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Push, and print where the tarball is."""
    from dataclasses import asdict

    from entrypoint.commands.bars import ProgressBar
    from entrypoint.pod.scratch import scratch_directory
    from entrypoint.settings import read_settings
    from entrypoint.store.objects.opening import open_store
    from entrypoint.store.objects.push import hash_file, push, unreadable
    from entrypoint.units import human_bytes

    settings = read_settings(environ)
    source: Path = arguments.tarball
    try:
        source.stat()
        uri = _target(source, arguments.uri, arguments.family)
    except OSError as error:
        raise unreadable(source, error) from error
    store = open_store(uri, settings, arguments.max_workers)
    with ProgressBar("hash") as bar:
        sha256 = hash_file(source, bar)
    with ProgressBar("push") as bar:
        pushed = push(store, source, sha256, scratch_directory(environ), arguments.max_workers, bar)
    document = {"uri": str(uri), "sha256": sha256, **asdict(pushed)}
    replaced = ", replacing other content" if pushed.replaced else ""
    text = f"{uri} ({human_bytes(pushed.bytes)}{replaced})"
    if not pushed.sent_bytes:
        text = f"{uri} is up to date"
    print_result(arguments, document, text, indent=None)
    return 0


def _target(source: Path, text: str, family: str | None) -> ObjectUri:
    """The object of the URI; in a folder, the object with the key by convention."""
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.store.objects.convention import describe
    from entrypoint.store.uri import conventional_key, parse_uri

    uri = parse_uri(text)
    if not uri.is_folder:
        if family:
            raise UsageError(
                f"--family is only for a folder, and {uri} is an object.",
                hint="Remove --family, or add '/' to the URI.",
            )
        return uri
    with ProgressBar("read") as bar:
        described = describe(source, bar)
    family = described.family(family)
    key = conventional_key(
        uri.key, family, described.revision, described.repository, described.suffix
    )
    return uri.with_key(key)
