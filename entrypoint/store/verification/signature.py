"""OpenSSF model signatures of a directory, a cache or a tarball, with the package model-signing.

A signature covers the names and SHA-256 of a model's files, relative to the snapshot or the
directory, links followed. So it is valid wherever the same files are. Git's own files and hidden
folders are not signed, as in the package.

The package checks the key, the certificates and the signature, and compares the signed hashes with
those of the files. This module gives it hashes from a tarball, too.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from entrypoint.errors import FailedVerification, MachineError, Problem, ProblemKind, UsageError
from entrypoint.store.disk.cache import PREFIX
from entrypoint.store.writing.complete_file import complete_file
from entrypoint.store.writing.publish import partial_path

SUFFIX = ".sig"
IGNORED = (".cache", ".git", ".gitattributes", ".github", ".gitignore")
"""Files that are not signed: notes of tools that download models."""
MAX_SIGNATURE_BYTES = 64 << 20

Hashes = Callable[[frozenset[str]], Mapping[str, str]]
"""Hashes a model: returns ``{name: SHA-256}`` of its files, and of the given names that exist
although they are not part of the model."""


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs.

    Attributes:
        private_key: PEM file of a key on an elliptic curve.
        certificate: PEM file of the certificate for it, None to sign by the key alone.
        chain: PEM files of the certificates that vouch for that.
    """

    private_key: Path
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signature is trusted.

    Attributes:
        public_key: PEM file of a public key, None with certificates.
        chain: PEM files of the trusted certificates.
    """

    public_key: Path | None = None
    chain: tuple[Path, ...] = ()


def signature_beside(place: Path) -> Path:
    """Return the default path of a signature: beside the tarball or directory.

    For a snapshot in a cache, beside the repository's folder.
    """
    folder = place.parent.parent
    if place.parent.name == "snapshots" and folder.name.startswith(PREFIX):
        place = folder
    return place.with_name(place.name + SUFFIX)


def sign(name: str, hashes: Mapping[str, str], signer: Signer, target: Path) -> int:
    """Sign a model; return how many files were signed.

    Args:
        name: Its name in the signature, for people.
        hashes: ``{name: SHA-256}`` of its files.
        signer: The key and its certificate.
        target: The signature's file, replaced if it exists.

    Raises:
        MachineError: The package model-signing is not installed.
        UsageError: The key or a certificate is unusable.
        StorageError: Another process is writing the same signature.
        OSError: The signature cannot be written.
    """
    signing, hashing = _packages()
    config = signing.signing.Config()
    for path in (signer.private_key, signer.certificate, *signer.chain):
        if path is not None:
            _check_readable(path)
    try:
        if signer.certificate is None:
            config.use_elliptic_key_signer(private_key=signer.private_key)
        else:
            config.use_certificate_signer(
                private_key=signer.private_key,
                signing_certificate=signer.certificate,
                certificate_chain=signer.chain,
            )
    except Exception as error:  # the package does not catch its libraries' exceptions
        raise UsageError(
            f"The private key {signer.private_key} cannot sign: {_words(error)}.",
            hint="Create a key: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
            if signer.certificate is None
            else "Use a private key on an elliptic curve, and the certificate of this key.",
        ) from error
    made = hashing(lambda _: hashes, frozenset())
    config.set_hashing_config(made)
    with complete_file(target):
        config.sign(Path(name), partial_path(target))
    return len(made.hashed)


def check_signature(place: Path, hashes: Hashes, trust: Trust, signature: Path) -> None:
    """Check that a trusted signer signed exactly these files.

    Checks the signature before anything is hashed.

    Args:
        place: The model, for messages.
        hashes: Hashes its files.
        trust: Whose signature is trusted.
        signature: The signature's file.

    Raises:
        FailedVerification: The signature is missing, not trusted, or for other files.
        MachineError: The package model-signing is not installed.
        UsageError: The key or a certificate is unusable.
        OSError: A file of the model cannot be read.
    """
    signing, hashing = _packages()
    config = signing.verifying.Config()
    for path in (trust.public_key, *trust.chain):
        if path is not None:
            _check_readable(path)
    try:
        if trust.public_key is not None:
            config.use_elliptic_key_verifier(public_key=trust.public_key)
        else:
            config.use_certificate_verifier(certificate_chain=trust.chain)
    except Exception as error:
        raise UsageError(
            f"{trust.public_key or ', '.join(map(str, trust.chain))} cannot verify: "
            f"{_words(error)}.",
            hint="Name a PEM file with a public key on an elliptic curve, or with certificates.",
        ) from error
    signed = read_signed(place, signature)
    made = hashing(hashes, frozenset(signed))
    config.set_hashing_config(made)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            config.verify(place, signature)
    except OSError:  # from reading the model's files
        raise
    except Exception as error:
        if made.hashed is None:
            what = f"not signed by a trusted key: {_words(error)}"
            raise _bad_signature(place, signature, what) from error
        raise _failed(place, dict(_differences(signed, made.hashed))) from error


def read_signed(place: Path, signature: Path) -> dict[str, str]:
    """Return ``{name: SHA-256}`` of the signed files, without checking the signature.

    Raises:
        FailedVerification: It is missing, malformed, or not made of complete files' SHA-256.
    """
    try:
        with signature.open("rb") as file:
            envelope = json.loads(file.read(MAX_SIGNATURE_BYTES))["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        predicate = statement["predicate"]
        how = predicate["serialization"]
        signed = {str(item["name"]): str(item["digest"]) for item in predicate["resources"]}
        form = (str(how["method"]), str(how["hash_type"]))
    except OSError as error:
        what = f"the signature cannot be read: {error.strerror}"
        raise _bad_signature(place, signature, what, ProblemKind.UNREADABLE) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad_signature(place, signature, "not a model signature") from error
    if form != ("files", "sha256"):
        what = (
            f"signed with the method {form[0]} and {form[1]}; only files and sha256 are supported"
        )
        raise _bad_signature(place, signature, what)
    return signed


def _bad_signature(
    place: Path, signature: Path, what: str, kind: ProblemKind = ProblemKind.INVALID
) -> FailedVerification:
    return _failed(place, {str(signature): Problem(kind, what)})


def _failed(place: Path, problems: Mapping[str, Problem]) -> FailedVerification:
    return FailedVerification(
        place,
        problems,
        hint="Get the signature from the signer. If you changed the model on purpose, sign it "
        "again: inference-server sign",
    )


def _differences(
    signed: Mapping[str, str], actual: Mapping[str, str]
) -> Iterator[tuple[str, Problem]]:
    for name in sorted(signed.keys() | actual.keys()):
        if name not in actual:
            yield name, Problem(ProblemKind.MISSING, "signed, but missing")
        elif name not in signed:
            yield name, Problem(ProblemKind.UNEXPECTED, "not signed")
        elif signed[name] != actual[name]:
            text = f"has the SHA-256 {actual[name]}, but {signed[name]} was signed"
            yield name, Problem(ProblemKind.DIFFERENT, text)


def _packages() -> tuple[Any, Any]:
    """Return the package model-signing, and a hashing configuration for it."""
    try:
        import model_signing.hashing
        import model_signing.manifest
        import model_signing.signing
        import model_signing.verifying
        from model_signing._hashing.hashing import Digest
    except ImportError as error:
        raise MachineError(
            f"Signatures need the package model-signing, which is not installed ({error}).",
            hint="Install it: pip install 'inference-server[sign]'",
        ) from error

    class Hashing(model_signing.hashing.Config):  # type: ignore[misc]
        """Gives the package a manifest of our hashes."""

        def __init__(self, hashes: Hashes, wanted: frozenset[str]):
            super().__init__()
            self._hashes = hashes
            self._wanted = wanted
            self.hashed: Mapping[str, str] | None = None

        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Any:
            ignored = (*IGNORED, *self._ignored_paths)
            self.hashed = {
                name: sha256
                for name, sha256 in self._hashes(self._wanted).items()
                if name in self._wanted
                or not any(PurePosixPath(name).is_relative_to(path) for path in ignored)
            }
            items = [
                model_signing.manifest.FileManifestItem(
                    path=PurePosixPath(name), digest=Digest("sha256", bytes.fromhex(sha256))
                )
                for name, sha256 in self.hashed.items()
            ]
            kind = model_signing.manifest.SerializationType.from_args(
                {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": True,
                    "ignore_paths": IGNORED,
                }
            )
            return model_signing.manifest.Manifest(Path(model_path).name, items, kind)

    return model_signing, Hashing


def _check_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.",
            hint="Name a PEM file that this user can read.",
        ) from error


def _words(error: Exception) -> str:
    """Return the first sentence of a library's error, or its class if it has no text."""
    if isinstance(error, AttributeError):  # from the curve of a key that has none
        return "it is not a key on an elliptic curve"
    return str(error).strip().partition(". ")[0].rstrip(".") or type(error).__name__
