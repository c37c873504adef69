"""``inference-server pack``: packs a model into a tarball."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoint.commands.arguments import Commands, add_json, add_threads, print_result

if TYPE_CHECKING:
    from entrypoint.store.tarballs.compress import Compression


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "pack",
        help="pack a model into a tarball",
        description="Pack one revision of a model into a tarball in the layout of the cache, with "
        "a manifest of its files and their SHA-256. Each file is hashed while it is copied, and "
        "must match the hash in its blob's name. The same model gives the same bytes. In an "
        "uncompressed tarball, the weights are aligned so that they can be mapped into memory.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a cache, a models--org--name folder, a snapshot, a plain directory (with "
        "--repository), or the repository id of a model in the configured caches",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the tarball (default: ./org--name.tar, .tar.zst or .tar.gz)",
    )
    parser.add_argument("--revision", help="branch, tag, or commit (default: refs/main)")
    parser.add_argument(
        "--repository",
        metavar="ORG/NAME",
        help="the name for a plain directory's model, or the model to choose from a cache",
    )
    compression = parser.add_mutually_exclusive_group()
    compression.add_argument("--zstd", action="store_true", help="compress it with zstd")
    compression.add_argument("--gzip", action="store_true", help="compress it with gzip")
    add_threads(parser, "how many files to hash, or blocks to compress, in parallel")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Pack a model and print the tarball's path, size and contents."""
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.settings import cache_roots, read_settings
    from entrypoint.store.tarballs.compress import SUFFIX
    from entrypoint.store.tarballs.pack import pack_model
    from entrypoint.store.tarballs.source import find_source
    from entrypoint.store.threads import processors
    from entrypoint.units import human_bytes

    source = find_source(
        arguments.source,
        cache_roots(read_settings(environ), environ),
        repository=arguments.repository,
        revision=arguments.revision,
    )
    compression: Compression = "zstd" if arguments.zstd else "gzip" if arguments.gzip else "none"
    name = source.repository.replace("/", "--") + SUFFIX[compression]
    with ProgressBar("pack") as bar:
        packed = pack_model(
            source,
            Path(arguments.output or name),
            compression=compression,
            threads=arguments.threads or processors(),
            on_progress=bar,
        )
    repository, commit = packed.manifest.repository, packed.manifest.commit
    count = len(packed.manifest.files)
    document = {
        "path": str(packed.path),
        "bytes": packed.bytes,
        "compression": compression,
        "repository": repository,
        "commit": commit,
        "files": count,
    }
    size = human_bytes(packed.bytes)
    text = f"{packed.path} ({size}): {repository} {commit}, {count} files"
    print_result(arguments, document, text)
    return 0
