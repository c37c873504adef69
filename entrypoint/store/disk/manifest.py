"""The manifest of a model: the name, size and hash of each of its files.

It is beside the blobs: ``models--org--name/manifest.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from entrypoint.store.disk.digest import SHA256

MANIFEST = "manifest.json"
FORMAT = 1
"""Incremented when a reader of the older format would misread the newer one."""
MAX_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of the model.

    Attributes:
        name: Relative to the snapshot, with ``/``.
        size: Bytes.
        sha256: The hash of its content, in hexadecimal digits.
        blob: The name of its content in ``blobs``.
    """

    name: str
    size: int
    sha256: str
    blob: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model's manifest.

    Attributes:
        repository: ``org/name``.
        commit: The snapshot.
        tool: The tool that wrote it, with its version.
        files: Sorted by name.
    """

    repository: str
    commit: str
    tool: str
    files: tuple[ManifestFile, ...]

    def dump(self) -> bytes:
        """Return the content of the manifest file; its length does not depend on the hashes."""
        document = {
            "format": FORMAT,
            "tool": self.tool,
            "repository": self.repository,
            "commit": self.commit,
            "files": [asdict(file) for file in self.files],
        }
        return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def load_manifest(content: bytes) -> Manifest:
    """Return the manifest in a file's content.

    Raises:
        ValueError: The content is not a manifest, or has a newer format.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from None
    if not isinstance(document, dict) or "format" not in document:
        raise ValueError("not a manifest: it has no format")
    if document["format"] != FORMAT:
        raise ValueError(f"a manifest of format {document['format']!r}, this tool reads {FORMAT}")
    try:
        files = tuple(
            ManifestFile(
                str(file["name"]), int(file["size"]), str(file["sha256"]), str(file["blob"])
            )
            for file in document["files"]
        )
        manifest = Manifest(
            str(document["repository"]), str(document["commit"]), str(document["tool"]), files
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a manifest: {error!r}") from None
    for file in files:
        if not SHA256.fullmatch(file.sha256):
            raise ValueError(f"{file.name!r} has the invalid SHA-256 {file.sha256!r}")
    if len({file.name for file in files}) < len(files):
        raise ValueError("it lists a file twice")
    return manifest


def derived_commit(files: Iterable[tuple[str, str]]) -> str:
    """Return a commit for a directory that has none: the same for the same content everywhere.

    It is the first 40 digits of the SHA-256 of the output of ``sha256sum`` for the files, sorted by
    name.

    Args:
        files: ``(name, SHA-256)``.
    """
    lines = [f"{sha256}  {name}\n" for name, sha256 in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:40]
