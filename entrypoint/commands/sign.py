"""``inference-server sign``: signs a model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from entrypoint.commands.arguments import Commands, add_json, add_threads, print_result
from entrypoint.errors import StorageError, UsageError


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sign",
        help="sign a model",
        description="Verify a model, then create an OpenSSF model signature of the names and "
        "SHA-256 of its files. The signature is valid wherever the same files are: in a cache, a "
        "directory or a tarball.",
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        help="a models--org--name folder, a snapshot, a plain directory, or a tarball",
    )
    parser.add_argument(
        "--private-key",
        metavar="FILE",
        type=Path,
        required=True,
        help="private key on an elliptic curve (PEM)",
    )
    parser.add_argument(
        "--signing-certificate", metavar="FILE", help="certificate of the key (PEM)"
    )
    parser.add_argument(
        "--certificate-chain",
        metavar="FILE",
        type=Path,
        nargs="+",
        default=(),
        help="certificates that issued the signing certificate (PEM)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="file for the signature (default: PATH.sig)"
    )
    add_threads(parser, "files to hash in parallel")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Sign, and print the path of the signature."""
    from entrypoint.commands.bars import ProgressBar
    from entrypoint.store.threads import processors
    from entrypoint.store.verification.signature import Signer, sign, signature_beside
    from entrypoint.store.verification.verify import verify

    path = Path(arguments.path).absolute()
    certificate = arguments.signing_certificate
    if arguments.certificate_chain and not certificate:
        raise UsageError(
            "--certificate-chain needs --signing-certificate.",
            hint="Add --signing-certificate FILE, or remove --certificate-chain.",
        )
    signer = Signer(
        arguments.private_key,
        Path(certificate) if certificate else None,
        tuple(arguments.certificate_chain),
    )
    with ProgressBar("verify") as bar:
        verification = verify(path, threads=arguments.threads or processors(), on_progress=bar)
    verification.check()
    files, hashes = verification.only_model()
    target = Path(arguments.output or signature_beside(path)).absolute()
    try:
        count = sign(files.place.name, hashes, signer, target)
    except OSError as error:
        raise StorageError(
            f"The signature {target} cannot be written: {error.strerror}.",
            hint="Choose another file with -o FILE.",
        ) from error
    document = {"signature": str(target), "files": count}
    print_result(arguments, document, f"{target}: signed {count} files of {path}")
    return 0
