"""``inference-server download``: a model from the hub to the cache."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from entrypoint.commands.arguments import add_json, add_max_workers

if TYPE_CHECKING:
    from pathlib import Path

    from entrypoint.commands.arguments import Commands
    from entrypoint.planning.asked import Asked
    from entrypoint.store.hub.client import Fetched, Order

EPILOG = """\
Without --format and --include, what the engine loads is downloaded: the safetensors files where
there are some, else the other weights; and all that is not weights. --include '*' takes all.

What a killed download left is gone on with: run the same again. The snapshot appears when all of
it is there, each file checked by the hash that the hub lists.

Variables: HF_TOKEN for gated and private models, HF_ENDPOINT for a mirror, HF_HUB_CACHE (or
HUGGINGFACE_HUB_CACHE, HF_HOME) for where to. HF_HUB_OFFLINE=1 forbids the command.
"""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Describe the command."""
    parser = commands.add_parser(
        "download",
        help="download a model from the hub to the cache",
        description="Download a model from the hub to the cache, and print the snapshot's path.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model_id",
        metavar="MODEL_ID",
        nargs="?",
        help="repository id, as org/name; without it what the variable MODEL_ID says",
    )
    parser.add_argument(
        "--revision", help="branch, tag or commit; without it what the variable REVISION says, "
        "else main",
    )  # fmt: skip
    parser.add_argument(
        "--format",
        choices=("safetensors", "bin", "pt", "gguf"),
        help="of the weights, only those in this format",
    )
    parser.add_argument(
        "--include",
        metavar="PATTERN",
        action="append",
        default=[],
        help="only files that match, as '*.json'; may be repeated",
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="no files that match; may be repeated, wins over --include",
    )
    add_max_workers(parser, "files that are downloaded at once")
    parser.add_argument(
        "--cache-dir",
        metavar="FOLDER",
        help="the cache root to download to; without it the first of the variables' that can be "
        "written to",
    )
    parser.add_argument(
        "--save-as-tarfile",
        action="store_true",
        help="then pack it, as the command pack does, and print the tarball's path",
    )
    parser.add_argument(
        "--tarfile-name",
        metavar="NAME",
        help="the tarball without .tar, with or without a folder (default: org--name, here)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="download nothing; list the files, and the room that they need",
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Download, and print where the model is."""
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.planning.asked import read_asked
    from entrypoint.store.hub.client import fetch

    order = _order(arguments, read_asked(environ))
    tarball = _tarball(arguments, order)
    if arguments.dry_run:
        fetched = fetch(order, dry_run=True)
    else:
        with ProgressBar("download") as bar:
            fetched = fetch(order, on_progress=bar)
        _check(order, fetched.path)
        if tarball is not None:
            _pack(fetched, tarball)
    if arguments.json:
        print(_as_json(order, fetched, tarball, dry_run=arguments.dry_run))
    elif arguments.dry_run:
        print(_table(order, fetched, tarball))
    else:
        print(tarball or fetched.path)
    return 0


def _tarball(arguments: argparse.Namespace, order: Order) -> Path | None:
    """Where the tarball goes, None where none is wanted."""
    from pathlib import Path

    from entrypoint.errors import UsageError

    if not arguments.save_as_tarfile:
        if arguments.tarfile_name:
            raise UsageError(
                f"--tarfile-name {arguments.tarfile_name} names a tarball that is not asked for.",
                hint="Ask for it with: --save-as-tarfile",
            )
        return None
    name = arguments.tarfile_name or order.repository.replace("/", "--")
    return Path(name.removesuffix(".tar") + ".tar").absolute()


def _pack(fetched: Fetched, tarball: Path) -> None:
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.store.tarballs.pack import pack_model
    from entrypoint.store.tarballs.source import find_source
    from entrypoint.store.threads import processors

    source = find_source(str(fetched.path), ())
    with ProgressBar("pack") as bar:
        pack_model(source, tarball, threads=processors(), on_progress=bar)


def _order(arguments: argparse.Namespace, asked: Asked) -> Order:
    """What the command line and the environment ask to download."""
    from pathlib import Path

    from entrypoint.errors import SettingError, UsageError
    from entrypoint.settings import cache_roots
    from entrypoint.store.hub.client import Order, writable_root
    from entrypoint.store.search.find import check_repository_id

    settings = asked.settings
    model_id = arguments.model_id or asked.model_id
    revision = asked.revision if model_id == asked.model_id else None
    if model_id is None:
        raise UsageError(
            "Which model is not said.",
            hint="Name it, as: inference-server download meta-llama/Llama-2-7b-chat-hf",
        )
    check_repository_id(model_id)
    if settings.hf_hub_offline:
        raise SettingError(
            f"HF_HUB_OFFLINE={asked.environ.get('HF_HUB_OFFLINE')} forbids to ask the hub, which "
            "download does.",
            variable="HF_HUB_OFFLINE",
            hint=f"Allow it here: HF_HUB_OFFLINE=0 inference-server download {model_id}",
        )
    roots = cache_roots(settings, asked.environ)
    if arguments.cache_dir:
        roots = (Path(arguments.cache_dir).expanduser().absolute(),)
    return Order(
        repository=model_id,
        revision=arguments.revision or revision,
        token=settings.hf_token.get_secret_value() if settings.hf_token else None,
        root=writable_root(roots, make=not arguments.dry_run, option="--cache-dir, "),
        endpoint=settings.hf_endpoint,
        include=tuple(arguments.include),
        exclude=tuple(arguments.exclude),
        format=arguments.format,
        workers=arguments.max_workers,
    )


def _check(order: Order, snapshot: Path) -> None:
    """Check that the engine can load what was downloaded, as far as all of it was asked for.

    Raises:
        IncompleteModel: The repository itself is not whole.
    """
    from entrypoint.store.disk.files import directory_files
    from entrypoint.store.disk.integrity import examine_model, model_error
    from entrypoint.store.hub.client import tell

    problems = examine_model(directory_files(snapshot))[1]
    if problems and not (order.include or order.exclude):
        raise model_error(
            snapshot,
            problems,
            f"If it was whole before, remove {snapshot.parents[1]} and run the same again; if it "
            f"comes so from the hub, tell {order.repository}'s owner.",
        )
    if problems:
        listed = ", ".join(f"{name} ({problem})" for name, problem in list(problems.items())[:3])
        tell(f"what was downloaded cannot be served yet: {listed}")


def _as_json(order: Order, fetched: Fetched, tarball: Path | None, *, dry_run: bool) -> str:
    return json.dumps(
        {
            "path": str(fetched.path),
            "tarball": str(tarball) if tarball else None,
            "repository": order.repository,
            "revision": fetched.commit,
            "requested_revision": order.revision,
            "bytes": fetched.bytes,
            "missing_bytes": fetched.missing,
            "fetched_bytes": fetched.fetched,
            "free_bytes": fetched.free,
            "dry_run": dry_run,
            "files": [
                {"name": file["name"], "bytes": file["bytes"], "there_bytes": file["there"]}
                for file in fetched.files
            ],
        },
        indent=2,
    )


def _table(order: Order, fetched: Fetched, tarball: Path | None) -> str:
    """What a dry run tells people."""
    from shutil import disk_usage

    from entrypoint.pod.scratch import nearest_existing
    from entrypoint.units import human_bytes

    width = max(len(file["name"]) for file in fetched.files)
    lines = [f"{order.repository} at {fetched.commit}:"]
    for file in fetched.files:
        missing = file["bytes"] - file["there"]
        state = "is there" if not missing else ""
        if missing and file["there"]:
            state = f"{human_bytes(missing)} of it missing"
        line = f"  {file['name']:<{width}}  {human_bytes(file['bytes']):>10}  {state}"
        lines.append(line.rstrip())
    enough = "enough" if fetched.missing <= fetched.free else "TOO LITTLE"
    lines.append(
        f"{len(fetched.files)} files, {human_bytes(fetched.bytes)}; to be downloaded: "
        f"{human_bytes(fetched.missing)} to {order.root}, where {human_bytes(fetched.free)} are "
        f"free: {enough}"
    )
    if tarball is not None:
        free = disk_usage(nearest_existing(tarball.parent)).free
        lines.append(
            f"the tarball takes as much again: {human_bytes(fetched.bytes)} to {tarball}, where "
            f"{human_bytes(free)} are free now"
        )
    return "\n".join(lines)
