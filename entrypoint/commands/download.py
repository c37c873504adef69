"""``inference-server download``: a model from the hub to the cache."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoint.commands.arguments import Commands, add_json, add_max_workers, print_result
from entrypoint.errors import SettingError, UsageError

if TYPE_CHECKING:
    from entrypoint.planning.asked import Asked
    from entrypoint.store.transfer_process.messages import Downloaded, DownloadJob

EPILOG = """\
Without --format and --include, the command downloads what the engine loads: the safetensors files
if there are any, otherwise the other weights; and all files that are not weights. --include '*'
downloads everything.

An interrupted download resumes when you rerun the command. The snapshot appears when all its files
are complete, each checked against the hash that the hub lists.

Variables: HF_TOKEN for gated and private models, HF_ENDPOINT for a mirror, HF_HUB_CACHE (or
HUGGINGFACE_HUB_CACHE, HF_HOME) for the cache. HF_HUB_OFFLINE=1 disables the command.
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
        help="repository id, such as org/name (default: the variable MODEL_ID)",
    )
    parser.add_argument(
        "--revision", help="branch, tag or commit (default: the variable REVISION, otherwise main)"
    )
    parser.add_argument(
        "--format",
        choices=("safetensors", "bin", "pt", "gguf"),
        help="download weights in this format only",
    )
    parser.add_argument(
        "--include",
        metavar="PATTERN",
        action="append",
        default=[],
        help="download only files that match, such as '*.json'; repeatable",
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="skip files that match; repeatable, overrides --include",
    )
    add_max_workers(parser, "how many files to download in parallel")
    parser.add_argument(
        "--cache-dir",
        metavar="FOLDER",
        help="cache root to download to (default: the first writable one of the variables)",
    )
    parser.add_argument(
        "--save-as-tarfile",
        action="store_true",
        help="pack the model afterwards, like the command pack, and print the tarball's path",
    )
    parser.add_argument(
        "--tarfile-name",
        metavar="NAME",
        help="name of the tarball without .tar, with or without a folder (default: org--name in "
        "the current folder)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list the files and the disk space that they need; download nothing",
    )
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Download, and print where the model is."""
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.planning.asked import read_asked
    from entrypoint.store.hub.client import download

    job = _job(arguments, read_asked(environ))
    tarball = _tarball(arguments, job)
    with ProgressBar("download") as bar:
        downloaded = download(job, environ, bar)
    if not job.dry_run:
        _check(job, downloaded.path)
        if tarball is not None:
            _pack(downloaded, tarball)
    text = _table(job, downloaded, tarball) if job.dry_run else tarball or downloaded.path
    print_result(arguments, _document(job, downloaded, tarball), text)
    return 0


def _tarball(arguments: argparse.Namespace, job: DownloadJob) -> Path | None:
    """The tarball to write, None without --save-as-tarfile."""
    if not arguments.save_as_tarfile:
        if arguments.tarfile_name:
            raise UsageError(
                f"--tarfile-name {arguments.tarfile_name} has no effect without --save-as-tarfile.",
                hint="Add --save-as-tarfile.",
            )
        return None
    name = arguments.tarfile_name or job.repository.replace("/", "--")
    return Path(name.removesuffix(".tar") + ".tar").absolute()


def _pack(downloaded: Downloaded, tarball: Path) -> None:
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.store.tarballs.pack import pack_model
    from entrypoint.store.tarballs.source import find_source
    from entrypoint.store.threads import processors

    source = find_source(str(downloaded.path), ())
    with ProgressBar("pack") as bar:
        pack_model(source, tarball, threads=processors(), on_progress=bar)


def _job(arguments: argparse.Namespace, asked: Asked) -> DownloadJob:
    """What to download, from the command line and the environment."""
    from entrypoint.store.hub.client import writable_root
    from entrypoint.store.search.pasted import is_repository_id
    from entrypoint.store.transfer_process.messages import DownloadJob
    from entrypoint.store.uri import is_uri

    settings = asked.settings
    model_id = arguments.model_id or asked.model_id
    revision = asked.revision if model_id == asked.model_id else None
    if model_id is None:
        raise UsageError(
            "No model given.",
            hint="Name it: inference-server download meta-llama/Llama-2-7b-chat-hf",
        )
    if not is_repository_id(model_id):
        given = "on the command line" if arguments.model_id else "in MODEL_ID"
        raise SettingError(
            f"{model_id!r} {given} is not a repository id.",
            variable="MODEL_ID",
            hint=f"To copy it from an object store: inference-server pull {model_id}"
            if is_uri(model_id)
            else "Give the repository id of a model on the hub, such as org/name.",
        )
    if settings.hf_hub_offline:
        variable = asked.variable("hf_hub_offline")
        raise SettingError(
            f"{variable}={asked.environ.get(variable)} disables network access, which `download` "
            "needs.",
            variable=variable,
            hint=f"Enable it: HF_HUB_OFFLINE=0 inference-server download {model_id}",
        )
    roots = asked.cache_roots
    if arguments.cache_dir:
        roots = (Path(os.path.expanduser(arguments.cache_dir)).absolute(),)
    return DownloadJob(
        repository=model_id,
        revision=arguments.revision or revision,
        token=asked.hf_token,
        root=writable_root(roots, make=not arguments.dry_run, option="--cache-dir, "),
        endpoint=settings.hf_endpoint,
        include=tuple(arguments.include),
        exclude=tuple(arguments.exclude),
        format=arguments.format,
        workers=arguments.max_workers,
        dry_run=arguments.dry_run,
    )


def _check(job: DownloadJob, snapshot: Path) -> None:
    """Check that the engine can load the snapshot; only report it if the patterns left files out.

    Raises:
        IncompleteModel: The repository itself is incomplete.
    """
    from entrypoint.store.disk.files import directory_files
    from entrypoint.store.disk.integrity import examine_model, model_error
    from entrypoint.store.transfer_process.parent import notify

    problems = examine_model(directory_files(snapshot))[1]
    if problems and not (job.include or job.exclude):
        raise model_error(
            snapshot,
            problems,
            f"If it was complete before, remove {snapshot.parents[1]} and rerun the command. If "
            f"the repository on the hub is incomplete, contact the owner of {job.repository}.",
        )
    if problems:
        listed = ", ".join(f"{name} ({problem})" for name, problem in list(problems.items())[:3])
        notify(f"the downloaded files cannot be served yet: {listed}")


def _document(job: DownloadJob, downloaded: Downloaded, tarball: Path | None) -> dict[str, Any]:
    return {
        "path": str(downloaded.path),
        "tarball": str(tarball) if tarball else None,
        "repository": job.repository,
        "revision": downloaded.commit,
        "requested_revision": job.revision,
        "bytes": downloaded.size,
        "missing_bytes": downloaded.missing,
        "fetched_bytes": downloaded.fetched,
        "free_bytes": downloaded.free,
        "dry_run": job.dry_run,
        "files": [
            {"name": file.name, "bytes": file.size, "there_bytes": file.present}
            for file in downloaded.files
        ],
    }


def _table(job: DownloadJob, downloaded: Downloaded, tarball: Path | None) -> str:
    """The list that a dry run prints."""
    from entrypoint.store.writing.room import free_bytes
    from entrypoint.units import human_bytes

    width = max(len(file.name) for file in downloaded.files)
    lines = [f"{job.repository} at {downloaded.commit}:"]
    for file in downloaded.files:
        missing = file.size - file.present
        state = "" if missing else "present"
        if missing and file.present:
            state = f"{human_bytes(missing)} missing"
        lines.append(f"  {file.name:<{width}}  {human_bytes(file.size):>10}  {state}".rstrip())
    enough = "enough" if downloaded.missing <= downloaded.free else "NOT ENOUGH"
    lines.append(
        f"{len(downloaded.files)} files, {human_bytes(downloaded.size)}; to download: "
        f"{human_bytes(downloaded.missing)} to {job.root}, with {human_bytes(downloaded.free)} "
        f"free: {enough}"
    )
    if tarball is not None:
        lines.append(
            f"the tarball needs another {human_bytes(downloaded.size)}: {tarball}, with "
            f"{human_bytes(free_bytes(tarball.parent))} free now"
        )
    return "\n".join(lines)
