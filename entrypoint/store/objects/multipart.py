"""Upload to S3 in parts, each with its SHA-256, and resume an unfinished upload."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from entrypoint.errors import InferenceServerError, StoreError
from entrypoint.store.objects import problems
from entrypoint.store.objects.parts import Part, split_into_parts, upload_part_size
from entrypoint.store.objects.retry import Transient
from entrypoint.store.objects.s3 import S3Object
from entrypoint.store.objects.store import SHA256, Advance
from entrypoint.store.threads import Threads, take_finished
from entrypoint.store.writing.complete_file import write_text

log = logging.getLogger("inference-server")


class S3Store(S3Object):
    """One object in a bucket. See :class:`~entrypoint.store.objects.store.ObjectStore`."""

    def put(self, source: Path, sha256: str, scratch: Path, workers: int, advance: Advance) -> int:
        """Upload a file in parts; an unfinished upload is resumed."""
        size = source.stat().st_size
        part_size = upload_part_size(size)
        with source.open("rb", buffering=0) as file:
            if size <= part_size:
                _put_at_once(self, os.pread(file.fileno(), size, 0), sha256)
                advance(size)
                return size
            note = _note_path(self, source, scratch)
            pending, present = _read_note(note), None
            content = (sha256, size, part_size)
            if pending and (pending.sha256, pending.size, pending.part_size) != content:
                _abort(self, pending)
            elif pending:
                present = _listed(self, pending)
            if pending is None or present is None:
                pending, present = _begin(self, note, sha256, size, part_size), {}
            sender = _Sender(self, file.fileno(), pending, present)
            sent = sender.send_all(workers, advance)
        note.unlink()
        return sent


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload. A note keeps it until it is complete.

    The store does not return its metadata, so the note also has the content that it is for.

    Attributes:
        id: The store's id of the upload.
        sha256: The SHA-256 of the file.
        size: The bytes of the file.
        part_size: Bytes of each part except the last.
    """

    id: str
    sha256: str
    size: int
    part_size: int


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the store has, compared with the file.

    Attributes:
        etag: The part's ETag.
        checksum: Its SHA-256 in base64; None if the store reports none.
    """

    etag: str
    checksum: str | None

    def as_argument(self, number: int) -> dict[str, object]:
        """Return the part as an argument of ``complete_multipart_upload``."""
        named: dict[str, object] = {"PartNumber": number + 1, "ETag": self.etag}
        return named | ({"ChecksumSHA256": self.checksum} if self.checksum else {})


def _put_at_once(store: S3Object, content: bytes, sha256: str) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _file_changed(store)
    store.ask(
        "put_object",
        **_checksum(store, content),
        Body=content,
        Metadata={SHA256: sha256},
    )


def _checksum(store: S3Object, content: bytes) -> dict[str, str]:
    """The checksum that the store compares with the content; MD5 if it supports no other."""
    if store.knows_checksums:
        digest = hashlib.sha256(content).digest()
        return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": _base64(digest)}
    return {"ContentMD5": _base64(hashlib.md5(content, usedforsecurity=False).digest())}


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _note_path(store: S3Object, source: Path, scratch: Path) -> Path:
    """The note about an upload of this file to this object."""
    identity = f"{store.endpoint}\n{store.uri}\n{source.resolve()}"
    digest = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    return scratch / "uploads" / f"{digest[:16]}.json"


def _read_note(note: Path) -> Upload | None:
    try:
        return Upload(**json.loads(note.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _abort(store: S3Object, pending: Upload) -> None:
    """Have the store remove the parts, which cost money until then."""
    log.warning("aborting the unfinished upload to %s: the file has changed", store.uri)
    try:
        store.ask_if_there("abort_multipart_upload", UploadId=pending.id)
    except InferenceServerError as error:
        log.warning("%s", error.message)


def _begin(store: S3Object, note: Path, sha256: str, size: int, part_size: int) -> Upload:
    answer = store.ask(
        "create_multipart_upload",
        **({"ChecksumAlgorithm": "SHA256"} if store.knows_checksums else {}),
        Metadata={SHA256: sha256},
    )
    pending = Upload(str(answer["UploadId"]), sha256, size, part_size)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(asdict(pending)))
    return pending


def _listed(store: S3Object, pending: Upload) -> dict[int, dict[str, Any]] | None:
    """``{number from 0: the store's part}``, None if the upload no longer exists."""
    found: dict[int, dict[str, Any]] = {}
    marker = 0
    while True:
        answer = store.ask_if_there("list_parts", UploadId=pending.id, PartNumberMarker=marker)
        if answer is None:
            return None
        found |= {int(part["PartNumber"]) - 1: part for part in answer.get("Parts", ())}
        if not answer.get("IsTruncated"):
            return found
        marker = int(answer["NextPartNumberMarker"])


def _is_same(part: dict[str, Any], content: bytes) -> bool:
    """Whether a listed part has this content: by SHA-256, otherwise by MD5."""
    if part["Size"] != len(content):
        return False
    if checksum := part.get("ChecksumSHA256"):
        return bool(checksum == _base64(hashlib.sha256(content).digest()))
    return _etag_is_md5(str(part["ETag"]), content)


def _etag_is_md5(etag: str, content: bytes) -> bool:
    return etag.strip('"').lower() == hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class _Sender:
    """Sends the missing parts of a file."""

    store: S3Object
    file: int
    pending: Upload
    present: dict[int, dict[str, Any]]

    def send_all(self, workers: int, advance: Advance) -> int:
        """Send the missing parts, and have the store make the object; return the bytes sent."""
        parts = list(split_into_parts(self.pending.size, self.pending.part_size))
        finished: dict[int, SentPart] = {}
        sent = 0
        with Threads(workers) as threads:
            running = {threads.start(self.send, part): part for part in parts}
            while running:
                for part, (stored, count) in take_finished(running):
                    finished[part.number] = stored
                    sent += count
                    advance(part.size)
        # If the answer is lost, the retry finds no such upload, because it is complete.
        arguments = [stored.as_argument(number) for number, stored in sorted(finished.items())]
        self.store.ask_if_there(
            "complete_multipart_upload",
            UploadId=self.pending.id,
            MultipartUpload={"Parts": arguments},
        )
        return sent

    def send(self, part: Part) -> tuple[SentPart, int]:
        """Return the part that the store has now, and the number of bytes sent for it.

        Raises:
            StoreError: The store did not answer, refused, or has another content; or the file
                became shorter.
        """
        content = os.pread(self.file, part.size, part.start)
        if len(content) != part.size:
            raise _file_changed(self.store)
        listed = self.present.get(part.number)
        if listed and _is_same(listed, content):
            return SentPart(str(listed["ETag"]), listed.get("ChecksumSHA256")), 0
        return self._sent(part, content), part.size

    def _sent(self, part: Part, content: bytes) -> SentPart:
        checksum = _checksum(self.store, content)

        def once() -> SentPart:
            answer = self.store.client.upload_part(
                **self.store.address,
                **checksum,
                UploadId=self.pending.id,
                PartNumber=part.number + 1,
                Body=content,
            )
            etag, stored = str(answer["ETag"]), answer.get("ChecksumSHA256")
            expected = checksum.get("ChecksumSHA256")
            # A store that reports no checksum may have ignored ours.
            if expected and not (stored == expected if stored else _etag_is_md5(etag, content)):
                detail = f"the store has another checksum for part {part.number + 1}"
                raise Transient(problems.refused(self.store.uri, detail), detail)
            return SentPart(etag, stored)

        return self.store.retried(f"part {part.number + 1} of", once)


def _file_changed(store: S3Object) -> StoreError:
    return StoreError(
        f"The file changed during the push to {store.uri}.",
        hint="Push it again when it is complete.",
    )
