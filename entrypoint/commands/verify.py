"""``inference-server verify``: checks a model's hashes, manifest and signature."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoint.commands.arguments import Commands, add_json, add_threads, print_result
from entrypoint.errors import UsageError

if TYPE_CHECKING:
    from entrypoint.store.disk.manifest import Manifest
    from entrypoint.store.verification.compare import Finding
    from entrypoint.store.verification.signature import Trust


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "verify",
        help="check a model's hashes, manifest and signature",
        description="Check each blob against the hash in its name, each link, the files that the "
        "model's indexes and its manifest list, and, with a key or a chain, the signature. Reads a "
        "tarball without unpacking it. Exits with 65 and lists each file with a problem.",
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        help="a cache, a models--org--name folder, a snapshot, a plain directory, or a tarball",
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="manifest to compare with, as written by pack (default: the one in PATH)",
    )
    add_trust(parser)
    add_threads(parser, "files to hash in parallel")
    add_json(parser)
    return parser


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the signature and the trusted signer."""
    parser.add_argument(
        "--signature",
        metavar="FILE",
        help="OpenSSF model signature (default: PATH.sig, with a key or a chain)",
    )
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--public-key", metavar="FILE", help="public key of the trusted signer (PEM)")
    keys.add_argument(
        "--certificate-chain",
        metavar="FILE",
        nargs="+",
        help="certificates of the trusted signer (PEM)",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Verify, and print the result."""
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.store.threads import processors
    from entrypoint.store.verification.verify import verify

    path = Path(arguments.path).absolute()
    trust = _trust(arguments)
    with ProgressBar("verify") as bar:
        verification = verify(
            path,
            manifest=_manifest(arguments.manifest),
            threads=arguments.threads or processors(),
            on_progress=bar,
        )
    verification.check()
    signature = None
    if trust is not None:
        from entrypoint.store.verification.signature import check_signature, signature_beside

        signature = Path(arguments.signature or signature_beside(path))
        files, hashes = verification.only_model()
        check_signature(files.place, files.with_hidden(hashes), trust, signature)
    findings = [model.finding for model in verification.models]
    if not arguments.json:
        for finding in findings:
            for note in finding.notes:
                print(f"{finding.place}: {note}", file=sys.stderr)
    text = "\n".join(_line(finding, signature) for finding in findings)
    print_result(arguments, _document(path, findings, signature), text)
    return 0


def _trust(arguments: argparse.Namespace) -> Trust | None:
    from entrypoint.store.verification.signature import Trust

    chain = tuple(Path(path) for path in arguments.certificate_chain or ())
    if arguments.public_key or chain:
        return Trust(Path(arguments.public_key) if arguments.public_key else None, chain)
    if arguments.signature:
        raise UsageError(
            f"--signature {arguments.signature} needs the signer's key or certificates.",
            hint="Add --public-key FILE or --certificate-chain FILE.",
        )
    return None


def _manifest(path: str | None) -> Manifest | None:
    from entrypoint.store.disk.manifest import load_manifest

    if path is None:
        return None
    try:
        return load_manifest(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--manifest {path} is unusable: {why}.",
            hint="Name a manifest.json, as written by inference-server pack.",
        ) from error


def _line(finding: Finding, signature: Path | None) -> str:
    from entrypoint.units import human_bytes

    what = finding.repository or "a plain model"
    compared = f"{human_bytes(finding.bytes)} hashed" if finding.bytes else "structure only"
    signed = f", signed by {signature}" if signature else ""
    return f"{finding.place}: complete, {what}, {finding.files} files, {compared}{signed}"


def _document(path: Path, findings: Sequence[Finding], signature: Path | None) -> dict[str, Any]:
    return {
        "path": str(path),
        "signature": str(signature) if signature else None,
        "models": [
            {
                "path": str(finding.place),
                "repository": finding.repository,
                "files": finding.files,
                "bytes_hashed": finding.bytes,
                "notes": list(finding.notes),
            }
            for finding in findings
        ],
    }
